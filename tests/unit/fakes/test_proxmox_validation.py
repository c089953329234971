"""Calls against the published schema: what is refused, and with which words."""

from __future__ import annotations

import pytest

from tests.fakes.proxmox.formats import FormatFaultError
from tests.fakes.proxmox.property_strings import print_properties, size_bytes, size_text
from tests.fakes.proxmox.replies import RefusedCallError
from tests.fakes.proxmox.schema import Properties, load_schema, missing_reason, of_key
from tests.fakes.proxmox.validation import check_call, parse_properties

pytestmark = pytest.mark.skipif(missing_reason() is not None, reason=str(missing_reason()))

CREATE = "/nodes/{node}/qemu"
CONFIG = "/nodes/{node}/qemu/{vmid}/config"
NESTED = "invalid format - format error\n"
UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"


def errors(**given: str) -> dict[str, str]:
    return check_call(load_schema().method("POST", CREATE).parameters, {"node": "pve", "vmid": "101", **given})


def properties(key: str) -> Properties:
    told = of_key(load_schema().method("POST", CREATE).parameters, key)
    assert told is not None
    return told["format"]


def test_a_whole_machine_passes() -> None:
    assert (
        errors(
            name="mint-data",
            memory="2048",
            cores="2",
            net0="virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=12,firewall=0",
            scsihw="virtio-scsi-single",
            scsi0="tank:0,import-from=local:import/debian-12.qcow2,discard=on,iothread=1",
            scsi1="tank:8,serial=DATA0001,discard=on,backup=0",
            ide2="tank:cloudinit",
            boot="order=scsi0;ide2",
            agent="enabled=1,fstrim_cloned_disks=yes",
            ipconfig0="ip=192.0.2.10/24,gw=192.0.2.1,ip6=auto",
            nameserver="192.0.2.1 2001:db8::1",
            sshkeys="ssh-ed25519%20AAAA",
            cicustom="user=local:snippets/mint-data.yml",
            tags="controlplane;cap-1",
            serial0="socket",
            ciupgrade="0",
        )
        == {}
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"bogus": "1"}, {"bogus": UNKNOWN}),
        ({"digest": "0" * 40}, {"digest": UNKNOWN}),
        ({"scsi31": "tank:8"}, {"scsi31": UNKNOWN}),
        ({"scsi01": "tank:8"}, {"scsi01": UNKNOWN}),
        ({"scsi[n]": "tank:8"}, {"scsi[n]": UNKNOWN}),
        ({"cores": "two"}, {"cores": "type check ('integer') failed - got 'two'"}),
        ({"cores": "0"}, {"cores": "value must have a minimum value of 1"}),
        ({"onboot": "True"}, {"onboot": "type check ('boolean') failed - got 'True'"}),
        ({"vmid": "99"}, {"vmid": "invalid format - value does not look like a valid VM ID\n"}),
        ({"name": "mint_data"}, {"name": "invalid format - value does not look like a valid DNS name\n"}),
        ({"tags": "ok;not ok!"}, {"tags": "invalid format - invalid characters in tag\n"}),
        ({"description": "x" * 8193}, {"description": "value may only be 8192 characters long"}),
        ({"serial0": "ttyS0"}, {"serial0": "value does not match the regex pattern"}),
        ({"sshkeys": "ssh-ed25519 AAAA"}, {"sshkeys": "invalid format - invalid urlencoded string: ssh-ed25519 AAAA\n"}),
        ({"force": "1"}, {"archive": "missing property required by 'force'"}),
        ({"ipconfig0": "gw=192.0.2.1"}, {"ipconfig0": NESTED + "ipconfig0.ip: missing property required by 'ipconfig0.gw'\n"}),
        ({"scsi1": "tank:8,size=8x"}, {"scsi1": NESTED + "scsi1.size: invalid format - value does not look like a valid disk size: 8x\n"}),
        ({"scsi1": "tank:8,foo=1"}, {"scsi1": "invalid format - invalid key in comma-separated list property: foo\n"}),
        ({"scsi1": "serial=A"}, {"scsi1": NESTED + "scsi1.file: property is missing and it is not optional\n"}),
        ({"citype": "x"}, {"citype": "value 'x' does not have a value in the enumeration 'configdrive2, nocloud, opennebula'"}),
        (
            {"net0": "virtio=01:00:00:00:00:01"},
            {"net0": NESTED + "net0.macaddr: invalid format - value does not look like a valid unicast MAC address\n"},
        ),
    ],
)
def test_what_the_schema_does_not_allow_is_refused_in_the_servers_words(given: dict[str, str], told: dict[str, str]) -> None:
    assert errors(**given) == told


def test_a_missing_parameter_is_named() -> None:
    clone = load_schema().method("POST", "/nodes/{node}/qemu/{vmid}/clone").parameters
    assert check_call(clone, {"node": "pve", "vmid": "9000"}) == {"newid": "property is missing and it is not optional"}


def test_a_format_that_nobody_looks_at_here_passes_nothing() -> None:
    with pytest.raises(RefusedCallError, match="does not model format pve-qm-watchdog") as refusal:
        errors(watchdog="i6300esb")
    assert refusal.value.status == 501


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("net0", "virtio,bridge=vmbr0", {"model": "virtio", "bridge": "vmbr0"}),
        ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0", {"model": "virtio", "macaddr": "BC:24:11:00:00:01", "bridge": "vmbr0"}),
        ("net0", "model=virtio,macaddr=BC:24:11:00:00:01", {"model": "virtio", "macaddr": "BC:24:11:00:00:01"}),
        ("scsi1", "tank:8,,serial=A", {"file": "tank:8", "serial": "A"}),
        ("scsi1", "volume=tank:8", {"file": "tank:8"}),
        ("agent", "yes", {"enabled": "1"}),
        ("agent", "enabled=1,guest-fsfreeze=off", {"enabled": "1", "freeze-fs": "0"}),
        ("memory", "2048", {"current": "2048"}),
    ],
)
def test_default_keys_and_aliases_of_property_strings_are_resolved(key: str, text: str, values: dict[str, str]) -> None:
    assert parse_properties(properties(key), text) == values


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("scsi1", "tank:8,serial=A,serial=B", "duplicate key in comma-separated list property: serial"),
        ("scsi1", "tank:8,tank:9", "duplicate key in comma-separated list property: file"),
        ("scsi1", "file=tank:8,volume=tank:9", r"key 'file' is already defined \(via alias\)"),
        ("scsi1", "tank:8,=x", "missing key in comma-separated list property"),
        ("net0", "virtio=BC:24:11:00:00:01,e1000=BC:24:11:00:00:02", "key alias 'model' is already defined"),
    ],
)
def test_property_strings_that_say_a_thing_twice_are_refused(key: str, text: str, told: str) -> None:
    with pytest.raises(FormatFaultError, match=told):
        parse_properties(properties(key), text)


def test_property_strings_come_back_in_the_servers_order() -> None:
    assert (
        print_properties(properties("scsi1"), {"size": "8G", "serial": "A", "discard": "on", "file": "tank:x"})
        == "tank:x,discard=on,serial=A,size=8G"
    )
    assert print_properties(properties("net0"), {"bridge": "vmbr0", "macaddr": "AA", "model": "virtio", "tag": "5"}) == "virtio=AA,bridge=vmbr0,tag=5"


@pytest.mark.parametrize(("size", "text"), [(8 * 1024**3, "8G"), (1024**4, "1T"), (2252 * 1024**2, "2252M"), (1536, "1536"), (2048, "2K")])
def test_sizes_come_back_in_the_largest_whole_unit(size: int, text: str) -> None:
    assert size_text(size) == text
    assert size_bytes(text) == size


def test_a_literal_part_of_a_path_goes_before_a_place() -> None:
    schema = load_schema()
    assert schema.match("/nodes/pve/qemu/101/status/current") == ("/nodes/{node}/qemu/{vmid}/status/current", {"node": "pve", "vmid": "101"})
    assert schema.match("/storage/tank") == ("/storage/{storage}", {"storage": "tank"})
    assert schema.match("/nodes/pve/qemu/101/nothing") is None
    assert "digest" in schema.method("PUT", CONFIG).parameters
