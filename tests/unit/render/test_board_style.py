"""Text can be read in light, in dark and on paper."""

from __future__ import annotations

import pytest

from controlplane.render.board_style import DARK, LIGHT, PAPER, STYLE

TEXT = ("ink", "dim", "met", "drifted", "waived", "unknown", "link")
GROUNDS = ("page", "sheet", "drifted-wash", "unknown-wash")


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb. Source: WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK, PAPER], ids=["light", "dark", "paper"])
def test_text_has_the_contrast_of_level_aa_on_every_ground(colours: dict[str, str]) -> None:
    weak = {(text, ground): ratio for text in TEXT for ground in GROUNDS if (ratio := contrast(colours[text], colours[ground])) < 4.5}
    assert weak == {}


@pytest.mark.parametrize("colours", [LIGHT, DARK, PAPER], ids=["light", "dark", "paper"])
def test_bars_stand_out_from_their_track(colours: dict[str, str]) -> None:
    weak = {name: ratio for name in ("fill", "drifted", "ink") if (ratio := contrast(colours[name], colours["track"])) < 3}
    assert weak == {}


def test_nothing_dark_is_printed() -> None:
    assert {PAPER[ground] for ground in GROUNDS} == {"#ffffff"}


def test_no_character_of_the_style_could_end_it() -> None:
    assert "<" not in STYLE
    assert STYLE.isascii()
