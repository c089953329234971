"""What the waves of the example site ask for, by the files of the lab and of mint themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlplane import wiring
from controlplane.domain.capabilities import tmp_files
from controlplane.domain.finding import Finding
from controlplane.domain.governance import Governance
from controlplane.domain.registers import Registers
from controlplane.domain.waves.gates import GateCase, judge_gates
from controlplane.domain.waves.values import MetGate, Wave
from controlplane.usecases.look_at_wave import pack_ran
from controlplane.usecases.run_gates import run_gates
from tests.fakes.site import OPERATOR
from tests.fakes.waves import FakeWaveSite

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["lab", "mint"])
def governance(request: pytest.FixtureRequest) -> Governance:
    return wiring.governance(str(ROOT / "inventory" / request.param))[0]


def answers(wave: Wave, kind: str, **given: Any) -> list[tuple[str, str]]:
    """Return how the exit gates of one kind stand."""
    told: dict[str, Any] = {
        "hosts": wave.seen,
        "carved": frozenset(),
        "findings": (),
        "registers": None,
        "history": lambda _check, _host: (),
        "interval": 1,
        "standings": lambda _checks, _hosts: (),
        "closed_waves": {},
        "unlinked": (),
    }
    return [(one.verdict, one.reason) for one in judge_gates(wave, "exit", GateCase(**told | given)) if one.kind == kind]


def decided(registers: Registers, *but: str) -> Registers:
    """Return the registers with every gap accepted, but for these."""
    gaps = {name: gap if name in but else gap.model_copy(update={"status": "accepted", "reason": "r"}) for name, gap in registers.gaps.items()}
    return registers.model_copy(update={"gaps": gaps})


def test_the_last_wave_closes_on_every_gap_of_the_waves_before_it_that_is_not_its_own(governance: Governance) -> None:
    registers, last = governance.registers, governance.waves["W8E"]
    assert registers is not None
    carried = {gap for name, wave in governance.waves.items() if name != "W8E" for gap in wave.gaps} - set(last.gaps)
    assert {"GAP-OP-944", "GAP-OP-945"} < carried
    assert answers(last, "decided", registers=decided(registers))[0][0] == "MET"
    for gap in sorted(carried):
        [(verdict, reason)] = answers(last, "decided", registers=decided(registers, gap))
        assert (verdict, reason.startswith(f"{gap} is open")) == ("DRIFTED", True), (gap, reason)


def surfaces(**verdicts: str) -> list[Finding]:
    said = {"write_surface": "write_surface:quote-page:/tmp/quote-page-uploads", "tmp": "tmp:*", "core": "tmp:/tmp/core.1"}
    data = [
        {"check": "D238", "host": "mint-apps", "surface": said[name], "verdict": verdict, "severity": "medium", "reason": "so"}
        for name, verdict in verdicts.items()
    ]
    return [Finding.model_validate(one, strict=False) for one in data]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"write_surface": "MET", "tmp": "MET"}, ("MET", "holds")),
        ({"write_surface": "MET", "core": "DRIFTED"}, ("DRIFTED", "D238 tmp:/tmp/core.1 on mint-apps: so")),
        ({"write_surface": "DRIFTED", "tmp": "MET"}, ("DRIFTED", "D238 write_surface:quote-page:/tmp/quote-page-uploads on mint-apps: so")),
        ({"write_surface": "MET"}, ("UNKNOWN", "no finding speaks of tmp:*")),
        ({"tmp": "MET"}, ("UNKNOWN", "no finding speaks of write_surface:*")),
    ],
)
def test_write_surfaces_are_governed_where_uploads_are_and_nothing_large_is_left_in_tmp(
    governance: Governance, found: dict[str, str], told: tuple[str, str]
) -> None:
    wave = governance.waves["W8D"]
    assert answers(wave, "met", findings=surfaces(**found))[0] == told
    assert tmp_files.ID in wave.capabilities


def test_the_pack_passes_while_the_other_host_is_full_and_the_old_root_waits_for_its_purge(governance: Governance) -> None:
    wave = governance.waves["W8B"]
    site = FakeWaveSite(hosts=wave.seen, gates=governance.gates.model_dump(mode="json", exclude_defaults=True))
    usage = site.hosts["mint-apps"].probes["usage"]["/"]
    usage |= dict.fromkeys(("free", "available"), usage["size"] * 24 // 100)
    site.apply(site.plan())
    report = run_gates(site.view, pack="mint", hosts=wave.seen, operator=OPERATOR, ports=site.wave_ports.gates, more=wave.checks)
    beside = {("D234", "mint-apps"), ("D244", "mint-data"), ("D244", "mint-apps")}
    assert beside <= {(one.check, one.host) for one in report.not_passed()}
    # What these hosts lack beside that, mint's have: its pack passes.
    passing = tuple(one.model_copy(update={"passed": one.passed or (one.check, one.host) not in beside}) for one in report.passing)

    ran = pack_ran(report.model_copy(update={"passing": passing}), "*")

    assert answers(wave, "pack", packs=(ran,)) == [("MET", ran.run)]
    asked = [gate.checks for gate in wave.exit if isinstance(gate, MetGate)]
    told = dict(zip(asked, answers(wave, "met", findings=report.findings), strict=True))
    assert (told["D234",], told["D244",][0]) == (("MET", "holds"), "DRIFTED")


def test_what_is_closed_on_a_wave_that_only_looks_is_closed_after_it(governance: Governance) -> None:
    first = governance.waves["W8A"]
    assert (first.mutation, {gate.kind for gate in first.exit} & {"decided", "promoted", "promotable"}) == ("none", set())
