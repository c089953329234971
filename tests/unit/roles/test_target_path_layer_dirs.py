"""Where a container's layer lies: by Docker's own account, by containerd's, or nowhere that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from controlplane_target import path_layer_dirs
from controlplane_target.command import Said
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.mounts import Mount
from controlplane_target.path_layer_dirs import Dirs, dirs_of, is_known

SNAPSHOTS = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
# As ctr 1.7 of Debian 12 and 13 prints it.
SAID = f"mount -t overlay overlay / -o index=off,workdir={SNAPSHOTS}/3/work,upperdir={SNAPSHOTS}/3/fs,lowerdir={SNAPSHOTS}/2/fs:{SNAPSHOTS}/1/fs\n"


def held(**driver: Any) -> dict[str, Any]:
    return {"Id": "c1", "Name": "/shop", "GraphDriver": driver}


class _Engine:
    said: ClassVar[dict[str, Any]] = {}

    def info(self) -> dict[str, Any]:
        return self.said


def answering(monkeypatch: pytest.MonkeyPatch, said: Said) -> list[list[str]]:
    asked: list[list[str]] = []

    def run(argv: list[str], **_: Any) -> Said:
        asked.append(argv)
        return said

    monkeypatch.setattr(path_layer_dirs.command, "run", run)
    monkeypatch.setattr(path_layer_dirs, "Engine", _Engine)
    _Engine.said = {}
    return asked


def test_overlay2_is_docker_s_own_account_with_its_short_names(tmp_path: Path) -> None:
    own = tmp_path / "overlay2" / "c1"
    own.mkdir(parents=True)
    (own / "lower").write_text("l/A:l/B\n")
    known = held(Name="overlay2", Data={"UpperDir": f"{own}/diff", "WorkDir": f"{own}/work", "MergedDir": f"{own}/merged"})
    assert dirs_of(known) == Dirs(f"{own}/diff", f"{own}/work", "l/A:l/B", str(own.parent), f"{own}/merged")


NEWER = {"Id": "c1", "Name": "/shop", "Storage": {"RootFS": {"Snapshot": {"Name": "overlayfs"}}}}


@pytest.mark.parametrize("inspection", [held(Name="overlayfs", Data=None), NEWER])
def test_a_snapshot_is_containerd_s_account_with_names_that_fit_a_mount_s_options(
    monkeypatch: pytest.MonkeyPatch, inspection: dict[str, Any]
) -> None:
    asked = answering(monkeypatch, Said(0, SAID, ""))
    assert dirs_of(inspection) == Dirs(f"{SNAPSHOTS}/3/fs", f"{SNAPSHOTS}/3/work", "2/fs:1/fs", SNAPSHOTS, None)
    [argv] = asked
    assert argv[argv.index("--namespace") + 1] == "moby"
    assert argv[-3:] == ["mounts", "/", "c1"]
    _Engine.said = {"Containerd": {"Address": "/run/own.sock", "Namespaces": {"Containers": "moby-100000.100000"}}}
    dirs_of(inspection)
    assert asked[-1][:5] == ["ctr", "--address", "/run/own.sock", "--namespace", "moby-100000.100000"]


@pytest.mark.parametrize(
    "said",
    [
        Said(1, "", "snapshot c1 does not exist: not found"),
        Said(0, "", ""),
        Said(0, SAID + SAID, ""),
        Said(0, f"mount -t bind {SNAPSHOTS}/3/fs / -o rbind,rw", ""),
        Said(0, f"mount -t overlay overlay / -o upperdir={SNAPSHOTS}/3/fs", ""),
    ],
)
def test_what_containerd_does_not_name_as_one_overlay_is_a_fault_and_no_guess(monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    answering(monkeypatch, said)
    with pytest.raises(FailedFault, match="containerd names no overlay for the layer of shop"):
        dirs_of(held(Name="overlayfs", Data=None))


@pytest.mark.parametrize(
    ("inspection", "named"),
    [
        (held(Name="btrfs", Data={}), "btrfs"),
        (held(Name="zfs", Data={"Mountpoint": "/x"}), "zfs"),
        (held(Name="overlay2", Data={}), "overlay2"),
        (held(Name="overlayfs", Data={"UpperDir": "/x"}), "overlayfs"),
        ({**NEWER, "Storage": {"RootFS": {"Snapshot": {"Name": "native"}}}}, "native"),
        ({"Id": "c1", "Name": "/shop"}, "no kind that Docker names"),
    ],
)
def test_another_kind_is_refused_by_its_name_with_the_way_by_hand(inspection: dict[str, Any], named: str) -> None:
    assert not is_known(inspection)
    with pytest.raises(RefusedFault, match=rf"shop keeps its data in a layer of {named}, .*docker cp -a"):
        dirs_of(inspection)


def test_a_layer_that_went_meanwhile_is_a_fault_by_its_container(tmp_path: Path) -> None:
    gone = held(Name="overlay2", Data={"UpperDir": f"{tmp_path}/c1/diff", "WorkDir": f"{tmp_path}/c1/work", "MergedDir": f"{tmp_path}/c1/merged"})
    with pytest.raises(FailedFault, match="the layer of shop can't be read"):
        dirs_of(gone)


def test_a_layer_is_seen_where_docker_mounted_it_and_not_where_a_run_did(monkeypatch: pytest.MonkeyPatch) -> None:
    def mounted(place: str, options: str, fstype: str = "overlay") -> Mount:
        return Mount("0:98", "/", place, fstype, "overlay", options, read_only=False)

    table = [
        mounted("/run/controlplane/R1/layer", "rw,lowerdir=/x,upperdir=/u/3/fs,workdir=/u/3/work"),
        mounted("/var/lib/docker/rootfs/overlayfs/c2", "rw,lowerdir=/x,upperdir=/u/33/fs,workdir=/u/33/work"),
        mounted("/elsewhere", "rw,upperdir=/u/3/fs", fstype="ext4"),
        mounted("/var/lib/docker/rootfs/overlayfs/c1", "rw,lowerdir=/x,upperdir=/u/3/fs,workdir=/u/3/work"),
    ]
    monkeypatch.setattr(path_layer_dirs, "read", lambda: table)
    answering(monkeypatch, Said(0, SAID.replace(SNAPSHOTS, "/u"), ""))
    assert dirs_of(held(Name="overlayfs", Data=None)).merged == "/var/lib/docker/rootfs/overlayfs/c1"
    del table[-1]
    assert dirs_of(held(Name="overlayfs", Data=None)).merged is None
