"""What an interrupted installation needs, in which order, and what dpkg calls half done."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import packages
from controlplane_target.faults import FailedFault
from controlplane_target.state import Home


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], bool]]:
    """Return what would have run as a unit, and whether it had to end well."""
    calls: list[tuple[tuple[str, ...], bool]] = []

    def as_unit(_: Any, *argv: str, must_end_well: bool = True) -> None:
        calls.append((tuple(word for word in argv if not word.startswith("--option=")), must_end_well))

    monkeypatch.setattr(packages, "_as_unit", as_unit)
    monkeypatch.setattr(packages, "missing", lambda names: [name for name in names if name != "there"])
    return calls


def test_only_what_is_missing_is_installed_and_nothing_is_pushed_out(called: list[Any], tmp_path: Path) -> None:
    run = Home(tmp_path).run("CAP-1")
    assert packages.install(run, ["there", "tini"], repair=False) == {"changed": True, "installed": ["tini"]}
    apt = ("apt-get", "--quiet", "--yes", "--no-remove", "--no-install-recommends", "install")
    assert called == [(("apt-get", "--quiet", "update"), True), ((*apt, "--", "tini"), True)]


def test_a_second_run_asks_neither_apt_nor_dpkg(called: list[Any], tmp_path: Path) -> None:
    assert packages.install(Home(tmp_path).run("CAP-1"), ["there"], repair=False)["changed"] is False
    assert called == []


def test_what_dpkg_alone_could_finish_asks_no_apt(called: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "half_done", list)
    assert packages.install(Home(tmp_path).run("CAP-1"), ["there"], repair=True)["changed"] is True
    assert [argv[0] for argv, _ in called] == ["dpkg"]


def test_what_was_unpacked_before_its_dependencies_is_brought_to_its_end_by_apt(
    called: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packages, "half_done", lambda: ["runc"])
    packages.install(Home(tmp_path).run("CAP-1"), ["tini"], repair=True)
    assert [(argv[0], argv[-1], must) for argv, must in called] == [
        ("dpkg", "-a", False),
        ("apt-get", "update", True),
        ("apt-get", "--fix-broken", True),
        ("apt-get", "tini", True),
    ]


def test_an_installation_is_on_record_as_long_as_it_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run, seen = Home(tmp_path).run("CAP-1"), []
    run.write(phase="installing")

    def systemd_run(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append((argv[-1], Home(tmp_path).run("CAP-1").state["package_unit"]))
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(packages.subprocess, "run", systemd_run)
    packages._as_unit(run, "apt-get", "update")
    assert seen == [("update", "controlplane-vm-bootstrap.service")]
    assert Home(tmp_path).run("CAP-1").state["package_unit"] is None


def test_what_an_earlier_attempt_installs_is_waited_for_though_it_holds_no_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "LOCK", tmp_path / "lock")
    works = iter([True, True, False])
    monkeypatch.setattr(packages, "active", lambda _: next(works))
    assert packages.lock_fault(60) == ""
    assert next(works, "asked three times") == "asked three times"
    monkeypatch.setattr(packages, "active", lambda _: True)
    assert packages.lock_fault(0) == "controlplane-vm-bootstrap.service, an earlier attempt's, still installs, for 0 s already: wait for it"


AUDIT = """The following packages have been unpacked but not yet configured.
They must be configured using dpkg --configure or the configure
menu option in dselect for them to work:
 containerd           open and reliable container runtime
 runc                 Open Container Project - runtime
"""


@pytest.mark.parametrize(("audit", "names"), [("", []), (AUDIT, ["containerd", "runc"]), ("something else\n", ["something else"])])
def test_what_dpkg_calls_half_done_is_named_and_what_it_says_otherwise_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, audit: str, names: list[str]
) -> None:
    monkeypatch.setattr(packages, "_said", lambda *argv: subprocess.CompletedProcess(argv, int(bool(audit)), audit, ""))
    assert packages.half_done() == names


def test_a_dpkg_that_can_not_tell_is_no_dpkg_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_said", lambda *argv: subprocess.CompletedProcess(argv, 2, "", "dpkg: error: parsing file 'status'"))
    with pytest.raises(FailedFault, match="ended with 2: dpkg: error: parsing file"):
        packages.half_done()


def test_a_program_that_fails_is_told_with_what_it_said_and_the_way_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = Home(tmp_path).run("CAP-1")
    run.folder.mkdir()

    def fails(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        (run.folder / "apt.log").write_text("Reading package lists...\nE: Unable to locate package tini\n")
        return subprocess.CompletedProcess(argv, 100, "", "")

    monkeypatch.setattr(packages.subprocess, "run", fails)
    with pytest.raises(FailedFault, match=r"apt-get ended with 100: E: Unable to locate package tini.*apt.log.*Go back"):
        packages._as_unit(run, "apt-get", "install")
    packages._as_unit(run, "dpkg", "--configure", "-a", must_end_well=False)


def test_what_dpkg_had_noted_when_it_was_cut_off_is_half_done_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "_said", lambda *argv: subprocess.CompletedProcess(argv, 0, "", ""))
    monkeypatch.setattr(packages, "UPDATES", tmp_path)
    (tmp_path / "tmp.i").touch()
    assert packages.half_done() == []
    (tmp_path / "0012").touch()
    assert packages.half_done() == [str(tmp_path)]
