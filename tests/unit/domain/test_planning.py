"""What is planned for a host that drifts, and each doubt that makes a refusal of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.capabilities.data_disk import planned_uuid
from controlplane.domain.capabilities.fstab_text import guard_path, guard_text
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.evidence import Unreached
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities, differences, make_plan
from controlplane.domain.policy import LogLimits
from tests.fakes.evidence_builder import BOOT, COLLECTED, DATA, DATA_UUID, GB, EvidenceBuilder, device, mount, place
from tests.fakes.host import drifting_probes
from tests.fakes.site import desired_host

Probes = dict[str, Any]


def _drifting() -> EvidenceBuilder:
    builder = EvidenceBuilder()
    builder.probes = drifting_probes()
    return builder


def _mounted() -> EvidenceBuilder:
    """Return a host whose disk is mounted, with Docker still on the boot disk."""
    builder = EvidenceBuilder()
    builder.probes["docker_info"]["root"] = "/var/lib/docker"
    return builder


def _plan(builder: EvidenceBuilder, desired: DesiredHost | None = None, *capabilities: str) -> Plan:
    wanted = desired or desired_host("mint-data")
    return make_plan(
        site="lab",
        now=COLLECTED + timedelta(days=30),
        hosts=[wanted],
        evidence={"mint-data": builder.build()},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(capabilities),
        retention=timedelta(days=7),
    )


def _capabilities(plan: Plan) -> list[str]:
    return [step.capability for step in plan.steps]


def test_a_drifting_host_gets_the_disk_then_fstab_then_the_move() -> None:
    plan = _plan(_drifting())

    assert _capabilities(plan) == ["storage.data_disk", "storage.fstab", "docker.data_root"]
    assert [step.id for step in plan.steps] == ["mint-data/010", "mint-data/020", "mint-data/030"]
    assert plan.refusals == ()
    assert [change.target for step in plan.steps for change in step.changes if change.destructive] == ["serial DATA0001"]
    wanted = planned_uuid("m1", desired_host("mint-data").disks[0])
    assert plan.steps[0].changes[0].after == f"ext4 UUID={wanted}"
    assert plan.steps[1].changes[0].after == f"UUID={wanted} /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=30s 0 0"
    assert plan.plan == plan.body_digest()


def test_the_json_has_the_fields_of_the_interface() -> None:
    data = _plan(_drifting()).model_dump(mode="json")

    assert list(data) == ["plan", "site", "made_at", "binds", "bounds", "steps", "refusals"]
    assert list(data["binds"])[:5] == ["policy", "inventory", "roles", "facts", "evidence"]
    assert {"host", "what", "at_least"} <= set(data["bounds"][0])
    assert {"id", "host", "capability", "mends", "changes", "downtime", "undo"} <= set(data["steps"][0])
    assert data["steps"][0]["mends"] == [{"check": "D240", "surface": "mount:/mnt/data"}]
    assert list(data["steps"][0]["changes"][0]) == ["kind", "target", "before", "after", "destructive"]
    assert list(data["steps"][2]["downtime"]) == ["services", "estimate_s"]
    assert data["made_at"].endswith("Z")


def test_a_host_on_which_nothing_drifts_gets_no_step() -> None:
    builder = EvidenceBuilder()
    for unit in builder.probes["units"].values():
        unit["drop_ins"] = []
    first = _plan(builder)
    for step in first.steps:
        for guard in step.variables["fstab_guards"]:
            path = f"/etc/systemd/system/{guard['unit']}.d/50-controlplane-mounts.conf"
            builder.probes["units"][guard["unit"]]["drop_ins"] = [{"path": path, "text": guard["text"], "mtime": 1.0}]

    plan = _plan(builder)

    assert (plan.steps, plan.refusals) == ((), ())


def test_the_same_inputs_give_the_same_digest() -> None:
    assert _plan(_drifting()).plan == _plan(_drifting()).plan


def test_a_host_that_was_not_reached_is_a_refusal_of_every_capability() -> None:
    plan = make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[desired_host("mint-data")],
        evidence={"mint-data": Unreached(host="mint-data", reason="No route to host")},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(()),
        retention=timedelta(days=7),
    )

    assert plan.steps == ()
    assert {refusal.reason for refusal in plan.refusals} == {"the host could not be observed: No route to host"}


def _with(**other: Any) -> Callable[[Probes], None]:
    return lambda probes: probes["block"][DATA].update(other)


def _marked(**other: Any) -> Callable[[Probes], None]:
    return lambda probes: probes["signatures"][DATA].update(other)


def _mountpoint(bare: dict[str, Any] | None, **other: Any) -> Callable[[Probes], None]:
    def change(probes: Probes) -> None:
        probes["paths"]["/mnt/data"] = place("/mnt/data", BOOT, "/", **other)
        probes["beneath"] = {} if bare is None else {"/mnt/data": bare}

    return change


def _elsewhere(probes: Probes) -> None:
    probes["mounts"].append(mount("/srv/x", DATA, source="/dev/vdb"))


def _occupied(probes: Probes) -> None:
    probes["block"]["254:32"] = device("vdc", GB, serial="OTHER")
    probes["signatures"]["254:32"] = {"uuid": "u", "type": "ext4", "label": None, "blkid": {"TYPE": "ext4"}, "wipefs": []}
    probes["mounts"].append(mount("/mnt/data", "254:32", source="/dev/vdc"))


def _twin_serial(probes: Probes) -> None:
    probes["block"]["254:32"] = device("vdc", 100 * GB, serial="DATA0001")


def _twin_uuid(probes: Probes) -> None:
    probes["block"]["254:32"] = device("vdc", 100 * GB, serial="OTHER")
    wanted = planned_uuid("m1", desired_host("mint-data").disks[0])
    probes["signatures"]["254:32"] = {"uuid": wanted, "type": "ext4", "label": None, "blkid": {"TYPE": "ext4"}, "wipefs": []}


def _boot_disk(probes: Probes) -> None:
    probes["block"][DATA]["slaves"] = [BOOT]


def _boot_disk_with_partitions(probes: Probes) -> None:
    probes["block"][DATA] |= {"slaves": [BOOT], "partitions": ["254:17"]}


def _partition_by_number(probes: Probes) -> None:
    probes["block"]["254:17"] = {**probes["block"][DATA], "name": "vdb1", "serial": None, "partition_of": DATA}
    probes["block"][DATA]["partitions"] = ["254:17"]


def _gone(probes: Probes) -> None:
    probes["block"][DATA]["serial"] = "SOMETHING"


def _live(**other: Any) -> Callable[[Probes], None]:
    def change(probes: Probes) -> None:
        probes["mounts"].append(mount("/mnt/data", DATA, source="/dev/vdb") | other)
        probes["signatures"][DATA].update(uuid=DATA_UUID, type="ext4")

    return change


def _live_on_boot(probes: Probes) -> None:
    probes["block"][BOOT]["serial"], probes["block"][DATA]["serial"] = "DATA0001", "BOOT0001"
    probes["mounts"].append(mount("/mnt/data", BOOT, source="/dev/vda"))


REFUSALS: dict[str, tuple[Callable[[Probes], None], str]] = {
    "no such disk": (_gone, "serial DATA0001 is not there: attach it"),
    "two disks of one serial": (_twin_serial, "serial DATA0001 is there 2 times"),
    "a filesystem": (_marked(type="xfs", blkid={"TYPE": "xfs"}, wipefs=["xfs@0x0"]), "holds xfs, xfs@0x0: it is never formatted over"),
    "only blkid sees something": (_marked(blkid={"TYPE": "LVM2_member"}), "holds LVM2_member"),
    "a partition table": (_marked(blkid={"PTTYPE": "gpt"}), "holds gpt"),
    "only wipefs sees something": (_marked(wipefs=["dos@0x1fe"]), "holds dos@0x1fe"),
    "only a label is left": (_marked(label="backup"), "holds backup"),
    "only a uuid is left": (_marked(uuid="3333"), "holds 3333"),
    "something that blkid can't name": (_marked(blkid={"USAGE": "raid"}), "holds USAGE=raid"),
    "a holder": (_with(holders=["dm-0"]), "is in use by dm-0: it is no blank disk"),
    "a partition": (_with(partitions=["vdb1"]), "is in use by vdb1: it is no blank disk"),
    "a partition by its number": (_partition_by_number, "is in use by vdb1: it is no blank disk"),
    "the boot disk, which has partitions": (_boot_disk_with_partitions, "is the boot disk, or a part of it"),
    "a mount elsewhere": (_elsewhere, "is mounted elsewhere"),
    "a share of the boot disk": (_boot_disk, "is the boot disk, or a part of it"),
    "read-only": (_with(read_only=True), "is read-only"),
    "too small": (_with(size=2 * GB), f"has {2 * GB} bytes, min_size is {3 * GB}"),
    "too large": (_with(size=300 * GB), f"has {300 * GB} bytes, max_size is {200 * GB}"),
    "another disk of the same uuid": (_twin_uuid, "which vdc carries already"),
    "another disk on the mountpoint": (_occupied, "/dev/vdc is mounted on /mnt/data instead of serial DATA0001"),
    "files on the bare mountpoint": (
        _mountpoint({"exists": True, "entries": 2, "sample": ["a", "b"], "immutable": False}),
        "/mnt/data is not mounted and holds 2 entries (a, b): move them away first",
    ),
    "a mountpoint nobody looked into": (_mountpoint(None), "could not be observed: what /mnt/data holds was not looked at"),
    "a symbolic link as mountpoint": (_mountpoint(None, real="/srv/x"), "/mnt/data leads to /srv/x by a symbolic link"),
    "a file as mountpoint": (_mountpoint(None, kind="file"), "/mnt/data is no directory"),
    "no look at the mountpoint": (lambda probes: probes["paths"].pop("/mnt/data"), "could not be observed: /mnt/data was not looked at"),
    "no look at signatures": (lambda probes: probes["signatures"].pop(DATA), "was not probed for signatures"),
    "a device that may stand on the boot disk": (_with(name="drbd0"), "drbd0 (254:16) is a stacked device and the host showed nothing under it"),
    "no device node": (_with(node=None), "has no device node"),
    "mounted in part": (_live(root="/sub"), "shows only the directory /sub"),
    "mounted read-only": (_live(options=["ro"]), "/mnt/data is mounted read-only"),
    "mounted from the boot disk": (_live_on_boot, "which is the boot disk, or a part of it"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_disk_in_doubt_is_refused_and_nothing_is_built_on_it(name: str) -> None:
    change, told = REFUSALS[name]
    builder = _drifting()
    change(builder.probes)

    plan = _plan(builder)

    assert plan.steps == (), "a disk in doubt got a step"
    by_capability = {refusal.capability: refusal.reason for refusal in plan.refusals}
    assert told in by_capability["storage.data_disk"]
    assert told in by_capability["docker.data_root"]
    assert told in by_capability["storage.fstab"]


def test_a_missing_disk_is_refused_with_those_that_are_attached_in_its_place_and_with_what_mounts_it_later() -> None:
    builder = _drifting()
    _gone(builder.probes)
    told = "serial DATA0001 is not there: attach it, or name the disk that you meant in policy.yml, hosts.mint-data.disks"
    others = ". Attached and not named in the policy: vdb (serial SOMETHING, 100.0 GB, blank)"
    [refusal] = _plan(builder, None, "storage.data_disk").refusals
    assert refusal.reason == f"{told}{others}. Once it is attached: controlplane plan --host mint-data"
    del builder.probes["block"][DATA]
    entry = {"line": 1, "spec": f"UUID={DATA_UUID}", "file": "/mnt/data", "vfstype": "ext4", "options": ["nofail"], "freq": 0, "passno": 2}
    builder.probes["fstab"] |= {"text": f"UUID={DATA_UUID} /mnt/data ext4 nofail 0 2\n", "entries": [entry]}
    [refusal] = _plan(builder, None, "storage.data_disk").refusals
    assert refusal.reason == f"{told}. Once it is attached, on the machine: systemctl start /mnt/data && systemctl start docker.service"


def _with_an_entry(spec: str) -> EvidenceBuilder:
    builder = _drifting()
    entry = {"line": 1, "spec": spec, "file": "/mnt/data", "vfstype": "ext4", "options": ["nofail"], "freq": 0, "passno": 2}
    builder.probes["fstab"] |= {"text": f"{spec} /mnt/data ext4 nofail 0 2\n", "entries": [entry]}
    return builder


@pytest.mark.parametrize(("filesystem", "look"), [("ext4", "e2fsck -fn -b 32768 -B 4096 /dev/vdb"), ("xfs", "xfs_repair -n /dev/vdb")])
def test_a_disk_that_lost_the_filesystem_that_fstab_names_is_never_formatted(filesystem: str, look: str) -> None:
    disk = Disk(serial="DATA0001", min_size=3 * GB, max_size=200 * GB, mount="/mnt/data", filesystem=filesystem)
    plan = _plan(_with_an_entry(f"UUID={DATA_UUID}"), desired_host("mint-data", disks=(disk,)), "storage.data_disk")
    assert plan.steps == ()
    [refusal] = plan.refusals
    told = f"serial DATA0001 (vdb) looks blank, but /etc/fstab names UUID={DATA_UUID} for /mnt/data, and no disk here is known to carry that"
    assert refusal.reason.startswith(told)
    assert look in refusal.reason


@pytest.mark.parametrize("spec", ["/dev/vdb", "PARTUUID=1", "LABEL=data", f'UUID="{DATA_UUID}"', f"/dev/disk/by-uuid/{DATA_UUID}"])
def test_however_fstab_names_what_no_disk_carries_nothing_is_formatted(spec: str) -> None:
    assert _plan(_with_an_entry(spec), desired_host("mint-data"), "storage.data_disk").steps == ()


@pytest.mark.parametrize("spec", ["UUID=11111111-1111-4111-8111-111111111111"])
def test_an_entry_that_names_no_lost_filesystem_does_not_keep_a_blank_disk_from_its_own(spec: str) -> None:
    assert _capabilities(_plan(_with_an_entry(spec)))[0] == "storage.data_disk"


def test_a_blank_disk_without_sizes_is_refused() -> None:
    disk = Disk(serial="DATA0001", mount="/mnt/data")

    plan = _plan(_drifting(), desired_host("mint-data", disks=(disk,)), "storage.data_disk")

    assert plan.steps == ()
    assert "without min_size and max_size" in plan.refusals[0].reason


@pytest.mark.parametrize("status", ["failed", "timeout"])
@pytest.mark.parametrize("probe", ["identity", "mounts", "block", "signatures", "paths"])
def test_a_probe_that_the_disk_rests_on_refuses_everything(probe: str, status: str) -> None:
    plan = _plan(_drifting().fail(probe, status))

    assert plan.steps == ()
    assert plan.refusals
    assert all("could not be observed" in refusal.reason for refusal in plan.refusals)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize(
    ("probe", "steps"),
    [
        ("fstab", []),
        ("units", ["storage.data_disk", "docker.data_root"]),
        ("beneath", ["storage.data_disk", "storage.fstab", "docker.data_root"]),
        ("docker_config", ["storage.data_disk"]),
        ("docker_info", ["storage.data_disk", "storage.fstab"]),
        ("docker_usage", ["storage.data_disk", "storage.fstab"]),
        ("docker_containers", ["storage.data_disk", "storage.fstab"]),
    ],
)
def test_a_probe_that_was_not_observed_refuses_what_rests_on_it(probe: str, steps: list[str], lost: bool) -> None:
    builder = _drifting().lose(probe) if lost else _drifting().fail(probe)
    if probe == "beneath":
        builder.probes["paths"]["/mnt/data"] = place("/mnt/data", BOOT, "/")
        steps = []

    plan = _plan(builder)

    assert _capabilities(plan) == steps
    # A host whose machine nobody declared is no hypervisor's matter, and has no baseline; this one has no service.
    assert {*CAPABILITIES} - {
        "storage.purge",
        "infra.vm.provision",
        "infra.vm.bootstrap",
        "storage.persistent_paths",
        "storage.write_surfaces",
        "docker.hygiene",
        "storage.tmp_files",
        "redis.durability",
        "release.deploy",
    } - {*steps} <= {refusal.capability for refusal in plan.refusals}
    assert any(probe in refusal.reason for refusal in plan.refusals)


def test_a_host_without_docker_gets_its_disk_and_fstab_and_no_refusal() -> None:
    plan = _plan(_drifting().without_docker())

    assert _capabilities(plan) == ["storage.data_disk", "storage.fstab"]
    assert plan.refusals == ()
    assert plan.steps[1].variables["fstab_guards"] == []


def test_a_filesystem_of_the_planned_uuid_is_mounted_and_never_formatted() -> None:
    builder = _drifting()
    wanted = planned_uuid("m1", desired_host("mint-data").disks[0])
    builder.probes["signatures"][DATA].update(uuid=wanted, type="ext4", blkid={"TYPE": "ext4", "UUID": wanted}, wipefs=["ext4@0x438"])

    step = _plan(builder).steps[0]

    assert [change.kind for change in step.changes] == ["directory", "attribute", "mount"]
    assert step.variables["data_disk_format"] is False


def test_an_entry_that_does_its_work_stays_as_somebody_wrote_it() -> None:
    builder = EvidenceBuilder()
    entry = builder.probes["fstab"]["entries"][0]
    entry["options"] = ["defaults", "noatime", "nofail", "x-systemd.device-timeout=5s"]

    plan = _plan(builder)

    assert [change.target for step in plan.steps for change in step.changes if change.target == "/etc/fstab"] == []


def test_an_entry_that_does_not_is_shown_as_its_line_stands_and_replaced() -> None:
    builder = EvidenceBuilder()
    builder.probes["fstab"] |= {"text": "# boot\n/dev/sdb1\t/mnt/data/  ext4 defaults 0 2\n"}
    builder.probes["fstab"]["entries"][0] |= {"line": 2, "spec": "/dev/sdb1", "file": "/mnt/data/", "options": ["defaults"]}

    change = next(change for step in _plan(builder).steps for change in step.changes if change.target == "/etc/fstab")

    assert change.before == "/dev/sdb1\t/mnt/data/  ext4 defaults 0 2"
    assert change.after == f"UUID={DATA_UUID} /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=30s 0 0"


def test_two_entries_for_one_mountpoint_are_refused_by_their_lines() -> None:
    builder = EvidenceBuilder()
    first = builder.probes["fstab"]["entries"][0]
    builder.probes["fstab"]["entries"].append(first | {"line": 4})

    assert "/mnt/data has 2 entries, in lines 1, 4: remove all but one" in [refusal.reason for refusal in _plan(builder).refusals]


HIDDEN = "the directory under the mount /mnt/data holds a, b, c and 1 more: unmount it, move them away, then plan again"
NO_FLAG = "whether the directory under the mount /mnt/data can be written could not be observed: its filesystem tells no immutable flag"


@pytest.mark.parametrize(
    ("bare", "told"),
    [
        ({"entries": 4, "sample": ["a", "b", "c", "d"], "immutable": True}, HIDDEN),
        ({"entries": 4, "sample": ["a", "b", "c", "d"], "immutable": False}, HIDDEN),
        ({"immutable": None}, NO_FLAG),
        ({"exists": False}, NO_FLAG),
    ],
)
def test_a_guard_that_cannot_be_whole_is_not_promised(bare: dict[str, Any], told: str) -> None:
    builder = EvidenceBuilder()
    builder.probes["beneath"]["/mnt/data"].update(bare)

    plan = _plan(builder)

    assert [refusal.reason for refusal in plan.refusals] == [told]
    assert [mend.check for step in plan.steps for mend in step.mends] == []
    assert [change.kind for step in plan.steps for change in step.changes] == ["file", "file", "file"]


def _guarded(builder: EvidenceBuilder) -> EvidenceBuilder:
    for unit, seen in builder.probes["units"].items():
        text = guard_text(unit, [("/mnt/data", DATA_UUID)])
        seen["drop_ins"] = [{"path": guard_path(unit), "text": text, "mtime": 1.0}]
    return builder


def test_a_bare_directory_that_can_be_written_is_protected_beneath_its_live_mount() -> None:
    builder = _guarded(EvidenceBuilder())
    builder.probes["beneath"]["/mnt/data"]["immutable"] = False

    [step] = _plan(builder).steps

    [change] = step.changes
    assert (change.kind, change.target, change.before) == ("attribute", "/mnt/data", "can be written beneath the mount")
    assert change.after == "immutable while nothing is mounted on it"
    assert not change.destructive
    assert [(mend.check, mend.surface) for mend in step.mends] == [("D241", "boot.guard")]
    assert step.variables == {"fstab_entries": [], "fstab_guards": [], "fstab_bare": ["/mnt/data"]}
    assert step.downtime.services == ()
    assert "make the bare directory writable again; nothing is unmounted" in step.undo


def test_the_socket_is_guarded_where_there_is_one_and_keeps_nothing_of_the_boot_waiting() -> None:
    builder = _guarded(EvidenceBuilder())
    builder.probes["units"]["docker.socket"]["drop_ins"] = []

    [step] = _plan(builder).steps

    [guard] = step.variables["fstab_guards"]
    assert guard["unit"] == "docker.socket"
    unit, socket = guard["text"].split("[Socket]\n")
    assert {"RequiresMountsFor=/mnt/data", "AssertPathIsMountPoint=/mnt/data", "DefaultDependencies=no"} <= set(unit.splitlines())
    assert "sockets.target" not in guard["text"]
    assert socket.startswith("ExecStartPre=")
    assert "[Service]" not in guard["text"]

    builder.probes["units"]["docker.socket"]["load_state"] = "not-found"
    assert _plan(builder).steps == ()


@pytest.mark.parametrize("flag", ["--data-root=/x", "--graph", "-g", "-g/x"])
def test_a_flag_that_clashes_with_daemon_json_refuses_the_move(flag: str) -> None:
    builder = _drifting()
    builder.probes["docker_config"]["dockerd_flags"].append(flag)

    plan = _plan(builder)

    assert "docker.data_root" not in _capabilities(plan)
    assert f"dockerd is started with {flag}" in plan.refusals[0].reason


def test_log_options_that_are_a_flag_stay_out_of_daemon_json() -> None:
    builder = _drifting()
    builder.probes["docker_config"]["dockerd_flags"].append("--log-opt=max-size=1m")

    step = _plan(builder).steps[2]

    assert step.variables["docker_data_root_daemon_json"] == {"data-root": "/mnt/data/docker"}


def _logging(daemon_json: dict[str, Any]) -> EvidenceBuilder:
    """Return a host on which nothing drifts but what daemon.json says of logs."""
    builder = _guarded(EvidenceBuilder())
    builder.probes["docker_config"]["daemon_json"] = json.dumps({"data-root": "/mnt/data/docker", "debug": True, **daemon_json})
    return builder


@pytest.mark.parametrize(
    ("held", "merge"),
    [
        ({}, {"log-driver": "json-file", "log-opts": {"max-file": "3", "max-size": "10000000"}}),
        ({"log-driver": "json-file"}, {"log-opts": {"max-file": "3", "max-size": "10000000"}}),
        ({"log-driver": "local"}, {"log-opts": {"max-file": "3", "max-size": "10000000"}}),
        (
            {"log-opts": {"max-size": "1g", "labels": "a"}},
            {"log-driver": "json-file", "log-opts": {"labels": "a", "max-file": "3", "max-size": "10000000"}},
        ),
    ],
)
def test_log_limits_alone_are_a_step_of_their_own_with_the_downtime_of_a_restart(held: dict[str, Any], merge: dict[str, Any]) -> None:
    [step] = _plan(_logging(held)).steps

    assert step.variables == {"docker_data_root_moves": [], "docker_data_root_daemon_json": merge}
    [change] = step.changes
    assert (change.kind, change.target) == ("file", "/etc/docker/daemon.json")
    assert json.loads(change.before or "") == {key: held.get(key) for key in merge}
    assert json.loads(change.after or "") == merge
    assert [(mend.check, mend.surface) for mend in step.mends] == [("D243", "docker.log")]
    assert step.downtime.services == ("mint-modules-minio", "mint-modules-postgres", "mint-modules-redis")
    assert step.downtime.estimate_s == 90
    assert "byte for byte" in step.undo


def test_docker_is_not_restarted_for_log_limits_where_its_disk_is_not_mounted() -> None:
    builder = _logging({})
    builder.probes["mounts"] = [one for one in builder.probes["mounts"] if one["mount"] != "/mnt/data"]
    plan = _plan(builder)
    assert plan.steps == ()
    told = "log limits need a restart of Docker, and /mnt/data, which its roots lie on, is not mounted as declared"
    assert [refusal.reason for refusal in plan.refusals if refusal.capability == "docker.data_root"] == [told]


def test_log_limits_within_the_policy_need_no_restart() -> None:
    assert _plan(_logging({"log-opts": {"max-size": "5m", "max-file": "2", "labels": "a"}})).steps == ()
    assert _plan(_logging({"log-driver": "journald"})).steps == ()


def test_nothing_is_promised_for_containers_that_keep_the_options_they_were_created_with() -> None:
    builder = _logging({})
    builder.container("mint-modules-redis")["log_options"] = {}

    plan = _plan(builder)

    assert [step.mends for step in plan.steps] == [()]
    told = "log options of containers stay as they were created until somebody recreates them: mint-modules-redis (D243 has the commands)"
    assert [refusal.reason for refusal in plan.refusals] == [told]


def test_containers_that_keep_their_options_are_no_reason_to_restart_docker_again() -> None:
    builder = _guarded(EvidenceBuilder())
    builder.container("mint-modules-redis")["log_options"] = {}

    plan = _plan(builder)

    assert (plan.steps, plan.refusals) == ((), ())


@pytest.mark.parametrize(("held", "flag"), [({}, "--log-opt=max-size=1g"), ({"log-opts": {"max-size": "1g"}}, "--log-driver=json-file")])
def test_log_limits_that_a_flag_would_clash_with_are_refused_by_it(held: dict[str, Any], flag: str) -> None:
    builder = _logging(held)
    builder.probes["docker_config"]["dockerd_flags"].append(flag)

    plan = _plan(builder)

    assert plan.steps == ()
    assert f"dockerd is started with {flag}, and the same key in daemon.json would keep it down: remove the flag" in plan.refusals[0].reason


def test_a_single_log_file_is_not_compressed_because_docker_would_create_no_container() -> None:
    desired = desired_host("mint-data")
    docker = desired.docker.model_copy(update={"log": LogLimits(max_size=1_000_000, max_files=1)})

    [step] = _plan(_logging({"log-driver": "local"}), desired.model_copy(update={"docker": docker})).steps

    assert step.variables["docker_data_root_daemon_json"]["log-opts"] == {"compress": "false", "max-file": "1", "max-size": "1000000"}


def test_a_move_brings_log_options_over_the_limits_down_with_it() -> None:
    builder = _drifting()
    builder.probes["docker_config"]["daemon_json"] = '{"log-driver": "json-file", "log-opts": {"max-size": "1g"}}'

    step = _plan(builder).steps[2]

    merge = {"data-root": "/mnt/data/docker", "log-opts": {"max-file": "3", "max-size": "10000000"}}
    assert step.variables["docker_data_root_daemon_json"] == merge


def test_a_move_into_the_old_root_is_refused() -> None:
    builder = _drifting()
    builder.probes["docker_info"]["root"] = "/mnt/data"

    assert "/mnt/data and /mnt/data/docker lie in each other" in _plan(builder).refusals[0].reason


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"empty": False}, "/mnt/data/docker is not empty, and no run of this program on this host made it"),
        ({"empty": None}, "what lies at /mnt/data/docker could not be looked at"),
        ({"empty": None, "kind": "file"}, "/mnt/data/docker is no directory, and no run of this program"),
    ],
)
def test_what_lies_at_the_destination_is_refused_before_a_move_is_promised(seen: dict[str, Any], told: str) -> None:
    builder = _mounted()
    builder.probes["paths"]["/mnt/data/docker"].update(seen)
    plan = _plan(builder)
    assert "docker.data_root" not in _capabilities(plan)
    assert told in plan.refusals[0].reason


RETIRED = {
    **dict.fromkeys(("fingerprint", "unreadable", "purging")),
    "path": "/mnt/data/docker",
    "run": "CAP-1",
    "retired_at": "2026-01-01T00:00:00Z",
    "size": 1,
    "entries": 1,
    "exists": True,
    "recorded": "sha256:0",
    "replaced_by": "/var/lib/docker",
}


@pytest.mark.parametrize("known", [{"copies": ["/mnt/data/docker"]}, {"retired": [RETIRED]}])
def test_what_a_run_of_this_program_copied_or_left_there_is_the_roles_to_judge(known: dict[str, Any]) -> None:
    builder = _mounted()
    builder.probes["paths"]["/mnt/data/docker"].update(empty=False)
    builder.probes["target_state"].update(known)
    assert "docker.data_root" in _capabilities(_plan(builder))


@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_a_daemon_json_that_is_no_object_refuses_the_move(text: str) -> None:
    builder = _drifting()
    builder.probes["docker_config"]["daemon_json"] = text

    assert "docker.data_root" not in _capabilities(_plan(builder))


@pytest.mark.parametrize(
    ("unmeasured", "told"),
    [
        (lambda probes: probes["docker_containers"][0].update(writable_bytes=None), "Docker did not tell the size of a container's writable layer"),
        (lambda probes: probes["docker_containers"][0].update(writable_bytes=-1), "Docker did not tell the size of a container's writable layer"),
        (lambda probes: probes["docker_usage"].update(images=-1), "Docker told a negative size of what it keeps"),
    ],
)
def test_a_size_that_docker_could_not_tell_refuses_the_move(unmeasured: Any, told: str) -> None:
    builder = _drifting()
    unmeasured(builder.probes)

    plan = _plan(builder)

    assert "docker.data_root" not in _capabilities(plan)
    assert f"could not be observed: {told}" in {refusal.reason for refusal in plan.refusals}


def _retired(**other: Any) -> EvidenceBuilder:
    builder = EvidenceBuilder()
    item = {"path": "/var/lib/docker", "run": "r", "retired_at": "2026-01-02T00:00:00Z", "size": 9, "entries": 3, "exists": True}
    builder.probes["target_state"]["retired"] = [
        item | {"recorded": "sha256:a", "fingerprint": "sha256:a", "unreadable": None, "purging": None, "replaced_by": "/mnt/data/docker"} | other
    ]
    return builder


def test_a_purge_names_every_path_as_destructive() -> None:
    plan = _plan(_retired(), None, "storage.purge")

    assert [(c.kind, c.target, c.destructive) for c in plan.steps[0].changes] == [("delete", "/var/lib/docker", True)]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (
            {"fingerprint": None, "unreadable": "[Errno 5] Input/output error"},
            "could not be observed: its present content can't be read: [Errno 5] Input/output error",
        ),
        ({"fingerprint": "sha256:b"}, "differs from what was retired"),
        ({"retired_at": "2026-01-01T00:00:00"}, "without its timezone"),
        ({"retired_at": "soon"}, "has no readable date of retirement (soon)"),
        ({"retired_at": "2026-01-31T00:00:00Z"}, "is kept until 2026-02-07T00:00:00+00:00 (site.yml, retention)"),
    ],
)
def test_what_is_not_surely_the_retired_data_past_its_retention_is_kept(other: dict[str, Any], told: str) -> None:
    plan = _plan(_retired(**other), None, "storage.purge")

    assert plan.steps == ()
    assert told in plan.refusals[0].reason


def test_the_role_is_told_the_retention_that_the_plan_was_made_by() -> None:
    assert _plan(_retired(), None, "storage.purge").steps[0].variables["purge_retired_retention_s"] == 7 * 86400


def test_a_tree_too_large_for_a_preview_is_planned_and_the_preview_says_who_compares_it() -> None:
    large = {"entries": 500_000, "size": 40 * GB}

    plan = _plan(_retired(**large, fingerprint=None), None, "storage.purge")
    compared = _plan(_retired(**large), None, "storage.purge")

    assert plan.refusals == ()
    assert plan.steps[0].variables["purge_retired_items"] == [{"path": "/var/lib/docker", "run": "r", "recorded": "sha256:a"}]
    assert "/var/lib/docker is too large to be compared in a preview: the step compares it before it deletes anything" in plan.steps[0].undo
    assert "too large" not in compared.steps[0].undo
    # Whether there was time to read it varies by itself, so it neither voids the plan nor lets a resumed run differ from it.
    assert differences(plan, compared) == ()
    assert plan.change_records() == compared.change_records()


ASIDE = "/var/lib/.controlplane-purging-docker"
BEGUN = {"exists": False, "fingerprint": None, "purging": {"aside": ASIDE, "run": "CAP-9", "entries": 2, "size": 7}}


def test_what_a_purge_began_is_planned_by_the_same_record_whatever_its_age_and_fingerprint() -> None:
    whole = _plan(_retired(), None, "storage.purge")

    plan = _plan(_retired(**BEGUN, retired_at="2026-01-31T00:00:00Z"), None, "storage.purge")

    assert plan.refusals == ()
    assert plan.change_records() == whole.change_records()
    assert plan.steps[0].variables == whole.steps[0].variables
    assert [(mend.check, mend.surface) for mend in plan.steps[0].mends] == [("D244", "retired:/var/lib/docker")]
    assert f"CAP-9 deleted a part of it already, the step deletes what is left in {ASIDE} (2 entries, 7 bytes)" in plan.steps[0].undo
    assert any("its facts changed" in told for told in differences(whole, plan))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"purging": {"aside": ASIDE, "run": None, "entries": 2, "size": 7}}, f"{ASIDE} is there, and no journal on the host says that it is what r"),
        ({"exists": True}, f"{ASIDE} is there as well: look at both, and move the latter away or remove it yourself"),
    ],
)
def test_what_is_not_surely_what_a_purge_began_is_left_alone(other: dict[str, Any], told: str) -> None:
    plan = _plan(_retired(**(BEGUN | other)), None, "storage.purge")

    assert plan.steps == ()
    assert told in plan.refusals[0].reason


def test_a_large_tree_that_is_seen_to_differ_after_all_voids_its_plan() -> None:
    plan = _plan(_retired(fingerprint=None), None, "storage.purge")
    changed = _plan(_retired(fingerprint="sha256:b"), None, "storage.purge")

    assert changed.steps == ()
    assert any("its facts changed since the plan was made (retired)" in told for told in differences(plan, changed))


def test_a_purge_shares_its_plan_with_nothing() -> None:
    with pytest.raises(InputInvalidError, match=r"storage.purge deletes data, so it has a plan of its own"):
        chosen_capabilities(["storage.purge", "storage.fstab"])


def test_an_unknown_capability_is_a_usage_error() -> None:
    with pytest.raises(InputInvalidError, match=r"there is no storage.magic; there are infra.vm.provision, storage.data_disk"):
        chosen_capabilities(["storage.magic"])


def test_without_the_disk_step_the_move_says_what_has_to_run_first() -> None:
    plan = _plan(_drifting(), None, "docker.data_root")

    assert plan.steps == ()
    assert "storage.data_disk has to run first" in plan.refusals[0].reason
