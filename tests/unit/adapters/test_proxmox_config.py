"""A configuration as Proxmox VE gives it back, read into what is judged; and reasons why the API could not be asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from controlplane.adapters import proxmox_config
from controlplane.adapters.proxmox_api import Access, Api, ApiError, access_to, environment_here
from controlplane.adapters.service_secrets import SiteSecrets
from controlplane.domain.machines import Proxmox, ProxmoxToken
from controlplane.domain.services import SecretSource
from tests.fakes.evidence_builder import desired_mint_data
from tests.fakes.machine_builder import declared_machine

CONFIG = {
    "boot": "order=scsi0;ide2;net0",
    "scsi0": "tank:vm-101-disk-0,discard=on,size=6G",
    "scsi1": "tank:vm-101-disk-1,serial=DATA0001,size=3906250K",
    "ide2": "local:iso/seed.iso,media=cdrom,size=374K",
    "unused0": "tank:vm-101-disk-2",
    "net0": "virtio=BC:24:11:AA:00:01,bridge=vmbr0,tag=12",
    "description": "kept by hand\ncontrolplane-run: CAP-1\ncontrolplane-made: no\ncontrolplane-host-key: ssh-ed25519 AAAA\n",
}


def hypervisor(**other: object) -> Proxmox:
    plain = {"api": "https://pve1.example.org", "node": "pve", "token": ProxmoxToken(id="plan@pve!cp", secret=SecretSource(password_env="PVE"))}
    return Proxmox.model_validate({**plain, **other})


def test_disks_have_their_serials_and_bytes_and_the_boot_disk_is_the_first_of_the_order() -> None:
    boot, data = proxmox_config.disks(CONFIG)
    assert boot == {"serial": None, "size": 6 * 1024**3, "storage": "tank", "source": "tank:vm-101-disk-0", "boot": True}
    assert (data["serial"], data["size"], data["boot"]) == ("DATA0001", 4_000_000_000, False)


def test_a_disk_whose_size_is_not_told_is_a_doubt() -> None:
    with pytest.raises(ValueError, match=r"the size of scsi2 \(tank:x\) is not told"):
        proxmox_config.disks({"scsi2": "tank:x"})


def test_cards_have_bridge_tag_and_address() -> None:
    assert proxmox_config.cards(CONFIG) == [{"network": None, "bridge": "vmbr0", "vlan": 12, "mac": "bc:24:11:aa:00:01"}]


def test_the_mark_is_found_beside_what_a_person_wrote() -> None:
    assert proxmox_config.mark(CONFIG) == {"run": "CAP-1", "made": "no", "host-key": "ssh-ed25519 AAAA"}
    assert proxmox_config.mark({"description": "made by hand"}) == {}


@pytest.mark.parametrize(
    ("agent", "has"), [("1", True), ("enabled=1,fstrim_cloned_disks=1", True), ("0", False), ("enabled=0", False), (None, False)]
)
def test_an_agent_is_there_in_either_spelling(agent: str | None, has: bool) -> None:
    assert proxmox_config.has_agent({} if agent is None else {"agent": agent}) is has


def test_what_is_left_out_has_the_servers_own_default() -> None:
    assert (proxmox_config.cores({}), proxmox_config.memory({})) == (1, 512 * 1024**2)
    assert (proxmox_config.cores({"cores": 2, "sockets": 2}), proxmox_config.memory({"memory": "current=1024"})) == (4, 1024**3)


def test_a_ca_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ApiError) as told:
        access_to("pve1", hypervisor(ca="ca.pem"), site=tmp_path, secrets=SiteSecrets(tmp_path, {"PVE": "x"}))
    said = (
        f"the CA's file {tmp_path}/ca.pem can't be read (No such file or directory): put it there, or correct ca of hypervisor pve1 in machines.yml"
    )
    assert str(told.value) == said


def test_the_secret_is_in_the_environment_and_shows_in_nothing_that_is_printed(tmp_path: Path) -> None:
    access = access_to("pve1", hypervisor(), site=tmp_path, secrets=SiteSecrets(tmp_path, {"PVE": "s3cret"}))
    assert access.environment() == {"PROXMOX_TOKEN_SECRET": "s3cret", "NO_PROXY": "*", "no_proxy": "*"}
    assert "s3cret" not in repr(access)


def test_a_step_here_is_given_the_secret_of_its_own_hypervisor_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVE", "s3cret")
    desired = {"mint-data": desired_mint_data(machine=declared_machine(hypervisor_name="pve1", hypervisor=hypervisor(), id=101))}
    assert environment_here(desired, tmp_path, "pve1.localhost")["PROXMOX_TOKEN_SECRET"] == "s3cret"
    with pytest.raises(ApiError, match=r"no machine of this site is on the hypervisor that pve2\.localhost stands for"):
        environment_here(desired, tmp_path, "pve2.localhost")


def test_without_the_libraries_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "proxmoxer", None)
    with pytest.raises(ApiError) as told:
        Api(Access("pve1", hypervisor(), "x", None))
    assert str(told.value) == "the libraries for Proxmox VE are not installed here: pip install 'controlplane[proxmox]'"
