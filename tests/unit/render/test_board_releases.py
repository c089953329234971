"""What the board says of releases: what was brought where, whether that was proven, and what nobody can say."""

from __future__ import annotations

import pytest

from controlplane.domain.board import BoardRelease
from controlplane.render.board_releases import releases_section
from tests.fakes.board import HOSTILE
from tests.unit.render.parsing import Page, parsed

KEY = "CAP-20260102-120000__release.smoke__R0001"


def page_of(*releases: BoardRelease) -> Page:
    page = parsed(releases_section(releases))
    assert page.faults == []
    return page


def one(**said: object) -> BoardRelease:
    plain = {"stack": "shop", "goal": "orders come in", "environment": "production", "hosts": ("mint-apps", "mint-data")}
    return BoardRelease.model_validate({**plain, **said})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"manifest": "r1", "since": "2026-01-02T12:00:00Z", "proof": KEY, "proven": True}, f"r1 2026-01-02 12:00:00 UTC ✓ {KEY}"),
        ({"manifest": "r1", "since": "2026-01-02T12:00:00Z", "proof": KEY}, f"r1 2026-01-02 12:00:00 UTC ✗ {KEY}"),
        ({"manifest": "r1", "since": "2026-01-02T12:00:00Z"}, "r1 2026-01-02 12:00:00 UTC ? no smoke run since"),
        ({}, "nothing – –"),
        ({"doubt": "its hosts disagree"}, "? its hosts disagree – –"),
    ],
)
def test_a_stack_in_an_environment_is_a_row_that_says_whether_it_was_proven(said: dict[str, object], told: str) -> None:
    words = " ".join(" ".join(page_of(one(**said)).text).split())
    assert f"shop production mint-apps mint-data {told}" in words
    assert "Whether it still runs: 'controlplane release status'." in words


def test_a_site_without_releases_says_so() -> None:
    assert "No releases: this site has no releases/ folder." in page_of().text


def test_what_somebody_wrote_is_text() -> None:
    page = page_of(one(stack=HOSTILE, doubt=HOSTILE))
    assert {tag for tag, _ in page.tags} & {"script", "img"} == set()
