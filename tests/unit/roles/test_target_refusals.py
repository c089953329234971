"""What of a destination, and of the way in which Docker is started, speaks against a move, where no machine here can show it."""

from __future__ import annotations

from pathlib import Path

import pytest
from controlplane_target import configs, root_refusals, units
from controlplane_target.mounts import Mount
from controlplane_target.root_request import Move, Request
from controlplane_target.state import Home

WITHOUT_FTYPE = "meta-data=/dev/vdb  isize=256\nnaming   =version 2              bsize=4096   ascii-ci=0, ftype=0\n"
WITH_FTYPE = WITHOUT_FTYPE.replace("ftype=0", "ftype=1")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An XFS of its own at tmp_path/data; everything else lies on the root."""
    data = tmp_path / "data"
    data.mkdir()
    table = [Mount("8:0", "/", "/", "ext4", "/dev/sda", "rw", False), Mount("8:16", "/", str(data), "xfs", "/dev/vdb", "rw", False)]
    monkeypatch.setattr(root_refusals.mounts, "read", lambda: table)
    return data


@pytest.mark.parametrize(
    ("said", "refused"),
    [(WITH_FTYPE, False), (WITHOUT_FTYPE, True), ("", True)],
    ids=["ftype=1", "ftype=0, which kernels without V4 no longer mount", "xfs_info is missing or fails"],
)
def test_xfs_is_a_destination_only_where_it_says_ftype_1(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, refused: bool
) -> None:
    monkeypatch.setattr(root_refusals, "_xfs_info", {str(data): said}.__getitem__)
    found = root_refusals._of_the_destination(Home(tmp_path / "state"), Move("docker", "/var/lib/docker", f"{data}/docker"))
    reason = f"{data} is xfs without ftype=1 (or xfs_info is not installed): overlay loses files there"
    assert found == ([reason] if refused else [])
    assert list(data.iterdir()) == []


NEVER_STARTED, STARTED = "0", "1000000"


@pytest.mark.parametrize(
    ("exec_start", "reason"),
    [
        ("/usr/sbin/dockerd -H fd://", None),
        ("/usr/bin/dockerd-current -H fd://", None),
        ("/bin/sh -c 'exec dockerd --data-root /srv'", "docker.service starts /bin/sh, not dockerd itself"),
        ("/opt/start-docker", "docker.service starts /opt/start-docker, not dockerd itself"),
        ("", "docker.service starts nothing, not dockerd itself"),
    ],
)
def test_flags_that_a_wrapper_hides_are_a_reason_to_refuse(monkeypatch: pytest.MonkeyPatch, exec_start: str, reason: str | None) -> None:
    monkeypatch.setattr(units, "systemctl", _systemd(exec_start, stale="no", started=STARTED))
    assert [reason in line for line in _of_the_units(monkeypatch, validates=True) if reason] == ([True] if reason else [])


def test_a_unit_that_the_next_reload_changes_is_a_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "systemctl", _systemd("/usr/sbin/dockerd", stale="yes", started=STARTED))
    said = "changed since systemd read it: run 'systemctl daemon-reload'"
    assert _of_the_units(monkeypatch, validates=True) == [f"{unit} {said}" for unit in units.STOP_ORDER]


@pytest.mark.parametrize(("validates", "started", "refused"), [(False, STARTED, True), (False, "9" * 15, False), (True, STARTED, False)])
def test_a_configuration_that_nothing_has_judged_is_a_reason_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validates: bool, started: str, refused: bool
) -> None:
    written = tmp_path / "daemon.json"
    written.write_text("{}")
    monkeypatch.setattr(root_refusals.daemon_json, "PATH", str(written))
    monkeypatch.setattr(units, "systemctl", _systemd("/usr/sbin/dockerd", stale="no", started=started))
    reason = f"{written} was written after Docker started, and this dockerd can't judge it: restart Docker, to see that it runs on it"
    assert _of_the_units(monkeypatch, validates=validates) == ([reason] if refused else [])


def test_a_unit_that_never_started_has_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "systemctl", _systemd("/usr/sbin/dockerd", stale="no", started=NEVER_STARTED))
    assert units.started_at("docker.service") == 0.0


def _systemd(exec_start: str, *, stale: str, started: str) -> object:
    """Return a systemctl that shows these properties of every unit."""
    argv = f"{{ path=/x ; argv[]={exec_start} ; ignore_errors=no ; start_time=[n/a] }}" if exec_start else ""
    shown = {"ExecStart": argv, "NeedDaemonReload": stale, "ExecMainStartTimestampMonotonic": started}

    def systemctl(*words: str, check: bool = True) -> str:
        assert check is False
        [asked] = [word.partition("=")[2] for word in words if word.startswith("--property=")]
        return shown.get(asked, "") + "\n"

    return systemctl


def _of_the_units(monkeypatch: pytest.MonkeyPatch, *, validates: bool) -> list[str]:
    monkeypatch.setattr(root_refusals, "loaded", lambda _unit: True)
    monkeypatch.setattr(root_refusals, "shims_of_others", list)
    monkeypatch.setattr(configs, "dockerd_validates", lambda: validates)
    return root_refusals._of_the_units(Request((), {}, 1, 1))
