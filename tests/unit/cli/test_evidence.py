"""`controlplane evidence` says what could not be observed, and keeps what was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from controlplane import wiring
from controlplane.cli.evidence import evidence
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.evidence import Evidence, ProbeRecord, Unreached
from controlplane.domain.inventory import InventoryHost


class FakeSource:
    def __init__(self, answer: Evidence | Unreached) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def collect(
        self, hosts: Sequence[InventoryHost], desired: Mapping[str, DesiredHost], *, only: Sequence[str] = ()
    ) -> Mapping[str, Evidence | Unreached]:
        assert not only
        assert desired == {}
        self.asked += [host.name for host in hosts]
        return {host.name: self.answer for host in hosts}


def _evidence(**statuses: str) -> Evidence:
    records = {
        name: ProbeRecord.model_validate({"status": status, "seconds": 0.1, "error": None if status == "ok" else "why"})
        for name, status in statuses.items()
    }
    return Evidence(host="local", collected_at="2026-01-01T00:00:00Z", asked={}, probes=records)


def test_a_file_that_cannot_be_written_is_refused_before_anybody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = FakeSource(_evidence(mounts="ok"))
    monkeypatch.setattr(wiring, "evidence_source", lambda *_: source)
    result = CliRunner().invoke(evidence, ["--target", "local", "--out", str(tmp_path)], standalone_mode=False)
    assert isinstance(result.exception, InputInvalidError)
    assert str(result.exception) == f"{tmp_path}: --out: is a folder: name the file that the evidence goes to"
    assert (result.exception.exit_code, source.asked) == (2, [])


def _run(monkeypatch: pytest.MonkeyPatch, answer: Evidence | Unreached, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(wiring, "evidence_source", lambda *_: FakeSource(answer))
    result = CliRunner().invoke(evidence, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout


def test_a_host_that_showed_everything_is_exit_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, _evidence(mounts="ok", redis="absent"), "--target", "local") == (0, "local: 1 probes ok, 1 not installed\n")


def test_each_probe_that_could_not_observe_is_named_and_is_exit_code_5(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = _run(monkeypatch, _evidence(mounts="ok", redis="timeout", tmp="failed"), "--target", "local")
    assert code == 5
    assert said == "local: 1 probes ok, 2 could not observe\n  redis: timeout: why\n  tmp: failed: why\n"


def test_a_host_that_was_not_reached_is_exit_code_5_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, Unreached(host="local", reason="no route"), "--target", "local") == (5, "local: not reached: no route\n")


def test_what_is_written_is_what_json_prints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, said = _run(monkeypatch, _evidence(mounts="ok"), "--target", "local", "--out", f"{tmp_path}/e.json", "-o", "json")
    assert code == 0
    assert json.loads(said) == json.loads((tmp_path / "e.json").read_text())
    assert json.loads(said)["hosts"][0]["host"] == "local"


def test_a_target_and_a_site_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="--target stands for itself"):
        _run(monkeypatch, _evidence(), "--target", "local", "--host", "a")
