"""The command line: one file a command. Nothing here imports torch before a command runs, so ``--help`` is quick."""

from .app import app, main

__all__ = ["app", "main"]
