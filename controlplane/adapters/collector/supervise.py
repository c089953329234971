"""Run each probe in a child of its own, side by side but bounded, and go on without the one that hangs.

Rules:
- A child leads its own session, so that its limit ends it together with whatever it started.
- Nothing waits for a child: one in uninterruptible sleep is killed, recorded as timeout and left to init.
- A child keeps none of our output open, or the connection would wait for it.
- What a child says is framed by its length; less is `failed`, never half an answer.
- When nobody reads our output any more, or we are told to end, everything is ended.
"""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import time
from typing import Any, Callable, NamedTuple

MOST_BYTES = 32 << 20
_HEAD = struct.Struct(">BQ")
ENDS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
_STATUS = ("ok", "failed", "timeout", "absent")


class Absent(Exception):  # noqa: N818 - a state of the host, not a fault
    """The thing is positively not installed here."""


class ProbeError(Exception):
    """A probe could not observe; the message is what the evidence records."""


class Probe(NamedTuple):
    """One probe: `run(asked, seen)` returns JSON-ready data; `after` names the probes whose data it reads in `seen` (None where they gave none)."""

    name: str
    run: Callable[[dict[str, Any], dict[str, Any]], Any]
    limit: float = 5.0
    after: tuple[str, ...] = ()


class _Running(NamedTuple):
    probe: Probe
    pid: int
    started: float
    ends: float
    answer: bytearray


def _child(probe: Probe, asked: dict[str, Any], seen: dict[str, Any], out: int) -> None:
    os.setsid()
    for number in ENDS:
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for inherited in (0, 1, 2):
        os.dup2(nothing, inherited)
    try:
        status, said = 0, json.dumps(probe.run(asked, seen), separators=(",", ":")).encode("utf-8", "surrogateescape")
    except Absent as absent:
        status, said = 3, str(absent).encode("utf-8", "replace")
    except BaseException as error:  # whatever a probe meets, the others go on
        text = str(error) if isinstance(error, ProbeError) else f"{type(error).__name__}: {error}"
        status, said = 1, " ".join(text.split()).encode("utf-8", "replace")[:2000]
    message = _HEAD.pack(status, len(said)) + said
    while message:
        message = message[os.write(out, message) :]


def _start(probe: Probe, asked: dict[str, Any], seen: dict[str, Any]) -> tuple[int, _Running]:
    into, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(into)
            _child(probe, asked, seen, out)
        finally:
            os._exit(0)
    os.close(out)
    now = time.monotonic()
    limit = float(asked.get("limits", {}).get(probe.name, probe.limit))
    return into, _Running(probe, pid, now, now + limit, bytearray())


def _end(fd: int, running: _Running) -> None:
    os.close(fd)
    for kill, target in ((os.killpg, running.pid), (os.kill, running.pid)):
        try:
            kill(target, signal.SIGKILL)
        except OSError:
            pass
    try:
        os.waitpid(running.pid, os.WNOHANG)
    except OSError:
        pass


def _record(status: str, started: float, error: str | None = None, data: str = "null") -> str:
    seconds = round(time.monotonic() - started, 4)
    return f'{{"status":"{status}","error":{json.dumps(error)},"seconds":{seconds},"data":{data}}}'


def _finished(running: _Running) -> str | None:
    """Return the record of a child that said all it has to say, else None."""
    if len(running.answer) < _HEAD.size:
        return None
    code, length = _HEAD.unpack_from(running.answer)
    if code >= len(_STATUS) or length > MOST_BYTES:
        return _record("failed", running.started, "the probe's answer has no valid frame or is too large")
    if len(running.answer) < _HEAD.size + length:
        return None
    said = bytes(running.answer[_HEAD.size : _HEAD.size + length]).decode("utf-8", "replace")
    if code:
        return _record(_STATUS[code], running.started, said)
    return _record("ok", running.started, None, said)


def run_probes(probes: list[Probe], asked: dict[str, Any], *, at_once: int = 6, output: int | None = None) -> dict[str, str]:
    """Return {probe name: its record as JSON text}; `output` is the descriptor whose reader we live for."""
    done: dict[str, str] = {}
    seen: dict[str, Any] = {}
    waiting = list(probes)
    running: dict[int, _Running] = {}
    poll = select.poll()
    if output is not None:
        poll.register(output, 0)
    read_later = {name for probe in probes for name in probe.after}
    try:
        while waiting or running:
            for probe in [p for p in waiting if all(name in done for name in p.after)][: at_once - len(running)]:
                waiting.remove(probe)
                fd, started = _start(probe, asked, {name: seen.get(name) for name in probe.after})
                running[fd] = started
                poll.register(fd, select.POLLIN)
            pause = max(0.0, min(r.ends for r in running.values()) - time.monotonic())
            ready = {fd for fd, _ in poll.poll(pause * 1000 + 1)}
            if output in ready:
                raise SystemExit(1)
            for fd, child in list(running.items()):
                record = None
                if fd in ready:
                    chunk = os.read(fd, 1 << 16)
                    child.answer.extend(chunk)
                    record = _finished(child)
                    if record is None and not chunk:
                        record = _record("failed", child.started, "the probe ended without an answer")
                if record is None and time.monotonic() >= child.ends:
                    record = _record("timeout", child.started, f"no answer within {child.ends - child.started:g} s")
                if record is not None:
                    poll.unregister(fd)
                    _end(fd, running.pop(fd))
                    done[child.probe.name] = record
                    if child.probe.name in read_later:
                        seen[child.probe.name] = json.loads(record)["data"]
    finally:
        # Also when we are told to end: nothing of ours stays on the host.
        for fd, child in running.items():
            _end(fd, child)
    return done
