"""What a wave leaves on disk, what git says of the site's files, and the proof of a backup."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.adapters.backup_proof import SiteBackupProof
from controlplane.adapters.evidence_files import EvidenceFiles
from controlplane.adapters.git_history import GitHistory
from controlplane.adapters.wave_folder import WaveFiles
from controlplane.domain.errors import RunFailedError, UnknownError
from controlplane.domain.evidence import Unreached
from controlplane.domain.site import BackupGate

HOSTILE = ('a"b.yml', "tab\there.yml", "line\nfeed.yml", "-rf.yml", "mark\x1erecord.yml", "grün.yml", "ctl\x1b[31m.yml")

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Return what runs git in a new repository whose site is inventory/lab."""
    (tmp_path / "inventory/lab").mkdir(parents=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def call(*words: str) -> str:
        named = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgSign=false"]
        done = subprocess.run(["git", *named, "-C", str(tmp_path), *words], capture_output=True, check=True, text=True)
        return done.stdout.strip()

    call("init", "-q")
    (tmp_path / "inventory/lab/policy.yml").write_text("1\n")
    call("add", "-A")
    call("commit", "-qm", "first")
    return call


def test_commits_since_are_told_with_every_name_as_it_is(git: Git, tmp_path: Path) -> None:
    site = tmp_path / "inventory/lab"
    history = GitHistory(site)
    head = history.head()
    assert head == git("rev-parse", "HEAD")
    assert history.since(head) == ()
    for name in HOSTILE:
        (site / name).write_text("x")
    git("add", "-A")
    git("commit", "-qm", f"names\x1e{'0' * 40}\x1e mark\n\nbody")
    (tmp_path / "outside.txt").write_text("x")
    git("add", "-A")
    git("commit", "-qm", "elsewhere")
    (site / "policy.yml").rename(site / "policies.yml")
    git("add", "-A")
    git("commit", "-qm", "renamed")

    names, renamed = history.since(head)

    assert names.id == git("rev-parse", "HEAD~2")
    assert names.title == f"names\x1e{'0' * 40}\x1e mark"
    assert set(names.files) == {f"inventory/lab/{name}" for name in HOSTILE}
    assert (renamed.title, renamed.files) == ("renamed", ("inventory/lab/policies.yml", "inventory/lab/policy.yml"))


def test_what_is_not_committed_is_told_without_what_the_program_keeps_itself(git: Git, tmp_path: Path) -> None:
    site = tmp_path / "inventory/lab"
    (site / "state").mkdir()
    (site / "state/coordination.sqlite").write_text("x")
    (tmp_path / "outside.txt").write_text("x")
    history = GitHistory(site)
    assert history.uncommitted() == ()
    for name in HOSTILE:
        (site / name).write_text("x")
    git("mv", "inventory/lab/policy.yml", "inventory/lab/policies.yml")
    assert set(history.uncommitted()) == {f"inventory/lab/{name}" for name in (*HOSTILE, "policy.yml", "policies.yml")}


def test_a_status_that_git_can_not_tell_is_unknown_and_never_nothing(git: Git, tmp_path: Path) -> None:
    (tmp_path / ".git" / "index").write_bytes(b"damaged")
    history = GitHistory(tmp_path / "inventory/lab")
    assert history.head() == git("rev-parse", "HEAD")
    with pytest.raises(UnknownError, match=r"what is not committed of .*inventory/lab is not known: git status failed there"):
        history.uncommitted()


def test_a_history_that_was_rewritten_is_said_and_not_left_out(git: Git, tmp_path: Path) -> None:
    del git
    [told] = GitHistory(tmp_path / "inventory/lab").since("0" * 40)
    assert (told.id, told.title) == ("0" * 40, "the commits since this one can't be told: it is not in the history any more")


@pytest.mark.parametrize("head", [None, "HEAD", "--output=/tmp/x", ""])
def test_what_is_no_commit_is_asked_of_nobody(git: Git, tmp_path: Path, head: str | None) -> None:
    del git
    assert GitHistory(tmp_path / "inventory/lab").since(head) == ()


def test_neither_hooks_nor_another_repositorys_environment_have_a_say(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git("rev-parse", "HEAD")
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    monitor.chmod(0o755)
    git("config", "core.fsmonitor", str(monitor))
    git("config", "log.showSignature", "true")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    history = GitHistory(tmp_path / "inventory/lab")
    assert (history.head(), history.uncommitted()) == (head, ())
    assert not (tmp_path / "ran").exists()


def test_a_site_under_no_version_control_has_no_history(tmp_path: Path) -> None:
    history = GitHistory(tmp_path)
    assert (history.head(), history.uncommitted(), history.upstream()) == (None, (), None)


def test_a_repository_without_a_commit_has_no_history_yet(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "policy.yml").write_text("1\n")
    assert (GitHistory(tmp_path).head(), GitHistory(tmp_path).uncommitted()) == (None, ("policy.yml",))


# A git that says this on standard error and ends so.
FAILS = {
    "dubious": ("fatal: detected dubious ownership in repository at '/x'\nTo add an exception for this directory, call:", 128),
    "worktree": ("fatal: not a git repository: /gone/.git/worktrees/x", 128),
    "reference": ("warning: ignoring broken ref refs/heads/main", 1),
    "silent": ("", 128),
}


@pytest.mark.parametrize("how", [*FAILS, "slow", "gone"])
def test_a_git_that_fails_is_doubt_and_no_lack_of_version_control(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    head = git("rev-parse", "HEAD")
    (tmp_path / "bin").mkdir()
    if how != "gone":
        said, code = FAILS.get(how, ("", 0))
        (tmp_path / "bin/git").write_text(f'#!/bin/sh\n{"exec /bin/sleep 9" if how == "slow" else ""}\necho "{said}" >&2\nexit {code}\n')
        (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("controlplane.adapters.git_history._LIMIT_S", 0.2)
    history = GitHistory(tmp_path / "inventory/lab")
    why = {"slow": "it did not answer within 0.2 s", "gone": "there is no git on this controller", "silent": "it does not say why"}.get(how, "")
    for asked in (history.head, lambda: history.since(head), history.uncommitted):
        with pytest.raises(UnknownError, match=rf"the history of .*inventory/lab is not known: git failed there: {why}.*Look why"):
            asked()


def test_a_controller_without_git_leads_a_site_that_no_repository_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    history = GitHistory(tmp_path)
    assert (history.head(), history.uncommitted(), history.upstream()) == (None, (), None)


def test_commits_that_git_can_not_list_are_unknown_and_none_is_left_out(git: Git, tmp_path: Path) -> None:
    head = git("rev-parse", "HEAD")
    for _ in range(2):
        git("commit", "-qm", "more", "--allow-empty")
    lost = git("rev-parse", "HEAD~1")
    (tmp_path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    with pytest.raises(UnknownError, match="it can't list the commits since"):
        GitHistory(tmp_path / "inventory/lab").since(head)


def test_ahead_and_behind_are_counted(git: Git, tmp_path: Path) -> None:
    git("branch", "up")
    git("config", f"branch.{git('branch', '--show-current')}.remote", ".")
    git("config", f"branch.{git('branch', '--show-current')}.merge", "refs/heads/up")
    git("commit", "-qm", "more", "--allow-empty")
    stands = GitHistory(tmp_path / "inventory/lab").upstream()
    assert stands is not None
    assert (*stands[:2], stands.fetched, stands.is_here) == (1, 0, None, True)


# --- files of a wave


def test_files_of_a_wave_are_named_from_the_site_and_read_by_their_owner_only(tmp_path: Path) -> None:
    files = WaveFiles(tmp_path)
    name = files.keep("W1", "20260102-120000-0001", "closeout.json", b"{}\n")
    assert name == "state/waves/W1/20260102-120000-0001/closeout.json"
    assert (files.read(name), (tmp_path / name).stat().st_mode & 0o777) == (b"{}\n", 0o600)
    seen = {"a": Unreached(host="a", reason="gone")}
    kept = files.keep_evidence("W1", "x", "preflight-1", seen)
    assert EvidenceFiles().read(str(tmp_path / kept)) == seen
    assert (tmp_path / kept).stat().st_mode & 0o777 == 0o600
    assert [one.name for one in (tmp_path / "state/waves/W1/x").iterdir()] == ["preflight-1.json"]


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"closeout.json can't be read \(No such file or directory\)"):
        WaveFiles(tmp_path).read("state/waves/W1/x/closeout.json")


# --- backups


def proof(tmp_path: Path, **gate: object) -> SiteBackupProof:
    return SiteBackupProof(tmp_path, BackupGate.model_validate(gate))


def test_a_proof_is_as_old_as_its_file(tmp_path: Path) -> None:
    (tmp_path / "proof").touch()
    os.utime(tmp_path / "proof", (time.time() - 100, time.time() - 100))
    assert 100 <= proof(tmp_path, file="proof").age_s() < 130


@pytest.mark.parametrize(("step", "told"), [(None, "can't be read: No such file or directory"), (4000, "is from the future, by 4000 s")])
def test_a_proof_that_is_gone_or_from_the_future_proves_nothing(tmp_path: Path, step: int | None, told: str) -> None:
    if step is not None:
        (tmp_path / "proof").touch()
        os.utime(tmp_path / "proof", (time.time() + step + 0.5, time.time() + step + 0.5))
    with pytest.raises(ValueError, match=told):
        proof(tmp_path, file="proof").age_s()


def test_a_command_proves_by_its_exit_code_in_the_sites_folder(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    assert proof(tmp_path, command=["test", "-e", "here"]).age_s() == 0.0


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["sh", "-c", "echo no snapshot; exit 3"], r"sh says that there is none \(exit 3\): no snapshot"),
        (["/no/such/tool"], "can't prove a backup"),
        (["test", "-e", "$(touch ran)"], "says that there is none"),
    ],
)
def test_a_command_that_fails_or_is_not_there_proves_nothing(tmp_path: Path, command: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        proof(tmp_path, command=command).age_s()
    assert not (tmp_path / "ran").exists()


def test_a_site_that_names_no_proof_has_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the site names no proof of a backup"):
        SiteBackupProof(tmp_path, None).age_s()
