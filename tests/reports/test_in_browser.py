"""Pages in headless Chromium: nothing fails, plots are drawn, nothing overflows on a phone, everything can be read.

A script that is added to the page measures it there and writes what it found into the page's title.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import tempfile
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from netsmith.reports.compare_page import compare_page
from netsmith.reports.run_page import run_page
from run_records import full_run, small_run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome is on the PATH")

# In a frame, because a window of Chromium is at least 500 pixels wide.
PROBE = """
function rgb(text) {
  const n = text.match(/[\\d.]+(?:e-?\\d+)?/g).map(Number), alpha = n.length > 3 ? n[3] : 1;
  return [...(text.startsWith("color(srgb") ? n.slice(0, 3).map(v => 255 * v) : n.slice(0, 3)), alpha];
}
function luminance(c) {
  const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function behind(win, element) {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.unshift(rgb(win.getComputedStyle(e).backgroundColor));
  return layers.reduce((below, [r, g, b, a]) => [r, g, b].map((v, i) => a * v + (1 - a) * below[i]), [255, 255, 255]);
}
function faint(win) {
  const found = [], walker = win.document.createTreeWalker(win.document.body, 4);
  for (let node; node = walker.nextNode();) {
    const e = node.parentElement, style = win.getComputedStyle(e), box = e.getBoundingClientRect();
    if (!node.textContent.trim() || !box.width || e.closest("script, style, caption, title, .modebar")) continue;
    const ink = rgb(e instanceof win.SVGElement ? style.fill : style.color), paper = behind(win, e);
    if (!ink[3]) continue;
    const [a, b] = [luminance(ink), luminance(paper)].sort((x, y) => y - x), contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push([node.textContent.trim().slice(0, 40), e.outerHTML.slice(0, 80), contrast]);
  }
  return found;
}
function measured(win) {
  const page = win.document, root = page.documentElement, all = what => [...page.querySelectorAll(what)];
  all("details").forEach(each => each.open = true);
  const wide = all("main > *, section > *").filter(e => e.getBoundingClientRect().right > root.clientWidth + 0.5);
  return {
    dark: win.matchMedia("(prefers-color-scheme: dark)").matches,
    width: root.clientWidth, needs: root.scrollWidth, wide: wide.map(e => e.outerHTML.slice(0, 80)),
    points: all(".scatterlayer .point").length,
    legend: all(".legendtext").map(e => e.textContent),
    after: all("svg.silhouette g rect.after").map(e => e.getBoundingClientRect().width),
    ghosts: all("svg.silhouette g rect.ghost").map(e => e.getBoundingClientRect().width),
    plots: all(".main-svg").map(e => e.getBoundingClientRect().width),
    gone: all("svg.silhouette g rect.gone").length,
    dead: all("a").filter(a => !page.getElementById(a.getAttribute("href").slice(1))).length,
    unnamed: all("svg.silhouette, [role=region], [role=img]").filter(e => !e.getAttribute("aria-label")).length,
    levels: all("h1, h2, h3").map(e => e.tagName),
    headless: all("table").filter(t => !t.querySelector("th[scope=col]")).length,
    paper: win.getComputedStyle(page.body).backgroundColor,
    faint: faint(win),
  };
}
window.onload = async () => {
  try {
    await new Promise(done => setTimeout(done, 300));
    const shown = [...document.querySelectorAll("iframe")];
    document.title = JSON.stringify({pages: shown.map(each => measured(each.contentWindow))});
  } catch (error) {
    document.title = "{" + error.stack;
  }
};
"""


FRAMES = (("full", 1100), ("full", 360), ("compared", 360), ("small", 360))


@functools.cache
def browsed(dark: bool) -> tuple[dict[tuple[str, int], Any], str]:
    """What the probe found on each page at each width, and what the browser's console said."""
    pages = {"full": run_page(full_run()), "small": run_page(small_run()), "compared": _compared()}
    frames = "".join(
        f"<iframe style='border:0' width={width} height=900 srcdoc=\"{escape(pages[kind])}\"></iframe>"
        for kind, width in FRAMES
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "frames.html"
        file.write_text(f"<!doctype html><meta charset=utf-8><script>{PROBE}</script>{frames}", encoding="utf-8")
        command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
        command += [f"--user-data-dir={folder}/profile", "--virtual-time-budget=20000", "--window-size=1200,1000"]
        command += ["--hide-scrollbars", *(["--blink-settings=preferredColorScheme=0"] if dark else [])]
        done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=300, check=True)
    title = re.findall(r"<title>(\{.*?)</title>", done.stdout.partition("<iframe")[0], re.DOTALL)
    assert title, done.stderr[-2000:]
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return dict(zip(FRAMES, json.loads(unescape(title[0]))["pages"], strict=True)), console


def _compared() -> str:
    other = full_run().model_copy(update={"asked": {"budget": {"macs": 0.25}}, "title": "Another"})
    return compare_page({"first": full_run(), "second": other, "bare": small_run()})


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read_and_nothing_fails(dark: bool) -> None:
    pages, console = browsed(dark)
    assert console == ""
    for found in pages.values():
        assert found["dark"] is dark
        assert (found["paper"] == "rgb(255, 255, 255)") is not dark
        assert found["faint"] == []
        assert found["dead"] == 0 and found["unnamed"] == 0 and found["headless"] == 0
        assert found["levels"][:2] == ["H1", "H2"] and found["levels"].count("H1") == 1


@pytest.mark.parametrize("kind", ["full", "small", "compared"])
def test_a_phone_does_not_scroll_sideways(kind: str) -> None:
    found = browsed(False)[0][kind, 360]
    assert found["width"] == 360
    assert all(width == 328 for width in found["plots"])
    assert found["needs"] == 360
    assert found["wide"] == []


def test_plots_are_drawn() -> None:
    pages, _ = browsed(False)
    found, compared = pages["full", 1100], pages["compared", 360]
    assert found["points"] == 3 + 2 + 2 + 1  # with a score, on the front, steps, the result
    assert found["legend"] == ["evolution", "uniform", "front", "steps", "result"]
    assert found["after"][0] / found["ghosts"][0] == pytest.approx(0.5, abs=0.02)
    assert found["gone"] == 1
    assert compared["points"] == 2 * found["points"]
    assert "second: front" in compared["legend"]
