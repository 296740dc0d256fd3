"""``netsmith report``: one page that tells of a run, or one that compares several."""

from __future__ import annotations

import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError, NetsmithError
from .models import build_structure, open_model
from .options import Debug, Json
from .output import emit_json, note, out
from .saved import read_source

if TYPE_CHECKING:
    from ..reports.record import RunRecord
    from ..wiring import Wiring

RUNS_HELP = "Folders that netsmith commands wrote, with run.json in them. Several are compared on one page."
OUT_HELP = "The page. Default: report.html in the folder, or comparison.html here for several."
BOARD_HELP = "Also write the run for TensorBoard: scores, options, structure and graph."

Runs = Annotated[list[Path], typer.Argument(help=RUNS_HELP, metavar="RUN...", show_default=False)]

Board = Annotated[Path | None, typer.Option("--tensorboard", help=BOARD_HELP, metavar="DIR", show_default=False)]


def report(
    runs: Runs,
    page: Annotated[Path | None, typer.Option("--out", help=OUT_HELP, metavar="FILE", show_default=False)] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    board: Board = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write one self-contained page that tells what a run did, or that compares several runs."""
    from ..reports.page import write_html
    from ..reports.record import read_run
    from ..reports.run_page import REPORT, run_page

    found = {_name(folder, runs): read_run(folder) for folder in runs}
    if len(found) < len(runs):
        raise InputError("a folder is named twice; give each once")
    if len(found) == 1:
        (run,) = found.values()
        path, html = page or runs[0] / REPORT, run_page(run)
    else:
        from ..reports.compare_page import COMPARISON, compare_page

        path, html = page or Path(COMPARISON), compare_page(found)
    write_html(path, html)
    if board is not None:
        for folder, (name, run) in zip(runs, found.items(), strict=True):
            _write_board(run, folder, board if len(found) == 1 else board / name.replace("/", "_"))
    if json:
        emit_json({"page": str(path), "runs": [str(folder) for folder in runs]})
    else:
        out().print(f"Written: {path}", markup=False, soft_wrap=True)
    if show and not webbrowser.open(path.resolve().as_uri()):
        note(f"no browser could be started; open {path} yourself")


def _write_board(run: RunRecord, folder: Path, where: Path) -> None:
    from ..reports.tensorboard import tensorboard

    with tensorboard(where) as written:
        written.run(run)
        try:
            wiring = _wiring(folder)
        except NetsmithError as error:
            note(f"the graph of {folder} is not drawn, because its model cannot be built: {error}")
        else:
            written.graph(wiring)
            written.structure(wiring)


def _wiring(folder: Path) -> Wiring:
    """Of the changed model. Weights of the original are not needed, and code of others does not run."""
    from ..files import load
    from ..wiring import trace

    source = replace(read_source(folder, model=None, weights=None)[0], weights=None)
    return trace(load(folder, lambda: build_structure(source)), open_model(source).example_inputs)


def _name(folder: Path, runs: list[Path]) -> str:
    """The folder's last part, or all of it where two end alike."""
    alike = sum(each.resolve().name == folder.resolve().name for each in runs)
    return folder.resolve().name if alike == 1 else str(folder)
