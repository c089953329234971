"""The site's files in git: which commit they are at, and which commits changed them since.

Rules:
- Read only, by plumbing whose form no configuration changes: no hooks, no pager, no signatures shown, no file system monitor.
- Names and titles are data: they come separated by NUL, which neither can hold, and are never split at anything else.
- What can't be told is said (a history that was rewritten), never left out.
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
_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# The site's files without what this program itself keeps there.
_OWN = ("--", ".", ":(exclude)state")


class GitHistory:
    """The history of one site folder; one that is in no repository has none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def head(self) -> str | None:
        """Return the id of the newest commit, None where the site is not under version control, or nothing was committed yet."""
        said = self._git("rev-parse", "--verify", "--quiet", "HEAD")
        return said.strip() if said else None

    def since(self, head: str | None) -> tuple[Commit, ...]:
        """Return the commits after `head` that changed files of the site, the oldest first; files are named from the repository's top."""
        if head is None or not _ID.fullmatch(head):
            return ()
        said = self._git("rev-list", "--reverse", f"{head}..HEAD", *_OWN)
        if said is None:
            return (Commit(head, "the commits since this one can't be told: it is not in the history any more", ()),)
        return tuple(self._commit(commit) for commit in said.split())

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
        title = self._git("rev-list", "--max-count=1", "--no-commit-header", "--format=%s", commit) or ""
        files = self._git("diff-tree", "--root", "-r", "-m", "-z", "--name-only", "--no-commit-id", "--no-renames", commit, *_OWN) or ""
        return Commit(commit, title.rstrip("\n"), tuple(dict.fromkeys(file for file in files.split("\0") if file)))

    def _git(self, *words: str) -> str | None:
        try:
            done = subprocess.run(
                git_argv(self._folder, words),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LIMIT_S,
                check=False,
                env=git_environment(),
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None
