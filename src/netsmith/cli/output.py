"""Where text goes: results to stdout, progress and notes to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from ..costs import Cost

# Columns for a table that goes to a file or a pipe; a terminal says itself how wide it is.
PIPE_WIDTH = 160


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would exit with 1, which here means "failed"


def out() -> Console:
    """The console for results."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return _Console(width=width, highlight=False)


class _Diverted:
    """Stands in for ``sys.stdout`` under ``--json``: what anyone else prints (the model's own code) goes to stderr."""

    def __init__(self, stdout: Any) -> None:
        self.stdout = stdout

    def fileno(self) -> int:
        return int(self.stdout.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def keep_stdout_for_json(ctx: typer.Context, value: bool) -> bool:
    """Option callback of ``--json``."""
    if value and not isinstance(sys.stdout, _Diverted):
        stdout: Any = sys.stdout
        sys.stdout = _Diverted(stdout)
        ctx.call_on_close(lambda: setattr(sys, "stdout", stdout))
    return value


def emit_json(data: Any) -> None:
    """The machine's output: one JSON document on stdout."""
    stdout = sys.stdout.stdout if isinstance(sys.stdout, _Diverted) else sys.stdout
    print(json.dumps(data, indent=2), file=stdout, flush=True)  # a closed pipe shows here


def note(message: str) -> None:
    """Something that the user should know, on stderr."""
    print(f"note: {message}", file=sys.stderr)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on stderr while something takes its time; silent where stderr is no terminal."""
    with Console(stderr=True).status(f"{what} …"):
        yield


def print_cost(console: Console, cost: Cost) -> None:
    """Parameters, MACs, bytes, peak memory and, where measured, latency."""
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("parameters", f"{cost.params:,}")
    table.add_row("MACs", f"{cost.macs:,}", "of one call with the example inputs")
    table.add_row("bytes", f"{cost.bytes:,}", "parameters and buffers")
    if cost.peak_bytes is not None:
        table.add_row("peak bytes", f"{cost.peak_bytes:,}", "with the inputs, and what forward holds at one time")
    if cost.latency_ms is not None:
        table.add_row("latency", f"{cost.latency_ms:.3f} ms", "median of warm calls on this machine")
    console.print(table)
