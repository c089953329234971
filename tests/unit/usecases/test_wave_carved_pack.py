"""What a host that was carved out does to the pack of its wave: nothing any more, so that the rest can close on it."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from tests.fakes.site import OPERATOR
from tests.fakes.waves import FakeWaveSite


def two() -> FakeWaveSite:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], failure_limit=1, exit=[{"kind": "pack", "pack": "mint"}], outputs=["pack"])
    return site.led()


def _passed_on_the_rest(site: FakeWaveSite, made: Any) -> None:
    """Assert that the pack passed, and says without whom: after the last step, and at the closing."""
    last, closing = made.evidence[-2:]
    assert (last.after[:4], last.passed, closing.after, closing.passed) == ("two/", True, "*", True)
    [gate] = [one for one in made.gates if one.kind == "pack"]
    assert (gate.verdict, gate.reason) == ("MET", f"{closing.run}, without mint-data, carved out of the wave")
    assert made.outcome == "closed with hosts carved out"
    ran = next(one for one in site.reports.held if one.run == closing.run)
    assert {one.host for one in ran.findings} == {"two"}


def test_a_host_whose_step_failed_keeps_no_other_from_closing_by_the_pack_and_remains() -> None:
    site = two()
    site.hosts["mint-data"].breaks_after = 1
    assert site.run().outcome == "failed"

    made = site.close()

    _passed_on_the_rest(site, made)
    assert "mint-data" in {one.host for one in made.remaining}


def test_a_host_that_is_gone_keeps_no_other_from_closing_by_the_pack() -> None:
    site = two()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    assert site.run().outcome == "interrupted"
    site.evidence.unreached = {"mint-data": "connection timed out"}
    run = str(site.record().plans[-1].run)
    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)
    site.plan_wave()
    assert site.run().outcome == "done"

    _passed_on_the_rest(site, site.close())


def test_a_host_that_is_still_part_of_the_wave_keeps_it_from_closing_by_the_pack() -> None:
    site = two()
    site.hosts["mint-data"].breaks_after = 1
    site.run()
    site.hosts["two"].probes["docker_info"]["root"] = "/var/lib/docker"
    with pytest.raises(RefusedError, match=r"the pack passed after the last change: pack mint: CAP-.*: D235 on two"):
        site.close()


def test_where_every_host_was_carved_out_the_pack_says_how_they_stand_and_looks_at_no_other() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.led()
    site.host.breaks_after = 1
    site.run()
    [before, after] = site.record().packs
    assert (before.after, after.after, after.passed) == ("*", "mint-data/010", False)
    ran = next(one for one in site.reports.held if one.run == after.run)
    assert {one.host for one in ran.findings} == {"mint-data"}
