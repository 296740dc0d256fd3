"""The command that is running, as it was typed: for the record of a run."""

from __future__ import annotations

import shlex
from contextvars import ContextVar
from typing import Any

import typer

_CONTEXT: ContextVar[typer.Context | None] = ContextVar("context", default=None)
ARGUMENTS = "arguments"
_NOT_ASKED = ("out_dir", "json", "debug")
_STARTS = "what"  # the argument of commands that start from a model or a folder


def remember(ctx: typer.Context) -> None:
    """Called for every command, from the callback of an option that all have."""
    _CONTEXT.set(ctx)


def command_line() -> str:
    """``netsmith shrink ...``, quoted for a shell."""
    ctx = _CONTEXT.get()
    return shlex.join(["netsmith", *(ctx.meta.get(ARGUMENTS, ()) if ctx else ())])


def command_name() -> str:
    """``shrink``."""
    ctx = _CONTEXT.get()
    return (ctx.info_name if ctx else None) or "netsmith"


def asked() -> dict[str, Any]:
    """Every argument and option with its value, defaults too, named as on the command line.

    Those that are not set are left out, and where the result goes and how it is told.
    """
    ctx = _CONTEXT.get()
    if ctx is None:
        return {}
    names = {p.name: max(p.opts, key=len).lstrip("-") for p in ctx.command.params if p.name not in _NOT_ASKED}
    said = {names[key]: value for key, value in ctx.params.items() if key in names and value not in (None, (), [])}
    if _STARTS in said and "model" not in said:
        said = {"model": said.pop(_STARTS), **said}
    return said
