"""release brief: the runbook of a promotion names every line of the gate, every limit, and every command."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from controlplane.domain.windows import Window
from controlplane.usecases.brief_release import release_brief
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def test_the_brief_names_every_line_of_the_gate_and_every_command(site: PromotedSite) -> None:
    spec = site.files.specs[STACK]
    window = Window.model_validate({"days": ["sat"], "start": "22:00", "end": "23:00"}, strict=False)
    rules = spec.promotion.model_copy(update={"pack": "mint", "approval": "other", "windows": (window,), "smoke_within": 7200})
    site.files.specs[STACK] = spec.model_copy(update={"promotion": rules, "loop": "LOOP-SHOP"})
    text = "\n".join(release_brief(site.site, STACK, site.release_ports))
    for part in (
        "# shop: orders come in\n",
        "Hosts      mint-apps, mint-data, in this order",
        "Window     next ",
        "Approval   other\n",
        "Loop       LOOP-SHOP\n",
        "Proof      shop/smoke/test_flow.py, within 600 s; a skipped test is not a pass",
        "- smoke: passed in staging within 2 h, after it was staged",
        "- recert: typecheck, state, within 1 d",
        "- pack mint: its newest run passed",
        "- storage of mint-apps: its ready receipt holds\n- storage of mint-data: its ready receipt holds",
        "- gaps: none is open in LOOP-SHOP",
        "- waves: no host belongs to a wave that changes machines and is not ended",
        "controlplane release stage shop --plan stage.json",
        "controlplane ready mint-apps",
        "controlplane release promote shop --plan promote.json",
        "controlplane release rollback shop --env production --dry-run",
    ):
        assert part in text, (part, text)


def test_the_brief_tells_limits_below_an_hour_and_the_approval_that_is_really_demanded(site: PromotedSite) -> None:
    spec = site.files.specs[STACK]
    rules = spec.promotion.model_copy(update={"approval": "self", "smoke_within": 1800, "recert_within": 5400})
    site.files.specs[STACK] = spec.model_copy(update={"promotion": rules})
    site.site = replace(site.site, view=site.view.model_copy(update={"approval": "other"}))
    lines = release_brief(site.site, STACK, site.release_ports)
    assert "Approval   other" in lines
    assert "- smoke: passed in staging within 30 min, after it was staged" in lines
    assert "- recert: typecheck, state, within 1 h 30 min" in lines
    site.files.specs[STACK] = spec.model_copy(update={"loop": None})
    shut = "- gaps: shut, the release names no loop, so nobody knows which are its own"
    assert shut in release_brief(site.site, STACK, site.release_ports)


@pytest.mark.parametrize(
    ("site_asks", "release_asks", "named"), [("none", None, []), ("none", "self", ["promote"]), ("self", None, ["stage", "promote"])]
)
def test_the_brief_names_an_approval_where_one_is_demanded(site: PromotedSite, site_asks: str, release_asks: str | None, named: list[str]) -> None:
    spec = site.files.specs[STACK]
    site.files.specs[STACK] = spec.model_copy(update={"promotion": spec.promotion.model_copy(update={"approval": release_asks})})
    site.site = replace(site.site, view=site.view.model_copy(update={"approval": site_asks}))
    text = "\n".join(release_brief(site.site, STACK, site.release_ports))
    assert re.findall(r"controlplane approve (\w+)\.json", text) == named
