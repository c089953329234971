"""Clients of services on a lab machine that write without a pause, each with a journal of what was acknowledged, and what of that is there later."""

from __future__ import annotations

import json
from typing import Any

from tests.lab.conftest import LabMachine

_CLIENT = r"""
import http.client, json, socket, struct, sys, time

class Postgres:
    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.f = self.s.makefile("rb")
        words = b"user\0postgres\0database\0postgres\0\0"
        self.s.sendall(struct.pack(">II", len(words) + 8, 196608) + words)
        self.ready()
        self.ask("CREATE TABLE IF NOT EXISTS acknowledged (n int PRIMARY KEY, body text)")
    def ask(self, sql):
        body = sql.encode() + b"\0"
        self.s.sendall(b"Q" + struct.pack(">I", len(body) + 4) + body)
        return self.ready()
    def ready(self):
        rows, failure = [], None
        while True:
            head = self.f.read(5)
            if len(head) < 5:
                raise OSError("closed")
            body = self.f.read(struct.unpack(">I", head[1:])[0] - 4)
            if head[:1] == b"E":
                failure = body
            if head[:1] == b"D":
                size = struct.unpack_from(">i", body, 2)[0]
                rows.append(body[6 : 6 + size].decode())
            if head[:1] == b"Z":
                if failure:
                    raise OSError(failure.decode("utf-8", "replace"))
                return rows
    def put(self, n):
        self.ask("INSERT INTO acknowledged VALUES (%d, repeat(md5('%d'), 20)) ON CONFLICT DO NOTHING" % (n, n))
    def held(self):
        return {int(row) for row in self.ask("SELECT n FROM acknowledged WHERE body = repeat(md5(n::text), 20)")}

class Objects:
    def __init__(self, port):
        self.port = port
        self.call("PUT", "/acknowledged", b"", (200, 409))
    def call(self, method, path, body=None, good=(200,)):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            data = answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error))
        finally:
            connection.close()
        if answer.status not in good:
            raise OSError(str(answer.status))
        return data
    def put(self, n):
        self.call("PUT", "/acknowledged/%d" % n, b"object %d " % n * 500)
    def held(self):
        found = set()
        for n in sorted(set(numbers)):
            try:
                if self.call("GET", "/acknowledged/%d" % n) == b"object %d " % n * 500:
                    found.add(n)
            except OSError:
                pass
        return found

kinds = {"postgres": Postgres, "objects": Objects}
verb, kind, port, journal = sys.argv[1], kinds[sys.argv[2]], int(sys.argv[3]), sys.argv[4]
def acknowledged():
    # A power cut may leave zeros where the last lines were on their way to the disk.
    with open(journal, "a+") as held:
        held.seek(0)
        rows = [line.split() for line in held.read().replace("\0", "").splitlines()]
    return [int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()]

numbers = acknowledged()
if verb == "write":
    # One that was acknowledged is never written again: a stop in its midst would leave neither.
    client, n = None, max(numbers, default=-1) + 1
    with open(journal, "a") as out:
        while True:
            try:
                client = client or kind(port)
                client.put(n)
            except OSError:
                client = None
                time.sleep(0.02)
                continue
            out.write("%d %.3f\n" % (n, time.time()))
            out.flush()
            n += 1
            time.sleep(0.005 if kind is Postgres else 0.03)
else:
    held = kind(port).held()
    lost = [n for n in numbers if n not in held]
    print(json.dumps({"written": len(numbers), "count": len(lost), "lost": lost[:20]}))
"""
_PLACE = "/root/path-load.py"
PORTS = {"postgres": 5432, "objects": 9000}


class Client:
    """One of them, of kind `postgres` or `objects`; it works from outside of the container, through the port that it publishes."""

    def __init__(self, machine: LabMachine, kind: str, *, port: int = 0) -> None:
        self._machine, self._kind = machine, kind
        self._words = [kind, str(port or PORTS[kind]), f"/root/acknowledged-{kind}"]
        machine.run(["sh", "-c", f"cat > {_PLACE} && sync {_PLACE}"], stdin=_CLIENT.encode())

    def start_writing(self) -> None:
        """Write from now on, also after the service was away, as a unit that `stop_writing` ends."""
        self._machine.run(["systemd-run", "--quiet", f"--unit=load-{self._kind}", "python3", _PLACE, "write", *self._words])

    def stop_writing(self) -> None:
        self._machine.run(["systemctl", "stop", f"load-{self._kind}"])

    def lost(self) -> dict[str, Any]:
        """Return {written, count, lost}: which acknowledged writes are not there."""
        done = self._machine.run(["python3", _PLACE, "lost", *self._words])
        assert done.returncode == 0, done
        return dict(json.loads(done.stdout))
