"""Talking to an emulator: a small server stands in for it, on a path longer than a socket's may be."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.lab.vm.qmp import monitor
from controlplane.domain.errors import RunFailedError

Answers = dict[str, list[dict[str, Any]]]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Callable[[Answers], tuple[Path, list[dict[str, Any]]]]]:
    """Serve one connection: each command is answered by the lines given for it, after which the connection ends."""
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    threads = []

    def serve(answers: Answers) -> tuple[Path, list[dict[str, Any]]]:
        asked: list[dict[str, Any]] = []
        listening = socket.socket(socket.AF_UNIX)
        handle = os.open(folder, os.O_PATH)
        listening.bind(f"/proc/self/fd/{handle}/qmp.sock")
        os.close(handle)
        listening.listen()

        def talk() -> None:
            with listening, listening.accept()[0] as connection, connection.makefile("rwb") as file:
                file.write(b'{"QMP": {}}\n')
                file.flush()
                for line in file:
                    asked.append(json.loads(line))
                    for answer in {"qmp_capabilities": [{"return": {}}], **answers}[asked[-1]["execute"]]:
                        file.write(json.dumps(answer).encode() + b"\n")
                    file.flush()

        threads.append(threading.Thread(target=talk))
        threads[-1].start()
        return folder, asked

    yield serve
    for thread in threads:
        thread.join(timeout=10)


def test_a_commands_result_comes_back_whatever_happens_meanwhile(emulator: Callable[[Answers], tuple[Path, list[dict[str, Any]]]]) -> None:
    folder, asked = emulator({"query-status": [{"event": "RESUME"}, {"return": {"running": True}}]})
    with monitor(folder, "db") as connection:
        assert connection.ask("query-status") == {"running": True}
    assert asked == [{"execute": "qmp_capabilities", "arguments": {}}, {"execute": "query-status", "arguments": {}}]


def test_an_event_that_came_before_it_is_waited_for_is_not_missed(emulator: Callable[[Answers], tuple[Path, list[dict[str, Any]]]]) -> None:
    gone = [{"event": "DEVICE_DELETED", "data": {"path": "/x"}}, {"event": "DEVICE_DELETED", "data": {"device": "data-disk"}}]
    folder, _ = emulator({"device_del": [gone[0], gone[1], {"return": {}}]})
    with monitor(folder, "db") as connection:
        connection.ask("device_del", {"id": "data-disk"})
        connection.wait_for("DEVICE_DELETED", device="data-disk")


def test_a_refusal_of_the_emulator_says_which_command_and_why(emulator: Callable[[Answers], tuple[Path, list[dict[str, Any]]]]) -> None:
    folder, _ = emulator({"device_add": [{"error": {"desc": "no such bus"}}]})
    with pytest.raises(RunFailedError) as failure, monitor(folder, "db") as connection:
        connection.ask("device_add", {"bus": "x"})
    assert str(failure.value) == "lab: db: the emulator refused 'device_add': no such bus"


def test_words_of_the_human_monitor_are_a_failure(emulator: Callable[[Answers], tuple[Path, list[dict[str, Any]]]]) -> None:
    folder, asked = emulator({"human-monitor-command": [{"return": "Error: No space left\r\n"}]})
    with pytest.raises(RunFailedError) as failure, monitor(folder, "db") as connection:
        connection.monitor("savevm first-start")
    assert str(failure.value) == "lab: db: the emulator refused 'savevm first-start': Error: No space left"
    assert asked[-1]["arguments"] == {"command-line": "savevm first-start"}


def test_an_emulator_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"lab: db: the emulator does not answer"), monitor(tmp_path, "db"):
        pass
