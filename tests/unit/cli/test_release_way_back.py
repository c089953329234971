"""release rollback and release smoke name what ran before the first release, which no release brought."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controlplane.cli.release_smoke import _print_smoke
from controlplane.domain.releases.smoke import SmokeReport, SmokeTest
from controlplane.domain.releases.values import EnvironmentName
from controlplane.usecases.release_way_back import way_back
from controlplane.wiring import releases
from tests.fakes.command_line import command_line
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK
from tests.unit.usecases.test_judge_return import PINNED, by_hand, first_release

BACK = "controlplane release rollback shop --env production"


def test_a_rollback_names_the_images_that_come_back_and_the_hosts_that_are_emptied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = PromotedSite()
    by_hand(fake, ("mint-apps",))
    first_release(fake)

    @contextmanager
    def releasing(*_: object) -> Iterator[tuple[Any, Any]]:
        yield fake.site, fake.release_ports

    monkeypatch.setattr(releases, "releasing", releasing)
    said = command_line(monkeypatch, capsys)("release", "rollback", "shop")
    assert (said.code, said.out.splitlines()[-1]) == (0, "shop production what no release brought: rolled-back")
    lines = said.err.splitlines()
    assert any(line.endswith("from r1 to what no release brought") for line in lines)
    assert f"runs then   mint-apps: what ran there before, which no release brought: intake {PINNED}" in lines
    assert "empties     mint-data: nothing of it ran there before, so its containers go; its volumes stay" in lines


def test_a_manifest_that_stands_twice_is_gone_back_to_by_the_run_that_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = PromotedSite()
    first_release(fake)
    fake.files.env[STACK, "production"] += "MORE=1\n"
    fake.make_ready()
    assert fake.promote(fake.plan_of(1, "production")).outcome == "done"

    @contextmanager
    def releasing(*_: object) -> Iterator[tuple[Any, Any]]:
        yield fake.site, fake.release_ports

    monkeypatch.setattr(releases, "releasing", releasing)
    call = command_line(monkeypatch, capsys)
    back = way_back(fake.site, STACK, "production", None, fake.release_ports)
    assert call("release", "rollback", "shop", "--to", "r1").code == 4
    told = f"from r1 to r1, brought by {back.to_run}\n"
    for is_first in (True, False):
        said = call(*back.command.split()[1:])
        assert (said.code, told in said.err) == (0, is_first)
        assert "shop production r1: rolled-back" in said.out


def test_a_smoke_run_of_it_names_no_manifest_and_opens_no_gate(capsys: pytest.CaptureFixture[str]) -> None:
    tests = (SmokeTest(name="test_flow.py::test_it", outcome="passed"),)
    _print_smoke(
        SmokeReport(run="CAP-1", stack="shop", environment="staging", manifest="", manifest_name="what no release brought", at="", tests=tests),
        lambda: BACK,
    )
    out = capsys.readouterr().out
    assert "what no release brought of shop in staging is proven" in out
    assert "next     controlplane release status shop" in out


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_where_it_fails_its_smoke_no_release_is_taken_back_for_it(environment: EnvironmentName, capsys: pytest.CaptureFixture[str]) -> None:
    tests = (SmokeTest(name="test_flow.py::test_it", outcome="failed", reason="an invalid intake gets 200"),)
    _print_smoke(
        SmokeReport(run="CAP-1", stack="shop", environment=environment, manifest="", manifest_name="what no release brought", at="", tests=tests),
        lambda: BACK,
    )
    assert capsys.readouterr().out.splitlines()[-1] == f"next     look at the hosts, then: controlplane release smoke shop --env {environment}"
