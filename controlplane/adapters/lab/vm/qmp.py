"""Talk to a machine's emulator by its own protocol (QMP, version 7.2), one command at a time."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controlplane.domain.errors import RunFailedError


class Monitor:
    """One connection; the emulator serves one at a time."""

    def __init__(self, connection: io.BufferedRWPair[Any, Any], name: str) -> None:
        self._file = connection
        self._name = name
        self._events: list[dict[str, Any]] = []
        self._read()  # the greeting
        self.ask("qmp_capabilities")

    def ask(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a command and return its result; the emulator's refusal is an error."""
        text = json.dumps({"execute": command, "arguments": dict(arguments or {})})
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise RunFailedError(f"lab: {self._name}: the emulator refused '{command}': {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    def monitor(self, line: str) -> None:
        """Run a command of the human monitor; whatever it says is an error."""
        if said := self.ask("human-monitor-command", {"command-line": line}).strip():
            raise RunFailedError(f"lab: {self._name}: the emulator refused '{line}': {said}")

    def wait_for(self, event: str, **data: str) -> None:
        """Wait for an event that carries `data`."""
        while True:
            seen = self._events.pop(0) if self._events else self._read()
            if seen.get("event") == event and data.items() <= seen.get("data", {}).items():
                return

    def _read(self) -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise RunFailedError(f"lab: {self._name}: the emulator ended")
        return dict(json.loads(line))


@contextmanager
def monitor(folder: Path, name: str, *, limit_s: float = 60.0) -> Iterator[Monitor]:
    """Connect to the emulator of the machine in `folder`; one that doesn't answer within the limit is an error."""
    # A socket's path may have 107 bytes at most: by the folder's descriptor it is short wherever the lab lies.
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(limit_s)
            connection.connect(f"/proc/self/fd/{handle}/qmp.sock")
            # The file has to be closed as well: the emulator serves nobody else before.
            with connection.makefile("rwb") as file:
                yield Monitor(file, name)
    except OSError as error:
        raise RunFailedError(f"lab: {name}: the emulator does not answer ({error})") from None
    finally:
        os.close(handle)
