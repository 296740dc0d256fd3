"""Tell: the steps of a recipe as a terminal table, as JSON, and a run as one HTML page that opens offline."""

from .engines import engine_notes, engines_json, engines_table
from .page import write_html
from .run_page import run_page, run_report
from .steps import StepLike, latency_note, steps_json
from .table import steps_table

__all__ = [
    "engine_notes",
    "engines_json",
    "engines_table",
    "steps_table",
    "steps_json",
    "latency_note",
    "run_page",
    "run_report",
    "write_html",
    "StepLike",
]
