"""How git is started here: read only, by plumbing whose form no configuration changes, and never towards a network.

No hooks, no pager, no signatures shown, no file system monitor; replaced objects are shown as they are, and missing ones are not fetched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def git_argv(folder: Path, words: Sequence[str]) -> list[str]:
    """Return the command line of one git command in that folder."""
    return ["git", "--no-pager", *_SAFE, "-C", str(folder), *words]


def git_environment() -> dict[str, str]:
    """Return git's environment: a git that runs this program (a hook, an alias) would name another repository in it."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GIT_")}, **_QUIET}
