"""Emulators are found by what their command line names, and started on a port that is free."""

import os
import socket
import sys
from pathlib import Path

import pytest

from controlplane.adapters.lab.processes import Process
from controlplane.adapters.lab.vm import emulators
from controlplane.domain.errors import RunFailedError

MYSELF = Process.of(os.getpid())


def proc_with(folder: Path, *words: str) -> Path:
    """A /proc in which this test's own process has the command line `words`."""
    entry = folder / "proc" / str(os.getpid())
    entry.mkdir(parents=True)
    (entry / "cmdline").write_bytes("".join(f"{word}\0" for word in words).encode())
    (folder / "proc/version").write_text("")
    return folder / "proc"


def test_an_emulator_is_found_by_the_pid_file_of_its_machine(tmp_path: Path) -> None:
    proc = proc_with(tmp_path, "/usr/bin/qemu-system-x86_64", "-name", "db", "-pidfile", "/lab/machines/db/qemu.pid")
    assert emulators.running(Path("/lab/machines"), proc=proc) == {Path("/lab/machines/db"): [MYSELF]}


@pytest.mark.parametrize(
    "words",
    [
        ("qemu-system-x86_64", "-name", "db"),
        ("qemu-system-x86_64", "-pidfile"),
        ("qemu-system-x86_64", "-pidfile", "/other/machines/db/qemu.pid"),
        ("qemu-system-x86_64", "-pidfile", "/lab/machines/db/deeper/qemu.pid"),
        ("qemu-system-x86_64", "-pidfile", "/lab/machines/db/other.pid"),
        ("vim", "-pidfile", "/lab/machines/db/qemu.pid"),
    ],
)
def test_no_other_process_is_taken_for_an_emulator_of_this_lab(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert emulators.running(Path("/lab/machines"), proc=proc_with(tmp_path, *words)) == {}


class Ending:
    """An emulator that ends at once with `words`, and remembers the ports that it was asked to take."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.ports: list[int] = []

    def argv(self, port: int) -> list[str]:
        self.ports.append(port)
        return [sys.executable, "-S", "-c", f"import sys; sys.exit('{self.words}')"]


def test_a_port_that_is_taken_is_tried_once_and_then_others(tmp_path: Path) -> None:
    ending = Ending("Could not set up host forwarding rule")
    with pytest.raises(RunFailedError) as failure:
        emulators.start(tmp_path, ending.argv, port=2222, started=lambda *_: None)
    assert ending.ports[0] == 2222
    assert len(set(ending.ports)) == len(ending.ports) == emulators.TRIES
    assert str(failure.value) == (
        f"lab: the emulator of {tmp_path.name} did not start: Could not set up host forwarding rule. Nothing of it is left running."
    )


def test_an_emulator_that_fails_otherwise_is_not_tried_again(tmp_path: Path) -> None:
    ending = Ending("no such machine")
    with pytest.raises(RunFailedError, match="no such machine"):
        emulators.start(tmp_path, ending.argv, port=0, started=lambda *_: None)
    assert len(ending.ports) == 1


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", emulators.free_port()))
