"""What speaks against making a machine, and the documents that it is made of: pure, without a libvirt."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import packages
from controlplane_target.state import Home

from controlplane.domain.capabilities import vm_provision
from tests.fakes.machine_builder import birth_of, declared_machine
from tests.unit.domain import test_on_proxmox
from tests.unit.roles.loading import module_util

birth = module_util("vm_provision", "vm_provision_birth")
shape = module_util("vm_provision", "vm_provision_shape")
judge = module_util("vm_provision", "vm_provision_judge")

GB = 1000**3
WANT: dict[str, Any] = {
    "name": "mint-data",
    "hypervisor": {"kind": "libvirt", "uri": "qemu:///system", "accelerator": "qemu"},
    "cores": 2,
    "memory": 1024**3,
    "boot": {"image": "debian.qcow2", "size": 8 * GB, "storage": "default", "volume": "mint-data-boot"},
    "disks": [{"serial": "DATA0001", "size": 4 * GB, "storage": "big", "volume": "mint-data-DATA0001"}],
    "network": {"network": "default"},
    "address": {"address": "192.0.2.10/24", "gateway": "192.0.2.1", "nameservers": ["192.0.2.53"]},
    "user": "ops",
    "ssh_keys": ["ssh-ed25519 AAAA ops"],
    "agent": True,
    "prefetch": [],
    "existing": False,
    "run": "CAP-1",
}
FREE = {"active": True, "kind": "dir", "free": 100 * GB, "volumes": {}}
POOLS = {"default": FREE, "big": FREE}
SOURCE = {"name": "image debian.qcow2", "pool": "default", "volume": "debian.qcow2", "size": 2 * GB}


def want(**other: Any) -> dict[str, Any]:
    return copy.deepcopy(WANT | other)


def domain(**other: Any) -> dict[str, Any]:
    disks = [{"serial": "DATA0001", "device": "vdb", "pool": "big", "volume": "mint-data-DATA0001"}]
    seen = {"run": "CAP-1", "made": True, "started": True, "volumes": {}, "disks": disks, "kept": disks, "state": "running", "autostart": True}
    return seen | {"birth": birth.birth(WANT)} | other


def objections(wanted: dict[str, Any], seen: dict[str, Any] | None = None, pools: Any = POOLS, **found: Any) -> list[str]:
    return list(judge.objections(wanted, seen, pools, **({"networks": ["default"], "source": SOURCE, "tools": []} | found)))


def test_nothing_speaks_against_a_machine_that_has_its_place() -> None:
    assert objections(want()) == []
    assert judge.is_pending(want(), None)


def test_a_machine_as_it_should_be_leaves_nothing_to_do() -> None:
    assert not judge.is_pending(want(), domain())
    assert objections(want(), domain(), {}) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"source": {"size": None, "why": "there is no image x"}}, "there is no image x"),
        (
            {"source": SOURCE | {"size": 9 * GB}},
            "image debian.qcow2 holds a disk of 9000000000 bytes, the boot disk would have 8000000000: make it larger in machines.yml",
        ),
        ({"networks": []}, "there is no active network default: make it, or name another in machines.yml"),
        ({"pools": {"big": FREE}}, "there is no storage default: make it, or name another in machines.yml"),
        ({"pools": POOLS | {"big": FREE | {"active": False}}}, "storage big is not active: start it"),
        (
            {"pools": POOLS | {"big": FREE | {"free": 4 * GB}}},
            "storage big has 4000000000 bytes free, 4080000000 are needed: make room, or name another in machines.yml",
        ),
        (
            {"pools": POOLS | {"big": FREE | {"volumes": {"mint-data-DATA0001": "/x"}}}},
            "volume mint-data-DATA0001 lies in big already and no run here made it: look at what it holds, then move it away",
        ),
        ({"tools": ["ssh-keyscan"]}, "the program ssh-keyscan is missing here: install it"),
        (
            {"seen": domain(made=None, run=None)},
            "a machine of this name is there already, and no run here made it: give this one another name, or look at what mint-data is",
        ),
    ],
)  # fmt: skip
def test_each_objection_says_what_to_do(found: dict[str, Any], told: str) -> None:
    assert objections(want(), **found) == [told]


def test_a_machine_that_the_plan_was_made_for_only_gets_its_disk() -> None:
    bare = domain(made=None, run=None, disks=[], kept=[])
    assert objections(want(existing=True), bare, source={"size": None, "why": "never asked"}, networks=[]) == []
    assert judge.to_make(want(existing=True), bare, POOLS) == [("big", "mint-data-DATA0001", 4 * GB)]


def test_a_disk_that_only_the_next_start_would_have_is_still_lacking() -> None:
    assert [disk["serial"] for disk in judge.lacking_disks(want(), domain(disks=[]))] == ["DATA0001"]


def test_what_a_run_marked_is_gone_on_with_and_what_is_whole_is_kept() -> None:
    marks = {("default", "mint-data-boot"): "whole", ("big", "mint-data-DATA0001"): "making"}
    half = domain(made=False, started=False, volumes=marks)
    pools = {"default": FREE | {"volumes": {"mint-data-boot": "/b"}}, "big": FREE | {"volumes": {"mint-data-DATA0001": "/d"}}}
    assert judge.to_make(want(), half, pools) == [("big", "mint-data-DATA0001", 4 * GB)]
    assert objections(want(), half, pools) == []


BEGUN = "run CAP-1 left it half made, and"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"user": "admin"}, "it was begun with another value of user: ask for what it began, or take that away by hand"),
        ({"ssh_keys": ["ssh-ed25519 BBBB ops"]}, "it was begun with another value of ssh_keys: ask for what it began, or take that away by hand"),
        (
            {"address": WANT["address"] | {"address": "192.0.2.11/24"}},
            "it was begun with another value of address: ask for what it began, or take that away by hand",
        ),
        (
            {"disks": [*WANT["disks"], {"serial": "DATA0002", "size": GB, "storage": "big", "volume": "mint-data-DATA0002"}]},
            "its definition has no disk DATA0002: leave the disk out until the machine is made, it is given it then",
        ),
        (
            {"disks": [WANT["disks"][0] | {"storage": "default"}]},
            "its disk DATA0001 is big/mint-data-DATA0001, not default/mint-data-DATA0001: ask for that, or take the machine away",
        ),
        ({"disks": []}, "would not start: its disk DATA0001, which nobody asks for, lacks its volume mint-data-DATA0001: ask for it too"),
    ],
)
def test_a_half_made_machine_becomes_no_other_one_than_it_was_begun_as(other: dict[str, Any], told: str) -> None:
    half = domain(made=False, started=False)
    assert objections(want(), half) == []
    assert objections(want(**other), half) == [f"{BEGUN} {told}"]
    # What is made is not held against it.
    assert objections(want(**other), domain()) == []


def test_a_half_made_machine_that_does_not_say_what_it_was_born_with_is_a_doubt() -> None:
    told = f"{BEGUN} its mark does not say what it was born with: ask for what it began, or take that away by hand"
    assert objections(want(), domain(made=False, birth="")) == [told]


def test_a_disk_whose_volume_is_there_is_no_reason_against_a_start() -> None:
    pools = POOLS | {"big": FREE | {"volumes": {"mint-data-DATA0001": "/d"}}}
    assert objections(want(disks=[]), domain(made=False, started=False), pools) == []


@pytest.mark.parametrize("where", ["libvirt", "proxmox"])
def test_the_program_and_the_role_tell_the_same_birth(where: str) -> None:
    """The one compares what the other wrote: of a difference between them every half-made machine would be another one."""
    on_proxmox: dict[str, Any] = test_on_proxmox.ON_PVE if where == "proxmox" else {}
    machine = declared_machine(**on_proxmox | {"address": "192.0.2.10/24", "gateway": "192.0.2.1", "nameservers": ("192.0.2.53", "192.0.2.54")})
    boot = machine.profile.boot
    assert boot is not None
    given = {name.removeprefix("vm_provision_"): value for name, value in vm_provision._variables(machine, boot).items()}
    assert birth.birth(given) == birth_of(machine)


def test_what_was_started_has_no_volume_made_again() -> None:
    assert judge.to_make(want(), domain(made=False, started=True), POOLS) == []


def test_the_domain_has_its_marks_disks_and_seed() -> None:
    mark = shape.machine_mark("CAP-1", made=False, started=False, host_key="ssh-ed25519 AAAA", birth="user=1234")
    text = shape.domain_xml(want(), {"default": "qcow2", "big": "raw"}, uuid="u-1", mac="52:54:00:00:00:01", mark=mark)
    seen = shape.read_domain(text)
    assert (seen["uuid"], seen["mac"], seen["run"], seen["made"], seen["started"]) == ("u-1", "52:54:00:00:00:01", "CAP-1", False, False)
    assert (seen["host_key"], seen["birth"]) == ("ssh-ed25519 AAAA", "user=1234")
    assert [(disk["serial"], disk["pool"], disk["volume"], disk["device"]) for disk in seen["disks"]] == [
        ("", "default", "mint-data-boot", "vda"),
        ("DATA0001", "big", "mint-data-DATA0001", "vdb"),
        (shape.SEED_SERIAL, "default", "mint-data-seed", shape.SEED_DEVICE),
    ]
    assert re.findall(r'<driver name="qemu" type="(\w+)"', text) == ["qcow2", "raw", "raw"]


def test_a_machine_without_marks_counts_as_started() -> None:
    seen = shape.read_domain("<domain><name>x</name></domain>")
    assert (seen["made"], seen["started"], seen["volumes"], seen["birth"]) == (None, True, {}, "")


def test_the_private_key_is_in_the_user_data_alone() -> None:
    text = shape.user_data(want(), "CANARY-PRIVATE", "ssh-ed25519 AAAA mint-data")
    head, _, body = text.partition("\n")
    told = json.loads(body)
    assert head == "#cloud-config"
    assert told["ssh_keys"] == {"ed25519_private": "CANARY-PRIVATE", "ed25519_public": "ssh-ed25519 AAAA mint-data"}
    assert (told["ssh_deletekeys"], told["ssh_genkeytypes"], told["ssh_pwauth"], told["disable_root"]) == (True, [], False, True)
    assert told["users"][0]["ssh_authorized_keys"] == ["ssh-ed25519 AAAA ops"]


def test_a_boot_without_the_seed_makes_no_new_machine_of_it() -> None:
    told = json.loads(shape.user_data(want(), "private", "public").partition("\n")[2])
    [trusted] = told["write_files"]
    assert (trusted["path"].startswith("/etc/cloud/cloud.cfg.d/"), trusted["content"]) == (True, "manual_cache_clean: true\n")
    assert told["runcmd"] == [["touch", "/etc/cloud/cloud-init.disabled"]]


def fetching(folder: Path, *, lists: int = 0) -> tuple[list[str], list[str], list[str]]:
    """Let the command of a new machine's first boot run with an apt of the test's own; return the unit's words, apt's, and what is left."""
    command = json.loads(shape.user_data(want(prefetch=["docker.io", "tini"]), "private", "public").partition("\n")[2])["runcmd"][0]
    here = [word.replace("/run/controlplane-prefetch", str(folder / "run")) for word in command]
    end = here.index("--")
    (folder / "apt-get").write_text(
        f'#!/bin/sh\necho "$*" >> {folder}/asked\ncase "$*" in *update) ls {folder}/run >> {folder}/asked; exit {lists};; esac\n'
    )
    (folder / "apt-get").chmod(0o755)
    subprocess.run(here[end + 1 :], env={"PATH": f"{folder}:/usr/bin:/bin"}, check=False)
    return here[:end], (folder / "asked").read_text().splitlines(), [path.name for path in (folder / "run").iterdir()]


def test_a_new_machine_fetches_its_packages_in_a_unit_of_its_own_and_installs_none(tmp_path: Path) -> None:
    unit, asked, left = fetching(tmp_path)
    # It waits for nobody, and a failure leaves no failed unit.
    assert (unit[0], set(unit) >= {"--no-block", "--collect", "--unit=controlplane-prefetch.service"}) == ("systemd-run", True)
    assert [asked[0].split()[-1], asked[1]] == ["update", "lists.begun"]
    assert asked[2].endswith(" --download-only install -- docker.io tini")
    assert (len(asked), left) == (3, ["lists"])


def test_lists_that_were_not_all_read_leave_no_mark_and_nothing_is_fetched_by_them(tmp_path: Path) -> None:
    _, asked, left = fetching(tmp_path, lists=100)
    assert (len(asked), left) == (2, ["lists.begun"])
    # apt itself ends well where only some of them were read.
    assert "--option=APT::Update::Error-Mode=any" in asked[0].split()


def test_the_command_of_the_first_boot_comes_through_systemd_as_it_is_and_never_decides_over_the_boot() -> None:
    told = json.loads(shape.user_data(want(prefetch=["docker.io"]), "private", "public").partition("\n")[2])["runcmd"]
    # Whatever becomes of the first, the last one's end is the boot's.
    assert told == [shape.prefetch_command(["docker.io"]), ["touch", "/etc/cloud/cloud-init.disabled"]]
    # systemd expands ${NAME} inside of a word, and $NAME where it is the whole word.
    assert not [word for word in told[0] if "${" in word or "$$" in word or word.startswith("$")]


def test_it_asks_apt_for_what_the_installation_asks_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installing: list[tuple[str, ...]] = []
    monkeypatch.setattr(packages, "_as_unit", lambda _, *argv, **__: installing.append(argv))
    monkeypatch.setattr(packages, "missing", list)
    monkeypatch.setattr(packages, "active", lambda _: False)
    packages.install(Home(tmp_path / "home").run("CAP-1"), ["tini"], repair=False)
    _, asked, _ = fetching(tmp_path)
    for done, line in zip(installing, (asked[0], asked[2]), strict=True):
        options = {word for word in done if word.startswith("--") and word != "--" and not word.startswith("--option=Dpkg::Options::=")}
        assert options <= set(line.split()), "what apt resolves to follows from them"
    assert (packages.PREFETCH_UNIT, str(packages.LISTS_READ)) == (shape.PREFETCH_UNIT, shape.LISTS_READ)


@pytest.mark.parametrize(
    ("address", "card"),
    [
        ({"address": "dhcp", "gateway": "", "nameservers": []}, {"dhcp4": True}),
        (WANT["address"], {"addresses": ["192.0.2.10/24"], "gateway4": "192.0.2.1", "nameservers": {"addresses": ["192.0.2.53"]}}),
        ({"address": "2001:db8::2/64", "gateway": "2001:db8::1", "nameservers": []}, {"addresses": ["2001:db8::2/64"], "gateway6": "2001:db8::1"}),
    ],
)
def test_the_card_gets_the_declared_address(address: dict[str, Any], card: dict[str, Any]) -> None:
    told = json.loads(shape.network_config(address, "52:54:00:00:00:01"))
    assert told == {"version": 2, "ethernets": {"eth0": {"match": {"macaddress": "52:54:00:00:00:01"}, "set-name": "eth0", **card}}}


@pytest.mark.parametrize(
    ("out", "err", "told"),
    [
        ('{"QMP": {}}\n{"return": {}}\n{"return": {"status": "running"}}\n', "", ""),
        ('{"return": {"status": "internal-error"}}\n', "", "its state was internal-error"),
        ("", "Could not access KVM kernel module\nfailed\n", "Could not access KVM kernel module failed"),
        ("", "", "it ended at once"),
    ],
)  # fmt: skip
def test_an_accelerator_is_believed_only_where_a_machine_ran(out: str, err: str, told: str) -> None:
    kvm = module_util("vm_provision", "vm_provision_kvm") if module_util("vm_provision", "vm_provision_libvirt") else None
    assert kvm is not None
    assert kvm.judge_answers(out, err) == told
