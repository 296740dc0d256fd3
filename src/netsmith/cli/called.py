"""The command that is running, as it was typed: for the record of a run."""

from __future__ import annotations

import shlex
from contextvars import ContextVar
from typing import Any

import typer

_CONTEXT: ContextVar[typer.Context | None] = ContextVar("context", default=None)
ARGUMENTS = "arguments"


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
    """Every argument and option with its value, defaults too; those that are not set are left out."""
    ctx = _CONTEXT.get()
    given = {} if ctx is None else {name: value for name, value in ctx.params.items() if name not in ("json", "debug")}
    return {name: value for name, value in given.items() if value not in (None, (), [])}
