"""How a wave's pack stands: by its own checks, whatever else the wave's gates have judged with it."""

from __future__ import annotations

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.gates.report import digest_of_report
from controlplane.domain.releases.closeout import packs_around
from controlplane.domain.releases.gate import pack_fault
from controlplane.domain.releases.history import Since
from controlplane.usecases.run_gates import run_gates
from tests.fakes.site import OPERATOR
from tests.fakes.waves import FakeWaveSite

PACK = {"packs": {"mint": {"checks": ["D238"]}}}


def site() -> FakeWaveSite:
    """Return one whose wave wants a root that is not full on its own host, by a check that is none of its pack's."""
    found = FakeWaveSite(hosts=("mint-data", "two"), gates=PACK)
    asked = [{"kind": "met", "checks": ["D234"], "hosts": ["mint-data"]}, {"kind": "pack", "pack": "mint"}]
    found.wave(read_only=["two"], exit=asked, outputs=["pack"])
    return found


def fill(found: FakeWaveSite, host: str) -> None:
    usage = found.hosts[host].probes["usage"]["/"]
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 6 // 100)


def test_a_wave_closes_by_a_pack_that_passed_whatever_a_check_beside_it_says_of_a_host_that_no_gate_asks_about() -> None:
    found = site()
    fill(found, "two")
    found.led()
    found.run()

    made = found.close()

    assert [(one.passed, one.unknown, one.reason) for one in made.evidence] == [(True, False, "every check passed")] * 5
    # It was judged all the same, and stands among what remains.
    assert ("D234", "two") in {(one.check, one.host) for one in made.remaining}
    run = next(one for one in found.store.runs if one.run == made.evidence[-1].run)
    assert ("D234", "two", False) in {(one.check, one.host, one.passed) for one in run.results}


def test_what_a_gate_names_beside_the_pack_that_gate_asks() -> None:
    found = site()
    found.led()
    found.run()
    fill(found, "mint-data")
    with pytest.raises(RefusedError) as refused:
        found.close()
    assert "1 of 2 gates are not open:\n  DRIFTED  these checks are met: hosts mint-data, checks D234: D234 " in str(refused.value)


def test_a_release_asks_of_the_run_of_a_wave_what_its_pack_found() -> None:
    found = site()
    fill(found, "two")
    runs = found.wave_ports.gates.runs
    report = run_gates(found.view, pack="mint", hosts=(), operator=OPERATOR, ports=found.wave_ports.gates, more=("D238", "D234"))

    [run] = runs.latest_runs("mint")

    assert report.more == ("D234",)
    assert {one.check for one in run.results} == {"D238"}
    assert pack_fault(run, policy=found.view.policy_digest, hosts=("mint-data", "two")) is None
    begun = Since(0, "2026-01-01T00:00:00Z")
    [_, after] = packs_around("mint", (run,), found.receipts.chain, begun=begun, since=begun)
    assert (after.passed, set(after.results)) == (True, {"D238 mint-data", "D238 two"})
    # Each check by itself counts as it did, and the receipt says of what was judged that it did not pass.
    assert [one.results[0].passed for one in runs.runs_of("D234", "two")] == [False]
    assert found.receipts.chain[-1].outcome == "failed"


def test_a_report_from_before_it_was_said_keeps_its_digest() -> None:
    found = site()
    report = run_gates(found.view, pack="mint", hosts=(), operator=OPERATOR, ports=found.wave_ports.gates)
    older = {name: value for name, value in report.model_dump(mode="json").items() if name != "more"}
    assert digest_of_report(older) == report.digest()
