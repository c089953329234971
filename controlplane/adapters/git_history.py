"""The site's files in git: which commit they are at, and which commits changed them since.

Rules:
- Read only, by plumbing whose form no configuration changes: no hooks, no pager, no signatures shown, no file system monitor.
- Names and titles are data: they come separated by NUL, which neither can hold, and are never split at anything else.
- What can't be told is said (a history that was rewritten), never left out. A git that fails is doubt: only one that says that the folder is in no
  repository, or that nothing was committed yet, means that there is no history.
"""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from controlplane.adapters.git_command import git_argv, git_environment
from controlplane.domain.errors import UnknownError
from controlplane.domain.examination import Upstream
from controlplane.ports.waves import Commit

_LIMIT_S = 30
# How git says that a folder is in no repository; of one whose .git leads nowhere it says another word.
_NO_REPOSITORY = "fatal: not a git repository (or any "
_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# The site's files without what this program itself keeps there.
_OWN = ("--", ".", ":(exclude)state")


class GitHistory:
    """The history of one site folder; one that is in no repository has none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def head(self) -> str | None:
        """Return the id of the newest commit, None where the site is not under version control, or nothing was committed yet.

        Raises `UnknownError` where git can't tell.
        """
        try:
            done = self._asked("rev-parse", "--verify", "--quiet", "HEAD")
        except FileNotFoundError:
            if any((above / ".git").exists() for above in (self._folder.resolve(), *self._folder.resolve().parents)):
                raise self._unknown("there is no git on this controller") from None
            return None
        if done.returncode == 0:
            return done.stdout.decode(errors="replace").strip()
        why = done.stderr.decode(errors="replace").strip()
        # Asked to be quiet, git says nothing where HEAD names no commit yet.
        if why.startswith(_NO_REPOSITORY) or (done.returncode == 1 and not why):
            return None
        raise self._unknown(why)

    def since(self, head: str | None) -> tuple[Commit, ...]:
        """Return the commits after `head` that changed files of the site, the oldest first; files are named from the repository's top.

        Raises `UnknownError` where git can't tell.
        """
        if head is None or not _ID.fullmatch(head):
            return ()
        said = self._git("rev-list", "--reverse", f"{head}..HEAD", *_OWN)
        if said is not None:
            return tuple(self._commit(commit) for commit in said.split())
        gone = "the site is under no version control any more" if self.head() is None else "it is not in the history any more"
        if self._git("cat-file", "-e", f"{head}^{{commit}}") is not None:
            raise self._unknown(f"it can't list the commits since {head}")
        return (Commit(head, f"the commits since this one can't be told: {gone}", ()),)

    def uncommitted(self) -> tuple[str, ...]:
        """Return the files of the site that differ from the newest commit. Raises `UnknownError` where that can't be told."""
        said = self._git("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", *_OWN)
        if said is None and self.head() is not None:
            raise UnknownError(
                f"what is not committed of {self._folder} is not known: git status failed there. Look why (git -C {self._folder} status), then run "
                "the same command again."
            )
        if said is None:
            return ()
        return tuple(entry[3:] for entry in said.split("\0") if len(entry) > 3)

    def upstream(self) -> Upstream | None:
        """Return how the site's branch stands to its upstream, None where it has none. The remote itself is not asked."""
        said = self._git("rev-list", "--left-right", "--count", "HEAD...@{upstream}")
        if not said:
            return None
        ahead, behind = said.split()
        name = self._git("rev-parse", "--symbolic-full-name", "@{upstream}") or ""
        return Upstream(int(ahead), int(behind), self._fetched(), is_here=name.startswith("refs/heads/"))

    def _fetched(self) -> datetime | None:
        # Every fetch writes this file anew, also one that brings nothing; a clone has none until its first fetch.
        said = self._git("rev-parse", "--git-path", "FETCH_HEAD")
        if not said:
            return None
        try:
            return datetime.fromtimestamp((self._folder / said.rstrip("\n")).stat().st_mtime, UTC)
        except OSError:
            return None

    def _commit(self, commit: str) -> Commit:
        title = self._git("rev-list", "--max-count=1", "--no-commit-header", "--format=%s", commit)
        files = self._git("diff-tree", "--root", "-r", "-m", "-z", "--name-only", "--no-commit-id", "--no-renames", commit, *_OWN)
        if title is None or files is None:
            raise self._unknown(f"it can't show commit {commit}")
        return Commit(commit, title.rstrip("\n"), tuple(dict.fromkeys(file for file in files.split("\0") if file)))

    def _git(self, *words: str) -> str | None:
        """Return what a command printed, None where it ended otherwise than well."""
        try:
            done = self._asked(*words)
        except FileNotFoundError:
            return None
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None

    def _asked(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Raise `FileNotFoundError` where there is no git, `UnknownError` where it can't be run or does not answer in time."""
        try:
            return subprocess.run(
                git_argv(self._folder, words),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LIMIT_S,
                check=False,
                env=git_environment(),
            )
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unknown(f"it can't be run ({error.strerror})") from error
        except subprocess.TimeoutExpired:
            raise self._unknown(f"it did not answer within {_LIMIT_S} s") from None

    def _unknown(self, why: str) -> UnknownError:
        shown = " ".join("".join(letter if letter.isprintable() else " " for letter in why).split()) or "it does not say why"
        return UnknownError(
            f"the history of {self._folder} is not known: git failed there: {shown.rstrip('.')}. Nothing was changed. Look why "
            f"(git -C {self._folder} status), then run the same command again."
        )
