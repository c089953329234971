"""Where the lab can't run it says why in one line."""

from pathlib import Path

import pytest

from controlplane.adapters.lab import requirements
from controlplane.adapters.lab.requirements import PROGRAMS, VM_PROGRAMS, missing_reason, refuse_where_it_cannot_run
from controlplane.domain.errors import RefusedError


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    file = tmp_path / "os-release"
    file.write_text('PRETTY_NAME="Debian"\nID=debian\n')
    return file


def programs(folder: Path, *without: str) -> str:
    (folder / "bin").mkdir()
    for name in {**PROGRAMS, **VM_PROGRAMS}:
        if name not in without:
            (folder / "bin" / name).write_text("#!/bin/sh\n")
            (folder / "bin" / name).chmod(0o755)
    return str(folder / "bin")


def test_a_login_that_is_not_root_is_the_reason(debian: Path) -> None:
    assert missing_reason(uid=1000, os_release=debian) == "it needs root"


@pytest.mark.parametrize("text", ["ID=fedora\n", "ID=ubuntu\nID_LIKE=debian\n", ""])
def test_another_system_is_the_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / "os-release").write_text(text)
    assert missing_reason(uid=0, os_release=tmp_path / "os-release") == "it needs Debian"


def test_missing_programs_are_named_by_their_packages_all_at_once(tmp_path: Path, debian: Path) -> None:
    path = programs(tmp_path, "nc", "systemd-nspawn", "debootstrap")
    assert missing_reason(uid=0, os_release=debian, path=path) == (
        "programs are missing; install them with: apt-get install debootstrap netcat-openbsd systemd-container"
    )


def test_virtual_machines_need_the_emulator_besides(tmp_path: Path, debian: Path) -> None:
    path = programs(tmp_path, "qemu-img", "qemu-system-x86_64")
    assert missing_reason(uid=0, os_release=debian, path=path, vm=True) == (
        "programs are missing; install them with: apt-get install qemu-system-x86 qemu-utils"
    )


def test_virtual_machines_need_a_host_of_their_own_kind(tmp_path: Path, debian: Path) -> None:
    reason = missing_reason(uid=0, os_release=debian, path=programs(tmp_path), vm=True, processor="aarch64")
    assert reason == "its virtual machines need an x86_64 host: they run what this host's Debian runs"


def test_the_refusal_is_one_line_that_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "missing_reason", lambda **_: "it needs root")
    with pytest.raises(RefusedError) as refusal:
        refuse_where_it_cannot_run()
    assert str(refusal.value) == (
        "The lab can't run here: it needs root. Nothing was changed. "
        "Point the program at a host of your own instead: controlplane audit --target root@your-host"
    )
