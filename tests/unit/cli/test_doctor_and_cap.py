"""doctor, cap, snapshot and session as a person and a script meet them, on a copy of the lab's site."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import click
import pytest

from controlplane import wiring
from controlplane.adapters.receipts import ReceiptFiles
from controlplane.adapters.signing import SshSigner
from controlplane.cli.release import release
from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.capability_registry import REGISTRY
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.session import compared
from controlplane.wiring.releases import releasing
from tests.fakes.chains import close_wave, grow, receipt
from tests.fakes.command_line import Run, Said, command_line
from tests.fakes.evidence_builder import COLLECTED
from tests.fakes.ports import FakeClock
from tests.fakes.release_site import make_site

ROOT = Path(__file__).parents[3]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    shutil.copytree(ROOT / "inventory" / "lab", folder, ignore=shutil.ignore_patterns("state"))
    # The lab's keys are on machines alone that have one.
    text = (folder / "site.yml").read_text()
    (folder / "site.yml").write_text(
        "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("signing_key", "allowed_signers")))
    )
    return folder


@pytest.fixture
def run(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("CONTROLPLANE_SITE", str(site))
    return command_line(monkeypatch, capsys)


def points(said: Said) -> dict[str, tuple[str, str]]:
    return {point["name"]: (point["level"], point["told"]) for point in said.json()["points"]}


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True)


def test_a_site_in_order_is_governed_and_what_it_lacks_is_a_warning(run: Run) -> None:
    said = run("doctor", "-o", "json")
    assert (said.code, said.json()["verdict"], said.json()["failed"]) == (0, "GOVERNED", 0), said
    found = points(said)
    assert found["registers"] == ("pass", "8 findings, 10 gaps (10 open), 2 loops; every one is linked")
    assert found["signers"] == ("warn", "site.yml names no signing_key: receipts and approvals are not signed")
    assert found["version control"] == ("warn", "the site is not under version control: nobody sees who changed what")


def test_a_git_that_fails_is_a_point_that_can_not_be_looked_at(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text('#!/bin/sh\necho "fatal: detected dubious ownership in repository" >&2\nexit 128\n')
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    said = run("doctor", "-o", "json")
    level, told = points(said)["version control"]
    assert (level, "git failed there: fatal: detected dubious ownership in repository" in told, said.json()["verdict"]) == ("fail", True, "DRIFT")


def test_what_there_is_one_of_is_told_in_the_singular(tmp_path: Path, run: Run) -> None:
    folder = make_site(tmp_path / "shop")
    ReceiptFiles(folder / "state" / "receipts", SshSigner(None, None)).append(receipt(1, site="shop"))
    found = points(run("doctor", "--site", str(folder), "-o", "json"))
    assert found["policy"][1].startswith("1 host, sha256:")
    assert found["gates"] == ("pass", "1 pack, 0 checks of the site's own, 0 enforced")
    assert found["registers"] == ("pass", "0 findings, 0 gaps (0 open), 1 loop; every one is linked")
    assert found["releases"] == ("pass", "1 stack in 2 environments: shop")
    assert found["chain"] == ("pass", "1 receipt holds")
    (folder / "registers" / "gaps.yml").write_text("gaps: {GAP-OP-1: {title: an orphan, loops: []}}\n")
    assert points(run("doctor", "--site", str(folder), "-o", "json"))["registers"][1].startswith("1 rule does not hold: ")


def test_the_authority_status_of_a_release_is_what_doctor_says(run: Run, site: Path) -> None:
    (site / "waves" / "W9.yml").write_text("goal: 3\n")
    said = run("doctor", "-o", "json").json()
    assert said["verdict"] == "DRIFT"
    # Its store is open meanwhile, as it is while a release is brought.
    with releasing(str(site), None, "production") as (_, ports):
        assert ports.authority().model_dump(mode="json") == said


def test_what_is_broken_fails_by_itself_and_hides_nothing_else(run: Run, site: Path) -> None:
    (site / "policy.yml").write_text("version: 1\nhots: {}\n")
    (site / "state" / "receipts").mkdir(parents=True)
    (site / "state" / "receipts" / "000001-x.json").write_text("{}")
    said = run("doctor", "-o", "json")
    assert (said.code, said.json()["verdict"]) == (1, "DRIFT")
    found = points(said)
    assert found["policy"][0] == "fail"
    assert "did you mean 'hosts'?" in found["policy"][1]
    assert found["chain"][0] == "fail"
    assert found["coordination"] == ("pass", "no wave goes on")


def test_a_closeout_that_was_dropped_fails(run: Run, site: Path) -> None:
    store = ReceiptFiles(site / "state" / "receipts", SshSigner(None, None))
    grow(store, 2)
    closeout = close_wave(site, store, minute=9)
    assert points(run("doctor", "-o", "json"))["chain"] == ("pass", "4 receipts hold")
    closeout.unlink()
    level, told = points(run("doctor", "-o", "json"))["chain"]
    assert (level, "1 fault: state/waves/W8B/20260102-120000/closeout.json can't be read" in told) == ("fail", True), told


def test_a_change_of_modes_and_an_end_of_a_wave_that_were_stopped_are_a_warning_until_something_ends_there(run: Run, site: Path) -> None:
    store = ReceiptFiles(site / "state" / "receipts", SshSigner(None, None))
    store.append(receipt(1, capability="gates.promote", step="gates.yml", plan="", host="*"))
    store.append(receipt(2, capability="wave.close", step="W8B", plan="", host="*"))
    store.append(receipt(3, capability="verify.pack.run", step="mint", plan="", host="*"))
    level, told = points(run("doctor", "-o", "json"))["open runs"]
    modes, wave = told.split("; ")
    assert (level, modes.startswith(f"{receipt(1).key} (gates.yml) was stopped before its end was on record: give the same proposal")) == (
        "warn",
        True,
    )
    assert wave == f"{receipt(2).key} (W8B) was stopped before its end was on record: controlplane wave status W8B says what to type"
    store.append(receipt(1, "result", capability="gates.promote", step="gates.yml", plan="", host="*"))
    for phase in ("intent", "result"):
        store.append(receipt(4, phase, capability="wave.abort", step="W8B", plan="", host="*"))
    assert points(run("doctor", "-o", "json"))["open runs"] == ("pass", "none")


def test_a_look_from_a_clock_that_runs_ahead_leaves_the_sites_time_as_it_is(run: Run, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = FakeClock(COLLECTED + timedelta(days=400))
    with monkeypatch.context() as wrong:
        wrong.setattr(wiring, "clock", lambda: ahead)
        assert points(run("doctor", "-o", "json"))["coordination"] == ("pass", "no wave goes on")
    with wiring.coordination(str(site)) as store:
        store.assert_time(COLLECTED)


def test_an_orphan_in_the_registers_makes_it_drift(run: Run, site: Path) -> None:
    file = site / "registers" / "findings.yml"
    file.write_text(file.read_text().replace("gaps: [GAP-OP-949]", "gaps: []"))
    said = run("cap", "run", "authority.project.status", "-o", "json")
    assert said.code == 1
    assert "has no gap" in points(said)["registers"][1]
    assert said.err == "$ controlplane doctor -o json\n"


def test_a_policy_older_than_its_upstream_fails(run: Run, site: Path, tmp_path: Path) -> None:
    (site / ".gitignore").write_text("state/\n")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one")):
        git(site, *words)
    git(tmp_path, "clone", "-q", "--bare", str(site), "upstream.git")
    git(site, "remote", "add", "origin", str(tmp_path / "upstream.git"))
    git(site, "fetch", "-q")
    git(site, "branch", "-q", "--set-upstream-to=origin/main")
    level, told = points(run("doctor", "-o", "json"))["version control"]
    assert (level, ", as its upstream, as fetched " in told) == ("pass", True), told
    (site / "hosts.yml").write_text((site / "hosts.yml").read_text() + "# more\n")
    level, told = points(run("doctor", "-o", "json"))["version control"]
    assert (level, ", as its upstream, as fetched " in told, told.endswith("; not committed: hosts.yml")) == ("warn", True, True), told
    git(site, "commit", "-qam", "two")
    level, told = points(run("doctor", "-o", "json"))["version control"]
    assert (level, "1 commit not pushed to its upstream, as fetched " in told) == ("warn", True), told
    git(site, "push", "-q")
    git(site, "reset", "-q", "--hard", "HEAD~1")
    level, told = points(run("doctor", "-o", "json"))["version control"]
    assert (level, "1 commit behind its upstream, as fetched " in told) == ("fail", True), told
    (site / "hosts.yml").write_text((site / "hosts.yml").read_text() + "# less\n")
    said = run("doctor", "-o", "json")
    level, told = points(said)["version control"]
    ends = "pull first, or you work by an old policy; not committed: hosts.yml"
    assert (said.json()["verdict"], level, "1 commit behind its upstream" in told, told.endswith(ends)) == ("DRIFT", "fail", True, True), told


def test_what_nobody_fetched_for_long_is_no_pass(run: Run, site: Path, tmp_path: Path) -> None:
    (site / ".gitignore").write_text("state/\n")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one")):
        git(site, *words)
    git(tmp_path, "clone", "-q", "--bare", str(site), "upstream.git")
    git(site, "remote", "add", "origin", str(tmp_path / "upstream.git"))
    git(site, "fetch", "-q")
    git(site, "branch", "-q", "--set-upstream-to=origin/main")
    fetched = site / ".git" / "FETCH_HEAD"
    then = time.time() - 3 * 86400
    os.utime(fetched, (then, then))
    level, told = points(run("doctor", "-o", "json"))["version control"]
    assert (level, told.partition(", ")[2]) == (
        "warn",
        "as its upstream, as fetched 3 d ago: 'git fetch' shows whether others changed the policy meanwhile",
    )
    fetched.unlink()
    level, told = points(run("doctor", "-o", "json"))["version control"]
    assert (level, "as it was cloned: nobody has fetched since: 'git fetch' shows" in told) == ("warn", True), told
    # The remote may be gone: it is not asked.
    shutil.rmtree(tmp_path / "upstream.git")
    git(site, "branch", "-q", "here")
    git(site, "branch", "-q", "--set-upstream-to=here")
    level, told = points(run("doctor", "-o", "json"))["version control"]
    assert (level, told.endswith("its upstream is a branch of this repository: it is on this machine alone")) == ("warn", True), told


def test_an_open_run_is_told_with_what_closes_it_where_its_machine_is_gone(run: Run, site: Path) -> None:
    store = ReceiptFiles(site / "state" / "receipts", SshSigner(None, None))
    store.append(receipt(1))
    key = receipt(1).run
    abandon = f'A machine is gone for good? controlplane runs abandon {key} --reason "..."'
    told = f"{key} is open: go on with it or take it back (controlplane runs list). {abandon}"
    assert points(run("doctor", "-o", "json"))["open runs"] == ("warn", told)


def test_the_registry_names_every_capability_with_the_verb_that_it_is(run: Run) -> None:
    assert set(CAPABILITIES) <= set(REGISTRY)
    listed = run("cap", "list", "-o", "json").json()["capabilities"]
    assert {one["name"] for one in listed} == set(REGISTRY)
    for name, one in REGISTRY.items():
        assert run(*[word for word in one.verb if word not in ("--capability", name)], "--help").code == 0
    assert REGISTRY["storage.purge"].safety == "destructive"
    shown = run("cap", "show", "docker.data_root").out
    assert "role      docker_data_root" in shown
    assert "verb      controlplane plan --capability docker.data_root" in shown


def test_the_registry_reaches_every_verb_of_releases_with_what_it_takes() -> None:
    context = click.Context(release)
    verbs = {name: release.get_command(context, name) for name in release.list_commands(context)}
    reached = {one.verb[1]: one for one in REGISTRY.values() if one.verb[0] == "release"}
    assert set(reached) == set(verbs)
    assert {name: (one.safety, one.approval, one.role, one.receipt) for name, one in reached.items() if one.safety != "read-only"} == {
        "smoke": ("records", "none", None, True),
        "recert": ("records", "none", None, True),
        "close": ("records", "none", None, True),
        "stage": ("mutating", "plan", "compose_stack", True),
        "promote": ("mutating", "plan", "compose_stack", True),
        "rollback": ("mutating", "none", "compose_stack", True),
    }
    assert {name for name, one in reached.items() if one.safety == "read-only" and not one.receipt} == {"check", "status", "brief"}
    for name, one in reached.items():
        verb, named = verbs[name], {word.partition(" ")[0] for word in one.inputs}
        assert verb is not None
        options = {parameter.opts[0]: parameter.required for parameter in verb.params if isinstance(parameter, click.Option)}
        assert named <= {"STACK", *options}, name
        assert {option for option, required in options.items() if required} <= named, name


def test_a_capability_that_there_is_not_is_refused_with_those_that_there_are(run: Run) -> None:
    said = run("cap", "run", "docker.prune")
    assert (said.code, "there is no capability 'docker.prune'; there are session.start" in said.err) == (2, True), said


def test_the_exit_code_of_a_capability_is_the_verbs(run: Run, site: Path) -> None:
    assert run("cap", "run", "gaps.status").code == 0
    file = site / "registers" / "gaps.yml"
    file.write_text(file.read_text().replace("loops: [LOOP-STORAGE-BOOT-DRIVE-AUDIT-20260226]", "loops: []", 1))
    assert run("cap", "run", "gaps.status").code == 1


def finding(check: str, verdict: Verdict, reason: str = "as seen") -> Finding:
    return Finding(check=check, host="mint-data", surface="s", verdict=verdict, severity="high", reason=reason)


def test_a_session_tells_what_drifted_and_what_was_mended_since_the_last() -> None:
    before = (finding("D1", Verdict.MET), finding("D2", Verdict.DRIFTED), finding("D3", Verdict.DRIFTED), finding("D4", Verdict.MET))
    now = (
        finding("D1", Verdict.DRIFTED),
        finding("D2", Verdict.DRIFTED, "differently"),
        finding("D4", Verdict.UNKNOWN),
        finding("D5", Verdict.DRIFTED),
    )
    drifted, mended = compared(now, before)
    assert [one.check for one in drifted] == ["D1", "D4", "D5"]
    assert [one.check for one in mended] == ["D3"]


def test_a_drift_that_turns_unknown_is_not_mended() -> None:
    drifted, mended = compared((finding("D1", Verdict.UNKNOWN),), (finding("D1", Verdict.DRIFTED),))
    assert ([one.check for one in drifted], mended) == (["D1"], ())
