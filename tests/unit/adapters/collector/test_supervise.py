"""Probes fail, hang, lie and die; the others go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.collector.supervise import Absent, Probe, ProbeError, run_probes


def _records(*probes: Probe, **asked: Any) -> dict[str, Any]:
    return {name: json.loads(record) for name, record in run_probes(list(probes), asked).items()}


def _fine(_asked: dict[str, Any], _seen: dict[str, Any]) -> Any:
    return {"fine": True}


def _fails(_asked: dict[str, Any], _seen: dict[str, Any]) -> Any:
    raise ProbeError("said\nin two lines")


def _crashes(_asked: dict[str, Any], _seen: dict[str, Any]) -> Any:
    return dict[str, int]()["missing"]


def _hangs(_asked: dict[str, Any], _seen: dict[str, Any]) -> Any:
    time.sleep(60)


def _dies(_asked: dict[str, Any], _seen: dict[str, Any]) -> Any:
    os._exit(7)


def _is_absent(_asked: dict[str, Any], _seen: dict[str, Any]) -> Any:
    raise Absent("not here")


def _lies(_asked: dict[str, Any], _seen: dict[str, Any]) -> Any:
    return {"a set": {1, 2}}


def test_each_outcome_is_recorded_and_none_is_dropped() -> None:
    began = time.monotonic()
    records = _records(
        Probe("fine", _fine),
        Probe("fails", _fails),
        Probe("crashes", _crashes),
        Probe("hangs", _hangs, 0.3),
        Probe("dies", _dies),
        Probe("absent", _is_absent),
        Probe("lies", _lies),
    )
    assert time.monotonic() - began < 3
    assert {name: record["status"] for name, record in records.items()} == {
        "fine": "ok",
        "fails": "failed",
        "crashes": "failed",
        "hangs": "timeout",
        "dies": "failed",
        "absent": "absent",
        "lies": "failed",
    }
    assert records["fine"]["data"] == {"fine": True}
    assert records["fails"]["error"] == "said in two lines"
    assert records["crashes"]["error"] == "KeyError: 'missing'"
    assert records["hangs"]["error"] == "no answer within 0.3 s"
    assert records["dies"]["error"] == "the probe ended without an answer"
    assert records["absent"]["error"] == "not here"
    assert all(record["data"] is None for name, record in records.items() if name != "fine")


def test_the_asked_limit_goes_before_the_probe_s_own() -> None:
    assert _records(Probe("hangs", _hangs, 60), limits={"hangs": 0.2})["hangs"]["error"] == "no answer within 0.2 s"


def test_a_probe_reads_the_data_of_those_before_it_and_none_where_they_gave_none() -> None:
    def reads(_asked: dict[str, Any], seen: dict[str, Any]) -> Any:
        return seen

    records = _records(Probe("reads", reads, 5, ("fine", "fails")), Probe("fine", _fine), Probe("fails", _fails))
    assert records["reads"]["data"] == {"fine": {"fine": True}, "fails": None}


def test_more_probes_than_may_run_at_once_all_run() -> None:
    names = [f"p{number}" for number in range(20)]
    assert sorted(_records(*(Probe(name, _fine) for name in names))) == sorted(names)


def test_a_large_answer_comes_whole() -> None:
    def large(_asked: dict[str, Any], _seen: dict[str, Any]) -> Any:
        return "x" * 3_000_000

    assert len(_records(Probe("large", large))["large"]["data"]) == 3_000_000


@pytest.mark.parametrize("frame", [b"\xff" * 9, b"\x00" + (1 << 40).to_bytes(8, "big"), b"\x00" + (5).to_bytes(8, "big") + b"abc", b"\x00\x00"])
def test_an_answer_without_a_whole_frame_is_a_failure(frame: bytes) -> None:
    def garbles(_asked: dict[str, Any], _seen: dict[str, Any]) -> Any:
        highest = max(int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.exists())
        os.write(highest, frame)
        os._exit(0)

    record = _records(Probe("garbles", garbles))["garbles"]
    assert record["status"] == "failed"
    assert record["data"] is None


SCRIPT = """
import os, subprocess, sys, time
from controlplane.adapters.collector.supervise import Probe, run_probes
def holds(asked, seen):
    if os.fork() == 0:
        os.setsid()
        time.sleep(30)
    time.sleep(30)
print(run_probes([Probe("holds", holds, 0.3)], {}, output=1)["holds"], flush=True)
"""


def test_what_a_stuck_probe_left_behind_keeps_nobody_waiting_for_our_output() -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=20, check=True)
    assert '"status":"timeout"' in done.stdout
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_when_it_is_told_to_end_its_probes_end_with_it(number: signal.Signals, tmp_path: Path) -> None:
    said = tmp_path / "pid"
    script = f"""
import os, signal, time
from controlplane.adapters.collector.main import _end
from controlplane.adapters.collector.supervise import ENDS, Probe, run_probes
for number in ENDS:
    signal.signal(number, _end)
def holds(asked, seen):
    open({str(said)!r}, "w").write(str(os.getpid()))
    time.sleep(60)
run_probes([Probe("holds", holds, 60)], {{}})
"""
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        deadline = time.monotonic() + 10
        while not (said.exists() and said.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=10) == 1
    probe = Path(f"/proc/{said.read_text()}/stat")
    deadline = time.monotonic() + 5
    while probe.exists() and probe.read_text().split()[2] not in "ZX" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not probe.exists() or probe.read_text().split()[2] in "ZX"


def test_when_nobody_reads_any_more_everything_ends() -> None:
    script = SCRIPT.replace("0.3)", "60)")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        time.sleep(0.7)
        process.stdout.close()
        assert process.wait(timeout=10) == 1
