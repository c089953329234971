"""What keeps a wave from opening, and from being planned and approved; each refusal by its message and by what did not change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controlplane.cli.wave_status import status_lines
from controlplane.domain.approval import approve
from controlplane.domain.errors import InputInvalidError, RefusedError, UnknownError
from controlplane.domain.gates.values import Expected, Gates
from controlplane.domain.site import BackupGate
from controlplane.domain.windows import Window
from controlplane.ports.plays import StepResult
from controlplane.usecases.show_waves import wave_rows, wave_status
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


def without_files(site: FakeWaveSite) -> None:
    """Let the wave be one that was opened before it was kept by what."""
    [held] = site.store.attempts
    site.store.attempts = [held.model_copy(update={"record": {name: one for name, one in held.record.items() if name != "files"}})]


# --- open


def test_a_gate_that_is_shut_keeps_the_wave_shut_and_names_itself() -> None:
    site = FakeWaveSite({"W1": MOVE, "W0": LOOK})
    site.wave(entry=[{"kind": "closed", "wave": "W0"}, {"kind": "checks", "checks": ["D235"]}])
    told = refusal(site.open).splitlines()
    assert told[0] == "wave W1 does not open, 2 of 2 gates are not open:"
    assert told[1] == "  DRIFTED  another wave is closed: wave W0: W0 is not opened yet"
    assert told[2].startswith("  DRIFTED  these checks pass in their mode: checks D235: D235 on mint-data: docker.data_root: Docker's data-root is")
    assert told[3] == "Nothing was changed."
    assert (site.state(), site.said("open"), site.host.ran) == (None, [], [])


def test_what_the_store_says_of_another_waves_closing_counts_by_the_signed_receipt_and_its_file_alone() -> None:
    site = FakeWaveSite({"W1": MOVE, "W0": LOOK})
    site.wave(entry=[{"kind": "closed", "wave": "W0"}])
    site.open("W0")
    [held] = site.store.attempts
    site.store.attempts = [held.model_copy(update={"state": "closed", "ended_at": held.opened_at})]
    doubts = {row["wave"]: row["doubt"] for row in wave_rows(site.site(), site.wave_ports)}
    assert (doubts["W1"], str(doubts["W0"]).partition(":")[0]) == (
        None,
        "closed in the store alone, these receipts hold no closing of that attempt",
    )
    assert any(line.startswith("doubt     closed in the store alone") for line in status_lines(wave_status("W0", site.site(), site.wave_ports)))
    assert "W0 is closed in the store alone, these receipts hold no closing of that attempt: bring state/ of the controller" in refusal(site.open)
    site.store.attempts = [held]
    site.close("W0")
    assert wave_status("W0", site.site(), site.wave_ports)["doubt"] is None
    path = next(one for one in site.folder.files if one.endswith("closeout.json"))
    whole = site.folder.files.pop(path)
    assert f"{path} can't be read: restore it from a copy" in refusal(site.open)
    site.folder.files[path] = whole.replace(b"seen it", b"seen not")
    assert f"{path} is not what that says: restore it from a copy" in refusal(site.open)
    site.folder.files[path] = whole
    [closed] = site.store.attempts
    # An attempt that goes on is not closed by the receipt of the one before.
    site.open("W0")
    site.store.attempts = [closed]
    assert "closed in the store alone" in refusal(site.open)
    site.open("W0")
    site.close("W0")
    assert site.open().entry[0].verdict == "MET"


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
    site.wave(windows=[{"start": "12:00", "end": "12:01"}] if steps else [])
    site.led()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    if steps:
        site.runner.ends = []
        site.clock.time += timedelta(seconds=20)
    run = site.run().run
    site.abort()
    assert site.next() == "controlplane wave open W1"
    told = refusal(site.open)
    assert f"take it back: controlplane rollback {run}" in told
    assert "an earlier run left receipts unclosed" in told
    assert f'A machine is gone for good? controlplane runs abandon {run} --reason "..."' in told
    assert site.rollback(str(run)).outcome == "rolled-back"
    assert site.open().plans == ()


def test_a_wave_that_goes_on_without_its_file_is_listed_and_can_be_ended() -> None:
    site = FakeWaveSite({"W1": MOVE, "W0": LOOK})
    site.led()
    site.governance = replace(site.governance, waves={"W0": site.governance.waves["W0"]})
    rows = wave_rows(site.site(), site.wave_ports)
    assert [(row["wave"], row["state"], row["holder"]) for row in rows] == [("W0", "not opened", None), ("W1", "planned", "ann@desk")]
    assert (rows[1]["hosts"], rows[1]["mutation"], rows[1]["doubt"]) == (
        ["mint-data"],
        "controlled",
        "waves/W1.yml is gone: nothing of it goes on without. Bring it back, or end this attempt",
    )
    assert site.next() == 'controlplane wave abort W1 --reason "..."    (or bring waves/W1.yml back)'
    site.abort()
    assert [row["wave"] for row in wave_rows(site.site(), site.wave_ports)] == ["W0"]
    assert "there is no W1 in " in refusal(site.next, kind=InputInvalidError)


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
    without_files(site)
    site.wave(capabilities=["storage.fstab"])
    told = refusal(site.run)
    assert "is outside of wave W1: mint-data/010 uses storage.data_disk, which the wave may not" in told
    assert site.host.ran == []


PACK: dict[str, Any] = {"packs": {"mint": {"checks": ["D235"]}}}
STRANGE = {"check": "D235", "host": "mint-data", "surface": "docker.data_root", "stor": "STOR-001"}
OF_SITE = "what it uses of site.yml (windows, timezone, approval, backup_gate)"
# How the wave's file and the site are changed, and by what name that is refused.
RELAXED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "gate": ({"exit": []}, {}, "waves/W1.yml"),
    "window": ({"windows": [{"start": "00:00", "end": "00:00"}]}, {}, "waves/W1.yml"),
    "pack": ({}, {"gates": Gates.model_validate({"packs": {"mint": {"checks": ["D240"]}}})}, "what it uses of gates.yml (pack, checks, promotion)"),
    "expected": ({}, {"gates": Gates.model_validate(PACK | {"expected": [STRANGE]})}, "what gates.yml expects of its checks (expected)"),
    "site's window": ({}, {"windows": (Window(start="00:00", end="00:00"),)}, OF_SITE),
    "timezone": ({}, {"timezone": "Etc/GMT+12"}, OF_SITE),
    "approval": ({}, {"approval": "none"}, OF_SITE),
    "backup": ({}, {"backup_gate": None}, OF_SITE),
}


@pytest.mark.parametrize("how", RELAXED)
def test_a_wave_is_led_to_its_end_by_the_files_that_it_was_opened_by(how: str) -> None:
    wave, view, named = RELAXED[how]
    site = FakeWaveSite(approval="self", view={"windows": NOON, "backup_gate": BackupGate(file="proof", max_age=3600)})
    before = site.governance, site.view

    def relax() -> None:
        site.wave(**wave)
        site.view = site.view.model_copy(update=view)

    def put_back() -> None:
        site.governance, site.view = before

    for verb, what in (
        ("plan_wave", "wave W1 is not planned"),
        ("approve", "the plan of wave W1 is not approved"),
        ("run", "wave W1 does not run"),
        ("close", "wave W1 does not close, it stays open"),
    ):
        if verb == "plan_wave":
            assert site.open().files is not None
        relax()
        told = refusal(getattr(site, verb))
        assert told.startswith(f"{what}: {named} changed since it was opened, and its gates would be others than those it was opened by.")
        assert told.endswith('end this attempt (controlplane wave abort W1 --reason "..."), and open the wave anew')
        put_back()
        getattr(site, verb)()
    assert site.state() == "closed"
    began, ended = [one.told or {} for one in site.receipts.chain if one.capability == "wave.open"]
    assert (began, ended["files"]) == ({"attempt": site.record().attempt}, site.record().plain()["files"])


def test_what_the_wave_does_not_use_of_gates_may_change_and_so_may_modes() -> None:
    site = FakeWaveSite()
    site.open()
    more = {"packs": {"mint": {"checks": ["D235"]}, "new": {"checks": ["D240"]}}, "modes": {"D235": {"mint-data": "enforce"}}}
    more |= {"expected": [STRANGE | {"check": "D240"}]}
    site.view = site.view.model_copy(update={"gates": Gates.model_validate(more)})
    assert site.plan_wave().steps


def test_what_bounds_changes_alone_may_change_under_a_wave_that_changes_no_machine() -> None:
    site = FakeWaveSite({"W1": LOOK})
    site.open()
    site.view = site.view.model_copy(update={"windows": NIGHT, "approval": "other", "backup_gate": BackupGate(file="proof")})
    assert site.close().outcome == "closed"


def test_a_wave_that_was_opened_before_site_and_expected_drift_were_kept_is_not_held_by_them() -> None:
    site = FakeWaveSite()
    site.open()
    [held] = site.store.attempts
    files = {name: digest for name, digest in held.record["files"].items() if name not in ("site", "expected")}
    site.store.attempts = [held.model_copy(update={"record": held.record | {"files": files}})]
    site.view = site.view.model_copy(update={"windows": NOON, "gates": Gates.model_validate(PACK | {"expected": [STRANGE]})})
    assert site.plan_wave().steps


def test_a_field_that_is_new_to_this_program_holds_no_wave_that_was_opened_before() -> None:
    class LaterWindow(Window):
        note: str = ""

    class LaterExpected(Expected):
        note: str = ""

    site = FakeWaveSite(view={"windows": NOON, "gates": Gates.model_validate(PACK | {"expected": [STRANGE]})})
    site.open()
    windows = tuple(LaterWindow(start=one.start, end=one.end) for one in NOON)
    gates = site.view.gates.model_copy(update={"expected": (LaterExpected.model_validate(STRANGE),)})
    site.view = site.view.model_copy(update={"windows": windows, "gates": gates})
    assert site.plan_wave().steps


def test_a_wave_is_closed_by_the_policy_that_its_last_run_was_planned_by() -> None:
    site = FakeWaveSite()
    site.led()
    site.run()
    strict = site.view
    site.view = strict.model_copy(update={"policy_digest": "sha256:relaxed"})
    told = refusal(site.close)
    assert "wave W1 does not close: the policy changed since plan sha256:" in told
    assert site.state() == "changed"
    site.view = strict
    assert site.close().outcome == "closed"


def test_a_wave_that_was_opened_before_its_files_were_kept_is_led_by_those_of_now() -> None:
    site = FakeWaveSite()
    site.led()
    without_files(site)
    site.wave(goal="no data on any boot disk")
    assert site.run().outcome == "done"
    site.view = site.view.model_copy(update={"policy_digest": "sha256:another"})
    assert site.close().outcome == "closed"


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


@pytest.mark.parametrize("demands", ["site", "gate"])
def test_who_planned_a_wave_is_known_by_their_key_and_is_not_its_only_approver_whoever_runs_it(demands: str) -> None:
    site = FakeWaveSite(approval="other" if demands == "site" else "none")
    if demands == "gate":
        site.wave(entry=[{"kind": "approval", "by": "other"}])
    site.open()
    plan = site.plan_wave()
    site.approve()
    made = site.approvals.held[plan.plan]
    assert made.requester == "ann@example.org"
    # The signature says who approved; who asked is what the approver wrote there.
    site.approvals.held[plan.plan] = made.model_copy(update={"approver": "ann@example.org", "requester": "ann@desk"})
    site.clock.time += timedelta(hours=5)
    site.resume(by=BOB)
    site.approvals.me = "bob@example.org"
    told = refusal(site.run, by=BOB)
    assert "demands another person's approval, and ann@example.org asked for it" in told
    site.approvals.held[plan.plan] = made.model_copy(update={"approver": "cy@example.org"})
    assert site.run(by=BOB).outcome == "done"


def test_where_another_has_to_approve_nobody_plans_whose_key_is_not_known() -> None:
    site = FakeWaveSite(approval="other")
    site.approvals.me = None
    site.open()
    told = refusal(site.plan_wave)
    assert told.startswith("wave W1 is not planned: another person than who plans it has to approve, and whose key yours is can't be told.")
    assert told.endswith("Name a signing_key in site.yml that the allowed signers name, then: controlplane wave plan W1")
    assert (site.evidence.asked, site.record().plans) == (1, ())
    # With her listed key she is known, and bob runs nothing that she alone approved.
    site.approvals.me = "ann@example.org"
    plan = site.plan_wave()
    site.approve()
    site.approvals.held[plan.plan] = site.approvals.held[plan.plan].model_copy(update={"approver": "ann@example.org"})
    site.clock.time += timedelta(hours=5)
    site.resume(by=BOB)
    site.approvals.me = "bob@example.org"
    assert "ann@example.org asked for it" in refusal(site.run, by=BOB)


def test_a_plan_of_which_nobody_knows_whose_key_made_it_is_not_begun_where_another_has_to_approve() -> None:
    site = FakeWaveSite(approval="other")
    site.open()
    site.plan_wave()
    site.approve(by=BOB)
    [held] = site.store.attempts
    plans = [one | {"asked_by": None} for one in held.record["plans"]]
    site.store.attempts = [held.model_copy(update={"record": held.record | {"plans": plans}})]
    assert "whose key made plan " in refusal(site.run)
    assert site.host.ran == []
    site.plan_wave()
    site.approve(by=BOB)
    assert site.run().outcome == "done"


def test_a_running_plan_is_not_approved_again() -> None:
    site = FakeWaveSite(approval="self")
    site.led()
    site.arm(24)
    assert site.run().outcome == "interrupted"
    site.arm(None)
    assert "is open and needs no other approval. Nothing was changed. Go on with it: controlplane wave run W1" in refusal(site.approve, by=BOB)
    assert site.run().outcome == "done"
