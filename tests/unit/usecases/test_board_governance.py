"""What a board shows of waves, promotions, trends and links, from the files of the lab's site and a store."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controlplane import wiring
from controlplane.domain.board import BoardGovernance
from controlplane.domain.coordination import GateResult, GateRun
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import Fault, RefusedError, RunFailedError
from controlplane.domain.finding import Verdict
from controlplane.domain.gates.values import SiteCheck
from controlplane.domain.governance import Governance
from controlplane.domain.registers import Registers
from controlplane.domain.waves.gates import describe
from controlplane.domain.waves.record import GateJudged, WaveRecord
from controlplane.domain.windows import Window
from controlplane.usecases.board_governance import doubts_of, governance_of
from controlplane.usecases.board_releases import releases_of
from controlplane.usecases.board_waves import board_waves
from controlplane.usecases.record_run import Ledger
from controlplane.usecases.wave_case import governed
from tests.fakes.coordination import FakeCoordination
from tests.fakes.interruption import Interruption
from tests.fakes.releases import ReleaseSite
from tests.fakes.waves import FakeFolder, FakeWaveSite

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class SameChecker:
    """Every check is judged by one program."""

    def of(self, check: str, own: dict[str, SiteCheck]) -> str:  # noqa: ARG002 - the port's signature
        return "sha256:checker"


class Noon:
    def now(self) -> datetime:
        return NOW


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    shutil.copytree(ROOT / "inventory" / "lab", folder, ignore=shutil.ignore_patterns("state"))
    return folder


@pytest.fixture
def world() -> ReleaseSite:
    return ReleaseSite()


def shown(site: Path, store: FakeCoordination, world: ReleaseSite | None = None, folder: FakeFolder | None = None) -> BoardGovernance:
    world = world or ReleaseSite()
    view = wiring.site_view(str(site))
    governance, _ = wiring.governance(str(site))
    return governance_of(
        view,
        governance,
        hosts=["mint-data"],
        waves=store,
        runs=store,
        checkers=SameChecker(),
        clock=Noon(),
        receipts=world.receipts,
        plans=world.ports.plans,
        folder=folder or FakeFolder(Interruption()),
    )


def test_a_site_without_runs_shows_its_waves_as_not_opened_and_no_trend(site: Path) -> None:
    found = shown(site, FakeCoordination())
    assert [(wave.id, wave.state) for wave in found.waves] == [(f"W8{letter}", "not opened") for letter in "ABCDE"]
    assert {gate.verdict for wave in found.waves for gate in wave.gates} == {Verdict.UNKNOWN}
    assert (found.promotions, found.trends) == ((), ())
    assert [link.stor for link in found.links] == [f"STOR-00{number}" for number in range(1, 9)]
    assert {link.fault for link in found.links} == {None}


def test_a_wave_is_closed_where_its_receipt_and_its_closeout_say_so_and_not_by_the_store_alone(site: Path, world: ReleaseSite) -> None:
    store, folder = FakeCoordination(), FakeFolder(world.world)
    judged = GateJudged(phase="entry", kind="closed", what="another wave is closed: wave W8A", verdict="MET", reason="closed")
    record = WaveRecord(opened_by="ann@desk", attempt="1", head=None, entry=(judged,)).plain()
    held = store.take("W8B", state="open", mutating=True, holder="ann@desk", record=record, now=NOW, ttl=timedelta(hours=1))
    store.write(held, state="closed", record=record, now=NOW, ended=True)

    def wave() -> tuple[str, set[Verdict]]:
        [found] = [one for one in shown(site, store, world, folder).waves if one.id == "W8B"]
        assert {gate.reason for gate in found.gates if gate.verdict is Verdict.UNKNOWN} <= {found.state}
        return found.state, {gate.verdict for gate in found.gates}

    unknown = {Verdict.UNKNOWN}
    state, verdicts = wave()
    assert (state.partition(":")[0], verdicts) == ("closed in the store alone, these receipts hold no closing of that attempt", unknown)
    view, (said, _) = wiring.site_view(str(site)), wiring.governance(str(site))
    named = governed(said.waves["W8B"], view)
    gates = [{"phase": "entry", "kind": one.kind, "what": describe(one), "verdict": "MET", "reason": "held"} for one in named.entry]
    gates += [{"phase": "exit", "kind": one.kind, "what": describe(one), "verdict": "MET", "reason": "held"} for one in named.exit]
    closeout = {"attempt": "1", "gates": gates}
    key, file = "CAP-20260301-120000__wave.close__R0001", "state/waves/W8B/1/closeout.json"
    ledger = Ledger(world.receipts, Noon(), run=key, site="lab", plan="", policy="x", operator="ann@desk")
    ledger.intend(key, host="*", capability="wave.close", step="W8B")
    told = {"attempt": "1", "file": file}
    ledger.close(key, host="*", capability="wave.close", step="W8B", outcome="done", evidence=digest_of(closeout), told=told)
    assert wave() == (f"closed by {key}, and {file} can't be read: restore it from a copy", unknown)
    folder.files[file] = b"{}"
    assert wave() == (f"closed by {key}, and {file} is not what that says: restore it from a copy", unknown)
    folder.files[file] = json.dumps(closeout).encode()
    assert wave() == ("closed", {Verdict.MET})

    # A gate that was written into the file since was never asked.
    file_of_wave = site / "waves" / "W8B.yml"
    file_of_wave.write_text(file_of_wave.read_text().replace("exit:", "exit:\n  - {kind: linked}"))
    [found] = [one for one in shown(site, store, world, folder).waves if one.id == "W8B"]
    asked = [(gate.what, gate.reason) for gate in found.gates if gate.verdict is Verdict.UNKNOWN]
    assert asked == [("every finding is linked, and every rule of the registers holds", "its closeout does not say how it stood")]

    def broken() -> tuple[()]:
        raise RunFailedError("x.json is no receipt")

    world.receipts.load = broken  # type: ignore[method-assign]
    assert wave() == ("closed in the store alone, the receipts can't be read", unknown)


def test_a_gate_that_nobody_asked_is_no_pass_though_the_wave_is_closed() -> None:
    site = FakeWaveSite(approval="self", view={"windows": (Window(start="12:00", end="13:00"),)})
    site.open()
    # There is nothing to do, so nothing was run, and nobody approved anything.
    site.wave(exit=[])
    site.store.attempts = [one.model_copy(update={"record": one.record | {"files": None}}) for one in site.store.attempts]
    site.close()
    [wave] = board_waves(site.view, site.governance, site.store.waves(), site.receipts.chain, site.folder, now=site.clock.now())
    assert wave.state == "closed"
    # Window, approval and undo hold for every change, named or not.
    assert [(gate.what, gate.verdict, gate.reason) for gate in wave.gates] == [
        (what, Verdict.UNKNOWN, "its closeout does not say how it stood")
        for what in ("it is a maintenance window", "the plan is approved", "a rollback is prepared before each change")
    ]


def test_exit_gates_stand_as_a_closing_that_was_refused_asked_them() -> None:
    site = FakeWaveSite(registers=Registers.model_validate({"loops": {}, "gaps": {}}))
    site.wave(exit=[{"kind": "linked"}, {"kind": "met", "checks": ["D235"]}])
    site.open()

    def shown_by(governance: Governance) -> list[tuple[str, Verdict, str]]:
        [wave] = board_waves(site.view, governance, site.store.waves(), site.receipts.chain, site.folder, now=site.clock.now())
        return [(gate.what, gate.verdict, gate.reason) for gate in wave.gates if gate.phase == "exit"]

    assert {(verdict, reason) for _, verdict, reason in shown_by(site.governance)} == {(Verdict.UNKNOWN, "not asked yet")}
    with pytest.raises(RefusedError, match="1 of 2 gates are not open"):
        site.close()
    held = site.record()
    assert [(one.phase, one.verdict) for one in held.exit] == [("exit", "MET"), ("exit", "DRIFTED")]
    asked = [(one.what, Verdict(one.verdict), one.reason) for one in held.exit]
    assert shown_by(site.governance) == asked
    # Without its file it goes on, and stands as it was asked.
    assert shown_by(Governance()) == asked


def test_where_the_files_of_waves_or_registers_can_not_be_read_that_is_said_and_what_goes_on_is_shown(site: Path) -> None:
    store = FakeCoordination()
    judged = GateJudged(phase="entry", kind="closed", what="another wave is closed: wave W8A", verdict="MET", reason="closed")
    record = WaveRecord(opened_by="ann@desk", attempt="1", head=None, entry=(judged,), hosts=("mint-data",)).plain()
    store.take("W8B", state="running", mutating=True, holder="ann@desk", record=record, now=NOW, ttl=timedelta(hours=1))
    (site / "waves" / "W8C.yml").write_text("goal: 3\n")
    (site / "registers" / "gaps.yml").write_text("gaps: [\n")
    found = shown(site, store)
    assert any("waves/W8C.yml:1" in line for line in found.doubts.waves)
    assert any("registers/gaps.yml:" in line for line in found.doubts.links)
    [wave] = found.waves
    assert (wave.id, wave.state, wave.mutation, wave.hosts) == ("W8B", "running", "controlled", ("mint-data",))
    assert wave.goal == "waves/W8B.yml, which says what it is for, is gone or can't be read; it is held by ann@desk and not ended"
    assert [(gate.what, gate.verdict) for gate in wave.gates] == [(judged.what, Verdict.MET)]
    assert found.links == ()


def test_a_wave_whose_file_is_gone_is_shown_as_long_as_it_goes_on() -> None:
    site = FakeWaveSite()
    site.open()

    def shown_now() -> list[str]:
        found = board_waves(site.view, Governance(), site.store.waves(), site.receipts.chain, site.folder, now=site.clock.now())
        return [one.id for one in found]

    assert shown_now() == ["W1"]
    site.abort()
    assert shown_now() == []


def test_releases_that_can_not_be_told_are_not_none(world: ReleaseSite) -> None:
    governance = Governance(releases={"shop": world.files.spec("shop")}, release_faults=(Fault("releases/web.yml", 3, "goal", "is empty"),))
    assert doubts_of(governance, world.receipts.chain).releases == ("releases/web.yml:3: goal: is empty",)
    assert doubts_of(governance, None).releases[1:] == ("what was brought where is in the receipts, and they can't be read",)
    assert doubts_of(Governance(), None).releases == ()


def test_gates_stand_as_they_were_judged_and_runs_become_a_trend(site: Path) -> None:
    store = FakeCoordination()
    judged = GateJudged(phase="entry", kind="closed", what="another wave is closed: wave W8A", verdict="MET", reason="closed")
    record = WaveRecord(opened_by="ann@desk", attempt="1", head=None, entry=(judged,))
    store.take("W8B", state="open", mutating=True, holder="ann@desk", record=record.plain(), now=NOW, ttl=timedelta(hours=1))
    policy = wiring.site_view(str(site)).policy_digest
    for number, passed in enumerate((False, True, True)):
        result = GateResult(
            check="D235", host="mint-data", checker="sha256:checker", verdict="MET" if passed else "DRIFTED", passed=passed, reason="as seen"
        )
        at = NOW + timedelta(minutes=number)
        run = GateRun(
            run=f"CAP-{number}", at=f"{at:%Y-%m-%dT%H:%M:%SZ}", pack="mint", policy=policy, hosts={"mint-data": "sha256:h"}, results=(result,)
        )
        store.add_run(run, now=at)
    found = shown(site, store)
    wave = next(one for one in found.waves if one.id == "W8B")
    assert (wave.state, wave.gates[0].verdict, wave.gates[1].verdict) == ("open", Verdict.MET, Verdict.UNKNOWN)
    [trend] = found.trends
    assert [point.verdict for point in trend.points] == [Verdict.DRIFTED, Verdict.MET, Verdict.MET]
    [promotion] = found.promotions
    assert (promotion.streak, promotion.wanted, promotion.held_by) == (2, 3, ("2 of 3 consecutive runs passed",))


def test_releases_stand_as_the_receipts_have_them(world: ReleaseSite) -> None:
    governance = Governance(releases={"shop": world.files.spec("shop")})

    def rows() -> list[tuple[str, str | None, bool, str | None]]:
        found = releases_of(governance, world.receipts.chain, world.ports.plans.get)
        return [(one.environment, one.manifest, one.proven, one.doubt) for one in found]

    assert rows() == [("staging", None, False, None), ("production", None, False, None)]
    world.deploy(1)
    assert rows()[0] == ("staging", "r1", False, None)
    world.smoke("staging")
    assert rows()[0] == ("staging", "r1", True, None)
    world.deploy(2)
    assert rows()[0] == ("staging", "r2", False, None)
    world.deploy(3, ends={"mint-data": "open"})
    assert rows()[0][1] is None
    assert "a deployment has not ended" in str(rows()[0][3])
