"""Tell: the steps of a recipe as a terminal table, as JSON, and as one HTML page that opens offline."""

from .engines import engine_notes, engines_json, engines_table
from .html import html_report, write_html
from .steps import StepLike, latency_note, steps_json
from .table import steps_table

__all__ = [
    "engine_notes",
    "engines_json",
    "engines_table",
    "steps_table",
    "steps_json",
    "latency_note",
    "html_report",
    "write_html",
    "StepLike",
]
