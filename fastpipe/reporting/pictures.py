"""Pictures of a report: light and dark, desktop and phone, and on paper."""

import base64
from pathlib import Path

from fastpipe.errors import UserError
from fastpipe.reporting.chromium import Chromium

__all__ = ["render"]

_WIDTHS = {"desktop": 1360, "phone": 390}
_TALLEST = 16_000
"""Chromium's surfaces end at 16,384 pixels; a longer page is cut into several pictures."""


def render(report: Path, out: Path) -> list[Path]:
    """Render the whole page at desktop and phone width, light and dark, and as a PDF.

    Args:
        report: a `report.html`.
        out: folder for `{desktop,phone}-{light,dark}[-2, -3, …].png` and `print.pdf`.

    Returns:
        The files written.

    Raises:
        UserError: there is no Chromium or no such report, or its charts could not be drawn.
    """
    if not report.is_file():
        raise UserError(f"{report} does not exist. Run snakemake to make a report.")
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with Chromium() as browser:
        for device, width in _WIDTHS.items():
            for theme in ("light", "dark"):
                browser.show(width, dark=theme == "dark", phone=device == "phone")
                if browser.open(report) != "drawn":
                    raise UserError(f"{report} could not draw its charts: {browser.complaints}")
                written += _capture(browser, width, out / f"{device}-{theme}")
        written.append(_print(browser, report, out / "print.pdf"))
    return written


def _capture(browser: Chromium, width: int, stem: Path) -> list[Path]:
    ratio = int(browser.evaluate("window.devicePixelRatio"))
    height = int(browser.evaluate("document.documentElement.scrollHeight"))
    piece = _TALLEST // ratio
    written = []
    for number, top in enumerate(range(0, height, piece), 1):
        clip = {"x": 0, "y": top, "width": width, "height": min(piece, height - top), "scale": 1}
        answer = browser.command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        name = f"{stem.name}{f'-{number}' if number > 1 else ''}.png"
        written.append(stem.with_name(name))
        written[-1].write_bytes(base64.b64decode(answer["data"]))
    return written


def _print(browser: Chromium, report: Path, path: Path) -> Path:
    browser.show(_WIDTHS["desktop"])
    browser.open(report)
    answer = browser.command("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
    path.write_bytes(base64.b64decode(answer["data"]))
    return path
