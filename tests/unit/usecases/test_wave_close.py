"""What keeps a wave from closing, and what its closeout holds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.coordination import stamp_of
from controlplane.domain.digest import digest_of_bytes
from controlplane.domain.errors import RefusedError, RunFailedError, UnknownError
from controlplane.domain.gates.values import Promotion
from controlplane.usecases.record_run import Ledger
from controlplane.usecases.reset_time import reset_time
from controlplane.usecases.run_gates import run_gates
from tests.fakes.site import OPERATOR
from tests.fakes.waves import FakeWaveSite

LOOK: dict[str, Any] = {"goal": "look", "mutation": "none", "read_only": ["mint-data"]}
OWN: dict[str, Any] = {"packs": {"mint": {"checks": ["D204"]}}, "checks": {"D204": {"title": "t", "file": "checks/test_d204.py"}}}


def refusal(act: Any, *given: Any, kind: type[Exception] = RefusedError, **more: Any) -> str:
    with pytest.raises(kind) as refused:
        act(*given, **more)
    return str(refused.value)


def test_a_pack_that_is_unknown_after_a_step_is_kept_and_hides_nothing() -> None:
    site = FakeWaveSite(gates=OWN)
    site.wave(exit=[{"kind": "pack", "pack": "mint"}])
    site.led()
    site.site_checks.says = {"D204": "UNKNOWN"}
    assert site.run().outcome == "done"
    assert [(one.after, one.passed, one.unknown) for one in site.record().packs][1:] == [(f"mint-data/0{n}0", False, True) for n in (1, 2, 3)]
    assert "UNKNOWN  the pack passed after the last change: pack mint" in refusal(site.close, kind=UnknownError)
    assert site.state() == "changed"
    site.site_checks.says = {}
    assert site.close().outcome == "closed"


def test_a_pack_that_can_not_be_judged_stops_before_the_next_step() -> None:
    site = FakeWaveSite()
    site.led()
    real = site.store.add_run

    def broken(*_: Any, **__: Any) -> None:
        site.store.add_run = real  # type: ignore[method-assign]
        raise UnknownError("the store is away. Nothing was changed.")

    site.store.add_run = broken  # type: ignore[method-assign]
    stopped = site.run()
    assert stopped.outcome == "interrupted"
    assert "mint-data/010 ended and its receipt says how, but what followed it did not: the store is away" in stopped.messages[0]
    # As long as it can't be, nothing begins.
    site.store.add_run = broken  # type: ignore[method-assign]
    again = site.run()
    assert (again.outcome, "mint-data/020 storage.fstab was not begun: the store is away" in again.messages[0]) == ("interrupted", True)
    assert site.run().outcome == "done"
    assert [one.after for one in site.record().packs] == ["*", "mint-data/010", "mint-data/020", "mint-data/030"]


def test_a_wave_does_not_close_on_steps_between_which_its_pack_was_not_run() -> None:
    site = FakeWaveSite()
    site.wave(outputs=["pack"])
    site.led()
    site.run()
    [held] = site.store.attempts
    packs = [one for one in held.record["packs"] if one["after"] != "mint-data/020"]
    site.store.attempts = [held.model_copy(update={"record": held.record | {"packs": packs}})]
    key = next(one.key for one in site.receipts.chain if one.step == "mint-data/020")
    assert refusal(site.close) == (
        f"wave W1 does not close: it has to leave behind pack (it was not run after mint-data/020 {key}), and did not. It stays open. Nothing makes "
        'up for a run of the pack between two steps: end this attempt (controlplane wave abort W1 --reason "..."), and open the wave anew.'
    )
    assert site.said("close") == []
    # What followed the last step closing itself makes good.
    site.store.attempts = [held.model_copy(update={"record": held.record | {"packs": held.record["packs"][:-1]}})]
    assert site.close().outcome == "closed"


def test_streaks_begin_anew_with_the_last_change() -> None:
    site = FakeWaveSite(gates={"packs": {"mint": {"checks": ["D235"]}}, "promotion": {"runs": 3, "interval": 3600}})
    site.wave(exit=[{"kind": "stable", "checks": ["D235"], "runs": 2}], entry=[{"kind": "stable", "checks": ["D240"], "runs": 1}])
    site.wave(entry=[])
    site.led()
    site.run()
    # Closing runs the pack itself: however often it is typed, that is one run with those of the same hour.
    for _ in range(3):
        told = refusal(site.close)
        assert "D235 on mint-data has 1 of 2 recorded runs since the last change at 2026-01-02T12:0" in told
        assert ", 1h apart: controlplane gates run, next from 2026-01-02T13:0" in told
        assert told.endswith('It stays open. Then: controlplane wave close W1 --attest "..."')
    site.clock.time += timedelta(hours=1)
    assert site.close().outcome == "closed"


def test_runs_by_the_minute_are_looked_through_until_enough_of_them_are_far_enough_apart() -> None:
    site = FakeWaveSite({"W1": LOOK | {"exit": [{"kind": "stable", "checks": ["D204"], "runs": 2, "interval": 7200}]}}, gates=OWN)
    site.open()
    for _ in range(120):
        run_gates(site.view, pack="mint", hosts=(), operator=OPERATOR, ports=site.wave_ports.gates)
        site.clock.time += timedelta(minutes=1)
    assert site.close().outcome == "closed"


def test_a_run_of_another_controller_s_makes_nothing_stable_and_is_in_nobodys_way() -> None:
    stable = {"kind": "stable", "checks": ["D204"], "runs": 4, "interval": 60}
    site = FakeWaveSite({"W1": LOOK | {"pack": "mint", "exit": [stable]}}, gates=OWN)
    site.open()
    site.clock.time += timedelta(minutes=2)
    run_gates(site.view, pack="mint", hosts=(), operator=OPERATOR, ports=site.wave_ports.gates)
    site.clock.time += timedelta(minutes=2)
    [theirs] = site.wave_ports.gates.runs.latest_runs("mint", 1)
    run = "CAP-20260102-235959__verify.pack.run__Rffff"
    site.store.add_run(theirs.model_copy(update={"run": run, "at": stamp_of(site.clock.now())}), now=site.clock.now())
    # Opening and closing make one each.
    assert "D204 on site has 3 of 4 recorded runs" in refusal(site.close)
    site.clock.time += timedelta(minutes=2)
    assert site.close().outcome == "closed"


def test_a_run_that_passed_by_a_clock_that_ran_ahead_makes_nothing_stable() -> None:
    stable = {"kind": "stable", "checks": ["D204"], "runs": 2, "interval": 60}
    site = FakeWaveSite({"W1": LOOK | {"pack": "mint", "exit": [stable]}}, gates=OWN)
    site.clock.time += timedelta(hours=1)
    run_gates(site.view, pack="mint", hosts=(), operator=OPERATOR, ports=site.wave_ports.gates)
    site.clock.time -= timedelta(hours=1)
    reset_time(
        "lab", operator=OPERATOR, reason="it ran ahead", receipts=site.receipts, store=site.store, clock=site.clock, entropy=site.ports.entropy
    )
    site.open()
    # Closing runs the pack itself: that is the only one.
    assert "D204 on site has 1 of 2 recorded runs, 1m apart" in refusal(site.close)
    site.clock.time += timedelta(minutes=1)
    assert site.close().outcome == "closed"


def test_how_far_apart_runs_have_to_be_is_not_changed_while_a_wave_asks_for_it() -> None:
    gates = OWN | {"promotion": {"runs": 3, "interval": 3600}}
    for own, refused in (({}, True), ({"interval": 60}, False)):
        site = FakeWaveSite({"W1": LOOK | {"exit": [{"kind": "stable", "checks": ["D204"], "runs": 1, **own}], "pack": "mint"}}, gates=gates)
        site.open()
        relaxed = site.view.gates.model_copy(update={"promotion": Promotion(runs=3, interval=1)})
        site.view = site.view.model_copy(update={"gates": relaxed})
        if refused:
            assert "what it uses of gates.yml (pack, checks, promotion) changed since it was opened" in refusal(site.close)
        else:
            assert site.close().outcome == "closed"


def test_a_check_of_the_site_is_judged_for_a_wave_without_a_pack() -> None:
    gates = {"checks": {"D204": {"title": "t", "file": "checks/test_d204.py"}}}
    site = FakeWaveSite({"W1": LOOK | {"entry": [{"kind": "checks", "checks": ["D204"]}]}}, gates=gates)
    site.site_checks.says = {"D204": "UNKNOWN"}
    assert "UNKNOWN" in refusal(site.open, kind=UnknownError)
    site.site_checks.says = {}
    assert site.open().packs == ()


def test_a_host_that_is_not_seen_keeps_the_wave_from_closing() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(read_only=["two"], exit=[])
    site.led()
    site.run()
    site.evidence.unreached = {"two": "no route to host"}
    assert refusal(site.close, kind=UnknownError).startswith("wave W1 does not close, it stays open: 1 of 2 hosts could not be observed")
    site.evidence.unreached = {}
    assert site.close().outcome == "closed"


def test_a_wave_with_nothing_left_to_do_closes_without_a_run() -> None:
    site = FakeWaveSite()
    site.wave(
        capabilities=["storage.data_disk", "storage.fstab", "docker.data_root"], outputs=["preflight", "plan", "receipts", "post", "pack", "gaps"]
    )
    site.led()
    site.run()
    site.close()
    site.open()
    assert "has to leave behind plan, and did not. It stays open" in refusal(site.close)
    assert site.plan_wave().steps == ()
    assert site.next() == 'controlplane wave close W1 --attest "..."'
    assert site.close().outcome == "closed"


def test_a_closeout_holds_the_gates_of_its_beginning_of_its_run_and_of_its_end() -> None:
    site = FakeWaveSite(approval="self")
    site.wave(entry=[{"kind": "backup"}])
    site.led()
    site.run()
    told = [(one.phase, one.kind, one.verdict) for one in site.close().gates]
    assert told == [("entry", "backup", "MET"), ("entry", "approval", "MET"), ("entry", "undo", "MET"), ("exit", "met", "MET")]


def test_a_closeout_of_a_wave_that_a_clock_which_ran_ahead_opened_lists_what_was_done_once_the_time_was_reset() -> None:
    site = FakeWaveSite({"W1": LOOK}, gates=OWN)
    site.clock.time += timedelta(hours=1)
    site.open()
    site.clock.time -= timedelta(hours=1)
    reset_time(
        "lab", operator=OPERATOR, reason="it ran ahead", receipts=site.receipts, store=site.store, clock=site.clock, entropy=site.ports.entropy
    )
    host = site.governance.waves["W1"].seen[0]
    ledger = Ledger(site.receipts, site.clock, run="CAP-1", site="lab", plan="", policy="x", operator=OPERATOR)
    ledger.intend("CAP-1", host=host, capability="host.reboot", step="reboot")
    ledger.close("CAP-1", host=host, capability="host.reboot", step="reboot", outcome="done")
    assert [one.receipt for one in site.close().actions] == ["CAP-1"]


def test_a_closeout_lists_what_was_done_beside_the_plans_and_files_that_are_not_committed() -> None:
    site = FakeWaveSite()
    site.led()
    site.run()
    site.history.loose = ("inventory/lab/policy.yml",)
    link = site.receipts.chain[-1].model_copy(
        update={
            "capability": "host.reboot",
            "plan": "",
            "host": "mint-data",
            "key": "CAP-1",
            "at": f"{site.clock.now():%Y-%m-%dT%H:%M:%SZ}",
            "step": "reboot",
        }
    )
    site.receipts.append(link.model_copy(update={"phase": "intent", "outcome": None}))
    site.receipts.append(link.model_copy(update={"phase": "result", "outcome": "done"}))
    made = site.close(deferred=("log budget",))
    assert made.actions[-1].capability == "host.reboot"
    assert [(one.commit, one.files) for one in made.files_changed] == [(None, ("inventory/lab/policy.yml",))]
    assert (made.deferred, made.attestation.text, made.chain_length) == (("log budget",), "seen it", len(site.receipts.chain) - 2)


@pytest.mark.parametrize("what", ["rollback", "reboot"])
def test_what_is_done_to_a_host_while_it_is_looked_at_keeps_the_wave_from_closing(what: str) -> None:
    site = FakeWaveSite()
    site.led()
    run = site.run().run
    asked = site.witness.answer

    def meanwhile(*given: Any) -> Any:
        site.witness.answer = asked  # type: ignore[method-assign]
        told = asked(*given)
        if what == "rollback":
            site.rollback(str(run))
        else:
            one = site.receipts.chain[-1]
            made = {"capability": "host.reboot", "plan": "", "host": "mint-data", "key": "CAP-9", "run": "CAP-9", "phase": "intent", "outcome": None}
            site.receipts.append(one.model_copy(update=made))
        return told

    site.witness.answer = meanwhile  # type: ignore[method-assign]
    told = refusal(site.close)
    assert "began or ended while its hosts were looked at. It stays open. Look again when that has ended: controlplane wave close W1" in told
    assert (site.state() == "closed", site.said("close"), [one for one in site.folder.files if "closeout" in one]) == (False, [], [])
    if what == "reboot":
        assert site.close().outcome == "closed"


def test_the_receipt_of_a_closing_holds_the_digest_of_the_page_too() -> None:
    site = FakeWaveSite({"W1": LOOK})
    site.open()
    site.close()
    told = site.receipts.chain[-1].told or {}
    assert told["page_digest"] == digest_of_bytes(site.folder.files[told["page"]])


def test_a_closeout_that_is_not_what_its_receipt_says_ends_nothing() -> None:
    site = FakeWaveSite()
    site.led()
    site.run()
    real = site.store.write

    def killed(*args: Any, **more: Any) -> Any:
        if more.get("ended"):
            raise KeyboardInterrupt
        return real(*args, **more)

    site.store.write = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        site.close()
    site.store.write = real  # type: ignore[method-assign]
    assert (site.state(), site.said("close")) == ("changed", ["done"])
    path = next(one for one in site.folder.files if one.endswith("closeout.json"))
    whole = site.folder.files[path]
    site.folder.files[path] = whole.replace(b"seen it", b"seen more")
    assert "is not what CAP-" in refusal(site.close, kind=RunFailedError)
    site.folder.files[path] = whole
    assert site.close().attestation.text == "seen it"
    assert (site.state(), site.said("close")) == ("closed", ["done"])


def test_a_change_that_a_clock_which_ran_ahead_has_dated_keeps_no_gate_shut() -> None:
    stable = {"kind": "stable", "checks": ["D235"], "runs": 2, "interval": 3600}
    site = FakeWaveSite()
    site.wave(exit=[stable, {"kind": "pack", "pack": "mint"}])
    site.led()
    site.clock.time += timedelta(days=400)
    site.approve()
    assert site.run().outcome == "done"
    ahead = stamp_of(site.clock.now())
    site.clock.time -= timedelta(days=400)
    reset_time(
        "lab", operator=OPERATOR, reason="it ran ahead", receipts=site.receipts, store=site.store, clock=site.clock, entropy=site.ports.entropy
    )
    # What passed by that clock is no run of now; what closing itself runs is the first.
    told = refusal(site.close)
    assert f"D235 on mint-data has 1 of 2 recorded runs since the last change at {ahead[:10]}" in told
    assert "later than now, a clock ran ahead; the order of the receipts counts), 1h apart: controlplane gates run" in told
    assert "pack" not in told.split("gates are not open")[1].split("stays open")[0]
    site.clock.time += timedelta(hours=1)
    assert site.close().outcome == "closed"


def test_a_run_that_failed_by_a_clock_that_ran_ahead_is_past_once_others_passed_behind_it() -> None:
    stable = {"kind": "stable", "checks": ["D204"], "runs": 1, "interval": 60}
    site = FakeWaveSite({"W1": LOOK | {"exit": [stable]}}, gates=OWN)
    site.open()
    site.clock.time += timedelta(hours=1)
    site.site_checks.says["D204"] = "DRIFTED"
    run_gates(site.view, pack="mint", hosts=(), operator=OPERATOR, ports=site.wave_ports.gates)
    site.clock.time -= timedelta(hours=1)
    reset_time(
        "lab", operator=OPERATOR, reason="it ran ahead", receipts=site.receipts, store=site.store, clock=site.clock, entropy=site.ports.entropy
    )
    told = refusal(site.close)
    assert "D204 on site did not pass in CAP-20260102-1300" in told
    assert "(dated 2026-01-02T13:00:13Z, later than now: a clock ran ahead)" in told
    site.site_checks.says["D204"] = "MET"
    run_gates(site.view, pack="mint", hosts=(), operator=OPERATOR, ports=site.wave_ports.gates)
    assert site.close().outcome == "closed"
