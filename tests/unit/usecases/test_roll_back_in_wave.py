"""A host of a wave is neither taken back nor rebooted by others; the wave's own way back and its holder's reboots stay possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import ControlPlaneError, InputInvalidError, RefusedError, UnknownError
from controlplane.domain.receipt import open_intents
from controlplane.domain.run_result import RunResult
from controlplane.domain.waves.record import WaveRecord
from controlplane.domain.windows import Window
from controlplane.ports.plays import StepResult
from controlplane.usecases.reboot_hosts import Waves, reboot_hosts
from controlplane.usecases.refuse_wave_plan import every_attempt
from controlplane.usecases.roll_back import roll_back
from tests.fakes.site import OPERATOR
from tests.fakes.waves import BOB, MOVE, FakeWaveSite

BELONGS = "mint-data belongs to wave W1, which changes machines and is not ended (state open, held by ann@desk)"


def asked(site: FakeWaveSite) -> Callable[[], tuple[WaveHeld, ...]]:
    return lambda: every_attempt(site.store)


def rollback(site: FakeWaveSite, key: str, by: str = OPERATOR) -> RunResult:
    return roll_back(key, site.view, operator=by, ports=site.ports, progress=lambda _: None, waves=asked(site))


def reboot(site: FakeWaveSite, by: str = OPERATOR, *hosts: str) -> tuple[str, ...]:
    waves = Waves(asked(site), lambda: site.site(by))
    return reboot_hosts(site.view, hosts=hosts, operator=by, ports=site.ports, progress=lambda _: None, waves=waves)


def refusal(site: FakeWaveSite, act: Callable[[], object], kind: type[ControlPlaneError] = RefusedError) -> str:
    """Return why something is refused; nothing was changed and nothing put on record."""
    before = (list(site.receipts.chain), list(site.runner.plays))
    with pytest.raises(kind) as refused:
        act()
    assert (site.receipts.chain, site.runner.plays) == before
    return str(refused.value)


def opened_elsewhere(site: FakeWaveSite, *hosts: str) -> None:
    """Let a controller that knows nothing of this one's receipts open a wave."""
    record = WaveRecord(opened_by=OPERATOR, attempt="A1", head=None, hosts=hosts or ("mint-data",)).plain()
    site.store.take("W1", state="open", mutating=True, holder=OPERATOR, record=record, now=site.clock.now(), ttl=timedelta(hours=1))


def during_next_play(site: FakeWaveSite, act: Callable[[], object]) -> None:
    run = site.runner.run

    def once(*args: Any, **more: Any) -> StepResult:
        site.runner.run = run  # type: ignore[method-assign]
        result = run(*args, **more)
        act()
        return result

    site.runner.run = once  # type: ignore[method-assign]


def away() -> tuple[WaveHeld, ...]:
    raise UnknownError("the store can't be asked. Nothing was changed. Ask again.")


@pytest.mark.parametrize("by", [OPERATOR, BOB])
@pytest.mark.parametrize("wave", [MOVE, {**MOVE, "hosts": ["two"], "read_only": ["mint-data"]}], ids=["changed", "read only"])
def test_an_old_run_is_not_taken_back_on_a_host_of_a_wave_until_that_has_ended(wave: dict[str, Any], by: str) -> None:
    site = FakeWaveSite({"W1": wave}, hosts=("mint-data", "two"))
    site.apply(site.plan())
    run = [r.key for r in site.receipts.chain if r.host == "mint-data" and r.phase == "intent"][-1]
    site.open()
    told = refusal(site, lambda: rollback(site, run, by))
    assert told == (
        f"{run} does not go back, it is no run of that wave: {BELONGS}. Nothing was changed. Wait for its end: controlplane wave status W1."
    )
    # A lease that is over ends no wave.
    site.clock.time += timedelta(hours=5)
    assert refusal(site, lambda: rollback(site, run, by)) == told
    site.abort()
    assert rollback(site, run, by).outcome == "rolled-back"


def test_a_wave_that_changes_nothing_keeps_no_run_from_going_back() -> None:
    site = FakeWaveSite({"W1": {"goal": "look", "mutation": "none", "read_only": ["mint-data"]}})
    run = str(site.apply(site.plan()).run)
    site.open()
    assert rollback(site, run).outcome == "rolled-back"


@pytest.mark.parametrize("by", [OPERATOR, BOB])
@pytest.mark.parametrize("is_over", [False, True], ids=["its lease lasts", "its holder is gone"])
def test_a_run_of_the_wave_itself_goes_back_while_it_goes_on_whoever_is_there(by: str, is_over: bool) -> None:
    site = FakeWaveSite().led()
    run = str(site.run().run)
    if is_over:
        site.clock.time += timedelta(hours=5)
    assert rollback(site, run, by).outcome == "rolled-back"
    site.resume()
    assert site.next() == "controlplane wave plan W1"


def test_a_run_of_the_wave_that_is_open_goes_back_also_after_a_takeover_and_after_an_abort() -> None:
    for end in ("takeover", "abort"):
        site = FakeWaveSite().led()
        site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="unreachable", message="no route", told={})]
        run = str(site.run().run)
        if end == "takeover":
            site.clock.time += timedelta(hours=5)
            site.resume(by=BOB)
        else:
            site.abort()
        assert rollback(site, run, BOB if end == "takeover" else OPERATOR).outcome == "rolled-back"
        assert open_intents(site.receipts.chain) == ()


def test_a_run_of_an_earlier_attempt_at_the_wave_is_that_wave_s_as_well() -> None:
    site = FakeWaveSite().led()
    run = str(site.run().run)
    site.abort()
    site.open()
    assert rollback(site, run).outcome == "rolled-back"


def test_a_wave_that_is_opened_meanwhile_stops_it_before_its_next_step_and_leaves_nothing_open() -> None:
    site = FakeWaveSite()
    run = str(site.apply(site.plan()).run)
    during_next_play(site, lambda: opened_elsewhere(site))

    first = rollback(site, run)

    assert (first.outcome, first.exit_code()) == ("interrupted", 130)
    assert first.messages[0] == f"mint-data/020 | roll back was not begun: {BELONGS}; 1 of 3 steps are back."
    assert first.messages[-1].endswith(f"controlplane rollback {run}")
    # An open rollback would keep the wave off the host that it waits for.
    assert open_intents(site.receipts.chain) == ()
    assert [(r.step, r.reason) for r in site.receipts.chain if r.undoes and r.outcome == "refused"] == [("mint-data/020", BELONGS)]
    assert BELONGS in refusal(site, lambda: rollback(site, run))
    site.abort()
    assert rollback(site, run).outcome == "rolled-back"


def test_a_store_that_can_t_be_asked_lets_no_rollback_begin_nor_go_on() -> None:
    site = FakeWaveSite()
    run = str(site.apply(site.plan()).run)
    real = site.store.waves
    site.store.waves = away  # type: ignore[method-assign]
    assert "the store can't be asked" in refusal(site, lambda: rollback(site, run), UnknownError)
    site.store.waves = real  # type: ignore[method-assign]
    during_next_play(site, lambda: setattr(site.store, "waves", away))
    result = rollback(site, run)
    assert result.outcome == "interrupted"
    assert result.messages[0].startswith("mint-data/020 | roll back was not begun: the store can't be asked. Ask again")


@pytest.mark.parametrize("wave", [MOVE, {**MOVE, "hosts": ["two"], "read_only": ["mint-data"]}], ids=["changed", "read only"])
def test_a_host_of_a_wave_is_rebooted_by_its_holder_alone(wave: dict[str, Any]) -> None:
    site = FakeWaveSite({"W1": wave}, hosts=("mint-data", "two"))
    site.open()
    assert refusal(site, lambda: reboot(site, BOB, "mint-data")) == (
        f"{BELONGS}. Nothing was rebooted. Leave it to its holder, or wait for its end: controlplane wave status W1. Once their lease is over it can "
        "be taken over: controlplane wave resume W1"
    )
    assert len(reboot(site, OPERATOR, "mint-data")) == 1
    site.clock.time += timedelta(hours=5)
    site.resume(by=BOB)
    assert "held by bob@other" in refusal(site, lambda: reboot(site, OPERATOR, "mint-data"))
    assert len(reboot(site, BOB, "mint-data")) == 1
    site.abort(by=BOB)
    assert len(reboot(site, OPERATOR, "mint-data")) == 1


NIGHT, DAY = [{"start": "22:00", "end": "23:00"}], [{"start": "10:00", "end": "14:00"}]
SHUT = "no maintenance window is open; the next one is 2026-01-02 22:00 to 2026-01-02 23:00 UTC. Nothing was rebooted. Run this again then."


@pytest.mark.parametrize("wave", [MOVE, {**MOVE, "hosts": ["two"], "read_only": ["mint-data"]}], ids=["changed", "read only"])
def test_the_holder_reboots_a_host_of_a_wave_in_that_waves_windows_alone(wave: dict[str, Any]) -> None:
    always = (Window(start="00:00", end="00:00"),)
    site = FakeWaveSite({"W1": {**wave, "windows": NIGHT}}, hosts=("mint-data", "two"), view={"windows": always})
    assert len(reboot(site, OPERATOR, "mint-data")) == 1
    site.open()
    belongs = "mint-data belongs to wave W1, outside of whose windows nothing is changed"
    assert refusal(site, lambda: reboot(site, OPERATOR, "mint-data")) == f"{belongs}: {SHUT}"
    site.clock.time += timedelta(hours=10)
    site.resume()
    assert len(reboot(site, OPERATOR, "mint-data")) == 1


def test_a_wave_s_own_window_is_in_place_of_the_site_s_for_its_hosts_alone() -> None:
    site = FakeWaveSite({"W1": {**MOVE, "windows": DAY}}, hosts=("mint-data", "two"), view={"windows": (Window(start="22:00", end="23:00"),)})
    site.open()
    assert len(reboot(site, OPERATOR, "mint-data")) == 1
    assert refusal(site, lambda: reboot(site, OPERATOR, "two")) == SHUT
    assert refusal(site, lambda: reboot(site, OPERATOR, "mint-data", "two")) == SHUT


def test_windows_that_a_wave_was_not_opened_by_let_no_reboot_begin() -> None:
    site = FakeWaveSite({"W1": {**MOVE, "windows": NIGHT}})
    site.open()
    site.wave(windows=DAY)
    told = refusal(site, lambda: reboot(site))
    assert told.startswith("mint-data is not rebooted, it belongs to wave W1: waves/W1.yml changed since it was opened, and its gates would be ")
    assert told.endswith("open the wave anew. Nothing was rebooted.")


def test_a_wave_that_is_opened_while_an_earlier_host_reboots_keeps_its_own_up() -> None:
    site = FakeWaveSite({"W1": {**MOVE, "hosts": ["two"]}}, hosts=("mint-data", "two"))
    during_next_play(site, lambda: site.open(by=BOB))
    with pytest.raises(RefusedError, match=r"two belongs to wave W1, .* held by bob@other\)\. Only mint-data was rebooted\."):
        reboot(site)
    assert site.runner.plays == ["Reboot and wait"]


def test_a_store_that_can_t_be_asked_lets_no_reboot_begin() -> None:
    site = FakeWaveSite()
    site.store.waves = away  # type: ignore[method-assign]
    told = refusal(site, lambda: reboot(site), UnknownError)
    assert told == "the store can't be asked. Ask again. Nothing was rebooted. Run this again then."


def test_a_wave_s_window_that_is_over_by_a_hosts_clock_lets_no_reboot_begin() -> None:
    site = FakeWaveSite({"W1": {**MOVE, "windows": [{"start": "11:00", "end": "13:00"}]}}, hosts=("mint-data", "two"))
    site.open()
    # By the other one's clock the next day's window is open.
    site.hosts["two"].probes["identity"]["clock_epoch"] += 24 * 3600
    site.host.probes["identity"]["clock_epoch"] += 3600
    told = refusal(site, lambda: reboot(site))
    assert told.startswith("mint-data belongs to wave W1, outside of whose windows nothing is changed: no maintenance window is open; the next one ")
    assert ", by the clock of mint-data: it says 2026-01-02T13:00:" in told
    assert told.endswith("Nothing was rebooted. Set the one that is wrong. Then run this again.")
    site.host.probes["identity"]["clock_epoch"] -= 3600
    assert len(reboot(site)) == 2


def test_a_fault_in_a_wave_s_files_tells_that_nothing_was_rebooted() -> None:
    site = FakeWaveSite()
    site.open()
    site.governance = replace(site.governance, waves={})
    assert refusal(site, lambda: reboot(site), InputInvalidError) == (
        "WAVE: there is no W1 in inventory/lab/waves; there are none. mint-data belongs to wave W1 and is not rebooted before that is mended. "
        "Nothing was rebooted."
    )
