"""What is read from the host itself: block devices, signatures, large files, what earlier runs left."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.collector import block, fstab, network, packages, signatures, state, tmp, units
from controlplane.adapters.collector.fingerprint import TooLateError, fingerprint_tree
from controlplane.adapters.collector.mounts import parse_mountinfo
from controlplane.adapters.collector.supervise import Probe, ProbeError, run_probes
from controlplane.domain.evidence import Evidence, ProbeRecord, Reader
from controlplane.domain.lineage import Lineage

Programs = Callable[..., None]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Put shell scripts before everything on PATH."""

    def put(**scripts: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return put


def _sysfs(root: Path, name: str, number: str, *, below: str = "", **files: str) -> Path:
    real = root / "devices" / below / name
    for path, text in {"dev": number, "size": "2048", "ro": "0", **files}.items():
        (real / path.replace("__", "/")).parent.mkdir(parents=True, exist_ok=True)
        (real / path.replace("__", "/")).write_text(f"{text}\n")
    link = root / "class" / "block" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(real)
    return real


def test_partitions_stacked_and_loop_devices_are_told_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _sysfs(tmp_path, "vda", "900:0", serial="DATA0001")
    part = _sysfs(tmp_path, "vda1", "900:1", below="vda", partition="1")
    mapped = _sysfs(tmp_path, "dm-0", "901:0", dm__name="vg-data", dm__uuid="LVM-x")
    _sysfs(tmp_path, "loop900", "902:0", loop__backing_file="/images/a b.img")
    _sysfs(tmp_path, "loop901", "902:1", size="0")
    (part / "holders" / "dm-0").mkdir(parents=True)
    (mapped / "slaves" / "vda1").mkdir(parents=True)
    monkeypatch.setattr(block, "SYSFS", str(tmp_path))
    devices = block.block({}, {})
    assert sorted(devices) == ["900:0", "900:1", "901:0", "902:0"]
    assert (devices["900:0"]["serial"], devices["900:0"]["partitions"], devices["900:0"]["size"]) == ("DATA0001", ["900:1"], 2048 * 512)
    assert (devices["900:1"]["partition_of"], devices["900:1"]["holders"]) == ("900:0", ["901:0"])
    assert (devices["901:0"]["slaves"], devices["901:0"]["dm_name"], devices["901:0"]["dm_uuid"]) == (["900:1"], "vg-data", "LVM-x")
    assert devices["902:0"]["loop_file"] == "/images/a b.img"
    assert [device["node"] for device in devices.values()] == [None] * 4


def test_a_volume_over_luks_on_a_partition_of_the_boot_disk_is_followed_from_sysfs_to_that_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel that tests run on may have no device-mapper: its sysfs is laid out as it looks with LUKS, LVM and a mirror."""
    for name, number, inside in [
        ("vda", "900:0", ""),
        ("vda1", "900:1", "vda"),
        ("vda2", "900:2", "vda"),
        ("vdb", "900:16", ""),
        ("vdc", "900:32", ""),
    ]:
        _sysfs(tmp_path, name, number, below=inside, **({"partition": "1"} if inside else {}))
    for name, number, label, uuid, below in [
        ("dm-0", "901:0", "crypt", "CRYPT-LUKS2-x-crypt", ["vda2"]),
        ("dm-1", "901:1", "boot-spare", "LVM-x", ["dm-0"]),
        ("dm-2", "901:2", "data-docker", "LVM-y", ["md0"]),
        ("dm-3", "901:3", "data-thin", "LVM-z", ["dm-2", "dm-0"]),
    ]:
        real = _sysfs(tmp_path, name, number, dm__name=label, dm__uuid=uuid)
        for slave in below:
            (real / "slaves" / slave).mkdir(parents=True)
    mirror = _sysfs(tmp_path, "md0", "902:0")
    for slave in ("vdb", "vdc"):
        (mirror / "slaves" / slave).mkdir(parents=True)
    monkeypatch.setattr(block, "SYSFS", str(tmp_path))
    table = "1 0 900:1 / / rw - ext4 /dev/vda1 rw\n2 1 901:1 / /spare rw - ext4 /dev/mapper/boot-spare rw\n"
    table += "3 1 901:2 / /data rw - ext4 /dev/mapper/data-docker rw\n4 1 901:3 / /thin rw - ext4 /dev/mapper/data-thin rw\n"
    probes = {"block": block.block({}, {}), "mounts": parse_mountinfo(table)}
    records = {name: ProbeRecord(status="ok", seconds=0.0, data=data) for name, data in probes.items()}
    lineage = Lineage(Reader(Evidence(host="h", collected_at="2026-01-01T00:00:00Z", asked={}, probes=records)))
    leaves = {at: lineage.names(lineage.of_mount(at).disks) for at in ("/", "/spare", "/data", "/thin")}
    assert leaves == {"/": ["vda"], "/spare": ["vda"], "/data": ["vdb", "vdc"], "/thin": ["vda", "vdb", "vdc"]}


def _device(node: str) -> dict[str, object]:
    return {"block": {"7:1": {"node": node, "size": 4096, "dm_name": None}}}


def test_signatures_are_what_both_tools_say(tmp_path: Path, programs: Programs) -> None:
    node = tmp_path / "disk"
    node.write_bytes(b"x" * 4096)
    wipefs = json.dumps({"signatures": [{"device": "disk", "offset": "0x438", "type": "ext4", "uuid": "u", "label": None}]})
    programs(blkid=f"echo DEVNAME={node}; echo UUID=u; echo TYPE=ext4", wipefs=f"echo '{wipefs}'")
    assert signatures.signatures({}, _device(str(node))) == {
        "7:1": {"uuid": "u", "type": "ext4", "label": None, "blkid": {"UUID": "u", "TYPE": "ext4"}, "wipefs": ["ext4@0x438"]}
    }


def test_a_blank_device_is_blank_only_where_both_tools_looked(tmp_path: Path, programs: Programs) -> None:
    node = tmp_path / "disk"
    node.write_bytes(bytes(4096))
    programs(blkid="exit 2", wipefs="exit 0")
    assert signatures.signatures({}, _device(str(node)))["7:1"] == {"uuid": None, "type": None, "label": None, "blkid": {}, "wipefs": []}


def test_two_signatures_on_one_device_are_not_blank(tmp_path: Path, programs: Programs) -> None:
    node = tmp_path / "disk"
    node.write_bytes(bytes(4096))
    programs(blkid="echo ambivalent >&2; exit 8", wipefs="exit 0")
    assert signatures.signatures({}, _device(str(node)))["7:1"]["blkid"] == {"AMBIVALENT": "more than one signature"}


@pytest.mark.parametrize(
    ("scripts", "reason"),
    [
        ({"blkid": "exit 4", "wipefs": "exit 0"}, "blkid ended with 4"),
        ({"blkid": "exit 2", "wipefs": "echo no >&2; exit 1"}, "wipefs ended with 1: no"),
        ({"blkid": "echo DEVNAME=/dev/other; echo TYPE=ext4", "wipefs": "exit 0"}, "which it was not asked for"),
    ],
)
def test_a_tool_that_fails_or_lies_is_a_failed_probe(tmp_path: Path, programs: Programs, scripts: dict[str, str], reason: str) -> None:
    node = tmp_path / "disk"
    node.write_bytes(bytes(4096))
    programs(**scripts)
    with pytest.raises(ProbeError, match=reason):
        signatures.signatures({}, _device(str(node)))


def test_a_tool_that_hangs_is_ended_with_its_probe(tmp_path: Path, programs: Programs) -> None:
    node = tmp_path / "disk"
    node.write_bytes(bytes(4096))
    programs(blkid="sleep 60", wipefs="exit 0")
    probe = Probe("signatures", lambda asked, _seen: signatures.signatures(asked, _device(str(node))), 0.5)
    assert json.loads(run_probes([probe], {})["signatures"])["status"] == "timeout"


def test_garbage_from_wipefs_is_a_failed_probe(tmp_path: Path, programs: Programs) -> None:
    node = tmp_path / "disk"
    node.write_bytes(bytes(4096))
    programs(blkid="exit 2", wipefs="echo garbage")
    with pytest.raises(ValueError, match="Expecting value"):
        signatures.signatures({}, _device(str(node)))


def test_no_device_that_can_be_opened_is_unknown_not_blank() -> None:
    with pytest.raises(ProbeError, match="no block device could be opened"):
        signatures.signatures({}, _device("/nonexistent/disk"))


def test_units_that_systemctl_does_not_show_are_a_failed_probe(programs: Programs) -> None:
    programs(systemctl="echo Id=docker.service")
    with pytest.raises(ProbeError, match="showed 1 units of 3"):
        units.units({}, {})


def test_a_unit_s_command_line_and_drop_ins_are_told(tmp_path: Path, programs: Programs) -> None:
    drop_in = tmp_path / "guard.conf"
    drop_in.write_text("[Unit]\nRequiresMountsFor=/mnt/data\n")
    shown = (
        "ExecStart={ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// ; ignore_errors=no ; pid=0 }\nLoadState=loaded\nNeedDaemonReload=yes"
    )
    programs(systemctl=f"cat <<'E'\n{shown}\nDropInPaths={drop_in}\n\nLoadState=not-found\n\nLoadState=not-found\nE")
    found = units.units({}, {})
    assert found["docker.service"]["exec_start"] == "/usr/bin/dockerd -H fd://"
    assert found["docker.service"]["needs_reload"] is True
    assert found["docker.service"]["drop_ins"][0]["text"] == "[Unit]\nRequiresMountsFor=/mnt/data\n"
    assert found["containerd.service"]["load_state"] == "not-found"


def test_findmnt_s_verdict_is_kept_beside_the_text(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "fstab"
    table.write_text("UUID=1 / ext4 rw 0 1\n")
    monkeypatch.setattr(fstab, "FSTAB", str(table))
    programs(findmnt="echo '[E] unreachable'; exit 1")
    found = fstab.fstab({}, {})
    assert (found["text"], found["verify_rc"], found["verify_output"]) == ("UUID=1 / ext4 rw 0 1\n", 1, "[E] unreachable")


def test_a_share_s_password_stays_on_the_host_and_its_line_is_read_all_the_same(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "fstab"
    table.write_text("//nas/media /media cifs nofail,password=a,c4nary,uid=0 0 2\n//me:c4nary@nas/x /x cifs ro,user=me%c4nary\n")
    monkeypatch.setattr(fstab, "FSTAB", str(table))
    programs(findmnt="echo '[E] unreachable source: //me:c4nary@nas/x'; exit 1")
    found = fstab.fstab({}, {})
    assert "c4nary" not in json.dumps(found)
    first, second = found["entries"]
    assert (first["options"], first["passno"], first["file"]) == (["nofail", "password=***"], 2, "/media")
    assert (second["spec"], second["options"]) == ("//***@nas/x", ["ro", "user=***"])
    assert found["bad_lines"] == []


def test_large_files_are_named_largest_first_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name, size in (("deep/er/big", 3_000_000), ("middle", 1_000_000), ("small", 999_999)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    found = tmp.large_files((str(tmp_path), f"{tmp_path}/absent"))
    assert [(size, path) for size, path, _ in found] == [(3_000_000, f"{tmp_path}/deep/er/big"), (1_000_000, f"{tmp_path}/middle")]


def test_the_fingerprint_sees_every_change_of_metadata_and_no_reading(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "file\nname").write_text("content")
    (tree / "link").symlink_to("a")
    before = fingerprint_tree(str(tree))
    (tree / "a" / "file\nname").read_text()
    assert fingerprint_tree(str(tree)) == before
    assert before[1] == 3
    (tree / "a" / "file\nname").chmod(0o600)
    after = fingerprint_tree(str(tree))
    assert after[0] != before[0]
    (tree / "a" / "new").write_text("")
    assert fingerprint_tree(str(tree))[0] != after[0]


def test_a_fingerprint_ends_where_its_time_is_over(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("")
    with pytest.raises(TooLateError, match="was not read to its end in time"):
        fingerprint_tree(str(tmp_path), time.monotonic() - 1)
    assert fingerprint_tree(str(tmp_path), time.monotonic() + 60) == fingerprint_tree(str(tmp_path))


def test_what_can_t_be_read_has_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fingerprint_tree(f"{tmp_path}/absent")


def test_retired_paths_are_compared_with_what_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "BASE", str(tmp_path))
    old = tmp_path / "old-root"
    old.mkdir()
    digest, entries, size = fingerprint_tree(str(old))
    gone = {"run": "CAP-1", "retired_at": "t", "size": size, "entries": entries, "recorded": digest, "replaced_by": "/new"}
    (tmp_path / "retired.json").write_text(json.dumps({"version": 1, "retired": [{"path": str(old), **gone}, {"path": "/nonexistent", **gone}]}))
    (tmp_path / "CAP-1").mkdir()
    (tmp_path / "CAP-1" / "state.json").write_text(json.dumps({"run": "CAP-1", "role": "data_disk", "phase": "change", "unit": None}))
    (tmp_path / "CAP-2").mkdir()
    (tmp_path / "CAP-2" / "state.json").write_text(json.dumps({"run": "CAP-2", "role": "data_disk", "phase": "done", "unit": None}))
    found = state.target_state({}, {})
    assert [(one["exists"], one["fingerprint"] == digest) for one in found["retired"]] == [(True, True), (False, False)]
    assert [run["run"] for run in found["runs"]] == ["CAP-1"]
    assert (found["lease"], found["last_change"]) == (None, None)


def _on_record(folder: Path, *trees: Path) -> None:
    rows = [
        {"path": str(tree), "run": "CAP-1", "retired_at": "t", "size": size, "entries": entries, "recorded": recorded, "replaced_by": "/new"}
        for tree in trees
        for recorded, entries, size in [fingerprint_tree(str(tree))]
    ]
    (folder / "retired.json").write_text(json.dumps({"version": 1, "retired": rows}))


def test_a_tree_too_large_for_an_audit_is_neither_unreadable_nor_in_the_way_of_a_smaller_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "BASE", str(tmp_path))
    large, small = tmp_path / "a-large", tmp_path / "b-small"
    for tree, count in ((large, 40), (small, 2)):
        tree.mkdir()
        for number in range(count):
            (tree / f"file{number}").write_text("")
    _on_record(tmp_path, large, small)
    # The clock of the walk: each entry takes a second, as on a disk that is slow and cold.
    ticks = itertools.count()
    monkeypatch.setattr("controlplane.adapters.collector.fingerprint.time.monotonic", lambda: float(next(ticks)))

    found = {one["path"]: one for one in state.target_state({}, {})["retired"]}

    assert (found[str(small)]["fingerprint"], found[str(small)]["unreadable"]) == (found[str(small)]["recorded"], None)
    assert (found[str(large)]["exists"], found[str(large)]["fingerprint"], found[str(large)]["unreadable"]) == (True, None, None)
    assert list(found) == [str(large), str(small)]


def _begin_to_purge(folder: Path, tree: Path, **other: Any) -> Path:
    """Leave what a purge leaves that was killed: its journal, and the tree under its new name."""
    [record] = [one for one in json.loads((folder / "retired.json").read_text())["retired"] if one["path"] == str(tree)]
    claim = {**record, "inode": tree.stat().st_ino, "generation": None, "newest_ns": 0, **other}
    (folder / "CAP-9").mkdir()
    journal = {"run": "CAP-9", "role": "purge_retired", "phase": "purging", "unit": None, "purging": [claim]}
    (folder / "CAP-9" / "state.json").write_text(json.dumps(journal))
    return tree.rename(tree.with_name(f".controlplane-purging-{tree.name}"))


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A retired tree that a purge can begin with."""
    monkeypatch.setattr(state, "BASE", str(tmp_path))
    old = tmp_path / "old-root"
    old.mkdir()
    (old / "one").write_bytes(b"x" * 8192)
    (old / "two").write_bytes(b"x" * 4096)
    _on_record(tmp_path, old)
    return old


def test_what_a_purge_began_to_delete_is_shown_with_what_is_left_of_it(begun: Path) -> None:
    aside = _begin_to_purge(begun.parent, begun)
    (aside / "one").unlink()
    left = {"aside": str(aside), "run": "CAP-9", "entries": 1, "size": 4096}

    [found] = state.target_state({}, {})["retired"]

    assert (found["path"], found["exists"], found["fingerprint"], found["purging"]) == (str(begun), False, None, left)
    # Also when nothing but the purge's own journal remembers the path.
    (begun.parent / "retired.json").unlink()
    [again] = state.target_state({}, {})["retired"]
    assert again == found


@pytest.mark.parametrize("other", [{"inode": 1}, {"run": "CAP-2"}, {"recorded": "sha256:other"}])
def test_what_lies_under_a_purges_name_and_is_not_in_its_journal_is_nobodys(begun: Path, other: dict[str, Any]) -> None:
    aside = _begin_to_purge(begun.parent, begun, **other)

    [found] = [one for one in state.target_state({}, {})["retired"] if one["recorded"] != "sha256:other" and one["run"] == "CAP-1"]

    assert (found["purging"]["aside"], found["purging"]["run"]) == (str(aside), None)


def test_a_journal_that_was_closed_knows_nothing_any_more(begun: Path) -> None:
    _begin_to_purge(begun.parent, begun)
    journal = begun.parent / "CAP-9" / "state.json"
    journal.write_text(json.dumps(json.loads(journal.read_text()) | {"phase": "done"}))

    [found] = state.target_state({}, {})["retired"]

    assert found["purging"]["run"] is None


def test_what_a_purge_empties_in_its_place_is_known_by_its_journal_as_long_as_it_is_on_record(begun: Path) -> None:
    _begin_to_purge(begun.parent, begun, in_place=True).rename(begun)
    (begun / "one").unlink()

    [found] = state.target_state({}, {})["retired"]

    left = {"aside": str(begun), "run": "CAP-9", "entries": 1, "size": 4096}
    assert (found["exists"], found["fingerprint"], found["unreadable"], found["purging"]) == (False, None, None, left)
    # What is live again lies there by the same inode, and only the journal is left of the purge.
    (begun.parent / "retired.json").unlink()
    assert state.target_state({}, {})["retired"] == []


@pytest.mark.parametrize("other", [{"in_place": False}, {"in_place": True, "inode": 1}, {"in_place": True, "recorded": "sha256:other"}])
def test_what_has_the_path_s_name_and_is_in_no_journal_as_emptied_there_is_compared(begun: Path, other: dict[str, Any]) -> None:
    _begin_to_purge(begun.parent, begun, **other).rename(begun)

    [found] = state.target_state({}, {})["retired"]

    assert (found["exists"], found["fingerprint"], found["purging"]) == (True, found["recorded"], None)


def test_what_a_retired_path_was_a_part_of_is_shown_and_what_an_open_run_needs(begun: Path) -> None:
    record = json.loads((begun.parent / "retired.json").read_text())["retired"][0]
    (begun.parent / "retired.json").write_text(json.dumps({"version": 1, "retired": [record, {**record, "path": "/of/volume", "volume": "shop"}]}))
    source = {"kind": "bind", "path": str(begun), "base": str(begun.parent), "volume": ""}
    trees = [{"from": str(begun), "to": "/new"}]
    (begun.parent / "CAP-1").mkdir()
    journal = {"run": "CAP-1", "role": "persistent_paths", "phase": "staging", "unit": None, "paths": [{"source": source}], "trees": trees}
    (begun.parent / "CAP-1" / "state.json").write_text(json.dumps(journal))

    found = state.target_state({}, {})

    assert [(one["volume"], one["base"]) for one in found["retired"]] == [(None, str(begun.parent)), ("shop", None)]
    assert found["runs"][0]["needs"] == sorted(["/new", str(begun)])
    probe = ProbeRecord(status="ok", seconds=0.1, data=found)
    seen = Reader(Evidence(host="h", collected_at="2026-01-01T00:00:00Z", asked={}, probes={"target_state": probe}))
    assert seen.target_state["retired"][1]["volume"] == "shop"


def test_what_is_left_of_a_large_tree_is_shown_without_its_size(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aside = _begin_to_purge(begun.parent, begun)
    monkeypatch.setattr(state, "_FINGERPRINTS_WITHIN", -1.0)

    [found] = state.target_state({}, {})["retired"]

    assert found["purging"] == {"aside": str(aside), "run": "CAP-9", "entries": None, "size": None}


def test_a_purge_that_has_noted_and_not_yet_renamed_has_begun_nothing(begun: Path) -> None:
    _begin_to_purge(begun.parent, begun).rename(begun)

    [found] = state.target_state({}, {})["retired"]

    assert (found["exists"], found["fingerprint"], found["purging"]) == (True, found["recorded"], None)


def test_a_retired_tree_that_can_t_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "BASE", str(tmp_path))
    old = tmp_path / "old-root"
    old.mkdir()
    _on_record(tmp_path, old)

    def broken(path: str, _until: float) -> Any:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(state, "fingerprint_tree", broken)

    [found] = state.target_state({}, {})["retired"]

    assert found["fingerprint"] is None
    assert found["unreadable"] == f"[Errno 5] Input/output error: '{old}'"


@pytest.mark.parametrize(
    ("said", "works"),
    [("active", True), ("activating", True), ("deactivating", True), ("reloading", True), ("inactive", False), ("failed", False), ("unknown", False)],
)
def test_a_unit_that_is_on_its_way_up_or_down_still_works(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, works: bool
) -> None:
    programs(systemctl=f"echo {said}; exit 3")
    monkeypatch.setattr(state, "BASE", str(tmp_path))
    (tmp_path / "CAP-1").mkdir()
    (tmp_path / "CAP-1" / "state.json").write_text(json.dumps({"run": "CAP-1", "role": "docker_data_root", "phase": "staging", "unit": "x.service"}))
    assert [run["unit_active"] for run in state.target_state({}, {})["runs"]] == [works]


def test_a_unit_that_systemd_says_nothing_about_is_a_failed_probe(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(systemctl="echo Failed to connect to bus >&2; exit 1")
    monkeypatch.setattr(state, "BASE", str(tmp_path))
    (tmp_path / "CAP-1").mkdir()
    (tmp_path / "CAP-1" / "state.json").write_text(json.dumps({"run": "CAP-1", "role": "docker_data_root", "phase": "staging", "unit": "x.service"}))
    with pytest.raises(ProbeError, match=r"does not say whether x\.service works: Failed to connect to bus"):
        state.target_state({}, {})


def test_a_state_file_that_is_no_json_is_a_failed_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "BASE", str(tmp_path))
    (tmp_path / "lease.json").write_text("{half")
    with pytest.raises(ProbeError, match=r"lease\.json is no JSON"):
        state.target_state({}, {})


def test_a_host_that_was_never_changed_has_an_empty_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "BASE", f"{tmp_path}/absent")
    assert state.target_state({}, {}) == {"retired": [], "copies": [], "last_change": None, "runs": [], "lease": None}


@pytest.mark.parametrize(
    ("phase", "leg", "copies"),
    [
        ("precopying", "forward", ["/mnt/data/docker"]),
        ("reverted", "forward", ["/mnt/data/docker"]),
        ("reverted", "carry", ["/var/lib/docker"]),
        ("done", "forward", []),
        ("stopping", "forward", []),
    ],
)
def test_only_copies_that_nothing_lived_on_are_told(phase: str, leg: str, copies: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "BASE", str(tmp_path))
    (tmp_path / "CAP-1").mkdir()
    journal = {"run": "CAP-1", "role": "docker_data_root", "phase": phase, "leg": leg, "unit": None}
    journal["trees"] = [{"from": "/var/lib/docker", "to": "/mnt/data/docker"}]
    (tmp_path / "CAP-1/state.json").write_text(json.dumps(journal))
    assert state.target_state({}, {})["copies"] == copies


def test_packages_are_told_as_dpkg_lists_them(programs: Programs) -> None:
    programs(**{"dpkg-query": "printf 'rsync\\tii \\t3.2.7-1\\ncron\\trc \\t1.0\\n'; echo no package nano >&2; exit 1"})
    assert packages.packages({"packages": ["rsync", "cron", "nano"]}, {}) == {
        "rsync": {"status": "ii", "version": "3.2.7-1"},
        "cron": {"status": "rc", "version": "1.0"},
        "nano": {"status": "", "version": None},
    }


def test_dpkg_is_not_asked_where_no_package_is_named_and_its_failure_is_told(programs: Programs) -> None:
    programs(**{"dpkg-query": "echo broken >&2; exit 2"})
    assert packages.packages({}, {}) == {}
    with pytest.raises(ProbeError, match="dpkg-query ended with 2: broken"):
        packages.packages({"packages": ["rsync"]}, {})


def test_addresses_and_gateways_are_what_ip_says(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "RESOLV", str(tmp_path / "resolv.conf"))
    links = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
        {
            "ifname": "eth0",
            "addr_info": [{"local": "192.0.2.10", "prefixlen": 24, "scope": "global"}, {"local": "fe80::1", "prefixlen": 64, "scope": "link"}],
        },
    ]
    routes = [{"dst": "default", "gateway": "192.0.2.1"}, {"dst": "default", "nexthops": [{"gateway": "192.0.2.2"}]}]
    programs(ip=f"case \"$*\" in *address*) echo '{json.dumps(links)}';; *-4*) echo '{json.dumps(routes)}';; esac")
    assert network.network({"network": True}, {}) == {
        "addresses": ["192.0.2.10/24"],
        "gateways": ["192.0.2.1", "192.0.2.2"],
        "resolver": {"servers": [], "files": [str(tmp_path / "resolv.conf")], "error": None},
    }
    assert network.network({}, {}) == {"addresses": [], "gateways": []}


@pytest.mark.parametrize(
    ("text", "uplink", "servers", "files"),
    [
        ("# nameserver 192.0.2.1\nsearch example.org\nnameserver 192.0.2.53\nnameserver\n", None, ["192.0.2.53"], 1),
        (
            "nameserver 127.0.0.53\noptions edns0\n",
            "nameserver 192.0.2.53\nnameserver 2001:db8::53\n",
            ["127.0.0.53", "192.0.2.53", "2001:db8::53"],
            2,
        ),
        ("nameserver 127.0.0.1\n", "nameserver 192.0.2.53\n", ["127.0.0.1"], 1),
    ],
)
def test_nameservers_are_those_of_resolv_conf_and_behind_a_stub_those_that_resolved_asks(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, uplink: str | None, servers: list[str], files: int
) -> None:
    programs(ip="echo '[]'")
    paths = [tmp_path / "resolv.conf", tmp_path / "uplink.conf"]
    for name, path, content in zip(("RESOLV", "UPLINK"), paths, (text, uplink), strict=True):
        monkeypatch.setattr(network, name, str(path))
        if content is not None:
            path.write_text(content)
    assert network.network({"network": True}, {})["resolver"] == {"servers": servers, "files": [str(path) for path in paths[:files]], "error": None}


def test_a_stub_that_does_not_say_whom_it_asks_and_a_file_that_can_t_be_read_leave_the_addresses_known(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(ip="echo '[]'")
    resolv, uplink = tmp_path / "resolv.conf", tmp_path / "uplink.conf"
    resolv.write_text("nameserver 127.0.0.53\n")
    monkeypatch.setattr(network, "RESOLV", str(resolv))
    monkeypatch.setattr(network, "UPLINK", str(uplink))
    seen = network.network({"network": True}, {})
    assert (seen["addresses"], seen["resolver"]["servers"]) == ([], [])
    assert seen["resolver"]["error"] == f"{resolv} names systemd-resolved, and {uplink}, where that says whom it asks, is not there"
    resolv.unlink()
    resolv.mkdir()
    assert "Is a directory" in network.network({"network": True}, {})["resolver"]["error"]
