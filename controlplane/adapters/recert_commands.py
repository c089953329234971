"""Run the commands that certify a release, on the controller: one program each, started from its argument list.

Rules:
- No shell reads a command, and nobody types into it. Its environment is the operator's, with the site's folder in CONTROLPLANE_SITE, and
  the manifest's name and commit in CONTROLPLANE_RELEASE_MANIFEST and CONTROLPLANE_RELEASE_COMMIT.
- A first word `controlplane` is this very program, not one that a PATH leads to.
- Whatever it started ends with it: when it ends, at its time limit, and when this is interrupted.
- Of what it says its last lines are kept, without control characters and without values of environment files.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import IO

from controlplane.adapters.process_tree import ProcessTree, in_session
from controlplane.adapters.shell_secrets import shell_secrets
from controlplane.domain.releases.hiding import hide
from controlplane.domain.releases.smoke import CommandRan
from controlplane.domain.releases.values import Recert

# Not what the folder that it runs in may hold under that name.
_THIS = (sys.executable, "-P", "-m", "controlplane")
_GRACE = 5.0
_TICK = 0.1
_KEPT_LINES, _LONGEST_LINE, _KEPT_BYTES = 20, 300, 64 * 1024
# Colours, cursors and titles of terminals, whole; what is left of control characters goes one by one.
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_])")


class CommandRunner:
    """Runs commands of one site folder."""

    def __init__(self, folder: Path, *, grace: float = _GRACE) -> None:
        self._site, self._grace = folder.resolve(), grace

    def run(self, command: Recert, *, release: Mapping[str, str], hidden: Sequence[str]) -> CommandRan:
        """Run one command to its end or its time limit; `hidden` is covered in what it says. One that can't be started has no exit code.

        `release` is what it is told of what it certifies, each in a variable of its own.
        """
        begun = time.monotonic()
        code, said, why = self._run(command, {f"CONTROLPLANE_RELEASE_{key.upper()}": told for key, told in release.items()}, begun + command.within)
        shown = hide(said, (*hidden, *shell_secrets()))
        lines = [line for text in shown.split("\n") if (line := _plain(text))][-_KEPT_LINES:]
        tail = "\n".join([*lines, *([why] if why else [])])
        return CommandRan(name=command.name, argv=command.run, dir=command.dir, code=code, seconds=round(time.monotonic() - begun, 1), tail=tail)

    def _run(self, command: Recert, told: Mapping[str, str], ends: float) -> tuple[int | None, str, str]:
        """Return its exit code, what it said last, and why it has no exit code."""
        argv = [*_THIS, *command.run[1:]] if command.run[0] == "controlplane" else [*command.run]
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._site / (command.dir or ""),
                env={**os.environ, "CONTROLPLANE_SITE": str(self._site), **told},
                start_new_session=True,
            )
        except OSError as error:
            return None, "", f"it can't be started: {error.strerror}: {error.filename}"
        with process:
            listener = _Listener(process.stdout)
            tree = ProcessTree([], strays=lambda: in_session(process.pid))
            try:
                in_time = _wait(process, tree, ends)
            finally:
                self._end(process, tree)
            said = listener.tail()
        if not in_time:
            return None, said, f"it was ended after {command.within} s, its limit"
        if process.returncode < 0:
            return None, said, f"it was ended by signal {-process.returncode}"
        return process.returncode, said, ""

    def _end(self, process: subprocess.Popen[bytes], tree: ProcessTree) -> None:
        """End what is left of it in order, then by force. Nobody has asked for its exit code yet, so that its group is still its own."""
        tree.search()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
        tree.end(grace=self._grace)


class _Listener:
    """Reads what a command says and keeps the end of it, so that nothing fills up however much that is."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._held = b""
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while self._stream is not None and (more := os.read(self._stream.fileno(), 65536)):
                self._held = (self._held + more)[-_KEPT_BYTES:]

    def tail(self) -> str:
        """Return the last that it said. Something that got away may hold the other end still: that is not waited for."""
        self._reader.join(2)
        # Where the beginning was dropped, the first line is half a line, and what has to be hidden may be half of it.
        whole = self._held if len(self._held) < _KEPT_BYTES else self._held.partition(b"\n")[2]
        return whole.decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], tree: ProcessTree, ends: float) -> bool:
    """Return whether it ended by itself, within its time; its exit code stays to be asked for."""
    tree.search()
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > ends:
            return False
        tree.follow()
        time.sleep(_TICK)
    return True


def _plain(line: str) -> str:
    """Return what a terminal would show of a line in the end, without anything that would act on one."""
    shown = _ESCAPES.sub("", line.rstrip("\r")).rpartition("\r")[2].replace("\t", " ")
    return "".join(letter for letter in shown if letter.isprintable()).rstrip()[:_LONGEST_LINE]
