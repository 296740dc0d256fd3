"""Bars for work that has stages; lines where stderr is no terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Tell(Protocol):
    """Where the work is: the stage, steps done and in all (≥ 1), and a few words."""

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None: ...


@contextmanager
def stages(labels: Mapping[str, str]) -> Iterator[Tell]:
    """One bar a stage on stderr; a stage ends when the next begins. Without a terminal, one line a stage.

    Args:
        labels: stage -> what it does, in words; other stages are shown by their name.
    """
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}", markup=False),
        TimeElapsedColumn(),
    )
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def finish() -> None:
            for bar in list(bars.values())[-1:]:
                progress.update(bar, completed=progress.tasks[bar].total)

        def tell(stage: str, done: int, total: int, detail: str = "") -> None:
            if stage not in bars:
                finish()
                bars[stage] = progress.add_task(labels.get(stage, stage), total=total, detail="")
                if not console.is_terminal:
                    console.print(f"{labels.get(stage, stage)} …", markup=False, soft_wrap=True)
            progress.update(bars[stage], completed=done, total=total, detail=detail)

        yield tell
        finish()
