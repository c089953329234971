"""Who has a tree open or mounted, with mounts as a container has them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from controlplane_target import open_files, purge, purge_users
from controlplane_target.purge_users import Users

from tests.unit.roles.purged_host import Docker, Host, names


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_is_mounted_over_it_by_the_same_path_is_no_use_of_it_and_is_still_mounted_afterwards(
    host: Host, inside: Callable[..., subprocess.Popen[str]]
) -> None:
    # The container has its data where the host kept them: it opens /…/deep/new, which is not the host's.
    process = inside(f"mount --bind {host.place} {host.deep}", host.deep / "new")
    assert purge_users.look(str(host.deep)) == Users([], is_stood_on=True)
    assert open_files.users_of(str(host.deep)) == []
    host.retire(kind="bind")
    before = host.rest()
    # Docker need not know of it.
    assert purge.purge(host.home, host.home.run("P1"), host.items(), host.terms(Docker())) == [str(host.deep)]
    assert (host.rest(), names(host.deep)) == (before, [])
    seen = Path(f"/proc/{process.pid}/root{host.deep}/new").read_text()
    assert (seen, process.communicate()[0].strip()) == ("new", "new")


@pytest.mark.parametrize("script", ["true", "mount --bind {whole} {other}", "mount --bind {deep} {other}"])
def test_whoever_has_it_open_or_mounted_by_any_name_is_told(
    host: Host, inside: Callable[..., subprocess.Popen[str]], script: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    opened = {"true": host.deep / "old", "mount --bind {whole} {other}": other / "deep/old"}.get(script, host.place / "new")
    process = inside(script.format(whole=host.whole, deep=host.deep, other=other), opened)
    [told] = purge_users.look(str(host.deep)).told
    assert f"(pid {process.pid}) " in told
    assert str(opened) in told or "sees " in told
    assert open_files.users_of(str(host.deep)) == [told]


@pytest.mark.parametrize(("option", "is_told"), [("ro", False), ("rw", True)])
def test_whoever_sees_it_only_by_what_is_mounted_read_only_can_be_left_out(
    host: Host, inside: Callable[..., subprocess.Popen[str]], option: str, is_told: bool, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    inside(f"mount --bind {host.whole} {other}; mount -o remount,bind,{option} {other}", other / "deep/old")
    assert len(open_files.users_of(str(host.deep))) == 1
    assert (open_files.users_of(str(host.deep), writers_only=True) != []) is is_told
