"""Clients of a Redis on a lab machine: one fills it, one writes without a pause and keeps a journal of what was acknowledged."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab.conftest import LabMachine

_CLIENT = r"""
import json, os, socket, sys, time

class Redis:
    def __init__(self, port, auth):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.f = self.s.makefile("rb")
        if auth:
            self.ask("AUTH", *auth)
    def send(self, many):
        out = b""
        for words in many:
            parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
            out += b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
        self.s.sendall(out)
        replies = [self.reply() for _ in many]
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies
    def ask(self, *words):
        return self.send([words])[0]
    def reply(self):
        line = self.f.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("lost")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            return RuntimeError(rest.decode())
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if int(rest) < 0:
            return None
        if kind == b"$":
            return self.f.read(int(rest) + 2)[:-2].decode("utf-8", "replace")
        return [self.reply() for _ in range(int(rest))]

def fill(redis, count):
    for start in range(0, count, 1000):
        many = []
        for n in range(start, min(start + 1000, count)):
            key = "k:%d" % n
            many.append((("SET", key, "v%d" % n), ("HSET", key, "a", n, "b", "two"), ("SADD", key, "x", "y", n), ("ZADD", key, "1.5", "m", n, "o"),
                         ("RPUSH", key, "q", n, "q"), ("XADD", key, "1-%d" % (n + 1), "f", n))[n % 6])
            # Every tenth alone is a string, a set or a list; every seventh is of any type.
            if n % 10 == 0 or n % 7 == 0:
                many.append(("PEXPIRE", key, 86400000))
            if n % 60 == 5:
                # A stream that is read: one entry is delivered, and not acknowledged.
                many += [("XGROUP", "CREATE", key, "readers", "0"), ("XREADGROUP", "GROUP", "readers", "one", "COUNT", "1", "STREAMS", key, ">")]
        redis.send(many)

def write(port, auth, journal):
    redis, n = None, 0
    with open(journal, "a") as out:
        while True:
            try:
                redis = redis or Redis(port, auth)
                redis.ask("SET", "w:%d" % n, n)
            except (OSError, RuntimeError):
                redis = None
                time.sleep(0.02)
                continue
            out.write("%d %.3f\n" % (n, time.time()))
            out.flush()
            n += 1
            time.sleep(0.001)

def lost(redis, journal, before):
    rows = [line.split() for line in open(journal).read().splitlines() if len(line.split()) == 2]
    found = []
    for start in range(0, len(rows), 1000):
        part = rows[start : start + 1000]
        values = redis.send([("GET", "w:" + n) for n, _ in part])
        found += [[int(n), float(at)] for (n, at), value in zip(part, values) if value != n]
    return {"written": len(rows), "lost": found[:20], "count": len(found), "first": float(rows[0][1]), "last": float(rows[-1][1])}

verb, port, auth = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
if verb == "fill":
    fill(Redis(port, auth), int(sys.argv[4]))
elif verb == "write":
    write(port, auth, sys.argv[4])
elif verb == "lost":
    print(json.dumps(lost(Redis(port, auth), sys.argv[4], None)))
elif verb == "ask":
    print(json.dumps([Redis(port, auth).ask(*words) for words in json.loads(sys.argv[4])]))
"""
# One key of each type that expires, of a Redis that was filled.
EXPIRING = {"string": "k:0", "hash": "k:7", "set": "k:14", "zset": "k:21", "list": "k:28", "stream": "k:35"}
_DAY_MS = 86_400_000
_PLACE, _JOURNAL = "/root/redis-load.py", "/root/acknowledged"


class RedisClient:
    """Works on the machine, from outside of the container, through the port that it publishes."""

    def __init__(self, machine: LabMachine, *, port: int = 6379, auth: tuple[str, ...] = ()) -> None:
        self._machine, self._words = machine, (str(port), json.dumps(auth))
        machine.run(["sh", "-c", f"cat > {_PLACE} && sync {_PLACE}"], stdin=_CLIENT.encode())

    def _run(self, verb: str, *words: str) -> str:
        done = self._machine.run(["python3", _PLACE, verb, *self._words, *words])
        assert done.returncode == 0, done
        return done.stdout

    def fill(self, count: int) -> None:
        """Make so many keys of all types, of each of which some expire tomorrow: every tenth and every seventh."""
        self._run("fill", str(count))

    def start_writing(self) -> None:
        self._machine.run(["systemd-run", "--quiet", "--unit=redis-load", "python3", _PLACE, "write", *self._words, _JOURNAL])

    def stop_writing(self) -> None:
        self._machine.run(["systemctl", "stop", "redis-load"])

    @contextmanager
    def writing_outside(self, journal: Path) -> Iterator[None]:
        """Write as long as the body runs, with the journal on this side: a power cut of the machine takes none of it along."""
        # What sshd gives a program as its output can't be opened by name; a pipe can.
        script = 'python3 "$0" write "$@" /dev/stdout | cat'
        argv = self._machine.lab.ssh_argv(self._machine.name, ["sh", "-c", script, _PLACE, *self._words])
        with journal.open("wb") as out, subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out) as process:
            try:
                yield
            finally:
                process.kill()

    def take_in(self, journal: Path) -> None:
        """Let `lost` go by a journal of this side; the last line may have been on its way."""
        held = journal.read_bytes()
        self._machine.run(["tee", _JOURNAL], stdin=held[: held.rfind(b"\n") + 1])

    def lost(self) -> dict[str, Any]:
        """Return {written, count, lost, first, last}: which acknowledged writes are not there."""
        return dict(json.loads(self._run("lost", _JOURNAL)))

    def ask(self, *commands: tuple[str, ...]) -> list[Any]:
        return list(json.loads(self._run("ask", json.dumps(commands))))

    def expiring(self) -> dict[str, bool]:
        """Return for each type whether the key that `fill` let expire is of that type, and expires within the day that it was given."""
        kinds = self.ask(*(("TYPE", key) for key in EXPIRING.values()))
        left = self.ask(*(("PTTL", key) for key in EXPIRING.values()))
        return {kind: told == kind and 0 < ms <= _DAY_MS for kind, told, ms in zip(EXPIRING, kinds, left, strict=True)}

    def settings(self, *names: str) -> dict[str, str]:
        return {name: told[1] for name, told in zip(names, self.ask(*(("CONFIG", "GET", name) for name in names)), strict=True)}
