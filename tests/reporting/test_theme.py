"""The palette, as a person with normal vision and as three kinds of dichromat see it."""

import itertools

import numpy as np
import pytest

from fastpipe.reporting.theme import ARM_COLOURS, DARK, LIGHT, VARIABLES, chart_config, css

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = [[0.4124, 0.3576, 0.1805], LUMINANCE, [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a: str, b: str) -> float:
    dark, light = sorted((LUMINANCE @ linear(a), LUMINANCE @ linear(b)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
class TestColours:
    @pytest.mark.parametrize("sight", SIGHT)
    def test_any_two_arms_differ(self, colours, sight):
        seen = [lab(np.array(SIGHT[sight]) @ linear(colour)) for colour in colours.arms]
        nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
        assert nearest > 10  # a just noticeable difference is about 2.3

    def test_text_can_be_read(self, colours):
        for text in (colours.ink, colours.muted, colours.accent, colours.good, colours.bad):
            assert contrast(text, colours.paper) > 4.5  # WCAG AA

    def test_lines_can_be_seen(self, colours):
        assert (
            min(contrast(colour, colours.paper) for colour in colours.arms) >= 3
        )  # WCAG, graphics


def test_charts_in_the_page_use_only_variables():
    assert "#" not in str(chart_config(VARIABLES))
    for colours in (LIGHT, DARK):
        assert css(colours).count("--arm-") == ARM_COLOURS
        assert "--ink:#" in css(colours)
