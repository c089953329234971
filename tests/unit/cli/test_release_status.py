"""release status as a person meets it: one stack that nobody can tell of hides no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controlplane.domain.errors import InterruptedRunError
from controlplane.wiring import releases
from tests.fakes.command_line import Run, command_line
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> PromotedSite:
    """Return a site whose stack was staged, with another that has the same hosts and was brought nowhere."""
    fake = PromotedSite()
    fake.files.specs["other"] = fake.files.specs[STACK].model_copy(update={"goal": "another one"})
    assert fake.stage(1).outcome == "done"

    @contextmanager
    def releasing(*_: object) -> Iterator[tuple[Any, Any]]:
        yield fake.site, fake.release_ports

    monkeypatch.setattr(releases, "releasing", releasing)
    return fake


@pytest.fixture
def run(site: PromotedSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001 - the verb meets the fake site
    return command_line(monkeypatch, capsys)


def test_every_stack_is_a_row_also_where_the_plan_of_one_is_gone(run: Run, site: PromotedSite) -> None:
    said = run("release", "status", "-o", "json")
    rows = {row["stack"]: row for row in said.json()["releases"]}
    assert [(name, row["doubt"], len(row["environments"])) for name, row in rows.items()] == [("other", None, 2), (STACK, None, 2)]
    site.ports.plans.held.clear()  # type: ignore[attr-defined]
    said = run("release", "status", "-o", "json")
    rows = {row["stack"]: row for row in said.json()["releases"]}
    assert (said.code, rows["other"]["doubt"], rows["other"]["goal"], len(rows["other"]["environments"])) == (5, None, "another one", 2), said
    assert ("is gone" in rows[STACK]["doubt"], rows[STACK]["environments"]) == (True, [])
    assert rows[STACK]["next"] == "mend that, then: controlplane release status shop"
    shown = run("release", "status")
    assert (shown.code, "is gone" in shown.out, "other  another one" in shown.out) == (5, True, True), shown
    # Who asks for that one alone is told plainly.
    assert (run("release", "status", "other").code, run("release", "status", STACK).code) == (0, 1)


def test_a_stack_whose_file_has_faults_is_a_row_and_who_interrupts_ends_it(run: Run, site: PromotedSite) -> None:
    site.files.stacks = lambda: ("broken", "other")  # type: ignore[method-assign]
    said = run("release", "status", "-o", "json")
    first, second = said.json()["releases"]
    assert (said.code, first["stack"], first["goal"], second["doubt"]) == (5, "broken", "", None), said
    assert "releases/broken.yml" in first["doubt"]

    def stop(*_: object, **_more: object) -> Any:
        raise InterruptedRunError("Interrupted.")

    site.files.spec = stop  # type: ignore[method-assign]
    assert run("release", "status").code == 130
