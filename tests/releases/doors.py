"""Doors between this host and a lab machine, which has no address: a listener on one side, whose connections go out on the other.

Rules:
- No packet crosses: each side listens and connects on a loopback of its own, and this process carries the bytes.
- On this host a door listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

_CLONE_NEWNET = 0x40000000
_C = ctypes.CDLL(None, use_errno=True)
Address = tuple[str, int]


def _inside(namespace: Path | None, make: Callable[[], socket.socket]) -> socket.socket:
    """Make a socket in a network namespace: it stays there, whichever thread uses it. None is this host's own."""
    if namespace is None:
        return make()
    made: list[socket.socket | OSError] = []

    def enter() -> None:
        try:
            with namespace.open("rb") as place:
                if _C.setns(place.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            made.append(make())
        except OSError as error:
            made.append(error)

    # A namespace is entered by one thread alone, and that one ends here.
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


class Door:
    """Listens at `at` in one namespace from the beginning until `close`; each connection is carried to `to` in the other."""

    def __init__(self, at: Address, to: Address, *, listen_in: Path | None = None, connect_in: Path | None = None) -> None:
        self._to, self._connect_in = to, connect_in
        self._listener = _inside(listen_in, lambda: socket.create_server(at))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._left: int | None = None
        self._then: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def after(self, count: int, act: Callable[[], None]) -> None:
        """Do `act` before more than `count` further bytes come back through the door, and then break every connection through it."""
        with self._lock:
            self._left, self._then = count, act

    def close(self) -> None:
        """Close the door and break every connection through it."""
        # An accept that waits is not woken by closing its socket.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._break()

    def _break(self) -> None:
        with self._lock:
            for end in self._open:
                _shut(end)

    def _serve(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry_both, args=(here,), daemon=True).start()

    def _carry_both(self, here: socket.socket) -> None:
        with here:
            try:
                there = _inside(self._connect_in, lambda: socket.create_connection(self._to, timeout=10))
            except OSError:
                return
            there.settimeout(None)
            with there:
                with self._lock:
                    self._open |= {here, there}
                back = threading.Thread(target=self._carry, args=(there, here, True), daemon=True)
                back.start()
                self._carry(here, there, False)
                back.join()
                with self._lock:
                    self._open -= {here, there}

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while chunk := source.recv(1 << 18):
                if counted and (act := self._used_up(len(chunk))):
                    act()
                    self._break()
                    return
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            _shut(source)
            _shut(target)

    def _used_up(self, count: int) -> Callable[[], None] | None:
        with self._lock:
            if self._left is None:
                return None
            self._left -= count
            if self._left >= 0:
                return None
            self._left = None
            return self._then


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
