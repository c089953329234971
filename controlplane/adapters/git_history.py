"""The site's files in git: which commit they are at, and which commits changed them since.

Read only. Nothing of the repository's own configuration runs: no hooks, no pager, no file system monitor.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from controlplane.ports import Commit

_LIMIT_S = 30
_SAFE = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false"]
_MARK = "\x1e"


class GitHistory:
    """The history of one site folder; one that is in no repository has none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def head(self) -> str | None:
        """Return the id of the newest commit, None where the site is not under version control, or nothing was committed yet."""
        said = self._git("rev-parse", "--verify", "--quiet", "HEAD")
        return said.strip() if said else None

    def since(self, head: str | None) -> tuple[Commit, ...]:
        """Return the commits after `head` that changed files of the site, the oldest first."""
        if head is None or not all(letter in "0123456789abcdef" for letter in head):
            return ()
        said = self._git("log", "--reverse", "--name-only", f"--format={_MARK}%H%n%s", f"{head}..HEAD", "--", ".") or ""
        found = []
        for entry in said.split(_MARK)[1:]:
            commit, title, *files = entry.splitlines()
            found.append(Commit(commit, title, tuple(file for file in files if file)))
        return tuple(found)

    def uncommitted(self) -> tuple[str, ...]:
        """Return the files of the site that differ from the newest commit."""
        said = self._git("status", "--porcelain=v1", "-z", "--untracked-files=all", "--", ".") or ""
        return tuple(entry[3:] for entry in said.split("\0") if len(entry) > 3)

    def upstream(self) -> tuple[int, int] | None:
        """Return how many commits the site's branch is ahead of and behind its upstream, None where it has none."""
        said = self._git("rev-list", "--left-right", "--count", "HEAD...@{upstream}")
        if not said:
            return None
        ahead, behind = said.split()
        return int(ahead), int(behind)

    def _git(self, *words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "--no-pager", *_SAFE, "-C", str(self._folder), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None
