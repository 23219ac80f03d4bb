"""Pictures of a page in headless Chromium."""

import struct

import PIL.Image
import pytest

from fastpipe.errors import UserError
from fastpipe.reporting import chromium
from fastpipe.reporting.chromium import Chromium, find_chromium
from fastpipe.reporting.pictures import render

needs_chromium = pytest.mark.skipif(not find_chromium(), reason="no Chromium is installed")
PAGE = """<!doctype html><html data-state="{state}">
<meta name=viewport content="width=device-width">
<style>body {{ margin: 0; height: 9000px; background: white }}
@media (prefers-color-scheme: dark) {{ body {{ background: black }} }}</style>"""


def write(folder, state="drawn"):
    path = folder / "a report.html"
    path.write_text(PAGE.format(state=state))
    return path


def size(png) -> tuple[int, int]:
    return struct.unpack(">II", png.read_bytes()[16:24])


@needs_chromium
def test_pictures(tmp_path):
    written = render(write(tmp_path), tmp_path / "pictures")
    assert [path.name for path in written] == [
        "desktop-light.png",
        "desktop-dark.png",
        "phone-light.png",
        "phone-light-2.png",
        "phone-dark.png",
        "phone-dark-2.png",
        "print.pdf",
    ]
    by_name = {path.name: path for path in written}
    assert size(by_name["desktop-light.png"]) == (1360, 9000)
    assert size(by_name["phone-light.png"]) == (780, 16_000)
    assert size(by_name["phone-light-2.png"]) == (780, 2_000)
    assert by_name["print.pdf"].read_bytes().startswith(b"%PDF")
    pixels = [
        PIL.Image.open(by_name[f"desktop-{t}.png"]).getpixel((9, 9)) for t in ("light", "dark")
    ]
    assert [pixel[0] for pixel in pixels] == [255, 0]


@needs_chromium
def test_a_page_that_fails_to_draw_is_told(tmp_path):
    with pytest.raises(UserError, match=r"a report\.html could not draw its charts"):
        render(write(tmp_path, state="failed"), tmp_path / "pictures")


@needs_chromium
def test_console_errors_and_requests_are_noticed(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        "<html data-state=drawn><script>console.error('oh no'); nothing()</script>"
        "<img src='other.png'>"
    )
    with Chromium() as browser:
        assert browser.open(path) == "drawn"
        browser.evaluate("new Promise(r => setTimeout(r, 200))")
        assert any(url.endswith("other.png") for url in browser.requests)
        text = "\n".join(browser.complaints)
        assert "oh no" in text
        assert "nothing is not defined" in text


def test_no_such_report(tmp_path):
    with pytest.raises(UserError, match=r"none\.html does not exist\. Run snakemake"):
        render(tmp_path / "none.html", tmp_path)


def test_no_chromium(tmp_path, monkeypatch):
    monkeypatch.setattr(chromium.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"no Chromium was found\. Install one"):
        render(write(tmp_path), tmp_path / "pictures")
