"""A machine as libvirt shows it: what its definition names is told from what is there."""

from __future__ import annotations

import pytest

from controlplane.adapters.collector import machines

MARK = '<m:machine xmlns:m="https://controlplane.invalid/machine/1" run="CAP-1" made="no" started="no">{}</m:machine>'
BORN = "<m:host_key>ssh-ed25519 AAAA</m:host_key><m:birth>user=12 ssh_keys=34</m:birth>"


def _disk(volume: str, device: str, serial: str = "", pool: str = "default") -> str:
    told = f"<serial>{serial}</serial>" if serial else ""
    return f'<disk type="volume" device="disk"><source pool="{pool}" volume="{volume}"/><target dev="{device}"/>{told}</disk>'


DISKS = _disk("db1-boot", "vda") + _disk("db1-A", "vdb", "A") + _disk("db1-B", "vdc", "B", "big") + _disk("db1-seed", "vdz", "controlplane-seed")
ASKED = {"image": None, "image_storage": None, "templates": [], "storages": ["default"], "volumes": ["db1-boot"], "networks": []}


def _virsh(document: str | None) -> object:
    """Return a virsh whose one pool holds the boot disk and disk A of a machine; `document` is the machine's, None where there is none."""
    answers = {
        ("list", "--all", "--name"): "db1\n" if document else "",
        ("pool-list", "--name"): "default\nbig\n",
        ("pool-list", "--all", "--name"): "default\nbig\n",
        ("vol-list", "default"): "db1-boot /p/db1-boot\ndb1-A /p/db1-A\n",
        ("pool-info", "--bytes", "default"): "Capacity: 9\nAvailable: 8\n",
        ("dumpxml", "db1"): document or "",
        ("domstate", "db1"): "shut off\n",
    }

    def tool(*argv: str) -> tuple[int, str, str]:
        words = argv[4:]
        return 0, "Capacity: 4\n" if words[0] == "vol-info" else answers.get(words, ""), ""

    return tool


@pytest.mark.parametrize(("told", "birth"), [(BORN, "user=12 ssh_keys=34"), ("<m:host_key>ssh-ed25519 AAAA</m:host_key>", None)])
def test_a_disk_whose_volume_is_still_to_be_made_is_defined_and_not_there(monkeypatch: pytest.MonkeyPatch, told: str, birth: str | None) -> None:
    document = f"<domain><metadata>{MARK.format(told)}</metadata><devices>{DISKS}</devices></domain>"
    monkeypatch.setattr(machines, "tool", _virsh(document))
    seen = machines.machines({"machines": {"uri": "qemu:///system", "wanted": {"db1": ASKED}}}, {})["db1"]
    assert [(disk["serial"], disk["source"], disk["boot"]) for disk in seen["disks"]] == [(None, "db1-boot", True), ("A", "db1-A", False)]
    assert (seen["defined"], seen["made"], seen["birth"]) == ({"A": "default", "B": "big"}, False, birth)


def test_a_machine_that_is_not_there_has_no_disks_and_no_birth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "tool", _virsh(None))
    seen = machines.machines({"machines": {"uri": "qemu:///system", "wanted": {"db1": ASKED}}}, {})["db1"]
    assert (seen["exists"], seen["defined"], seen["birth"]) == (False, {}, None)
