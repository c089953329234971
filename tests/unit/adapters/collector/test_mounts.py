"""The mount table, and where a path really lies."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.adapters.collector import mounts, places
from controlplane.adapters.collector.mounts import in_time, mount_table, parse_mountinfo, place_of, places_of, unescape, usage
from controlplane.adapters.collector.places import discovered, landing, overlaid
from controlplane.adapters.collector.supervise import ProbeError

LINE = r"36 25 7:4 /sub\040dir /mnt/with\040space\134x rw,noatime shared:1 master:2 - ext4 /dev/loop4 rw,errors=continue"


def test_octal_escapes_of_mountinfo_are_decoded_and_optional_fields_are_passed_over() -> None:
    [mount] = parse_mountinfo(LINE)
    assert mount == {
        "id": 36,
        "parent": 25,
        "dev": "7:4",
        "root": "/sub dir",
        "mount": "/mnt/with space\\x",
        "options": ["rw", "noatime"],
        "fstype": "ext4",
        "source": "/dev/loop4",
        "super_options": ["rw", "errors=continue"],
    }


@pytest.mark.parametrize("line", ["", "36 25 7:4", "x 25 7:4 / / rw - ext4 /dev/x rw", "36 25 7:4 / / rw shared:1 ext4 /dev/x rw"])
def test_a_line_that_is_none_is_never_passed_over(line: str) -> None:
    with pytest.raises(ProbeError, match="a line of mountinfo could not be read"):
        parse_mountinfo(f"{LINE}\n{line}\n")


def test_text_without_escapes_stays_as_it_is() -> None:
    assert unescape("/mnt/ä\\999") == "/mnt/ä\\999"


def test_the_kernel_s_own_table_is_read_and_names_the_root() -> None:
    assert [mount for mount in mount_table() if mount["mount"] == "/"]


def test_a_path_through_a_symlink_lies_where_the_link_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "file").write_text("x")
    place = places_of({f"{tmp_path}/link/file"})[f"{tmp_path}/link/file"]
    assert place["real"] == f"{tmp_path}/real/file"
    assert (place["exists"], place["kind"], place["nearest"]) == (True, "file", f"{tmp_path}/real/file")


def test_a_path_that_is_not_there_lies_where_its_nearest_ancestor_lies(tmp_path: Path) -> None:
    wanted = f"{tmp_path}/not/there/yet"
    place = places_of({wanted})[wanted]
    assert (place["exists"], place["kind"], place["nearest"], place["uid"]) == (False, "absent", str(tmp_path), None)
    assert place["dev"] == places_of({str(tmp_path)})[str(tmp_path)]["dev"]


def test_a_dangling_link_leads_to_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "target-parent").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target-parent" / "gone")
    place = places_of({f"{tmp_path}/link"})[f"{tmp_path}/link"]
    assert (place["exists"], place["nearest"]) == (False, f"{tmp_path}/target-parent")


def test_a_file_in_the_middle_of_a_path_ends_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = places_of({f"{tmp_path}/file/below"})[f"{tmp_path}/file/below"]
    assert (place["exists"], place["nearest"]) == (False, f"{tmp_path}/file")


def test_the_mount_is_the_one_that_the_kernel_names_not_the_longest_string() -> None:
    table = {mount["id"]: mount for mount in mount_table()}
    assert place_of("/proc/self", table)["mount"] == "/proc"


def test_a_mount_that_is_not_in_the_table_leaves_the_device_empty(tmp_path: Path) -> None:
    place = place_of(str(tmp_path), {})
    assert (place["dev"], place["mount"]) == ("", "")


def test_a_path_that_can_t_be_looked_at_has_no_entry(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    found = places_of({str(loop), f"{tmp_path}/{'x' * 300}"})
    assert f"{tmp_path}/{'x' * 300}" not in found


def test_what_hangs_is_left_out_and_holds_up_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "_PATIENCE", 0.2)
    never = threading.Event()

    def refuse() -> str:
        raise PermissionError

    began = time.monotonic()
    acts: dict[str, Callable[[], object]] = {f"hung-{n}": never.wait for n in range(250)}
    found = in_time({**acts, "refused": refuse, "well": lambda: "seen"})
    never.set()
    assert found == {"well": "seen"}
    # Two rounds, not one wait for each.
    assert time.monotonic() - began < 5


def test_a_fault_of_our_own_is_not_passed_over() -> None:
    with pytest.raises(ZeroDivisionError):
        in_time({"a": lambda: 1 // 0})


def test_usage_is_in_bytes_and_names_the_root() -> None:
    root = usage({}, {})["/"]
    info = os.statvfs("/")
    assert root["size"] == info.f_blocks * info.f_frsize
    assert root["inodes"] == info.f_files


CONTAINER = {
    "name": "db",
    "upper_dir": "/var/lib/docker/overlay2/x/diff",
    "compose_dir": "/opt/stacks/db",
    "compose_files": ["/opt/stacks/db/compose.yml"],
    "tmpfs": ["/data/cache"],
    "mounts": [
        {"destination": "/data", "host_path": "/mnt/data/db"},
        {"destination": "/data/nested", "host_path": "/srv/nested"},
        {"destination": "/nfs", "host_path": None},
    ],
}


@pytest.mark.parametrize(
    ("path", "lands"),
    [
        ("/data", "/mnt/data/db"),
        ("/data/base/1", "/mnt/data/db/base/1"),
        ("/data/nested/x", "/srv/nested/x"),
        ("/data/cache/x", None),
        ("/nfs/x", None),
        ("/database", "/var/lib/docker/overlay2/x/diff/database"),
        ("/", "/var/lib/docker/overlay2/x/diff"),
    ],
)
def test_a_container_s_path_lands_through_the_mount_that_covers_it(path: str, lands: str | None) -> None:
    assert landing(CONTAINER, path) == lands


def test_what_docker_and_loop_devices_lead_to_is_looked_at_too() -> None:
    seen = {
        "block": {"7:4": {"loop_file": "/images/a.img"}, "8:0": {"loop_file": None}},
        "docker_info": {"root": "/srv/docker"},
        "docker_config": None,
        "docker_volumes": [{"mountpoint": "/srv/docker/volumes/v/_data", "options": {"device": "/mnt/elsewhere"}}],
        "docker_containers": [CONTAINER],
    }
    asked = {"services": {"db": {"kind": "files", "data": "/data/base"}}, "write_surfaces": [{"container": "db", "path": "/uploads", "place": "/p"}]}
    assert discovered(asked, seen) >= {
        "/images/a.img",
        "/srv/docker",
        "/srv/docker/volumes/v/_data",
        "/mnt/elsewhere",
        "/mnt/data/db/base",
        "/var/lib/docker/overlay2/x/diff/uploads",
        "/opt/stacks/db/compose.yml",
    }


def test_the_layers_of_an_overlay_are_looked_at_where_something_lies_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table = "1 0 0:40 / /o rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/w\n2 0 0:41 / /p rw - overlay overlay rw,lowerdir=/other\n"
    table += "3 0 0:42 / /q rw - overlay overlay rw,lowerdir+=/d,lowerdir+=relative,upperdir=/e,workdir=/w\n"
    monkeypatch.setattr(places, "mount_table", lambda: parse_mountinfo(table))
    assert overlaid({"/o", "/q", "/"}) == {"/a", "/b", "/c", "/d", "/e"}
