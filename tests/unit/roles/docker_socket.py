"""A Docker that answers over a socket of its own what it is told to."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

from controlplane_target.docker_engine import Engine


class DockerSocket:
    """`answers` are by method and path without a version; `asked` is each request with its version. None as an answer keeps silent."""

    def __init__(self, folder: Path, answers: dict[str, Any], *, offers: str | None = "1.53") -> None:
        self.answers, self.offers, self.asked = answers, offers, list[str]()
        self.path = folder / "docker.sock"
        self._silent: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(20)
        threading.Thread(target=self._serve, daemon=True).start()

    def engine(self) -> Engine:
        return Engine(str(self.path))

    def close(self) -> None:
        # A thread that waits in accept would hold the socket open.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._silent:
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # Each in a thread of its own: an answer that fails ends its own connection alone.
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        said: bytes | None = b""
        try:
            method, path, _ = connection.recv(65536).decode().split(" ", 2)
            self.asked.append(f"{method} {path}")
            said = self._answer(method, path)
            if said is None:
                self._silent.append(connection)
            else:
                connection.sendall(said)
        finally:
            if said is not None:
                connection.close()

    def _answer(self, method: str, path: str) -> bytes | None:
        if path == "/_ping":
            return self._http(200, "OK")
        version, _, plain = path.removeprefix("/v").partition("/")
        if self.offers is not None and tuple(map(int, version.split("."))) > tuple(map(int, self.offers.split("."))):
            return self._http(400, {"message": f"client version {version} is too new"})
        key = f"{method} /{plain}"
        if key not in self.answers:
            return self._http(404, {"message": "no such thing"})
        said = self.answers[key]
        if callable(said):
            said = said()
        if said is None or isinstance(said, bytes):
            return said
        return self._http(*said) if isinstance(said, tuple) else self._http(200, said)

    def _http(self, code: int, body: Any) -> bytes:
        data = json.dumps(body).encode()
        offers = "" if self.offers is None else f"Api-Version: {self.offers}\r\n"
        return f"HTTP/1.0 {code} X\r\n{offers}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
