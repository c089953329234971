"""What an interrupted installation needs, in which order, and what dpkg calls half done."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import bootstrap, packages
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
    monkeypatch.setattr(packages, "active", lambda _: False)
    monkeypatch.setattr(packages, "LOCKS", ())
    return calls


def test_only_what_is_missing_is_installed_and_nothing_is_pushed_out(called: list[Any], tmp_path: Path) -> None:
    run = Home(tmp_path).run("CAP-1")
    assert packages.install(run, ["there", "tini"], repair=False) == {"changed": True, "installed": ["tini"]}
    apt = ("apt-get", "--quiet", "--yes", "--no-remove", "--no-install-recommends", "install")
    assert called == [(("apt-get", "--quiet", "update"), True), ((*apt, "--", "tini"), True)]


def test_a_second_run_asks_neither_apt_nor_dpkg(called: list[Any], tmp_path: Path) -> None:
    assert packages.install(Home(tmp_path).run("CAP-1"), ["there"], repair=False)["changed"] is False
    assert called == []


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder of apt's own, whose lists a new machine's download has just read."""
    folder = tmp_path / "apt"
    (folder / "sources.list.d").mkdir(parents=True)
    (folder / "sources.list").write_text("deb file:/srv ./\n")
    monkeypatch.setattr(packages, "APT", folder)
    monkeypatch.setattr(packages, "LISTS_READ", tmp_path / "lists")
    # The clock of a filesystem is coarser than time.time().
    time.sleep(0.02)
    (tmp_path / "lists").touch()
    return folder


def updates(called: list[Any], home: Path) -> int:
    called.clear()
    packages.install(Home(home).run("CAP-1"), ["tini"], repair=False)
    assert called[-1][0][-1] == "tini"
    return sum(argv[-1] == "update" for argv, _ in called)


def test_lists_that_a_new_machine_read_a_while_ago_are_not_read_again(called: list[Any], apt: Path, tmp_path: Path) -> None:
    assert apt.is_dir()
    assert updates(called, tmp_path / "home") == 0


@pytest.mark.parametrize(("after_s", "holds"), [(3500, True), (3700, False), (-60, False)])
def test_lists_of_long_ago_or_of_a_clock_that_was_set_back_do_not_hold(apt: Path, after_s: int, holds: bool) -> None:
    assert apt.is_dir()
    assert packages._lists_are_read(time.time() + after_s) is holds


@pytest.mark.parametrize("how", ["a source more", "a source less", "a source of an old date"])
def test_lists_of_other_sources_are_read_again(called: list[Any], apt: Path, tmp_path: Path, how: str) -> None:
    time.sleep(0.02)
    if how == "a source less":
        (apt / "sources.list").unlink()
    elif how == "a source more":
        (apt / "sources.list.d/site.sources").touch()
    else:
        os.utime(apt / "sources.list", (1, 1))
    assert updates(called, tmp_path / "home") == 1


def test_a_source_that_bootstrap_itself_brings_has_the_lists_read_again(
    called: list[Any], apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    written = {"path": str(apt / "sources.list.d/controlplane-docker.sources"), "text": "Types: deb\n"}
    wanted = bootstrap.Wanted(["tini"], [], {}, [], [written])
    bootstrap.configure(home.run("CAP-1"), wanted._replace(files=[{"path": str(tmp_path / "elsewhere"), "text": ""}]))
    assert updates(called, home.base) == 0
    # Whatever a clock that was set in between says.
    monkeypatch.setattr(packages, "_lists_are_read", lambda _: packages.LISTS_READ.exists())
    bootstrap.configure(home.run("CAP-1"), wanted)
    assert Path(written["path"]).read_text() == written["text"]
    assert updates(called, home.base) == 1


class _Prefetch:
    """A new machine's own download, which ends by itself after it was asked for so many times, or when it is stopped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Path, looks: int) -> None:
        self.looks, self.stopped, self._home = looks, False, home
        self.told: list[str | None] = []
        monkeypatch.setattr(packages, "active", self.active)
        monkeypatch.setattr(packages, "systemctl", self.systemctl)
        monkeypatch.setattr(packages.time, "sleep", lambda _: None)

    def active(self, unit: str) -> bool:
        self.told.append(Home(self._home).run("CAP-1").state.get("package_unit"))
        self.looks -= unit == packages.PREFETCH_UNIT
        return unit == packages.PREFETCH_UNIT and self.looks >= 0 and not self.stopped

    def systemctl(self, *words: str, **_: Any) -> str:
        self.stopped = words == ("stop", packages.PREFETCH_UNIT)
        return ""


def test_an_installation_waits_for_a_new_machine_s_own_download_and_says_so(
    called: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    download = _Prefetch(monkeypatch, tmp_path, 3)
    packages.install(Home(tmp_path).run("CAP-1"), ["tini"], repair=False)
    assert (download.looks < 0, download.stopped) == (True, False)
    assert download.told[:4] == [None, *["controlplane-prefetch.service"] * 3]
    assert Home(tmp_path).run("CAP-1").state["package_unit"] is None
    assert called[-1][0][-1] == "tini"


def test_a_download_that_does_not_end_is_stopped_and_the_installation_goes_on(
    called: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    download = _Prefetch(monkeypatch, tmp_path, 10**6)
    monkeypatch.setattr(packages, "_PREFETCH_WAIT_S", 0)
    packages.install(Home(tmp_path).run("CAP-1"), ["tini"], repair=False)
    assert (download.stopped, called[-1][0][-1]) == (True, "tini")


def test_what_has_nothing_to_install_waits_for_no_download(called: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    download = _Prefetch(monkeypatch, tmp_path, 3)
    packages.install(Home(tmp_path).run("CAP-1"), ["there"], repair=False)
    assert (download.told, called) == ([], [])


@contextmanager
def other_package_manager(lock: Path) -> Iterator[None]:
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import fcntl; f = open({str(lock)!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield
    finally:
        holder.communicate(b"\n")


@pytest.mark.parametrize("held", ["dpkg", "lists"])
def test_a_new_machine_s_own_download_is_no_other_package_manager_at_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, held: str) -> None:
    monkeypatch.setattr(packages, "LOCKS", (tmp_path / "dpkg", tmp_path / "lists"))
    with other_package_manager(tmp_path / held):
        monkeypatch.setattr(packages, "active", lambda unit: unit == packages.PREFETCH_UNIT)
        assert packages.lock_fault(0) == ""
        monkeypatch.setattr(packages, "active", lambda _: False)
        assert packages.lock_fault(0).startswith(f"another package manager holds {tmp_path / held} ")
    assert packages.lock_fault(0) == ""


def test_lists_that_another_reads_are_waited_for_and_named_instead_of_left_to_apt(
    called: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = Home(tmp_path).run("CAP-1")
    monkeypatch.setattr(packages, "LOCKS", (tmp_path / "lists",))
    wait = packages.lock_fault
    monkeypatch.setattr(packages, "lock_fault", lambda: wait(0.1))
    with other_package_manager(tmp_path / "lists"), pytest.raises(FailedFault, match=r"another package manager holds .*no package was changed"):
        packages.install(run, ["tini"], repair=False)
    assert called == []
    assert packages.install(run, ["tini"], repair=False)["installed"] == ["tini"]


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
    monkeypatch.setattr(packages, "LOCKS", (tmp_path / "lock",))
    monkeypatch.setattr(packages.time, "sleep", lambda _s: None)
    works = iter([True, True, False])
    monkeypatch.setattr(packages, "active", lambda unit: unit != packages.PREFETCH_UNIT and next(works))
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
