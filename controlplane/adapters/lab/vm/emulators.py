"""Find and start emulators; one is ours only if its command line names the pid file of a machine of this lab.

Rules:
- A port is taken by starting: whoever finds it taken starts again with another one.
- What is started is recorded at once; what was killed before that is found by its command line.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from controlplane.adapters.lab.processes import Process
from controlplane.adapters.lab.programs import environment
from controlplane.domain.errors import RunFailedError

from .hardware import EMULATOR, pid_file
from .qmp import monitor

TRIES = 5


def running(below: Path, *, proc: Path = Path("/proc")) -> dict[Path, list[Process]]:
    """Return machine folder -> live emulators, of the machine folders that lie right `below`."""
    found: dict[Path, list[Process]] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if Path(words[0]).name != EMULATOR or "-pidfile" not in words[:-1]:
            continue
        folder = Path(words[words.index("-pidfile") + 1]).parent
        if folder.parent == below and str(pid_file(folder)) in words and (process := Process.of(int(entry.name))):
            found.setdefault(folder, []).append(process)
    return found


def free_port() -> int:
    """Return a port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, argv_for: Callable[[int], list[str]], *, port: int, started: Callable[[Process, int], None]) -> None:
    """Start the emulator in `folder`, on `port` where that is free, and return once it runs the machine.

    `started` is called with the process as soon as it exists, and with its port.
    """
    log = folder / "qemu.log"
    for _ in range(TRIES):
        chosen = port or free_port()
        with log.open("wb") as output:
            child = subprocess.Popen(
                argv_for(chosen), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=environment()
            )
        if process := Process.of(child.pid):
            started(process, chosen)
        if _runs(folder, child):
            return
        if "Could not set up host forwarding rule" not in log.read_text(errors="replace"):
            break
        port = 0
    said = " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
    raise RunFailedError(f"lab: the emulator of {folder.name} did not start: {said or 'it said nothing'}. Nothing of it is left running.")


def _runs(folder: Path, child: subprocess.Popen[bytes], limit_s: float = 120.0) -> bool:
    """Wait until the emulator runs the machine; False as soon as it has ended."""
    deadline = time.monotonic() + limit_s
    while child.poll() is None and time.monotonic() < deadline:
        if (folder / "qmp.sock").exists():
            try:
                with monitor(folder, folder.name) as emulator:
                    if emulator.ask("query-status")["running"]:
                        return True
            except RunFailedError:
                pass
        time.sleep(0.05)
    if child.poll() is None:
        child.kill()
        child.wait()
    return False
