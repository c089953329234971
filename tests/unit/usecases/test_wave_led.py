"""What keeps a wave from opening, running and closing; each refusal by its message and by what did not change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.approval import approve
from controlplane.domain.errors import InputInvalidError, RefusedError, RunFailedError, UnknownError
from controlplane.domain.site import BackupGate
from controlplane.domain.windows import Window
from controlplane.ports import StepResult
from controlplane.usecases.refuse_wave_plan import refuse_wave_plan
from tests.fakes.waves import BOB, MOVE, FakeWaveSite

# The fakes begin at 12:00 on a Friday.
NOON = (Window(start="12:00", end="13:00"),)
NIGHT = (Window(start="22:00", end="23:00"),)
LOOK: dict[str, Any] = {"goal": "look", "mutation": "none", "read_only": ["mint-data"]}


def refusal(act: Any, *given: Any, kind: type[Exception] = RefusedError, **more: Any) -> str:
    with pytest.raises(kind) as refused:
        act(*given, **more)
    return str(refused.value)


def two(**more: Any) -> FakeWaveSite:
    site = FakeWaveSite(hosts=("mint-data", "two"), **more)
    site.wave(hosts=["mint-data", "two"])
    return site


# --- open


def test_a_gate_that_is_shut_keeps_the_wave_shut_and_names_itself() -> None:
    site = FakeWaveSite({"W1": MOVE, "W0": LOOK})
    site.wave(entry=[{"kind": "closed", "wave": "W0"}, {"kind": "checks", "checks": ["D235"]}])
    told = refusal(site.open).splitlines()
    assert told[0] == "wave W1 does not open, 2 of 2 gates are not open:"
    assert told[1] == "  DRIFTED  another wave is closed: wave W0: W0 is not opened yet"
    assert told[2].startswith("  DRIFTED  these checks pass in report mode: checks D235: D235 on mint-data: docker.data_root: Docker's data-root is")
    assert told[3] == "Nothing was changed."
    assert (site.state(), site.said("open"), site.host.ran) == (None, [], [])


def test_a_host_that_is_only_looked_at_has_to_be_seen_too() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(read_only=["two"])
    site.evidence.unreached = {"two": "no route to host"}
    told = refusal(site.open, kind=UnknownError)
    assert told == (
        "wave W1 does not open. Nothing was changed: 1 of 2 hosts could not be observed, limit 0 (two: no route to host). "
        "Restore them, then: controlplane wave open W1"
    )
    assert site.state() is None


def test_a_machine_that_the_wave_is_to_make_need_not_be_there_when_it_opens() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(read_only=["two"], capabilities=["infra.vm.provision"])
    site.evidence.unreached = {"mint-data": "no route to host"}
    assert site.open().attempt.startswith("20260102-")
    site.abort()
    site.evidence.unreached = {"two": "no route to host"}
    assert "1 of 1 hosts could not be observed" in refusal(site.open, kind=UnknownError)


def test_two_who_open_at_once_are_one_holder_and_one_refusal_also_under_one_name() -> None:
    for name in ("ann@desk", BOB):
        site = FakeWaveSite()
        real = site.store.take

        def taken_before(*args: Any, real: Any = real, name: str = name, site: FakeWaveSite = site, **more: Any) -> Any:
            site.store.take = real  # type: ignore[method-assign]
            site.open(by=name)
            return real(*args, **more)

        site.store.take = taken_before  # type: ignore[method-assign]
        assert "wave W1 is " in refusal(site.open)
        assert site.store.find("W1").holder == name  # type: ignore[union-attr]
        assert (len(site.store.attempts), sorted(map(str, site.said("open")))) == (1, ["done", "refused"])


def test_another_wave_that_changes_machines_keeps_it_shut_whoever_holds_it_and_a_look_does_not() -> None:
    site = FakeWaveSite({"W1": MOVE, "W2": MOVE, "W0": LOOK})
    site.open("W2", by=BOB)
    assert "wave W1 can't be opened: wave W2 changes machines and is not ended" in refusal(site.open)
    site.clock.time += timedelta(hours=9)
    assert "lease over since" in refusal(site.open)
    site.open("W0")
    assert (site.state("W0"), site.state("W1")) == ("open", None)


@pytest.mark.parametrize("steps", [0, 1])
def test_a_run_that_stopped_keeps_the_next_wave_shut_also_between_two_steps(steps: int) -> None:
    site = FakeWaveSite()
    site.led()
    site.runner.ends = [StepResult(status="done", message="", told={})] * steps
    site.runner.ends += [StepResult(status="unreachable", message="gone", told={})]
    if steps:
        site.runner.ends = []
        site.wave(windows=[{"start": "12:00", "end": "12:01"}])
        site.clock.time += timedelta(seconds=20)
    run = site.run().run
    site.abort()
    assert site.next() == "controlplane wave open W1"
    told = refusal(site.open)
    assert f"take it back: controlplane rollback {run}" in told
    assert "an earlier run left receipts unclosed" in told
    assert site.rollback(str(run)).outcome == "rolled-back"
    assert site.open().plans == ()


def test_preflight_judges_every_gate_for_anyone_and_keeps_evidence_from_before_the_change_only() -> None:
    site = FakeWaveSite(view={"windows": NIGHT}, approval="self")
    assert site.preflight() == {"window": "DRIFTED", "approval": "DRIFTED", "undo": "DRIFTED"}
    assert site.state() is None
    site.open()
    first = site.record().preflight
    site.plan_wave()
    site.approve()
    assert site.preflight(by=BOB) == {"window": "DRIFTED", "approval": "DRIFTED", "undo": "MET"}
    assert site.record().preflight == first
    site.preflight()
    before = site.record().preflight
    assert before != first
    site.view = site.view.model_copy(update={"windows": NOON})
    site.approve()
    site.run()
    site.preflight()
    assert site.record().preflight == before


# --- plan and approve


def test_a_plan_is_made_of_the_waves_hosts_and_capabilities_alone() -> None:
    site = two()
    site.wave(hosts=["two"], capabilities=["storage.data_disk"])
    site.open()
    assert [(step.host, step.capability) for step in site.plan_wave().steps] == [("two", "storage.data_disk")]
    assert "docker.data_root is not in the scope of W1" in refusal(site.plan_wave, "docker.data_root", kind=InputInvalidError)


def test_a_plan_that_came_from_elsewhere_is_not_run() -> None:
    site = FakeWaveSite()
    site.led()
    site.wave(capabilities=["storage.fstab"])
    told = refusal(site.run)
    assert "is outside of wave W1: mint-data/010 uses storage.data_disk, which the wave may not" in told
    assert site.host.ran == []


def test_a_wave_of_another_holder_is_neither_planned_nor_run_nor_closed_nor_aborted() -> None:
    site = FakeWaveSite()
    site.led()
    for act in (site.plan_wave, site.run, site.close, site.abort):
        assert "wave W1 is held by ann@desk (state planned" in refusal(act, by=BOB)


def test_an_approval_that_comes_while_the_wave_is_planned_anew_says_what_it_serves() -> None:
    site = FakeWaveSite(approval="other")
    site.open()
    first = site.plan_wave()
    real = site.approvals.add

    def planned_meanwhile(given: Any) -> None:
        real(given)
        site.plan_wave()

    site.approvals.add = planned_meanwhile  # type: ignore[method-assign]
    told = refusal(site.approve, by=BOB)
    assert "Nothing was changed" not in told
    assert f"The approval of plan {first.plan[7:19]} is on file and serves that plan alone" in told
    site.approvals.add = real  # type: ignore[method-assign]
    assert "has no approval for this wave" in refusal(site.run)
    site.approve(by=BOB)
    assert site.run().outcome == "done"


def test_an_approval_beside_the_wave_does_not_serve_it() -> None:
    site = FakeWaveSite(approval="self")
    site.open()
    plan = site.plan_wave()
    site.approvals.add(approve(plan.plan, approver=BOB, requester=BOB, now=site.clock.now()))
    assert "only one outside of it by bob@other, which no window bounds: controlplane wave approve W1" in refusal(site.run)
    assert site.host.ran == []


def test_nobody_runs_what_they_alone_approved_where_the_wave_asks_for_another() -> None:
    site = FakeWaveSite(approval="none")
    site.wave(entry=[{"kind": "approval", "by": "other"}])
    site.led()
    assert "demands another person's approval, and ann@desk approved it alone" in refusal(site.run)
    site.approve(by=BOB)
    assert site.run().outcome == "done"
    assert site.approvals.held[site.record().plans[0].plan].used_by == site.record().plans[0].run


def test_a_running_plan_is_not_approved_again() -> None:
    site = FakeWaveSite(approval="self")
    site.led()
    site.arm(24)
    assert site.run().outcome == "interrupted"
    site.arm(None)
    assert "has no plan that did not run yet" in refusal(site.approve, by=BOB)
    assert site.run().outcome == "done"


# --- windows


def test_a_window_holds_without_a_gate_that_names_it() -> None:
    site = FakeWaveSite(view={"windows": NIGHT})
    site.led()
    assert "no maintenance window is open; the next one is 2026-01-02 22:00 to 2026-01-02 23:00 UTC" in refusal(site.run)
    assert site.receipts.chain[-1].capability != "plan.apply"
    assert site.next() == "controlplane wave run W1"


def test_approved_early_the_facts_are_looked_at_again_when_the_window_opens() -> None:
    site = FakeWaveSite(approval="self", view={"windows": NIGHT})
    site.led()
    assert "not open yet" in refusal(site.run)
    site.clock.time += timedelta(hours=10, minutes=1)
    disk = next(one for one in site.host.probes["block"].values() if one["serial"] == "DATA0001")
    disk["serial"] = "OTHER"
    assert "no longer fits" in refusal(site.run)
    assert (site.host.ran, site.state()) == ([], "planned")
    disk["serial"] = "DATA0001"
    assert site.run().outcome == "done"


def test_an_approval_ends_with_its_window_and_the_next_one_needs_another() -> None:
    site = FakeWaveSite(approval="self", view={"windows": NIGHT})
    site.led()
    site.clock.time += timedelta(days=1, hours=10, minutes=1)
    assert "its approval expired at 2026-01-02T23:00:00Z: approve it again (controlplane wave approve W1)" in refusal(site.run)
    assert site.next() == "controlplane wave approve W1"
    # A clock that is set back makes it no younger: the store has seen the later time.
    site.clock.time -= timedelta(days=1)
    assert "clock is behind what the site has seen" in refusal(site.run)
    assert site.host.ran == []


def test_a_window_that_ends_stops_before_the_next_step_and_the_next_window_goes_on() -> None:
    site = FakeWaveSite(approval="self", view={"windows": (Window(start="12:00", end="12:01"),)})
    site.led()
    site.clock.time += timedelta(seconds=15)

    first = site.run()

    assert (first.outcome, first.exit_code()) == ("interrupted", 130)
    assert "was not begun: no maintenance window is open; the next one is 2026-01-03 12:00 to 2026-01-03 12:01 UTC" in first.messages[0]
    assert first.messages[1].startswith(f"Run {first.run} is open. Go on: controlplane wave run W1; or take it back")
    assert (site.state(), site.next()) == ("running", "controlplane wave run W1")
    ran = len(site.host.ran)
    assert 0 < ran < 3
    assert "no maintenance window is open" in refusal(site.run)
    assert len(site.host.ran) == ran
    site.clock.time += timedelta(days=1)
    site.clock.time = site.clock.time.replace(hour=12, minute=0, second=0)
    second = site.run()
    while second.outcome == "interrupted":
        site.clock.time = (site.clock.time + timedelta(days=1)).replace(hour=12, minute=0, second=0)
        second = site.run()
    assert (second.outcome, second.run) == ("done", first.run)


def test_a_backup_is_asked_for_where_the_site_names_a_proof_and_unproven_is_unknown() -> None:
    site = FakeWaveSite(view={"backup_gate": BackupGate(file="proof", max_age=3600)})
    site.led()
    site.backup.doubt = "proof can't be read"
    assert "UNKNOWN  a restorable backup is proven: max_age 3600: proof can't be read" in refusal(site.run, kind=UnknownError)
    site.backup.doubt, site.backup.age = None, 3601.0
    assert "the proof is 3601 s old, limit 3600 s" in refusal(site.run)
    site.backup.age = 10.0
    assert site.run().outcome == "done"


# --- run, take-over, rollback


def test_who_was_taken_over_begins_no_further_step() -> None:
    site = FakeWaveSite()
    site.led()
    real = site.runner.run

    def stopped_past_its_lease(*args: Any, **more: Any) -> Any:
        ended = real(*args, **more)
        site.runner.run = real  # type: ignore[method-assign]
        site.clock.time += timedelta(hours=5)
        site.resume(by=BOB)
        return ended

    site.runner.run = stopped_past_its_lease  # type: ignore[method-assign]

    old = site.run()

    assert old.outcome == "interrupted"
    assert (
        "mint-data/010 ended and its receipt says how, but what followed it did not: wave W1 is no longer what this process took" in old.messages[0]
    )
    assert "Nothing was changed" not in " ".join(old.messages)
    assert [role for role, _ in site.host.ran] == ["data_disk"]
    assert "held by bob@other" in refusal(site.run)
    new = site.run(by=BOB)
    assert (new.outcome, new.run) == ("done", old.run)
    assert site.said("resume") == ["done"]


def test_a_take_over_at_the_last_step_leaves_what_was_done_to_the_one_who_took_over() -> None:
    site = FakeWaveSite()
    site.led()
    real = site.witness.answer

    def taken_over(*args: Any) -> Any:
        site.witness.answer = real  # type: ignore[method-assign]
        site.clock.time += timedelta(hours=5)
        site.resume(by=BOB)
        return real(*args)

    site.witness.answer = taken_over  # type: ignore[method-assign]
    told = refusal(site.run, kind=RunFailedError)
    assert "is done, as its receipts say, and the wave's record does not know it yet: wave W1 is no longer what this process took" in told
    plays = len(site.runner.plays)
    assert site.run(by=BOB).outcome == "done"
    assert (len(site.runner.plays), site.state()) == (plays, "changed")


def test_a_lease_that_lasts_is_taken_by_nobody_else_and_renewed_by_its_holder() -> None:
    site = FakeWaveSite()
    site.open()
    assert "whose lease lasts until" in refusal(site.resume, by=BOB)
    assert site.said("resume") == ["refused"]
    before = site.store.find("W1")
    site.clock.time += timedelta(hours=3)
    site.resume()
    after = site.store.find("W1")
    assert before is not None
    assert after is not None
    assert (after.expires_at > before.expires_at, after.token > before.token) == (True, True)


def test_a_rollback_shows_in_the_wave_and_a_new_plan_is_next() -> None:
    site = FakeWaveSite()
    site.led()
    run = site.run().run
    site.rollback(str(run))
    assert site.next() == "controlplane wave plan W1"
    assert "no plan that did not run yet" in refusal(site.run)
    assert "Docker's data-root is /var/lib/docker" in refusal(site.close)
    site.plan_wave()
    assert site.record().plans[0].outcome == "rolled-back"
    assert site.run().outcome == "done"
    made = site.close()
    assert [one.outcome for one in made.plans] == ["rolled-back", "done"]
    assert [one.outcome for one in made.actions] == ["done"] * 3 + ["rolled-back"] * 3 + ["done"] * 3


def test_an_interrupted_run_that_was_taken_back_is_not_gone_on_with() -> None:
    site = FakeWaveSite()
    site.led()
    site.runner.ends = [StepResult(status="interrupted", message="", told={})]
    run = site.run().run
    assert "run " + str(run) + " is not closed. Go on: controlplane wave run W1" in refusal(site.plan_wave)
    assert refusal(site.close).startswith(f"wave W1 does not close, it stays open: run {run} is not closed.")
    site.rollback(str(run))
    assert site.next() == "controlplane wave plan W1"
    assert "Make one: controlplane wave plan W1" in refusal(site.run)


def test_a_waves_plan_is_not_applied_beside_it_while_it_goes_on() -> None:
    site = FakeWaveSite()
    site.led()
    [plan] = site.folder.files
    held = site.ports.plans.get(site.record().plans[0].plan)
    assert plan.endswith(f"plan-{held.plan[7:19]}.json")
    assert refusal(refuse_wave_plan, held, site.store).endswith("Run it there: controlplane wave run W1")
    site.abort()
    refuse_wave_plan(held, site.store)


# --- hosts in order, failures


def test_hosts_go_in_the_waves_order_and_a_failed_canary_leaves_the_others_alone() -> None:
    site = two()
    site.wave(hosts=["two", "mint-data"])
    site.led()
    site.hosts["two"].breaks_after = 1
    result = site.run()
    assert result.outcome == "failed"
    assert [host for host, one in site.hosts.items() if one.ran] == ["two"]
    assert result.messages[-1] == "mint-data was left alone: 1 of 2 hosts failed (two), limit 0"
    [carved] = site.record().carved
    said = next(one for one in site.receipts.chain if one.key == carved.receipt and one.phase == "result")
    assert (carved.host, said.capability, said.host, said.told) == ("two", "wave.carve", "two", {**(said.told or {}), "run": result.run})
    assert site.said("carve") == ["failed"]


def test_within_the_limit_the_rest_goes_on_and_closes_and_what_was_carved_out_remains() -> None:
    site = two()
    site.wave(failure_limit=1)
    site.led()
    site.hosts["mint-data"].breaks_after = 1
    assert site.run().outcome == "failed"
    assert site.next() == 'controlplane wave plan W1 --capability storage.purge    (or end it: controlplane wave close W1 --attest "...")'
    assert {step.host for step in site.plan_wave("storage.purge").steps} == set()
    made = site.close()
    assert made.outcome == "closed with hosts carved out"
    assert [one.host for one in made.carved] == ["mint-data"]
    assert "mint-data" in {one.host for one in made.remaining}


def test_a_wave_all_of_whose_hosts_were_carved_out_is_aborted_and_not_closed() -> None:
    site = FakeWaveSite()
    site.led()
    site.host.breaks_after = 1
    site.run()
    assert "every host that it was to change was carved out (mint-data). It stays open." in refusal(site.close)
    assert site.next() == 'controlplane wave abort W1 --reason "..."    (every host was carved out)'
    assert "every host of wave W1 was carved out" in refusal(site.plan_wave)


def test_a_host_that_is_carved_out_is_not_begun_again_when_its_run_goes_on() -> None:
    site = two()
    site.wave(failure_limit=1)
    site.led()
    site.hosts["mint-data"].breaks_after = 1
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="unreachable", message="gone", told={})]
    assert site.run().outcome == "interrupted"
    site.hosts["mint-data"].breaks_after = None
    ran = list(site.hosts["mint-data"].ran)
    result = site.run()
    assert result.outcome == "failed"
    assert site.hosts["mint-data"].ran == ran
    assert any(message.startswith("mint-data was left alone: it was carved out of the wave, CAP-") for message in result.messages)
    assert len(site.record().carved) == 1


# --- the pack, and closing


def test_a_pack_that_is_unknown_after_a_step_is_kept_and_hides_nothing() -> None:
    gates = {"packs": {"mint": {"checks": ["D204"]}}, "checks": {"D204": {"title": "t", "file": "checks/test_d204.py"}}}
    site = FakeWaveSite(gates=gates)
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
    assert site.run().outcome == "done"


def test_streaks_begin_anew_with_the_last_change() -> None:
    site = FakeWaveSite()
    site.wave(exit=[{"kind": "stable", "checks": ["D235"], "runs": 3}], entry=[{"kind": "stable", "checks": ["D240"], "runs": 1}])
    site.wave(entry=[])
    site.led()
    site.run()
    told = refusal(site.close)
    assert "D235 on mint-data has 2 of 3 recorded runs since the last change at 2026-01-02T12:00:" in told
    assert told.endswith('It stays open. Then: controlplane wave close W1 --attest "..."')
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


def test_a_closeout_lists_what_was_done_beside_the_plans_and_files_that_are_not_committed() -> None:
    site = FakeWaveSite()
    site.led()
    site.run()
    site.history.loose = ("inventory/lab/policy.yml",)
    link = site.receipts.chain[-1].model_copy(
        update={"capability": "host.reboot", "plan": "", "host": "mint-data", "key": "CAP-1", "at": "2026-01-02T13:00:00Z", "step": "reboot"}
    )
    site.receipts.append(link.model_copy(update={"phase": "intent", "outcome": None}))
    site.receipts.append(link.model_copy(update={"phase": "result", "outcome": "done"}))
    made = site.close(deferred=("log budget",))
    assert made.actions[-1].capability == "host.reboot"
    assert [(one.commit, one.files) for one in made.files_changed] == [(None, ("inventory/lab/policy.yml",))]
    assert (made.deferred, made.attestation.text, made.chain_length) == (("log budget",), "seen it", len(site.receipts.chain) - 2)


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
