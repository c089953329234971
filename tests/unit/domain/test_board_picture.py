"""What a picture says of each thing on a host's disks."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.board import Awaited, BoardDisk, Picture, Resident
from controlplane.domain.board_picture import picture_of
from controlplane.domain.checks import judge_host
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk, NfsMount
from controlplane.domain.evidence_shapes import SHAPES
from controlplane.domain.policy import Docker
from controlplane.domain.services import FilesService, WriteSurface
from tests.fakes.board import OLD_ROOT, astray, on_lvm, retired, volume
from tests.fakes.evidence_builder import (
    BOOT,
    COLLECTED,
    DATA,
    GB,
    POSTGRES,
    REDIS,
    EvidenceBuilder,
    bind,
    container,
    desired_mint_data,
    device,
    mount,
)


def picture(builder: EvidenceBuilder, desired: DesiredHost | None = None, *, doubt: str | None = None) -> Picture:
    wanted, seen = desired or desired_mint_data(), builder.build()
    age = COLLECTED - COLLECTED
    return picture_of(wanted, seen, judge_host(wanted, seen, now=COLLECTED, max_age=age), doubt=doubt)


def disk(drawn: Picture, name: str) -> BoardDisk:
    return next(one for one in drawn.disks if one.name == name)


def thing(drawn: Picture, what: str) -> Resident:
    return next(one for one in drawn.residents() if one.what == what)


def test_a_host_as_declared_has_everything_on_its_own_disk() -> None:
    drawn = picture(EvidenceBuilder())
    vda, vdb = drawn.disks
    assert (vda.name, vda.boot, vda.serial, vda.residents, vda.declared) == ("vda", True, "BOOT0001", (), None)
    assert (vdb.name, vdb.boot, vdb.declared) == ("vdb", False, "serial DATA0001 for /mnt/data, 3.0 GB to 200.0 GB")
    assert {one.standing for one in vdb.residents} == {"right"}
    assert [one.what for one in vdb.residents] == [
        "Docker's root",
        "containerd's root",
        *(f"mint-modules-{n} data" for n in ("minio", "postgres", "redis")),
    ]
    assert drawn.elsewhere == ()


def test_what_lies_on_the_boot_disk_names_where_it_belongs_and_is_awaited_there() -> None:
    drawn = picture(astray())
    assert thing(drawn, "Docker's root") == Resident(
        what="Docker's root", path=OLD_ROOT, standing="wrong-disk", belongs_on="vdb (serial DATA0001)", belongs_at="/mnt/data/docker"
    )
    assert disk(drawn, "vdb").awaited[0] == Awaited(what="Docker's root", path="/mnt/data/docker", now_on="vda")
    assert thing(drawn, "mint-modules-redis data").standing == "right"
    assert thing(drawn, "unlisted data").path == "/srv/exports"
    assert thing(drawn, "retired data").standing == "retired"
    assert disk(drawn, "vda").awaited == ()


def test_the_right_disk_with_another_path_is_told_from_the_wrong_disk() -> None:
    drawn = picture(EvidenceBuilder(), desired_mint_data(docker=Docker(data_root="/mnt/data/engine")))
    assert (thing(drawn, "Docker's root").standing, thing(drawn, "Docker's root").belongs_at) == ("wrong-path", "/mnt/data/engine")
    assert disk(drawn, "vdb").awaited == ()


def test_a_filesystem_names_what_it_stands_on_and_is_shown_once() -> None:
    builder = on_lvm()
    builder.probes["mounts"] += [mount("/srv/again", "253:0", root="/sub"), mount("/merged", "0:99", "overlay")]
    vda, vdb = picture(builder).disks
    assert [(one.mount, one.through, one.also) for one in (*vda.mounts, *vdb.mounts)] == [("/", ("vda1",), 0), ("/mnt/data", ("vg-data",), 1)]
    root = vda.mounts[0]
    assert (root.size, root.available, root.warn, root.fail) == (50 * GB, 38 * GB, 60, 80)
    assert root.used == pytest.approx(100 * 10 / 48)


def test_a_disk_in_a_file_is_drawn_on_the_disk_of_that_file() -> None:
    builder = EvidenceBuilder()
    builder.probes["block"]["7:0"] = device("loop0", GB, loop_file="/mnt/data/disk.img")
    builder.probes["paths"]["/mnt/data/disk.img"] = builder.probes["paths"]["/mnt/data"] | {"kind": "file"}
    builder.probes["mounts"].append(mount("/srv/loop", "7:0"))
    drawn = picture(builder)
    assert [one.name for one in drawn.disks] == ["vda", "vdb"]
    assert [(one.mount, one.through, one.doubt) for one in disk(drawn, "vdb").mounts] == [
        ("/mnt/data", (), None),
        ("/srv/loop", ("loop0 (file /mnt/data/disk.img)",), "the usage of /srv/loop was not observed"),
    ]


def test_a_blank_disk_says_so_and_a_missing_one_is_drawn_with_what_it_waits_for() -> None:
    builder = astray()
    builder.probes["mounts"] = [one for one in builder.probes["mounts"] if one["mount"] != "/mnt/data"]
    builder.probes["block"][DATA] |= {"serial": "OTHER"}
    builder.probes["signatures"][DATA] = {"uuid": None, "type": None, "label": None, "blkid": {}, "wipefs": []}
    drawn = picture(builder)
    assert disk(drawn, "vdb").content == "blank: no signature, nothing mounted"
    missing = drawn.disks[-1]
    assert (missing.name, missing.found, missing.size) == ("serial DATA0001", False, None)
    assert Awaited(what="Docker's root", path="/mnt/data/docker", now_on="vda") in missing.awaited
    assert thing(drawn, "Docker's root").belongs_on == "serial DATA0001, which the host does not show"


def test_what_could_not_be_observed_stands_unknown_with_its_reason() -> None:
    drawn = picture(EvidenceBuilder().fail("docker_containers"))
    assert {one.standing for one in drawn.elsewhere} == {"unknown"}
    assert thing(drawn, "Docker and its containers").note == "docker_containers: failed: boom"
    assert thing(drawn, "mint-modules-redis data").note == "its container was not observed"


def test_a_container_that_is_not_there_is_nowhere() -> None:
    builder = EvidenceBuilder()
    builder.probes["docker_containers"] = [one for one in builder.probes["docker_containers"] if one["name"] != REDIS]
    drawn = picture(builder)
    assert (thing(drawn, f"{REDIS} data").standing, thing(drawn, f"{REDIS} data").note) == ("unknown", f"there is no container {REDIS}")


def test_disks_that_could_not_be_observed_make_no_picture() -> None:
    drawn = picture(EvidenceBuilder().fail("block"))
    assert (drawn.disks, drawn.doubt) == ((), "its disks could not be observed: block: failed: boom")


def test_evidence_that_does_not_count_shows_everything_as_unknown() -> None:
    drawn = picture(astray(), doubt="the evidence is 2 h old, limit 1 h")
    assert {one.standing for one in drawn.residents()} == {"unknown"}
    assert [one.awaited for one in drawn.disks] == [(), ()]


def test_data_in_memory_and_in_a_writable_layer_lie_wrong() -> None:
    builder = EvidenceBuilder()
    builder.container(REDIS).update(mounts=[], tmpfs=["/data"])
    builder.container(POSTGRES)["mounts"] = []
    drawn = picture(builder)
    assert (thing(drawn, f"{REDIS} data").standing, thing(drawn, f"{REDIS} data").note) == ("wrong-disk", "in memory (tmpfs)")
    assert thing(drawn, f"{REDIS} data") in drawn.elsewhere
    assert thing(drawn, f"{POSTGRES} data").standing == "wrong-path"


def test_a_named_volume_belongs_where_dockers_root_does() -> None:
    builder = astray()
    wanted = desired_mint_data(services={POSTGRES: FilesService(data="/var/lib/postgresql/data", volume="pg")})
    assert thing(picture(builder, wanted), f"{POSTGRES} data").belongs_at == "volume pg"
    builder.container(POSTGRES)["mounts"] = [volume("pg", "/var/lib/postgresql/data") | {"host_path": "/mnt/data/docker/volumes/pg/_data"}]
    builder.probes["paths"]["/mnt/data/docker/volumes/pg/_data"] = builder.probes["paths"]["/mnt/data"]
    assert thing(picture(builder, wanted), f"{POSTGRES} data").standing == "right"


def test_a_stateless_host_has_its_write_surface_on_the_boot_disk_by_policy() -> None:
    place = "/opt/stacks/up"
    surface = WriteSurface(container="quote", path="/tmp/up", place=place)
    wanted = DesiredHost(host="mint-data", tier="boot-only", data="boot", write_surfaces=(surface,))
    builder = EvidenceBuilder().boot_path(place)
    builder.probes["docker_containers"] = [container("quote", [bind(place, "/tmp/up")])]
    drawn = picture(builder, wanted)
    assert (thing(drawn, "quote writes").standing, thing(drawn, "Docker's root").standing) == ("right", "no-policy")
    builder.probes["docker_containers"] = [container("quote", [], upper_dir=place)]
    assert thing(picture(builder, wanted), "quote writes").path == "/tmp/up in the container's writable layer"
    assert thing(picture(builder, wanted), "quote writes").standing == "wrong-path"


def test_an_export_is_another_machine_and_right_only_if_it_is_the_declared_one() -> None:
    wanted = desired_mint_data(
        data="nfs", disks=(), nfs=(NfsMount(source="nas:/tank", mount="/mnt/data"),), docker=Docker(data_root="/mnt/data/docker"), services={}
    )
    for source, standing in (("nas:/tank", "right"), ("nas:/other", "wrong-disk")):
        builder = EvidenceBuilder()
        builder.probes["mounts"][1] = mount("/mnt/data", "0:50", "nfs4", source=source)
        for one in builder.probes["paths"].values():
            one["dev"] = "0:50" if one["mount"] == "/mnt/data" else one["dev"]
        drawn = picture(builder, wanted)
        assert (thing(drawn, "Docker's root").standing, thing(drawn, "Docker's root").note) == (standing, f"on {source} (nfs4)")
        assert thing(drawn, "Docker's root") in drawn.elsewhere


def test_a_disk_that_is_named_by_its_filesystem_is_found_by_it() -> None:
    uuid = EvidenceBuilder().probes["signatures"][DATA]["uuid"]
    drawn = picture(EvidenceBuilder(), desired_mint_data(disks=(Disk(uuid=uuid, mount="/mnt/data"),)))
    assert disk(drawn, "vdb").declared == f"uuid {uuid} for /mnt/data"
    assert thing(drawn, "Docker's root").standing == "right"


@pytest.mark.parametrize(
    ("name", "other", "drawn"),
    [
        ("sr0", {}, False),
        ("zram0", {}, False),
        ("dm-3", {"dm_name": "vg-x"}, False),
        ("sdb", {}, True),
        ("sdc", {"node": None}, False),
        ("sdd", {"size": 0}, False),
    ],
)
def test_only_disks_are_drawn(name: str, other: dict[str, Any], drawn: bool) -> None:
    builder = EvidenceBuilder()
    builder.probes["block"]["8:16"] = device(name, GB) | other
    assert (name in [one.name for one in picture(builder).disks]) is drawn


def test_retired_data_whose_disk_nobody_looked_at_is_shown_all_the_same() -> None:
    builder = EvidenceBuilder()
    builder.probes["target_state"]["retired"] = [retired("/opt/gone")]
    told = thing(picture(builder), "retired data")
    assert (told.path, told.standing) == ("/opt/gone", "retired")
    assert told.note == "34.0 GB, replaced by /mnt/data/docker; on which disk is not known: /opt/gone was not looked at"
    assert BOOT in builder.probes["block"]


@pytest.mark.parametrize("state", ["failed", "timeout", "absent", "lost", "garbage"])
@pytest.mark.parametrize("probe", sorted(SHAPES))
def test_whatever_could_not_be_observed_nothing_stands_right_that_does_not_lie_right(probe: str, state: str) -> None:
    builder, whole = astray(), astray()
    if state == "lost":
        builder.lose(probe)
    elif state == "garbage":
        builder.probes[probe] = {"of": ["nobody's", "making"]}
    else:
        builder.fail(probe, state)
    right = {one.what for one in picture(whole).residents() if one.standing == "right"}
    assert {one.what for one in picture(builder).residents() if one.standing == "right"} <= right
