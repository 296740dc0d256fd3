"""Tell: the steps of a recipe as a terminal table, as JSON, and as one HTML page that opens offline."""

from .html import html_report, write_html
from .steps import StepLike, latency_note, steps_json
from .table import steps_table

__all__ = ["steps_table", "steps_json", "latency_note", "html_report", "write_html", "StepLike"]
