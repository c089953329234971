"""plan, approve, apply, rollback, verify, runs, receipts, render and lease as an operator and a script meet them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from controlplane import wiring
from controlplane.adapters.anchors import AnchorFiles
from controlplane.adapters.signing import SshSigner
from controlplane.cli.app import main
from controlplane.cli.preview import show_plan
from controlplane.domain.desired import DesiredState
from controlplane.domain.errors import RunFailedError
from controlplane.domain.plan import Bound, Change
from controlplane.domain.receipt import Receipt
from controlplane.domain.windows import Window
from controlplane.ports.plays import StepResult
from tests.fakes.evidence_builder import DATA
from tests.fakes.machine_builder import brought_up
from tests.fakes.site import FakeSite, desired_host


class Said(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    fake = FakeSite()
    monkeypatch.setattr(wiring, "governed_site", lambda _given: (fake.view, fake.ports))
    monkeypatch.setattr(wiring, "site_view", lambda _given: fake.view)
    monkeypatch.setattr(wiring, "receipts", lambda _given, **_anew: fake.receipts)
    monkeypatch.setattr(wiring, "anchors", lambda *_given: AnchorFiles(SshSigner(None, None)))
    monkeypatch.setattr(wiring, "approvals", lambda _given: fake.approvals)
    monkeypatch.setattr(wiring, "evidence_source", lambda *_: fake.evidence)
    monkeypatch.setattr(wiring, "clock", lambda: fake.clock)
    monkeypatch.setattr(wiring, "operator", lambda: "ann@desk")
    return fake


@pytest.fixture
def run(site: FakeSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:  # noqa: ARG001 - the verbs meet the fake site
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["controlplane", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Said(end.value.code, told.out, told.err)

    return call


def test_the_whole_way_from_plan_to_rollback_by_exit_codes(run: Run) -> None:
    assert run("plan", "--out", "plan.json").code == 3
    applied = run("apply", "plan.json")
    assert (applied.code, applied.out.splitlines()[-1]) == (0, "outcome   done")
    assert run("plan", "--out", "after.json").code == 0
    assert run("apply", "after.json").code == 0
    assert run("apply", "plan.json").code == 0
    assert run("receipts", "verify").out.splitlines()[0] == "8 receipts, 0 faults"
    key = json.loads(run("runs", "list", "-o", "json").out)[0]["run"]
    back = run("rollback", key)
    assert (back.code, back.out.splitlines()[-1]) == (0, "outcome   rolled-back")
    assert {row["state"] for row in json.loads(run("runs", "list", "-o", "json").out)} == {"rolled-back"}


def test_a_plan_file_and_the_json_of_plan_are_the_same_plan(run: Run) -> None:
    said = run("plan", "--out", "plan.json", "-o", "json")

    assert json.loads(said.out) == json.loads(Path("plan.json").read_text())
    assert not any(line.startswith("{") for line in said.err.splitlines())


def test_the_json_of_apply_is_the_interfaces_and_alone_on_standard_output(run: Run) -> None:
    run("plan", "--out", "plan.json")

    said = run("apply", "plan.json", "-o", "json")

    data = json.loads(said.out)
    assert list(data)[:7] == ["run", "receipts", "plan", "outcome", "changed", "verify", "remaining"]
    assert {change["status"] for change in data["changed"]} == {"done"}
    assert list(data["changed"][0]) == ["kind", "target", "before", "after", "destructive", "status"]


def test_a_refused_apply_is_json_too_and_exits_with_4(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    site.host.probes["identity"]["machine_id"] = "m2"

    said = run("apply", "plan.json", "-o", "json")

    assert said.code == 4
    assert json.loads(said.out)["outcome"] == "refused"
    assert "Nothing was changed. Make a new one: controlplane plan --out FILE" in said.err


def test_a_host_that_could_not_be_observed_is_5(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    site.evidence.unreached = {"mint-data": "No route to host"}

    assert run("plan").code == 5
    assert run("apply", "plan.json").code == 5
    assert run("lease", "show", "mint-data").code == 5


def test_an_apply_or_rollback_that_could_not_observe_a_host_is_json_too_and_exits_with_5(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    site.evidence.unreached = {"mint-data": "No route to host"}

    said = run("apply", "plan.json", "-o", "json")

    data = json.loads(said.out)
    assert (said.code, data["outcome"], data["run"]) == (5, "refused", None)
    assert data["plan"] == json.loads(Path("plan.json").read_text())["plan"]
    assert data["messages"] == [said.err.removesuffix("\n")]
    assert site.receipts.chain == []
    site.evidence.unreached = {}
    key = json.loads(run("apply", "plan.json", "-o", "json").out)["run"]
    site.evidence.unreached = {"mint-data": "No route to host"}
    back = run("rollback", key, "-o", "json")
    assert (back.code, json.loads(back.out)["outcome"]) == (5, "refused")


def test_an_apply_that_fails_with_its_run_open_shows_that_run_in_its_json(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    real = site.receipts.append

    def full(receipt: Receipt) -> Receipt:
        if receipt.phase == "result" and receipt.step == "mint-data/020":
            raise RunFailedError("no space left on the controller")
        return real(receipt)

    site.receipts.append = full  # type: ignore[method-assign]
    said = run("apply", "plan.json", "-o", "json")
    data = json.loads(said.out)
    assert (said.code, data["outcome"], data["run"]) == (1, "failed", site.receipts.chain[0].run)
    assert {change["status"] for change in data["changed"]} == {"done", "not-done"}
    assert data["messages"] == [said.err.removesuffix("\n").split("\n", 2)[-1]]
    # A chain that does not hold begins nothing.
    site.receipts.chain[0] = site.receipts.chain[0].model_copy(update={"host": "other"})
    broken = run("apply", "plan.json", "-o", "json")
    assert (broken.code, json.loads(broken.out)["outcome"]) == (1, "failed")


def test_an_apply_that_is_interrupted_before_it_began_is_json_too(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    site.arm(1)
    said = run("apply", "plan.json", "-o", "json")
    data = json.loads(said.out)
    assert (said.code, data["outcome"], data["run"], data["changed"]) == (130, "interrupted", None, [])


def test_a_plan_that_can_make_nothing_is_4_and_says_why(run: Run, site: FakeSite) -> None:
    site.host.probes["signatures"][DATA]["wipefs"] = ["xfs@0x0"]

    said = run("plan")

    assert said.code == 4
    assert "holds xfs@0x0: it is never formatted over" in said.out
    assert "destroys   nothing" in said.out


def test_an_altered_plan_file_is_2_and_starts_nothing(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    Path("plan.json").write_text(Path("plan.json").read_text().replace("DATA0001", "DATA0002"))

    for verb in (("apply", "plan.json"), ("approve", "plan.json"), ("render", "plan.json", "--out", "x")):
        said = run(*verb)
        assert said.code == 2
        assert said.err.startswith("plan.json: was altered after it was made")
    assert site.runner.plays == []


def test_a_failed_step_is_1_with_what_is_left_and_the_way_back(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    site.runner.ends = [StepResult(status="failed", message="disk on fire", told={})]

    said = run("apply", "plan.json")

    assert said.code == 1
    assert "mint-data/010 storage.data_disk failed: disk on fire" in said.err
    assert said.err.splitlines()[-1].endswith("take the step back with 'controlplane rollback CAP-" + said.err.rsplit("CAP-", 1)[1].strip())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_with_130_and_the_command_that_goes_on_as_the_last_line(run: Run, site: FakeSite, number: int) -> None:
    run("plan", "--out", "plan.json")
    real = site.runner.run

    def shot(*args: Any, **more: Any) -> StepResult:
        result = real(*args, **more)
        os.kill(os.getpid(), number)
        return result

    site.runner.run = shot  # type: ignore[method-assign]  # a signal that comes while a step runs

    said = run("apply", "plan.json")

    assert said.code == 130
    assert said.out.splitlines()[-1] == "outcome   interrupted"
    [run_key] = {row["run"] for row in json.loads(run("runs", "list", "-o", "json").out)}
    assert said.err.splitlines()[-1] == (
        f"Next: controlplane apply plan.json    (0 of 14 changes are on record as done; {run_key} is open and goes on where it stopped)"
    )
    site.runner.run = real  # type: ignore[method-assign]
    assert run("apply", "plan.json").code == 0


def test_a_window_that_ends_stops_the_run_with_130_and_outside_of_it_nothing_begins(
    run: Run, site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = site.view.model_copy(update={"windows": (Window(start="12:00", end="13:00"),)})
    monkeypatch.setattr(wiring, "governed_site", lambda _given: (view, site.ports))
    run("plan", "--out", "plan.json")
    real = site.runner.run

    def slow(*args: Any, **more: Any) -> StepResult:
        site.clock.time += timedelta(hours=1)
        return real(*args, **more)

    site.runner.run = slow  # type: ignore[method-assign]
    stopped = run("apply", "plan.json")
    assert (stopped.code, len(site.runner.plays)) == (130, 1)
    assert "was not begun: no maintenance window is open; the next one is 2026-01-03 12:00 to 2026-01-03 13:00 UTC" in stopped.err
    refused = run("apply", "plan.json", "-o", "json")
    assert (refused.code, json.loads(refused.out)["outcome"], len(site.runner.plays)) == (4, "refused", 1)
    site.runner.run = real  # type: ignore[method-assign]
    site.clock.time += timedelta(hours=23)
    assert run("apply", "plan.json").code == 0


def test_a_signal_before_the_run_began_says_that_nothing_was_changed(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    site.arm(1)

    said = run("apply", "plan.json")

    assert said.code == 130
    assert said.err.splitlines()[-1] == "Interrupted before the run began. Nothing was changed; run the same command again."


def test_an_open_run_is_listed_with_both_ways_out(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    site.runner.ends = [StepResult(status="unreachable", message="reset", told={})]
    run("apply", "plan.json")

    said = run("runs", "list")

    assert said.out.count("next: resume it: controlplane apply with the same plan file; or take it back: controlplane rollback CAP-") == 2


def test_a_run_whose_machine_is_gone_is_abandoned_with_its_reason(run: Run, site: FakeSite) -> None:
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    assert run("plan", "--out", "plan.json").code == 3
    assert run("apply", "plan.json").code == 130
    key = site.receipts.chain[0].run
    refused = run("runs", "abandon", key, "--reason", "it burnt down")
    assert (refused.code, "mint-data can be reached. Nothing was changed." in refused.err) == (4, True)
    site.evidence.unreached = {"mint-data": "timed\x1b out"}
    gone = run("runs", "abandon", key, "--reason", "it burnt down")
    assert gone.code == 0
    assert gone.out.splitlines() == [
        f"{key} is closed as interrupted; no host was changed.",
        "  mint-data was not reached: timed\ufffd out",
        f"Should its machine come back: controlplane rollback {key}",
    ]
    assert {row["state"] for row in json.loads(run("runs", "list", "-o", "json").out)} == {"interrupted"}
    assert run("runs", "abandon", key).code == 2


def test_a_broken_chain_is_1_and_named(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    run("apply", "plan.json")
    site.receipts.chain[2] = site.receipts.chain[2].model_copy(update={"host": "other"})

    said = run("receipts", "verify", "-o", "json")

    assert said.code == 1
    assert json.loads(said.out)["faults"][0]["reason"] == "does not name the receipt before it: one of the two was altered"


def test_a_key_that_is_none_is_2(run: Run) -> None:
    assert run("runs", "show", "nothing").code == 2
    assert run("receipts", "show", "nothing").code == 2
    assert run("rollback", "nothing").code == 2


def test_approve_names_what_is_destroyed_and_apply_then_goes_through(run: Run, site: FakeSite) -> None:
    site.view = site.view.model_copy(update={"approval": "self"})
    wiring.governed_site = lambda _given: (site.view, site.ports)  # type: ignore[assignment]  # the fixture's patch is undone at its end
    run("plan", "--out", "plan.json")
    assert run("apply", "plan.json").code == 4

    said = run("approve", "plan.json")

    assert "Destructive actions in it: serial DATA0001." in said.out
    assert run("apply", "plan.json").code == 0


def test_verify_after_a_reboot_is_judged_and_on_record(run: Run, site: FakeSite) -> None:
    run("plan", "--out", "plan.json")
    run("apply", "plan.json")

    said = run("verify", "--after-reboot", "-o", "json")

    assert said.code == 3
    assert json.loads(said.out)["summary"]["unknown"] == 0
    assert [receipt.capability for receipt in site.receipts.chain[-2:]] == ["host.reboot", "host.reboot"]


def test_render_writes_a_project_once(run: Run) -> None:
    run("plan", "--out", "plan.json")

    assert run("render", "plan.json", "--out", "project").code == 0
    assert Path("project/site.yml").exists()
    assert run("render", "plan.json", "--out", "project").code == 2


def test_lease_show_and_take_of_a_free_host(run: Run, site: FakeSite) -> None:
    assert run("lease", "show", "mint-data").out == "mint-data: nobody holds it\n"
    assert run("lease", "take", "mint-data").out == "Nobody holds mint-data: nothing to take over.\n"
    assert site.runner.plays == []
    assert run("lease", "show", "elsewhere").code == 2


def test_the_preview_marks_what_is_destroyed_and_keeps_control_characters_off_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    plan = FakeSite().plan()
    odd = Change(kind="file", target="/etc/fstab", before="\x1b[2J old\nsecond", after="new")
    plan = plan.model_copy(update={"steps": (plan.steps[0].model_copy(update={"changes": (*plan.steps[0].changes, odd)}),)})

    show_plan(plan, "plan.json")

    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0] == "mint-data/010  storage.data_disk"
    assert lines[1] == "  mends      D240 mount:/mnt/data"
    assert lines[2].startswith("  mkfs       serial DATA0001 (destructive): blank -> ext4 UUID=")
    assert "  file       /etc/fstab" in lines
    assert lines[lines.index("  file       /etc/fstab") + 1 :][:3] == ["      - \ufffd[2J old", "      - second", "      + new"]
    assert "destroys   serial DATA0001 on mint-data" in lines
    assert lines[-1] == "next       controlplane apply plan.json    (nothing was changed so far)"


def test_the_preview_in_the_docs_is_one_that_the_program_prints(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(FakeSite().plan(), "plan.json")
    printed = capsys.readouterr().out.splitlines()
    page = (Path(__file__).resolve().parents[3] / "docs/plan-and-apply.md").read_text()
    shown = page.partition("$ controlplane plan --host mint-data --out plan.json\n")[2].partition("```")[0].splitlines()
    assert len(shown) > 15
    assert [line for line in shown if line.strip() not in ("", "…") and line not in printed] == []


@pytest.mark.parametrize(("approval", "who"), [("self", ""), ("other", "another person: ")])
def test_the_way_on_from_a_plan_names_the_approval_that_the_site_demands(run: Run, site: FakeSite, approval: str, who: str) -> None:
    site.view = site.view.model_copy(update={"approval": approval})
    said = run("plan", "--out", "plan.json").out.splitlines()[-1]
    assert said == f"next       {who}controlplane approve plan.json, then: controlplane apply plan.json    (nothing was changed so far)"
    said = run("plan").out.splitlines()[-1]
    anew = "next       run this again with --out FILE, then "
    assert said == f"{anew}{who}controlplane approve FILE, then: controlplane apply FILE    (nothing was changed so far)"


def test_the_preview_tells_each_bound_in_its_own_unit(capsys: pytest.CaptureFixture[str]) -> None:
    plan = FakeSite().plan()
    inodes = Bound(host="mint-data", what="free inodes on /mnt/data", measure="free_inodes", of="/mnt/data", at_least=1_051_000)

    show_plan(plan.model_copy(update={"bounds": (plan.bounds[0], inodes)}), None)

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("bound ")]
    assert told == [
        "bound      mint-data: size of serial DATA0001: at least 3,000,000,000 bytes needed at apply",
        "bound      mint-data: free inodes on /mnt/data: at least 1,051,000 inodes needed at apply",
    ]


@pytest.mark.parametrize("verb", ["plan", "approve", "apply", "rollback", "verify", "runs", "lease", "render", "receipts"])
def test_every_verb_has_help_with_an_example(run: Run, verb: str) -> None:
    said = run(verb, "--help")

    assert said.code == 0
    assert "Example: controlplane " in said.out


def test_ready_says_what_is_in_the_way_and_writes_the_plan_that_mends_it(run: Run) -> None:
    said = run("ready", "mint-data", "--plan", "mend.json")
    assert said.code == 3
    assert "DRIFTED D240 mount:/mnt/data  [storage.data_disk]" in said.out
    assert said.out.splitlines()[-1] == "next      controlplane apply mend.json    (3 steps; nothing was changed so far)"
    assert run("apply", "mend.json").code == 0


@pytest.mark.parametrize(("approval", "who"), [("self", ""), ("other", "another person: ")])
def test_the_way_on_from_ready_names_the_approval_that_the_site_demands(run: Run, site: FakeSite, approval: str, who: str) -> None:
    site.view = site.view.model_copy(update={"approval": approval})
    said = run("ready", "mint-data", "--plan", "mend.json").out.splitlines()[-1]
    assert said == f"next      {who}controlplane approve mend.json, then: controlplane apply mend.json    (3 steps; nothing was changed so far)"


def test_a_plan_without_steps_is_not_what_comes_next(run: Run, site: FakeSite) -> None:
    site.evidence.unreached["mint-data"] = "no route"
    said = run("ready", "mint-data", "--plan", "mend.json")
    assert (said.code, Path("mend.json").is_file(), "apply" in said.out) == (5, True, False)


def test_the_json_of_ready_names_host_needs_and_evidence(run: Run) -> None:
    told = json.loads(run("ready", "mint-data", "-o", "json").out)
    assert (told["host"], told["ready"], told["receipt"]) == ("mint-data", False, None)
    assert {"what", "verdict", "reason", "capability", "next"} == set(told["needs"][0])
    assert told["evidence_digest"].startswith("sha256:")


def test_ready_after_a_reboot_is_judged_once_and_both_are_on_record(run: Run, site: FakeSite) -> None:
    before = site.evidence.asked
    said = run("ready", "mint-data", "--after-reboot", "-o", "json")
    assert said.code == 3
    assert [receipt.capability for receipt in site.receipts.chain] == ["host.reboot"] * 2 + ["infra.vm.ready.status"] * 2
    # Who holds it, and then its state.
    assert site.evidence.asked == before + 2
    assert run("ready", "mint-data", "--after-reboot", "--standing").code == 2


@pytest.mark.parametrize("words", [("ready", "mint-data", "--after-reboot", "--plan"), ("plan", "--out")])
def test_where_no_plan_can_be_written_nobody_looks_and_nothing_reboots(run: Run, site: FakeSite, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file/below.json"):
        assert run(*words, str(place)).code == 2
    assert (site.evidence.asked, site.receipts.chain) == (0, [])


def test_the_standing_of_a_host_makes_no_connection(run: Run, site: FakeSite) -> None:
    assert run("ready", "mint-data", "--standing").code == 2
    run("ready", "mint-data")
    asked = site.evidence.asked
    said = run("ready", "mint-data", "--standing")
    assert (said.code, site.evidence.asked) == (3, asked)
    assert "does not say that mint-data is ready" in said.out


def test_a_host_that_machines_yml_does_not_name_is_no_machine_to_make_or_to_bring_up(run: Run) -> None:
    for verb in ("provision", "bootstrap"):
        said = run(verb, "mint-data")
        assert (said.code, said.out) == (2, "")
        assert said.err.splitlines()[0] == (
            "inventory/lab/machines.yml: machines.mint-data: names no machine mint-data, so nothing says what it is made of: "
            "give it a profile, or use: controlplane plan --host mint-data"
        )
    assert "other is not governed by" in run("bootstrap", "other").err


def test_a_machine_without_a_hypervisor_is_brought_up_and_not_made(site: FakeSite, run: Run) -> None:
    site.view = site.view.model_copy(update={"desired": DesiredState(hosts=(desired_host("mint-data", machine=brought_up()),))})

    said = run("provision", "mint-data")
    assert (said.code, said.out) == (2, "")
    assert "machines.mint-data.hypervisor: is not named, so mint-data is made elsewhere" in said.err
    assert "controlplane bootstrap mint-data" in said.err
    said = run("bootstrap", "mint-data", "--out", "plan.json", "-o", "json")
    assert said.code in (3, 5)
    assert json.loads(said.out) == json.loads(Path("plan.json").read_text())
    whole = json.loads(run("plan", "--host", "mint-data", "-o", "json").out)
    assert json.loads(said.out)["steps"] == whole["steps"] != []
