"""A secret is found in a site's files, in what git has staged and in every commit of every branch; what can't be looked at is said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from controlplane.adapters import git_stream
from controlplane.adapters.git_secrets import GitSecrets
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.releases.leaks import Leak, Looked, fault_of
from tests.fakes.release_site import PASSWORD, Git, commit, make_git, make_site, write

ENV = "releases/shop/.env.staging"
SECRETS = {"PASSWORD (staging)": (PASSWORD,)}
TOKEN = "gh" + "p_" + "a1B2" * 9


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a site in a folder of it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    return tmp_path / "repository"


@pytest.fixture
def site(top: Path) -> Path:
    return make_site(top / "inventory/prod")


@pytest.fixture
def git(top: Path, site: Path) -> Git:
    del site
    return make_git(top)


def look(site: Path, **more: object) -> Looked:
    found = GitSecrets(site, **more).look(SECRETS, [ENV])  # type: ignore[arg-type]
    assert not [leak for leak in found.leaks if PASSWORD in str(leak) or TOKEN in str(leak)]
    return found


def leaks(site: Path) -> list[tuple[str, str, int]]:
    return [(leak.kind, leak.file.removeprefix(f"{site}/"), leak.line) for leak in look(site).leaks]


def test_a_site_without_a_leak_is_looked_through_whole(site: Path, git: Git) -> None:
    write(site, "more.txt", "x")
    commit(git)
    found = look(site)
    assert (found.leaks, found.doubts, found.commits) == ((), (), 2)
    assert found.files == len(git("ls-files").splitlines())
    assert found.blobs == len({line.split()[1] for line in git("ls-files", "--stage").splitlines()})


def test_a_value_in_a_file_that_git_has_is_found_there_and_in_its_commit(site: Path, git: Git) -> None:
    write(site, "notes.md", f"first\nthe password is {PASSWORD}\n")
    assert leaks(site) == [("value", "notes.md", 2)]
    head = commit(git)
    assert leaks(site) == [("value", "notes.md", 2), ("value", f"{head}:inventory/prod/notes.md", 2)]


def test_a_value_that_is_staged_and_changed_again_is_found(site: Path, git: Git) -> None:
    write(site, "notes.md", PASSWORD)
    git("add", "-A")
    write(site, "notes.md", "nothing")
    assert leaks(site) == [("value", ":inventory/prod/notes.md", 1)]


@pytest.mark.usefixtures("git")
def test_a_value_in_a_file_that_git_would_take_is_found_also_outside_the_site(site: Path, top: Path) -> None:
    write(top, "elsewhere/deploy.sh", f"export PASSWORD={PASSWORD}\n")
    assert leaks(site) == [("value", str(top / "elsewhere/deploy.sh"), 1)]


def test_a_value_is_found_in_a_commit_that_was_taken_back_on_whatever_branch(site: Path, git: Git) -> None:
    heads = []
    for number, branch in enumerate(("main", "side", "tagged")):
        if branch != "main":
            git("checkout", "-q", "-b", branch)
        write(site, f"n{number}", f"{number}\n{PASSWORD}")
        heads.append(commit(git))
        (site / f"n{number}").unlink()
        commit(git, "taken back")
        if branch != "main":
            git("checkout", "-q", "main")
    git("tag", "kept", "tagged")
    git("branch", "-D", "tagged")
    assert sorted(leaks(site)) == sorted(("value", f"{head}:inventory/prod/n{number}", 2) for number, head in enumerate(heads))


def test_a_value_that_only_a_merge_brought_is_found(site: Path, git: Git) -> None:
    git("checkout", "-q", "-b", "side")
    write(site, "a", "1")
    commit(git)
    git("checkout", "-q", "main")
    write(site, "b", "1")
    commit(git)
    git("merge", "--no-commit", "--no-ff", "-q", "side")
    write(site, "evil", PASSWORD)
    head = commit(git, "merge")
    (site / "evil").unlink()
    commit(git)
    assert leaks(site) == [("value", f"{head}:inventory/prod/evil", 1)]


def test_a_value_in_the_stash_or_on_a_detached_head_is_found(site: Path, git: Git) -> None:
    write(site, "site.yml", f"name: shop # {PASSWORD}\n")
    git("stash", "-q")
    git("checkout", "-q", "--detach")
    write(site, "d", f"\n{PASSWORD} again")
    head = commit(git)
    (site / "d").unlink()
    commit(git)
    found = leaks(site)
    assert ("value", f"{head}:inventory/prod/d", 2) in found
    assert len([file for _, file, _ in found if file.endswith(":inventory/prod/site.yml")]) == 1


def test_a_value_in_a_stash_below_the_newest_is_found(site: Path, git: Git) -> None:
    for number, text in enumerate((PASSWORD, "nothing", "nothing more")):
        write(site, "site.yml", f"name: shop # {text}\n")
        git("stash", "-q", "-m", str(number))
    below = git("rev-parse", "stash@{2}")[:12]
    assert leaks(site) == [("value", f"{below}:inventory/prod/site.yml", 1)]


def test_a_value_in_the_message_of_a_commit_or_a_tag_is_found(site: Path, git: Git) -> None:
    write(site, "a", "1")
    head = commit(git, f"Change a\n\nLog in with {PASSWORD}\nand {TOKEN}")
    git("tag", "-a", "v1", "-m", f"with {PASSWORD}")
    tag = git("rev-parse", "v1")[:12]
    assert leaks(site) == [("value", head, 3), ("form", head, 4), ("value", tag, 1)]
    assert look(site).leaks[0].what == "the value of PASSWORD (staging) in its message"
    write(site, "releases/revoked.txt", f"{git('rev-parse', 'HEAD')} ann, 2026-03-01, by the issuer's page\n")
    assert [(kind, file) for kind, file, _ in leaks(site)] == [("value", head), ("value", tag)]


def test_names_are_told_as_they_are(site: Path, git: Git) -> None:
    name = 'a "b\tc\n:100644 ü.txt'
    write(site, name, PASSWORD)
    head = commit(git)
    (site / name).unlink()
    commit(git)
    assert leaks(site) == [("value", f"{head}:inventory/prod/{name}", 1)]


def test_a_token_by_its_form_is_found_below_the_site_alone(site: Path, top: Path, git: Git) -> None:
    write(site, "a", f"\n{TOKEN}\n")
    write(top, "tests/fixture", TOKEN)
    head = commit(git)
    assert leaks(site) == [("form", "a", 2), ("form", f"{head}:inventory/prod/a", 2)]
    write(site, "copy", TOKEN)
    assert ("form", "copy", 1) in leaks(site)


def test_a_token_of_the_history_that_is_said_to_be_revoked_is_no_leak(site: Path, git: Git) -> None:
    write(site, "a", f"{TOKEN}\n{PASSWORD}\n")
    head = commit(git)
    blob = git("rev-parse", "HEAD:inventory/prod/a")
    (site / "a").unlink()
    write(site, "releases/revoked.txt", f"# of the old pipeline\n{blob} ann, 2026-03-01, by the issuer's page\n")
    commit(git)
    found = look(site)
    assert [(leak.kind, leak.file) for leak in found.leaks] == [("value", f"{head}:inventory/prod/a")]
    assert found.revoked == 1


def test_what_is_said_of_revoked_tokens_has_to_say_who_and_when(site: Path, git: Git) -> None:
    del git
    write(site, "releases/revoked.txt", "0123\n")
    with pytest.raises(InputInvalidError, match=r"revoked\.txt:1: is no 'BLOB WHO AND WHEN'"):
        look(site)


def test_an_environment_file_that_git_has_is_told_in_each_way(site: Path, git: Git) -> None:
    git("add", "-f", f"inventory/prod/{ENV}")
    head = commit(git)
    told = [(leak.file.removeprefix(f"{site}/"), leak.what.split(":")[0]) for leak in look(site).leaks if leak.kind == "env-file"]
    assert told == [
        (ENV, "is tracked by git"),
        (f"{head}:inventory/prod/{ENV}", "is an environment file that was committed, and whoever cloned the repository has every secret in it"),
    ]
    git("rm", "-q", "--cached", f"inventory/prod/{ENV}")
    commit(git)
    assert [leak.file for leak in look(site).leaks if leak.kind == "env-file"] == [f"{head}:inventory/prod/{ENV}"]


def test_an_environment_file_of_the_history_whose_secrets_are_said_to_be_changed_is_no_leak(site: Path, git: Git) -> None:
    """Each content that was committed is told and said to be changed on its own; what is a secret now is looked for all the same."""
    heads, blobs = [], []
    for number, value in enumerate(("first-of-all-9x", PASSWORD)):
        write(site, ENV, f"PASSWORD={value}\n")
        git("add", "-f", f"inventory/prod/{ENV}")
        heads.append(commit(git, str(number)))
        blobs.append(git("rev-parse", f"HEAD:inventory/prod/{ENV}"))
    git("rm", "-q", "--cached", f"inventory/prod/{ENV}")
    commit(git)
    told = [leak for leak in look(site).leaks if leak.kind == "env-file"]
    assert [(leak.file, leak.blob) for leak in told] == [(f"{head}:inventory/prod/{ENV}", blob) for head, blob in zip(heads, blobs, strict=True)]
    assert f"have them changed, then write a line '{blobs[0]} WHO AND WHEN' into releases/revoked.txt" in fault_of(told[0]).message
    write(site, "releases/revoked.txt", "".join(f"{blob} ann, 2026-03-01, all of them anew\n" for blob in blobs))
    commit(git)
    found = look(site)
    assert [(leak.kind, leak.file) for leak in found.leaks] == [("value", f"{heads[1]}:inventory/prod/{ENV}")]
    assert found.revoked == 2


@pytest.mark.parametrize(
    ("rules", "told"),
    [("*.log\n", "is not ignored by git"), (".env.*\n!.env.staging\n", "is not ignored by git"), ("", "is not ignored by git")],
)
def test_an_environment_file_that_git_would_take_is_told(site: Path, git: Git, rules: str, told: str) -> None:
    del git
    (site / "releases/shop/.env.production").unlink()
    write(site, "releases/shop/.gitignore", rules)
    [leak] = look(site).leaks
    assert (leak.kind, leak.what.split(",")[0]) == ("env-file", told)


def test_a_rule_that_others_do_not_have_ignores_nothing(site: Path, top: Path, git: Git) -> None:
    (site / "releases/shop/.env.production").unlink()
    (site / "releases/shop/.gitignore").unlink()
    git("commit", "-qam", "without rules")
    write(top, "mine", ".env.*\n")
    git("config", "core.excludesFile", str(top / "mine"))
    assert [leak.what.split(",")[0] for leak in look(site).leaks if leak.kind == "env-file"] == ["is not ignored by git"]
    (top / "mine").unlink()
    write(top, ".git/info/exclude", ".env.*\n")
    assert [leak.what.split(":")[0] for leak in look(site).leaks] == ["is ignored by this clone's own .git/info/exclude alone"]


def test_a_rule_that_git_does_not_have_ignores_nothing(site: Path, git: Git) -> None:
    (site / "releases/shop/.env.production").unlink()
    rules = (site / "releases/shop/.gitignore").read_text()
    git("rm", "-q", "--cached", "inventory/prod/releases/shop/.gitignore")
    told = "is ignored by a rule that git does not have: git add inventory/prod/releases/shop/.gitignore, and commit it, so that others get it too"
    assert [(leak.kind, leak.what) for leak in look(site).leaks] == [("env-file", told)]
    write(site, "releases/shop/.gitignore", "*.log\n")
    git("add", "inventory/prod/releases/shop/.gitignore")
    git("commit", "-qm", "other rules")
    write(site, "releases/shop/.gitignore", rules)
    assert [leak.what for leak in look(site).leaks] == [told]
    git("add", "-A")
    assert look(site).leaks == ()


def test_a_site_in_no_repository_is_looked_through_and_says_what_it_can_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    site = make_site(tmp_path / "site")
    write(site, "notes", PASSWORD)
    write(site, "state/plans/x", PASSWORD)
    found = GitSecrets(site).look(SECRETS, [ENV, "releases/shop/.env.production"])
    assert [(leak.kind, leak.file) for leak in found.leaks] == [("value", str(site / "notes"))]
    [doubt] = found.doubts
    assert doubt.startswith(f"{site} is in no git repository that can be read, so whether git would take the environment files, or its history")


def test_without_git_it_says_so(site: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    del git
    monkeypatch.setenv("PATH", "/nonexistent")
    [doubt] = look(site).doubts
    assert doubt.startswith("git can't be started (No such file or directory), so whether")


def test_a_clone_without_all_of_the_history_says_so(site: Path, top: Path, git: Git, tmp_path: Path) -> None:
    write(site, "more", "x")
    commit(git)
    for number, (option, told) in enumerate((("--depth=1", "this clone lacks older commits"), ("--filter=blob:none", "this clone lacks contents"))):
        git("config", "uploadpack.allowFilter", "true")
        clone = tmp_path / f"clone{number}"
        subprocess.run(["git", "clone", "-q", option, f"file://{top}", str(clone)], check=True)
        make_site(clone / "inventory/prod")
        assert any(doubt.startswith(told) for doubt in look(clone / "inventory/prod").doubts)


def test_a_content_that_git_lost_is_a_doubt(site: Path, top: Path, git: Git) -> None:
    write(site, "a", "lost")
    head = commit(git)
    blob = git("rev-parse", "HEAD:inventory/prod/a")
    (top / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert look(site).doubts == (f"git lacks the content of {head}:inventory/prod/a, so it was not looked through: try 'git fsck'",)


@pytest.mark.usefixtures("git")
def test_a_history_that_takes_too_long_is_a_doubt(site: Path) -> None:
    [doubt] = look(site, limit_s=0.0).doubts
    assert doubt.startswith("git was not done within 0 s, so the history was not looked through to its end") or "before its time" in doubt


def test_a_repository_of_its_own_below_the_site_is_a_doubt(site: Path, git: Git) -> None:
    del git
    write(site, "nested/a", PASSWORD)
    make_git(site / "nested")
    assert [doubt.removeprefix(f"{site}/") for doubt in look(site).doubts] == ["nested is a repository of its own, which was not looked through"]


def test_contents_in_many_pieces_and_batches_are_looked_through(site: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_stream, "PIECE", 7)
    monkeypatch.setattr(git_stream, "AT_ONCE", 3)
    for number in range(10):
        write(site, f"f{number}", f"{number}\n" * 50 + (PASSWORD if number == 7 else ""))
    head = commit(git)
    for number in range(10):
        (site / f"f{number}").unlink()
    commit(git)
    assert leaks(site) == [("value", f"{head}:inventory/prod/f7", 51)]


def test_each_kind_of_leak_says_what_to_do() -> None:
    told = {
        ("value", None): "take it out, and have it changed where it is used",
        ("form", None): "take it out, and have it revoked where it was issued",
        ("value", "b" * 40): "whoever cloned the repository has it: have it changed where it is used",
        ("form", "b" * 40): f"write a line '{'b' * 40} WHO AND WHEN' into releases/revoked.txt",
    }
    for (kind, blob), words in told.items():
        fault = fault_of(Leak.model_validate({"kind": kind, "file": "f", "line": 3, "what": "the value of A", "blob": blob}))
        assert (fault.file, fault.line) == ("f", 3)
        assert words in fault.message
