"""Facts hold still while a machine works, and change with whatever a plan decides on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.facts import facts_difference, facts_digest, facts_of
from tests.fakes.evidence_builder import DATA, POSTGRES, EvidenceBuilder

Probes = dict[str, Any]


def _container(probes: Probes) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in probes["docker_containers"] if one["name"] == POSTGRES)
    return found


def _retire(probes: Probes, **other: Any) -> None:
    item = {"path": "/old", "run": "r", "retired_at": "2026-01-01T00:00:00Z", "size": 1, "entries": 1, "exists": True}
    probes["target_state"]["retired"] = [
        item | {"recorded": "a", "fingerprint": "a", "unreadable": None, "purging": None, "replaced_by": "/new"} | other
    ]


def _spoil(*path: str | int, value: Any) -> Callable[[Probes], None]:
    def change(probes: Probes) -> None:
        place: Any = probes
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


STILL: dict[str, Callable[[Probes], None]] = {
    "boot id": _spoil("identity", "boot_id", value="other"),
    "boot time": _spoil("identity", "boot_epoch", value=1.0),
    "clock": _spoil("identity", "clock_epoch", value=1.0),
    "kernel": _spoil("identity", "kernel", value="6.2"),
    "free bytes": _spoil("usage", "/", "available", value=1),
    "free inodes": _spoil("usage", "/mnt/data", "inodes_free", value=1),
    "mount id": _spoil("mounts", 0, "id", value=99),
    "kernel's name of a disk with a serial": _spoil("block", DATA, "name", value="vdz"),
    "fstab's time": _spoil("fstab", "mtime", value=1.0),
    "what findmnt printed": _spoil("fstab", "verify_output", value="other"),
    "daemon.json's time": _spoil("docker_config", "daemon_json_mtime", value=1.0),
    "drop-in's time": _spoil("units", "docker.service", "drop_ins", 0, "mtime", value=1.0),
    "unit's state": _spoil("units", "docker.service", "active_state", value="inactive"),
    "unit's sub state": _spoil("units", "docker.service", "sub_state", value="dead"),
    "images' bytes": _spoil("docker_usage", "images", value=1),
    "build cache": _spoil("docker_usage", "build_cache", value=1),
    "number of containers that run": _spoil("docker_info", "running", value=0),
    "container's process id": lambda probes: _container(probes).update(pid=1),
    "container's state": lambda probes: _container(probes).update(state="exited", running=False),
    "container's start": lambda probes: _container(probes).update(started_at="2026-01-02T09:00:00Z"),
    "container's writable bytes": lambda probes: _container(probes).update(writable_bytes=9),
    "container's id": lambda probes: _container(probes).update(id="other"),
    "stop timeout that is the engine's": lambda probes: _container(probes).pop("stop_timeout_s"),
    "redis keys": lambda probes: next(iter(probes["redis"].values())).update(keys=6),
    "files in /tmp": _spoil("tmp", "files", value=[]),
    "lease": _spoil("target_state", "lease", value={"token": 1, "holder": "a", "run": "r", "taken_at": "x", "expires_at": "y"}),
    "last change": _spoil("target_state", "last_change", value=None),
    "names beneath a mount": _spoil("beneath", "/mnt/data", "sample", value=["x"]),
    "docker's own mounts": lambda probes: probes["mounts"].append(probes["mounts"][2] | {"mount": "/var/lib/docker/overlay2/x", "fstype": "overlay"}),
    "a volume's bind mount": lambda probes: probes["mounts"].append(probes["mounts"][1] | {"mount": "/mnt/data/docker/volumes/v/_data"}),
}

MOVING: dict[str, Callable[[Probes], None]] = {
    "machine id": _spoil("identity", "machine_id", value="m2"),
    "system": _spoil("identity", "os_version", value="13"),
    "serial": _spoil("block", DATA, "serial", value="OTHER"),
    "wwn of a disk without serial": lambda probes: probes["block"][DATA].update(serial=None, wwn="w1"),
    "size of a disk": _spoil("block", DATA, "size", value=1),
    "read-only disk": _spoil("block", DATA, "read_only", value=True),
    "link by id": _spoil("block", DATA, "links", value=["/dev/disk/by-id/virtio-DATA0001"]),
    "link by path": _spoil("block", DATA, "links", value=["/dev/disk/by-path/pci-0000"]),
    "what a device stands on": _spoil("block", DATA, "slaves", value=["254:0"]),
    "partition": _spoil("block", DATA, "partition_of", value="254:0"),
    "backing file": lambda probes: probes["block"][DATA].update(serial=None, loop_file="/x"),
    "filesystem uuid": _spoil("signatures", DATA, "uuid", value="u2"),
    "filesystem type": _spoil("signatures", DATA, "type", value="xfs"),
    "label": _spoil("signatures", DATA, "label", value="x"),
    "blkid": _spoil("signatures", DATA, "blkid", value={"TYPE": "xfs"}),
    "partition table": _spoil("signatures", DATA, "blkid", value={"TYPE": "ext4", "PTTYPE": "gpt"}),
    "wipefs": _spoil("signatures", DATA, "wipefs", value=["xfs@0x0"]),
    "a mount that is gone": lambda probes: probes["mounts"].pop(1),
    "mount root": _spoil("mounts", 1, "root", value="/sub"),
    "mount type": _spoil("mounts", 1, "fstype", value="xfs"),
    "mount options": _spoil("mounts", 1, "options", value=["ro"]),
    "device of a mount": _spoil("mounts", 1, "dev", value="254:0"),
    "fstab": _spoil("fstab", "text", value="# nothing\n"),
    "daemon.json": _spoil("docker_config", "daemon_json", value="{}"),
    "containerd's file": _spoil("docker_config", "containerd_config", value=""),
    "containerd's root": _spoil("docker_config", "containerd_root", value="/var/lib/containerd"),
    "dockerd's flags": _spoil("docker_config", "dockerd_flags", value=["--data-root=/x"]),
    "docker's root": _spoil("docker_info", "root", value="/x"),
    "docker's driver": _spoil("docker_info", "driver", value="overlayfs"),
    "image store": _spoil("docker_info", "containerd_image_store", value=True),
    "drop-in's text": _spoil("units", "docker.service", "drop_ins", 0, "text", value="[Unit]\n"),
    "a drop-in that is gone": _spoil("units", "docker.service", "drop_ins", value=[]),
    "unit's command": _spoil("units", "docker.service", "exec_start", value="/usr/sbin/dockerd --data-root=/x"),
    "unit that is enabled": _spoil("units", "docker.service", "enabled", value="disabled"),
    "unit that is there": _spoil("units", "docker.service", "load_state", value="masked"),
    "container's name": lambda probes: _container(probes).update(name="other"),
    "container's image": lambda probes: _container(probes).update(image_id="sha256:bb"),
    "container's restart policy": lambda probes: _container(probes).update(restart_policy="no"),
    "container's stop timeout, by which a downtime was approved": lambda probes: _container(probes).update(stop_timeout_s=300),
    "where a container's data lands": lambda probes: _container(probes)["mounts"][0].update(host_path="/x"),
    "a container that is gone": lambda probes: probes["docker_containers"].pop(),
    "entries beneath a mount": _spoil("beneath", "/mnt/data", "entries", value=1),
    "immutable mountpoint": _spoil("beneath", "/mnt/data", "immutable", value=False),
    "a path that leads elsewhere": _spoil("paths", "/mnt/data/docker", "real", value="/mnt/data/other"),
    "what is retired": _retire,
}


@pytest.mark.parametrize("name", STILL)
def test_what_varies_by_itself_is_no_fact(name: str) -> None:
    before, after = EvidenceBuilder(), EvidenceBuilder()
    STILL[name](after.probes)
    assert before.probes != after.probes

    assert facts_of(after.build()) == facts_of(before.build())


@pytest.mark.parametrize("name", MOVING)
def test_what_plans_decide_on_is_a_fact(name: str) -> None:
    before, after = EvidenceBuilder(), EvidenceBuilder()
    MOVING[name](after.probes)

    assert facts_digest(after.build()) != facts_digest(before.build())


def test_device_numbers_are_no_facts() -> None:
    before, after = EvidenceBuilder(), EvidenceBuilder()
    renumbered = {"254:0": "253:0", DATA: "253:16"}
    for probe in ("block", "signatures"):
        after.probes[probe] = {renumbered[number]: data for number, data in after.probes[probe].items()}
    for one in after.probes["mounts"]:
        one["dev"] = renumbered.get(one["dev"], one["dev"])
    for one in after.probes["paths"].values():
        one["dev"] = renumbered.get(one["dev"], one["dev"])

    assert facts_digest(after.build()) == facts_digest(before.build())


def test_times_and_process_ids_in_systemds_exec_start_are_no_facts() -> None:
    before, after = EvidenceBuilder(), EvidenceBuilder()
    for builder, pid in ((before, 12), (after, 99)):
        text = f"{{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// ; ignore_errors=no ; start_time=[n/a] ; pid={pid} ; code=(null) }}"
        builder.probes["units"]["docker.service"]["exec_start"] = text

    assert facts_digest(after.build()) == facts_digest(before.build())


@pytest.mark.parametrize("probe", ["identity", "block", "signatures", "mounts", "fstab", "units", "docker_info", "docker_containers", "target_state"])
def test_a_probe_that_fails_is_a_fact_whatever_its_error_says(probe: str) -> None:
    healthy, one, other = (
        EvidenceBuilder().build(),
        EvidenceBuilder().fail(probe, error="a").build(),
        EvidenceBuilder().fail(probe, error="b").build(),
    )

    assert facts_digest(one) != facts_digest(healthy)
    assert facts_digest(one) == facts_digest(other)


def test_a_difference_is_told_by_the_names_of_the_facts() -> None:
    changed = EvidenceBuilder()
    changed.probes["fstab"]["text"] = ""
    changed.probes["identity"]["machine_id"] = "m2"

    assert facts_difference(facts_of(EvidenceBuilder().build()), facts_of(changed.build())) == ("fstab", "identity")


RETIRED: dict[str, tuple[dict[str, Any], bool]] = {
    "a large tree that was not read in time": ({"fingerprint": None}, True),
    "its age": ({"retired_at": "2026-01-02T00:00:00Z"}, True),
    "a tree that changed": ({"fingerprint": "b"}, False),
    "a tree that can't be read": ({"fingerprint": None, "unreadable": "EIO"}, False),
    "a tree that a purge began to delete": ({"exists": False, "purging": {"aside": "/.x", "run": "p", "entries": 1, "size": 1}}, False),
}


@pytest.mark.parametrize("name", RETIRED)
def test_of_what_is_retired_only_that_is_a_fact_which_a_purge_decides_on(name: str) -> None:
    before, after = EvidenceBuilder(), EvidenceBuilder()
    other, still = RETIRED[name]
    _retire(before.probes)
    _retire(after.probes, **other)

    assert (facts_digest(after.build()) == facts_digest(before.build())) is still


def test_how_much_of_a_purge_is_left_varies_by_itself() -> None:
    before, after = EvidenceBuilder(), EvidenceBuilder()
    _retire(before.probes, exists=False, purging={"aside": "/.x", "run": "p", "entries": 2, "size": 2})
    _retire(after.probes, exists=False, purging={"aside": "/.x", "run": "p", "entries": None, "size": None})

    assert facts_digest(after.build()) == facts_digest(before.build())
