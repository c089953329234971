# ruff: noqa: E501 - messages stand whole, so that a search finds them
"""Every rule of policy.yml by its line, its field and its message."""

from __future__ import annotations

import pytest

from controlplane.adapters.strict_yaml import parse_document
from controlplane.domain.faults import fault_at, validated
from controlplane.domain.inventory import Inventory, InventoryHost
from controlplane.domain.policy import Policy
from controlplane.domain.policy_rules import policy_faults

HEAD = "version: 1\ntiers: {boot: {data: boot}, disk: {data: disk}, nfs: {data: nfs}}\nhosts:\n"
DISK = "{serial: D1, min_size: 3GB, max_size: 9GB, mount: /mnt/data}"


def said(text: str, inventory: Inventory | None = None) -> list[str]:
    document = parse_document(text, "p.yml")
    _, found = validated(Policy, document.data, document)
    found += [fault_at(document, place, message) for place, message in policy_faults(document.data, inventory)]
    return [str(fault) for fault in sorted({*found, *document.faults})]


def host(body: str, tier: str = "disk") -> list[str]:
    return said(f"{HEAD}  h:\n    tier: {tier}\n" + "".join(f"    {line}\n" for line in body.splitlines()))


def service(body: str) -> list[str]:
    return host(f"disks: [{DISK}]\nservices: {{s: {{{body}}}}}")


def test_a_whole_policy_has_no_fault() -> None:
    assert host(
        f"disks: [{DISK}]\n"
        "docker: {data_root: /mnt/data/docker, containerd_root: /mnt/data/containerd, log: {max_size: 10MB, max_files: 3}}\n"
        "services:\n"
        "  pg: {kind: postgres, data: /var/lib/postgresql/data, place: /mnt/data/pg, durability: {fsync: true}}\n"
        "  redis: {kind: redis, data: /data, volume: redis, durability: {appendonly: true, appendfsync: no}, auth: {vault: redis_password}}\n"
        "  wiki: {kind: files, data: /srv/wiki, place: /mnt/data/wiki, proof: [wikictl, count]}\n"
        "stacks: [{project: p, dir: /opt/stacks/p}]\n"
        "write_surfaces: [{container: c, path: /tmp/up, place: /mnt/data/up}]\n"
        "boot_accepted: [{container: cadvisor, path: /rootfs, reason: read-only view}]\n"
        'nfs: [{source: "nas:/x", mount: /mnt/x, mode: ro}]'
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("disk", "fault"),
    [
        (
            "{mount: /mnt/d, min_size: 1GB, max_size: 2GB}",
            "hosts.h.disks.0: has no identity: write exactly one of serial, wwn, by_id, by_path, loop_file, uuid",
        ),
        (
            "{serial: a, wwn: b, mount: /mnt/d, min_size: 1GB, max_size: 2GB}",
            "hosts.h.disks.0: has 2 identities (serial, wwn): write exactly one of serial, wwn, by_id, by_path, loop_file, uuid",
        ),
        ("{serial: a, min_size: 3GB, max_size: 2GB, mount: /mnt/d}", "hosts.h.disks.0.max_size: 2GB is less than min_size 3GB: swap or correct them"),
        (
            "{serial: a, max_size: 2GB, mount: /mnt/d}",
            "hosts.h.disks.0.min_size: is missing: a disk that may be formatted needs the sizes between which it is the right one",
        ),
        ("{serial: 0x1G, min_size: 1GB, max_size: 2GB}", "hosts.h.disks.0.mount: is missing: Where it is mounted"),
        (
            "{serial: 1234, min_size: 1GB, max_size: 2GB, mount: /mnt/d}",
            'hosts.h.disks.0.serial: 1234 is read as a number or a truth value, text is wanted: write it in quotes, "1234"',
        ),
        ("{serial: a, min_size: 1, max_size: 2GB, mount: /mnt/d}", "hosts.h.disks.0.min_size: 1 has no unit: write it as 15GB or 512MiB"),
        (
            "{serial: a, min_size: 1GB, max_size: 2GB, mount: /mnt/d, filesystem: btrfs}",
            "hosts.h.disks.0.filesystem: 'btrfs' is none of the choices: write 'ext4' or 'xfs'",
        ),
        (
            "{serial: a, min_size: 1GB, max_size: 2GB, mount: /mnt/d, options: [x-systemd.makefs]}",
            "hosts.h.disks.0.options.0: 'x-systemd.makefs' is refused: systemd would format the disk on a guess; leave it out",
        ),
        (
            '{serial: a, min_size: 1GB, max_size: 2GB, mount: /mnt/d, options: ["noatime,ro"]}',
            "hosts.h.disks.0.options.0: 'noatime,ro' is no mount option: it has to match [A-Za-z0-9][A-Za-z0-9._=:/+@-]{0,127}",
        ),
        ("{uuid: no-uuid, mount: /mnt/d}", "hosts.h.disks.0.uuid: 'no-uuid' is no filesystem UUID: it has to match [0-9A-Fa-f][0-9A-Fa-f-]{7,35}"),
        (
            "{serial: a, min_size: 1GB, max_size: 2GB, mount: /usr/d}",
            "hosts.h.disks.0.mount: /usr/d lies in /usr, which belongs to the system: name a place such as /mnt/data",
        ),
    ],
)
def test_a_disk_that_could_be_the_wrong_one_is_refused(disk: str, fault: str) -> None:
    assert host(f"disks: [{disk}]") == [f"p.yml:6: {fault}"]


@pytest.mark.parametrize("key", ["serial", "by_id", "by_path", "wwn", "uuid"])
@pytest.mark.parametrize("name", ["/dev/sdb", "/dev/sdb1", "/dev/vda", "/dev/nvme0n1p2", "/dev/xvdb"])
def test_a_kernel_name_is_refused_with_the_reason(key: str, name: str) -> None:
    [fault] = host(f"disks: [{{{key}: {name}, min_size: 1GB, max_size: 2GB, mount: /mnt/d}}]")
    assert fault.startswith(f"p.yml:6: hosts.h.disks.0.{key}: '{name}' is a name that the kernel hands out anew at each boot")


def test_a_kernel_name_under_another_key_is_refused_with_the_same_reason() -> None:
    found = host("disks: [{serial: a, device: /dev/sdb, min_size: 1GB, max_size: 2GB, mount: /mnt/d}]")
    assert any("hosts.h.disks.0.device: '/dev/sdb' is a name that the kernel hands out anew" in fault for fault in found)
    assert any("hosts.h.disks.0.device: unknown key: known here are by_id, " in fault for fault in found)


@pytest.mark.parametrize("name", ["/dev", "/dev/sdb", "/dev/loop0", "/dev/disk/by-id/virtio-D1"])
def test_a_loop_file_that_is_a_device_is_refused_with_the_reason(name: str) -> None:
    [fault] = host(f"disks: [{{loop_file: {name}, min_size: 1GB, max_size: 2GB, mount: /mnt/d}}]")
    assert fault == (
        f"p.yml:6: hosts.h.disks.0.loop_file: '{name}' is a device, and loop_file is the path of the file behind a loop device; names of devices "
        "change from boot to boot: name a disk by serial, wwn, by_id or by_path (`ls -l /dev/disk/by-id` on the machine shows them)"
    )


def test_a_loop_file_may_lie_wherever_files_lie() -> None:
    assert host("disks: [{loop_file: /device/data.img, min_size: 1GB, max_size: 2GB, mount: /mnt/d}]") == []


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("by_id", "virtio-D1", "/dev/disk/by-id/virtio-D1"),
        ("by_path", "/dev/disk/by-path/pci-0000", "pci-0000"),
        ("uuid", "ABCD-1234", "abcd-1234"),
    ],
)
def test_a_disk_that_is_spelled_in_two_ways_is_one_disk(key: str, one: str, other: str) -> None:
    sizes = "min_size: 1GB, max_size: 2GB"
    assert host(f"disks:\n  - {{{key}: {one}, {sizes}, mount: /mnt/a}}\n  - {{{key}: {other}, {sizes}, mount: /mnt/b}}") == [
        f"p.yml:8: hosts.h.disks.1.{key}: '{other}' is disks.0 already: one disk serves one mount"
    ]


def test_a_disk_that_is_made_already_needs_no_size() -> None:
    assert host("disks: [{uuid: 0a1b2c3d-0000-1111-2222-333344445555, mount: /mnt/d}]") == []


def test_a_by_id_link_may_be_written_with_its_folder() -> None:
    assert host("disks: [{by_id: /dev/disk/by-id/virtio-D1, min_size: 1GB, max_size: 2GB, mount: /mnt/d}]") == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            f"disks:\n  - {DISK}\n  - {DISK.replace('/mnt/data', '/mnt/b')}",
            "p.yml:8: hosts.h.disks.1.serial: 'D1' is disks.0 already: one disk serves one mount",
        ),
        (
            f"disks:\n  - {DISK}\n  - {DISK.replace('D1', 'D2')}",
            "p.yml:8: hosts.h.disks.1.mount: /mnt/data is hosts.h.disks.0.mount already: mount on a directory of its own, beside it",
        ),
        (
            f"disks:\n  - {DISK}\n  - {DISK.replace('D1', 'D2').replace('/mnt/data', '/mnt/data/b')}",
            "p.yml:8: hosts.h.disks.1.mount: /mnt/data/b lies below /mnt/data of hosts.h.disks.0.mount: mount on a directory of its own, beside it",
        ),
        (
            f'disks: [{DISK}]\nnfs: [{{source: "n:/x", mount: /mnt/data/x}}]',
            "p.yml:7: hosts.h.nfs.0.mount: /mnt/data/x lies below /mnt/data of hosts.h.disks.0.mount: mount on a directory of its own, beside it",
        ),
        (
            f"disks: [{DISK}]\ndocker: {{data_root: /var/lib/docker}}",
            "p.yml:7: hosts.h.docker.data_root: /var/lib/docker does not lie below a declared mount: name a directory below /mnt/data",
        ),
        (
            f"disks: [{DISK}]\ndocker: {{containerd_root: /mnt/data}}",
            "p.yml:7: hosts.h.docker.containerd_root: /mnt/data is the mount itself: name a directory below /mnt/data",
        ),
        (
            f"disks: [{DISK}]\nservices: {{s: {{kind: minio, data: /data, place: /srv/x}}}}",
            "p.yml:7: hosts.h.services.s.place: /srv/x does not lie below a declared mount: name a directory below /mnt/data",
        ),
        (
            f"disks: [{DISK}]\nservices: {{s: {{kind: minio, data: /data, place: /mnt/data2/x}}}}",
            "p.yml:7: hosts.h.services.s.place: /mnt/data2/x does not lie below a declared mount: name a directory below /mnt/data",
        ),
        (
            f"disks: [{DISK}]\nservices: {{s: {{kind: minio, data: /data, volume: v}}}}",
            "p.yml:7: hosts.h.services.s.volume: needs docker.data_root below a declared mount, because that is where volumes lie: declare it, or use place",
        ),
        (
            f"disks: [{DISK}]\ndocker: {{data_root: /mnt/data}}\nwrite_surfaces: [{{container: c, path: /t, place: /mnt/data/t}}]",
            "p.yml:8: hosts.h.write_surfaces.0.place: /mnt/data/t lies below /mnt/data of hosts.h.docker.data_root: give each a directory of its own",
        ),
        (
            f"disks: [{DISK}]\nservices:\n  a: {{kind: minio, data: /data, place: /mnt/data/x}}\n  b: {{kind: minio, data: /data, place: /mnt/data/x}}",
            "p.yml:9: hosts.h.services.b.place: /mnt/data/x is hosts.h.services.a.place already: give each a directory of its own",
        ),
        ("{}", "p.yml:4: hosts.h.disks: is missing: the tier of this host keeps its data on a disk, so declare which one"),
        (
            f"disks: [{DISK}]\nstacks:\n  - {{project: p, dir: /opt/a}}\n  - {{project: p, dir: /opt/b}}",
            "p.yml:9: hosts.h.stacks.1.project: 'p' is stacks.0 already: keep one of them",
        ),
        (
            f"disks: [{DISK}]\nservices: {{s: {{kind: minio, data: /data, place: /mnt/data/x}}}}\nboot_accepted: [{{container: s, path: /data, reason: r}}]",
            "p.yml:8: hosts.h.boot_accepted.0: /data of s is hosts.h.services.s already: keep one of them",
        ),
    ],
)
def test_places_that_contradict_each_other_are_refused(body: str, fault: str) -> None:
    assert host("" if body == "{}" else body) == [fault]


def test_only_the_data_root_may_be_the_mount_itself() -> None:
    assert host(f"disks: [{DISK}]\ndocker: {{data_root: /mnt/data}}") == []


def test_an_nfs_host_places_data_on_its_writable_exports_and_never_the_engine() -> None:
    exports = 'nfs: [{source: "n:/a", mount: /mnt/a}, {source: "n:/b", mount: /mnt/b, mode: ro}]\n'
    assert host(exports + "services: {s: {kind: files, data: /d, place: /mnt/a/s}}", "nfs") == []
    assert host(exports + "services: {s: {kind: files, data: /d, place: /mnt/b/s}}", "nfs") == [
        "p.yml:7: hosts.h.services.s.place: /mnt/b/s does not lie below a mount of this host that is read-write: name a directory below /mnt/a"
    ]
    assert host(exports + "docker: {data_root: /mnt/a/docker}", "nfs") == [
        "p.yml:7: hosts.h.docker.data_root: /mnt/a/docker lies on an NFS export, where the engine can't keep its layers: name a local disk"
    ]
    assert host("", "nfs") == ["p.yml:4: hosts.h.nfs: is missing: the tier of this host keeps its data on NFS exports, so declare them"]


def test_a_boot_only_host_has_no_disks() -> None:
    assert host(f"disks: [{DISK}]", "boot") == [
        "p.yml:6: hosts.h.disks: contradicts the tier of this host, which keeps nothing but its boot disk: change one of them"
    ]


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (
            "kind: postgre, data: /d, place: /mnt/data/x",
            ["services.s.kind: 'postgre' is no kind of service: write 'postgres', 'minio', 'redis', 'files'"],
        ),
        ("data: /d, place: /mnt/data/x", ["services.s.kind: is missing: write kind: postgres, minio, redis or files"]),
        (
            "kind: files, data: /d, place: /mnt/data/x, volume: v",
            [
                "services.s: place and volume are given together: write exactly one of place, volume, it says where its data lie",
                "services.s.volume: needs docker.data_root below a declared mount, because that is where volumes lie: declare it, or use place",
            ],
        ),
        ("kind: files, data: /d", ["services.s: none is given: write exactly one of place, volume, it says where its data lie"]),
        ("kind: files, place: /mnt/data/x", ["services.s.data: is missing: Path inside the container that holds the data"]),
        ("kind: files, data: d, place: /mnt/data/x", ["services.s.data: 'd' is not absolute: write the whole path, from /"]),
        (
            "kind: files, data: /d, place: /mnt/data/x, proof: []",
            ["services.s.proof: is empty: write the command as a list, such as [wikictl, count]"],
        ),
        (
            "kind: files, data: /d, place: /mnt/data/x, proof: wikictl",
            ["services.s.proof: 'wikictl' is no list: write it as a list, such as [first, second]"],
        ),
        (
            "kind: files, data: /d, place: /mnt/data/x, durability: {fsync: true}",
            ["services.s.durability: unknown key: known here are auth, data, kind, place, proof, volume"],
        ),
        (
            "kind: redis, data: /d, place: /mnt/data/x, durability: {appendonly: yes}",
            ["services.s.durability.appendonly: 'yes' is neither true nor false: write true or false, without quotes"],
        ),
        (
            "kind: redis, data: /d, place: /mnt/data/x, durability: {apendonly: true}",
            ["services.s.durability.apendonly: unknown key: did you mean 'appendonly'? known here are appendfsync, appendonly, save"],
        ),
        (
            'kind: redis, data: /d, place: /mnt/data/x, durability: {save: "3600"}',
            ["services.s.durability.save: '3600' is no list of save points: write pairs of seconds and changes, such as \"3600 1 300 100\""],
        ),
        (
            "kind: redis, data: /d, place: /mnt/data/x, auth: {password: secret}",
            [
                "services.s.auth: none is given: write exactly one of password_env, password_file, vault, it says where the password is",
                "services.s.auth.password: unknown key: did you mean 'password_env'? known here are password_env, password_file, user, vault",
            ],
        ),
        ("kind: redis, data: /d, place: /mnt/data/x, auth: {user: looker, password_file: secrets/redis}", []),
        (
            "kind: redis, data: /d, place: /mnt/data/x, auth: {user: looker}",
            ["services.s.auth: none is given: write exactly one of password_env, password_file, vault, it says where the password is"],
        ),
        (
            "kind: redis, data: /d, place: /mnt/data/x, auth: {user: a b, vault: redis_password}",
            [r"services.s.auth.user: 'a b' is no user name: it has to match [A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}"],
        ),
        (
            "kind: redis, data: /d, place: /mnt/data/x, auth: {password_file: ~/redis}",
            ["services.s.auth.password_file: '~/redis' begins with '~', which stays as it is: write the path from / or from the site's folder"],
        ),
        (
            "kind: redis, data: /d, place: /mnt/data/x, auth: {password_file: ../redis}",
            ["services.s.auth.password_file: '/../redis' holds '..': write the path that it leads to"],
        ),
    ],
)
def test_a_service_says_what_it_keeps_and_where(body: str, faults: list[str]) -> None:
    assert service(body) == [f"p.yml:7: hosts.h.{fault}" for fault in faults]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("version: 2\n", "p.yml:1: version: 2 is none of the choices: write 1"),
        ('version: "1"\n', "p.yml:1: version: '1' is none of the choices: write 1"),
        ("hosts: {}\n", "p.yml:1: version: is missing: Format version"),
        ("[1]\n", "p.yml:1: a list is no mapping: write keys and values below it"),
        ("version: 1\nhost: {}\n", "p.yml:2: host: unknown key: did you mean 'hosts'? known here are defaults, groups, hosts, tiers, version, waivers"),
        (f"{HEAD}  h: {{}}\n", "p.yml:4: hosts.h.tier: is missing: name one of the tiers here, in a group or in the defaults"),
        (f"{HEAD}  h: {{tier: x}}\n", "p.yml:4: hosts.h.tier: 'x' is no tier of this policy: write one of tiers (boot, disk, nfs)"),
        (f"{HEAD}  H: {{tier: boot}}\n", "p.yml:4: hosts.H: 'H' is no host name: it has to match [a-z0-9][a-z0-9._-]{0,252}"),
        (f"{HEAD}  ../x: {{tier: boot}}\n", "p.yml:4: hosts.../x: '../x' is no host name: it has to match [a-z0-9][a-z0-9._-]{0,252}"),
        (f"{HEAD}  -oProxyCommand: {{tier: boot}}\n", "p.yml:4: hosts.-oProxyCommand: '-oProxyCommand' is no host name: it has to match [a-z0-9][a-z0-9._-]{0,252}"),
        (f"{HEAD}  mintа: {{tier: boot}}\n", "p.yml:4: hosts.mintа: 'mintа' is no host name: it has to match [a-z0-9][a-z0-9._-]{0,252}"),
        (
            "version: 1\ndefaults: {thresholds: {root_used_warn: 90%}}\n",
            "p.yml:2: defaults.thresholds.root_used_warn: root_used_warn 90% has to be less than root_used_fail 90%: lower the warning or raise the failure",
        ),
        (
            f"{HEAD}  h: {{tier: boot, thresholds: {{root_used_fail: 70%}}}}\n",
            "p.yml:4: hosts.h.thresholds.root_used_fail: root_used_warn 80% has to be less than root_used_fail 70%: lower the warning or raise the failure",
        ),
        (
            f"{HEAD}  h: {{tier: boot, boot_accepted: [{{container: c, path: /x, reason: '{{{{ x }}}}'}}]}}\n",
            "p.yml:4: hosts.h.boot_accepted.0.reason: '{{ x }}' holds template marks: what a site says is data, write the value itself",
        ),
        ("version: 1\ndefaults: {docker: {log: {max_size: 1MB, max_files: 012}}}\n",
         "p.yml:2: defaults.docker.log.max_files: '012' is no plain whole number: write it in decimal digits, without quotes, unit or leading zero"),
    ],
)  # fmt: skip
def test_a_fault_of_the_policy_says_where_and_what_to_write(text: str, fault: str) -> None:
    assert said(text) == [fault]


WAIVER = "check: D237, host: h, reason: r, approved_by: ops, expires: 2026-12-31"


@pytest.mark.parametrize(
    ("waiver", "fault"),
    [
        (WAIVER.replace("host: h", "host: x"), "waivers.0.host: 'x' is no host of this policy: write one of hosts"),
        (WAIVER.replace("2026-12-31", "31.12.2026"), "waivers.0.expires: '31.12.2026' is no day: write it as 2026-12-31"),
        (WAIVER.replace("2026-12-31", "2026-02-30"), "waivers.0.expires: '2026-02-30' is no day: write it as 2026-12-31"),
        (WAIVER.replace("2026-12-31", "20261231"), "waivers.0.expires: 20261231 is no day: write it as 2026-12-31"),
        (WAIVER.replace("reason: r", 'reason: " "'), "waivers.0.reason: is empty: write a line of text"),
        (WAIVER.replace(", approved_by: ops", ""), "waivers.0.approved_by: is missing: Who accepted it"),
        (WAIVER + ", until: {root_used: 0%}", "waivers.0.until.root_used: '0%' is no percentage: write a whole number from 1% to 100%, such as 80%"),
    ],
)
def test_a_waiver_names_its_host_its_reason_and_its_last_day(waiver: str, fault: str) -> None:
    assert said(f"{HEAD}  h: {{tier: boot}}\nwaivers:\n  - {{{waiver}}}\n") == [f"p.yml:6: {fault}"]


def test_a_waiver_is_given_once() -> None:
    assert said(f"{HEAD}  h: {{tier: boot}}\nwaivers:\n  - {{{WAIVER}}}\n  - {{{WAIVER}}}\n") == [
        "p.yml:7: waivers.1: waives the same as waivers.0: keep one of them"
    ]


def inventory(**hosts: tuple[str, ...]) -> Inventory:
    named = tuple(InventoryHost(name=name, groups=groups) for name, groups in hosts.items())
    return Inventory(hosts=named, groups=tuple(sorted({group for groups in hosts.values() for group in groups})))


def test_a_host_that_the_inventory_does_not_have_is_a_fault_with_a_hint() -> None:
    assert said(f"{HEAD}  web01: {{tier: boot}}\n  zzz: {{tier: boot}}\n", inventory(web1=())) == [
        "p.yml:4: hosts.web01: is not in the inventory: did you mean 'web1'? Otherwise add it there, or remove it here",
        "p.yml:5: hosts.zzz: is not in the inventory: add it there, or remove it here",
    ]


def test_a_group_that_the_inventory_does_not_have_is_a_fault() -> None:
    assert said("version: 1\ngroups: {mint: {}}\n", inventory(h=("other",))) == [
        "p.yml:2: groups.mint: is no group of the inventory: add it there, or remove it here"
    ]


TWO = "version: 1\ntiers: {boot: {data: boot}}\ngroups:\n  a: {thresholds: {images: 15GB, volumes: 1GB}}\n  b: {thresholds: {images: %s}}\nhosts:\n  h: {tier: boot%s}\n"


def test_two_groups_that_disagree_on_a_key_are_a_fault() -> None:
    assert said(TWO % ("16GB", ""), inventory(h=("a", "b"))) == [
        "p.yml:7: hosts.h.thresholds.images: groups a and b disagree on thresholds.images: set it on the host, or in one of them only"
    ]


def test_groups_agree_when_they_say_the_same_or_the_host_decides() -> None:
    assert said(TWO % ("15000MB", ""), inventory(h=("a", "b"))) == []
    assert said(TWO % ("16GB", ", thresholds: {images: 17GB}"), inventory(h=("a", "b"))) == []
    assert said(TWO % ("16GB", ""), inventory(h=("a",), i=("b",))) == []


def test_two_hosts_of_one_address_are_one_machine() -> None:
    hosts = (
        InventoryHost(name="a", variables={"ansible_host": "2001:db8::1"}),
        InventoryHost(name="b", variables={"ansible_host": "2001:DB8:0::1"}),
        InventoryHost(name="c", variables={"ansible_host": "2001:db8::1", "ansible_port": 2222}),
    )
    text = f"{HEAD}  a: {{tier: boot}}\n  b: {{tier: boot}}\n  c: {{tier: boot}}\n"
    assert said(text, Inventory(hosts=hosts)) == ["p.yml:5: hosts.b: reaches the same machine as a (2001:db8::1 22): one machine is one host"]


def test_every_fault_is_listed_at_once_whatever_its_kind() -> None:
    text = f"{HEAD}  h:\n    tier: disk\n    tier: nfs\n    disks: [{{serial: a, mount: /etc/x, size: 3}}]\n    services: {{s: {{kind: redis, data: x}}}}\n    nope: 1\n"
    fields = [fault.split(": ")[1] for fault in said(text)]
    assert fields == [
        "hosts.h.tier",
        "hosts.h.disks.0.max_size",
        "hosts.h.disks.0.min_size",
        "hosts.h.disks.0.mount",
        "hosts.h.disks.0.size",
        "hosts.h.services.s",
        "hosts.h.services.s.data",
        "hosts.h.nope",
    ]


@pytest.mark.parametrize("text", ["version: 1\nhosts: [a]\n", "version: 1\nhosts: {h: [x]}\n", "version: 1\nhosts: {h: {disks: {a: 1}, services: [x], nfs: 3}}\n",
                                  "version: 1\ntiers: 3\ngroups: x\nwaivers: {a: b}\ndefaults: []\n", "hosts: {h: {disks: [3], docker: 4, services: {s: [1]}}}\n", "x\n", "3\n"])  # fmt: skip
def test_a_policy_of_the_wrong_shape_is_faults_and_never_a_bug(text: str) -> None:
    assert said(text)
