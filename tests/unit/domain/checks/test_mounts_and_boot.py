"""D240, D241 and D242: the right disk is mounted, Docker waits for it, and a reboot has proven both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk, NfsMount
from controlplane.domain.services import WriteSurface
from tests.fakes.evidence_builder import BOOTED, DATA, DATA_UUID, GB, GUARD, POSTGRES, EvidenceBuilder, desired_mint_data, device, mount
from tests.unit.domain.checks.conftest import Judge

Spoil = Callable[[EvidenceBuilder], Any]
NOT_REQUIRED = "docker.service doesn't require /mnt/data (RequiresMountsFor=)"
NOT_CHECKED = f"docker.service doesn't check that /mnt/data is the filesystem {DATA_UUID}"
NOT_ASSERTED = "docker.service doesn't refuse to start without /mnt/data (AssertPathIsMountPoint=)"
BY_HAND = "on the machine: systemctl start /mnt/data && systemctl start docker.service"
STRANGER = f"Attached and not named in the policy: vdb (serial OTHER, 100.0 GB, ext4 UUID {DATA_UUID})"
DROP_IN = "/etc/systemd/system/docker.service.d/50-controlplane-mounts.conf"


def _live(**other: Any) -> Spoil:
    return lambda b: next(one for one in b.probes["mounts"] if one["mount"] == "/mnt/data").update(other)


def _unmounted(builder: EvidenceBuilder) -> None:
    builder.probes["fstab"]["entries"][0]["passno"] = 0
    builder.probes["mounts"] = [one for one in builder.probes["mounts"] if one["mount"] != "/mnt/data"]


def _foreign_disk(builder: EvidenceBuilder) -> None:
    builder.probes["block"]["8:0"] = device("sda", 100 * GB, serial="OTHER")
    builder.probes["signatures"]["8:0"] = builder.probes["signatures"][DATA]
    _live(dev="8:0", source="/dev/sda")(builder)


def _spanned(builder: EvidenceBuilder) -> None:
    builder.probes["block"]["253:0"] = device("dm-0", 100 * GB, dm_name="vg-data", slaves=[DATA, "254:0"])
    _live(dev="253:0", source="/dev/mapper/vg-data")(builder)


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (lambda _: None, "MET", f"/mnt/data is serial DATA0001, ext4 with UUID {DATA_UUID}"),
        (_unmounted, "DRIFTED", f"nothing is mounted at /mnt/data, though the disk with serial DATA0001 is there and /etc/fstab names it; {BY_HAND}"),
        (_foreign_disk, "DRIFTED", "/mnt/data is /dev/sda (ext4), not the disk with serial DATA0001"),
        (_spanned, "DRIFTED", "/mnt/data is /dev/mapper/vg-data (ext4), not the disk with serial DATA0001"),
        (
            lambda b: b.probes["mounts"].append(mount("/mnt/data", "0:77", "tmpfs", id=99)),
            "DRIFTED",
            "/mnt/data is none (tmpfs), not the disk with serial DATA0001",
        ),
        (
            lambda b: b.probes["block"][DATA].update(serial="OTHER"),
            "DRIFTED",
            f"no disk with serial DATA0001 is attached. {STRANGER}. Once it is attached, {BY_HAND}",
        ),
        (lambda b: b.probes["block"]["254:0"].update(serial="DATA0001"), "UNKNOWN", "2 disks carry serial DATA0001: vda, vdb"),
        (_live(options=["ro", "noatime"]), "DRIFTED", "/mnt/data: it is mounted read-only"),
        (_live(super_options=["ro"]), "DRIFTED", "/mnt/data: it is mounted read-only"),
        (_live(options=["rw", "relatime"]), "DRIFTED", "/mnt/data: mounted without noatime"),
        (_live(root="/sub"), "DRIFTED", "/mnt/data: only the directory /sub of the disk is mounted"),
        (_live(fstype="xfs"), "DRIFTED", "/mnt/data: the filesystem is xfs, declared is ext4; the disk carries ext4 now, mounted is xfs"),
        (lambda b: b.probes["signatures"].pop(DATA), "UNKNOWN", "the UUID of what is mounted at /mnt/data was not observed"),
    ],
)
def test_the_very_disk_that_the_policy_names_is_mounted(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str) -> None:
    spoil(healthy)
    finding = judge(healthy)["D240", "mount:/mnt/data"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


@pytest.mark.parametrize(
    "named",
    [
        {"wwn": "0x5000"},
        {"by_id": "virtio-DATA0001"},
        {"by_path": "pci-0000:00:05.0"},
        {"loop_file": "/lab/data.img"},
        {"uuid": DATA_UUID},
    ],
)
def test_a_disk_is_found_by_each_kind_of_identity(healthy: EvidenceBuilder, judge: Judge, named: dict[str, str]) -> None:
    links = ["/dev/disk/by-id/virtio-DATA0001", "/dev/disk/by-path/pci-0000:00:05.0"]
    healthy.probes["block"][DATA].update(wwn="0x5000", links=links, loop_file="/lab/data.img")
    healthy.probes["paths"]["/lab/data.img"] = healthy.probes["paths"]["/"] | {"exists": False, "kind": "absent"}
    desired = desired_mint_data(disks=(Disk(mount="/mnt/data", min_size=1 * GB, max_size=200 * GB, **named),))
    assert judge(healthy, desired)["D240", "mount:/mnt/data"].verdict == "MET"


def _entry(**other: Any) -> Spoil:
    return lambda b: b.probes["fstab"]["entries"][0].update(other)


def _verify(text: str, code: int = 1) -> Spoil:
    return lambda b: b.probes["fstab"].update(verify_output=text, verify_rc=code)


HEAD = "/etc/fstab line 1 for /mnt/data "
TWIN = "/etc/fstab line 1 for /mnt/data its UUID is also carried by vdc"


def _cloned(builder: EvidenceBuilder) -> None:
    builder.probes["block"]["254:32"] = device("vdc", GB)
    builder.probes["signatures"]["254:32"] = builder.probes["signatures"][DATA]


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (lambda _: None, "MET", f"line 1 mounts UUID={DATA_UUID} at /mnt/data"),
        (lambda b: b.probes["fstab"].update(entries=[]), "DRIFTED", "/etc/fstab has no entry for /mnt/data"),
        (
            lambda b: b.probes["fstab"]["entries"].append(b.probes["fstab"]["entries"][0] | {"line": 4}),
            "DRIFTED",
            "/etc/fstab has 2 entries for /mnt/data, in lines 1, 4",
        ),
        (_entry(spec="/dev/vdb"), "DRIFTED", f"{HEAD}names /dev/vdb, not UUID={DATA_UUID}"),
        (_entry(options=["noatime", "x-systemd.device-timeout=10s"]), "DRIFTED", f"{HEAD}lacks nofail"),
        (_entry(options=["nofail", "x-systemd.device-timeout=10s"]), "DRIFTED", f"{HEAD}lacks noatime"),
        (
            _entry(options=["noatime", "nofail"]),
            "DRIFTED",
            f"{HEAD}has no x-systemd.device-timeout, so a missing disk holds the boot up for 90 s",
        ),
        (_entry(options=["noatime", "nofail", "x-systemd.device-timeout=10s", "noauto"]), "DRIFTED", f"{HEAD}says noauto"),
        (_entry(vfstype="xfs"), "DRIFTED", f"{HEAD}says xfs, declared is ext4"),
        (_cloned, "DRIFTED", TWIN),
        (
            _verify("/mnt/data\n   [E] unreachable on boot required source: UUID=x\n\n0 parse errors, 1 error, 0 warnings"),
            "DRIFTED",
            f"{HEAD}findmnt --verify: unreachable on boot required source: UUID=x",
        ),
        (
            _verify("/mnt/other\n   [E] unreachable source: UUID=x\n\n0 parse errors, 1 error, 0 warnings"),
            "MET",
            f"line 1 mounts UUID={DATA_UUID} at /mnt/data",
        ),
        (_verify("/mnt/data\n   [W] recommended\n\n0 parse errors, 0 errors, 1 warning", 0), "MET", f"line 1 mounts UUID={DATA_UUID} at /mnt/data"),
        (_verify("", 0), "UNKNOWN", "findmnt --verify gave no result (exit code 0)"),
        (_verify("segfault", 139), "UNKNOWN", "findmnt --verify gave no result (exit code 139)"),
        (lambda b: b.probes["fstab"].update(bad_lines=[3]), "DRIFTED", "/etc/fstab has lines that are no entry: 3"),
        (
            lambda b: b.probes["signatures"][DATA].update(uuid=None, type=None),
            "DRIFTED",
            "the disk with serial DATA0001 carries no ext4 that an entry could name",
        ),
        (lambda b: b.probes["block"][DATA].update(serial=None), "DRIFTED", "no disk with serial DATA0001 is attached"),
        (
            lambda b: b.probes["units"].update(
                {"mnt-data.mount": b.probes["units"]["docker.service"] | {"properties": {"Where": "/mnt/data"}, "needs_reload": True}}
            ),
            "DRIFTED",
            "systemd has not been reloaded since /etc/fstab changed, so it may mount the old disk at /mnt/data",
        ),
    ],
)
def test_one_entry_by_uuid_brings_the_disk_back(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str) -> None:
    spoil(healthy)
    finding = judge(healthy)["D240", "fstab:/mnt/data"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


def _nfs(**other: Any) -> Spoil:
    def spoil(builder: EvidenceBuilder) -> None:
        plain = {"line": 2, "spec": "nas:/tank/", "file": "/mnt/nas", "vfstype": "nfs", "options": ["ro", "nofail"], "freq": 0, "passno": 0}
        builder.probes["fstab"]["entries"].append(plain | other.get("entry", {}))
        builder.probes["mounts"].append(
            mount("/mnt/nas", "0:50", source="nas:/tank", **({"fstype": "nfs4", "options": ["ro"]} | other.get("live", {})))
        )

    return spoil


@pytest.mark.parametrize(
    ("spoil", "live", "entry"),
    [
        (_nfs(), "/mnt/nas is nas:/tank, ro", "line 2 mounts nas:/tank/ at /mnt/nas"),
        (_nfs(live={"options": ["rw"]}), "/mnt/nas is not mounted ro", "line 2 mounts nas:/tank/ at /mnt/nas"),
        (_nfs(live={"fstype": "ext4"}), "/mnt/nas is nas:/tank (ext4), declared is nas:/tank", "line 2 mounts nas:/tank/ at /mnt/nas"),
        (_nfs(entry={"options": ["rw"]}), "/mnt/nas is nas:/tank, ro", "/etc/fstab line 2 for /mnt/nas lacks nofail; doesn't mount it ro"),
        (_nfs(entry={"spec": "nas:/x"}), "/mnt/nas is nas:/tank, ro", "/etc/fstab line 2 for /mnt/nas names nas:/x, not nas:/tank"),
        (lambda _: None, "nothing is mounted at /mnt/nas", "/etc/fstab has no entry for /mnt/nas"),
    ],
)
def test_an_export_is_mounted_and_has_its_entry(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, live: str, entry: str) -> None:
    spoil(healthy)
    desired = DesiredHost(host="s", tier="nfs", data="nfs", nfs=(NfsMount(source="nas:/tank", mount="/mnt/nas", mode="ro"),))
    findings = judge(healthy, desired)
    assert findings["D240", "mount:/mnt/nas"].reason == live
    assert findings["D240", "fstab:/mnt/nas"].reason == entry


def _guard(text: str, unit: str = "docker.service") -> Spoil:
    return lambda b: b.probes["units"][unit]["drop_ins"][0].update(text=text)


def _beside(text: str) -> Spoil:
    """A drop-in that somebody put beside the guard of docker.service."""
    return lambda b: b.probes["units"]["docker.service"]["drop_ins"].append(
        {"path": "/etc/systemd/system/docker.service.d/90-own.conf", "text": text, "mtime": 0.0}
    )


def _bare(**other: Any) -> Spoil:
    return lambda b: b.probes["beneath"]["/mnt/data"].update(other)


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (lambda _: None, "MET", "Docker starts only with /mnt/data mounted"),
        (_unmounted, "DRIFTED", "nothing is mounted at /mnt/data"),
        (_guard(GUARD.replace("RequiresMountsFor", "#")), "DRIFTED", NOT_REQUIRED),
        (
            _guard(GUARD.replace("AssertPath", "ConditionPath")),
            "DRIFTED",
            NOT_ASSERTED,
        ),
        (
            _guard(GUARD.replace("=/mnt/data\n[", "=!/mnt/data\n[")),
            "DRIFTED",
            NOT_ASSERTED,
        ),
        (
            _guard(GUARD.replace("[Service]", "AssertPathIsMountPoint=\n[Service]")),
            "DRIFTED",
            NOT_ASSERTED,
        ),
        (
            _guard(GUARD.replace("[Unit]", "[Install]")),
            "DRIFTED",
            f"{NOT_REQUIRED}; {NOT_ASSERTED}",
        ),
        (_guard(GUARD.replace(DATA_UUID, "other")), "DRIFTED", NOT_CHECKED),
        (_guard(GUARD.replace("=/bin/sh", "=@-/bin/sh")), "DRIFTED", NOT_CHECKED),
        (_guard(GUARD.replace("UUID /mnt/data)", "UUID /mnt/data2)").replace(": /mnt/data is", ": it is")), "DRIFTED", NOT_CHECKED),
        (_beside("[Service]\nExecStartPre =\n"), "DRIFTED", NOT_CHECKED),
        (_beside("[Service]\nExecStartPre=/bin/true\n"), "MET", "Docker starts only with /mnt/data mounted"),
        (
            _guard(GUARD.replace(DATA_UUID, "other"), "containerd.service"),
            "DRIFTED",
            f"containerd.service doesn't check that /mnt/data is the filesystem {DATA_UUID}",
        ),
        (
            lambda b: b.probes["units"]["containerd.service"].update(drop_ins=[]),
            "DRIFTED",
            f"{NOT_REQUIRED}; {NOT_ASSERTED}; docker.service doesn't check that /mnt/data is the filesystem {DATA_UUID}".replace(
                "docker", "containerd"
            ),
        ),
        (lambda b: b.probes["signatures"].pop(DATA), "UNKNOWN", "the UUID of what is mounted at /mnt/data was not observed"),
        (
            lambda b: b.probes["units"]["containerd.service"].update(needs_reload=True),
            "DRIFTED",
            "containerd.service was not reloaded since its files changed",
        ),
        (lambda b: b.probes["units"]["containerd.service"].update(load_state="not-found"), "MET", "Docker starts only with /mnt/data mounted"),
        (lambda b: b.probes["units"].pop("containerd.service"), "UNKNOWN", "containerd.service was not looked at"),
        (
            lambda b: b.probes["units"]["docker.socket"].update(drop_ins=[]),
            "DRIFTED",
            f"{NOT_REQUIRED}; {NOT_ASSERTED}; docker.service doesn't check that /mnt/data is the filesystem {DATA_UUID}".replace(
                "docker.service", "docker.socket"
            ),
        ),
        (
            lambda b: b.probes["units"]["docker.socket"].update(drop_ins=[], load_state="not-found"),
            "MET",
            "Docker starts only with /mnt/data mounted",
        ),
        (lambda b: b.probes["units"]["docker.socket"].update(drop_ins=[], load_state="masked"), "MET", "Docker starts only with /mnt/data mounted"),
        (lambda b: b.probes["units"]["docker.socket"].update(load_state="error"), "DRIFTED", "docker.socket is error"),
        (lambda b: b.probes["units"].pop("docker.socket"), "UNKNOWN", "docker.socket was not looked at"),
        (_bare(immutable=False), "DRIFTED", "the bare directory under /mnt/data can be written (chattr +i)"),
        (_bare(immutable=None), "UNKNOWN", "whether the directory under /mnt/data is immutable could not be seen"),
        (_bare(entries=2, sample=["docker", "x"]), "DRIFTED", "2 entries are hidden under /mnt/data (docker, x)"),
        (lambda b: b.probes["beneath"].clear(), "UNKNOWN", "the directory under /mnt/data was not looked at"),
    ],
)
def test_docker_never_starts_on_the_bare_mountpoint(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str) -> None:
    spoil(healthy)
    finding = judge(healthy)["D241", "boot.guard"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (lambda _: None, "MET", "booted 2026-01-02 08:00:00Z, after every change, with Docker on /mnt/data/docker"),
        (
            lambda b: b.probes["fstab"].update(mtime=BOOTED + 60),
            "DRIFTED",
            "not rebooted since /etc/fstab changed (2026-01-02 08:01:00Z, booted 2026-01-02 08:00:00Z)",
        ),
        (
            lambda b: b.probes["docker_config"].update(daemon_json_mtime=BOOTED + 60),
            "DRIFTED",
            "not rebooted since daemon.json changed (2026-01-02 08:01:00Z, booted 2026-01-02 08:00:00Z)",
        ),
        (
            lambda b: b.probes["units"]["docker.service"]["drop_ins"][0].update(mtime=BOOTED + 60),
            "DRIFTED",
            f"not rebooted since {DROP_IN} changed (2026-01-02 08:01:00Z, booted 2026-01-02 08:00:00Z)",
        ),
        (
            lambda b: b.probes["target_state"]["last_change"].update(boot_id="boot-2"),
            "DRIFTED",
            "not rebooted since run CAP-20260102-070000__storage.fstab__Rab12 changed storage (2026-01-02T07:00:00Z)",
        ),
        (
            lambda b: b.probes["target_state"].update(last_change=None),
            "MET",
            "booted 2026-01-02 08:00:00Z, after every change, with Docker on /mnt/data/docker",
        ),
        (_unmounted, "DRIFTED", "/mnt/data is not mounted"),
        (lambda b: b.probes["units"]["docker.service"].update(active_state="failed"), "DRIFTED", "docker.service is failed"),
        (lambda b: b.probes["docker_info"].update(root="/var/lib/docker"), "DRIFTED", "Docker runs on /var/lib/docker, declared is /mnt/data/docker"),
        (lambda b: b.probes["identity"].update(boot_epoch=0.0), "UNKNOWN", "the boot time makes no sense (0.0)"),
        (lambda b: b.fail("target_state"), "UNKNOWN", "target_state: failed: boom"),
    ],
)
def test_a_reboot_after_the_last_change_is_the_proof(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str) -> None:
    spoil(healthy)
    finding = judge(healthy)["D242", "reboot.proof"]
    assert (finding.verdict, finding.severity, finding.reason) == (verdict, "medium", reason)


def test_a_host_whose_data_lie_on_nfs_alone_needs_the_proof_too(healthy: EvidenceBuilder, judge: Judge) -> None:
    desired = DesiredHost(host="s", tier="nfs", data="nfs", nfs=(NfsMount(source="nas:/tank", mount="/mnt/nas", mode="ro"),))
    assert judge(healthy, desired)["D242", "reboot.proof"].reason == "/mnt/nas is not mounted"
    _nfs()(healthy)
    assert judge(healthy, desired)["D242", "reboot.proof"].verdict == "MET"
    healthy.probes["target_state"]["last_change"].update(boot_id="boot-2")
    assert judge(healthy, desired)["D242", "reboot.proof"].verdict == "DRIFTED"


def test_a_host_without_declared_storage_needs_the_proof_only_once_a_run_changed_its_storage(healthy: EvidenceBuilder, judge: Judge) -> None:
    desired = DesiredHost(host="mint-apps", tier="boot-only", data="boot")
    findings = judge(healthy, desired)
    assert not [key for key in findings if key[0] in ("D240", "D241", "D245")]
    assert (findings["D242", "reboot.proof"].verdict, findings["D242", "reboot.proof"].reason) == (
        "MET",
        "booted after run CAP-20260102-070000__storage.fstab__Rab12 changed storage (2026-01-02T07:00:00Z)",
    )
    healthy.probes["target_state"]["last_change"].update(boot_id="boot-2")
    healthy.probes["fstab"].update(mtime=BOOTED + 60)
    finding = judge(healthy, desired)["D242", "reboot.proof"]
    assert (finding.verdict, finding.reason) == (
        "DRIFTED",
        "not rebooted since run CAP-20260102-070000__storage.fstab__Rab12 changed storage (2026-01-02T07:00:00Z)",
    )
    healthy.probes["target_state"].update(last_change=None)
    finding = judge(healthy, desired)["D242", "reboot.proof"]
    assert (finding.verdict, finding.reason) == ("MET", "no change of its storage is on record")
    healthy.fail("target_state")
    assert judge(healthy, desired)["D242", "reboot.proof"].verdict == "UNKNOWN"


@pytest.mark.parametrize(
    "declared",
    [
        {"services": {POSTGRES: desired_mint_data().services[POSTGRES]}},
        {"write_surfaces": (WriteSurface(container="quote-page", path="/tmp/uploads", place="/opt/uploads"),)},
    ],
)
def test_a_host_whose_services_or_write_surfaces_lie_on_its_boot_disk_needs_the_whole_proof(
    healthy: EvidenceBuilder, judge: Judge, declared: dict[str, Any]
) -> None:
    desired = DesiredHost(host="mint-apps", tier="boot-only", data="boot", **declared)
    assert judge(healthy, desired)["D242", "reboot.proof"].verdict == "MET"
    healthy.probes["fstab"].update(mtime=BOOTED + 60)
    healthy.probes["target_state"]["last_change"].update(boot_id="boot-2")
    finding = judge(healthy, desired)["D242", "reboot.proof"]
    assert finding.verdict == "DRIFTED"
    assert "not rebooted since /etc/fstab changed" in finding.reason
    assert "not rebooted since run CAP-20260102-070000__storage.fstab__Rab12 changed storage" in finding.reason


def test_a_target_without_a_policy_needs_no_proof(healthy: EvidenceBuilder, judge: Judge) -> None:
    assert not [key for key in judge(healthy, DesiredHost.general("mint-apps"), general=True) if key[0] == "D242"]
