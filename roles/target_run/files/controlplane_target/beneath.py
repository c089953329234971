"""Look at the bare directory beneath a mount, or set its flag, in a process of its own: a mount namespace can't be left."""

from __future__ import annotations

import sys
from pathlib import Path

from . import command


def beneath(action: str, path: str) -> tuple[command.Said, list[str]]:
    """Run the verb `bare`; return what it said, and the command that it was."""
    argv = [sys.executable, "-I", "-S", "-X", "utf8", str(Path(__file__).parent), "bare", action, path]
    return command.run(argv), argv
