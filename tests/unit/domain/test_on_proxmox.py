"""infra.vm.provision on Proxmox VE: where its steps work, and what is refused there with a way out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.capabilities import vm_provision
from controlplane.domain.capabilities.proposal import Outlook, Proposal
from controlplane.domain.evidence import Reader
from controlplane.domain.inventory import here_for, route_here, works_here
from controlplane.domain.machines import BootDisk, MachineDisk, Network, Proxmox, ProxmoxToken
from controlplane.domain.plan import Downtime, Step
from controlplane.domain.services import SecretSource
from controlplane.render.project import render_plan, render_steps
from tests.fakes.evidence_builder import desired_mint_data
from tests.fakes.machine_builder import GB, MIB, RUN, birth_of, born, declared_machine, profile, seen_from_hypervisor, unborn

PVE = Proxmox(
    api="https://pve1.example.org:8006", node="pve", token=ProxmoxToken(id="plan@pve!controlplane", secret=SecretSource(password_env="PVE"))
)
ON_PVE: dict[str, Any] = {
    "hypervisor_name": "PVE1",
    "hypervisor": PVE,
    "id": 101,
    "profile": profile(network=Network(bridge="vmbr0")),
}
SHOWN: dict[str, Any] = {"backend": "proxmox", "networks": None}


def propose(seen: dict[str, Any], **machine: Any) -> Proposal:
    desired = desired_mint_data(machine=declared_machine(**(ON_PVE | machine)))
    now = datetime(2026, 1, 2, 12, 1, tzinfo=UTC)
    return vm_provision.CAPABILITY.propose(desired, Reader(seen_from_hypervisor(seen)), Outlook(now=now, retention=timedelta(days=7)))


def test_the_step_works_on_the_controller_under_the_hypervisors_name_and_is_told_no_secret() -> None:
    proposal = propose(unborn(**SHOWN))
    assert proposal.refusals == ()
    [draft] = proposal.drafts
    assert draft.runs_on == "pve1.localhost"
    where = {"kind": "proxmox", "api": "https://pve1.example.org:8006", "node": "pve", "token_id": "plan@pve!controlplane", "seeds": "local"}
    assert draft.variables["vm_provision_hypervisor"] == where
    assert [change.after for change in draft.changes if change.kind == "machine"] == [
        "2 cores, 2048 MiB, bridge vmbr0, login ops, guest agent, started, and at each boot; fetches 3 packages at its first boot, installs none"
    ]


def test_the_preview_names_volumes_as_proxmox_will() -> None:
    [draft] = propose(unborn(**SHOWN), disks={"DATA0001": MachineDisk(size=4 * GB, storage="default")}).drafts
    assert [(change.target, change.after) for change in draft.changes if change.kind == "volume"] == [
        ("boot disk of mint-data in default", "8000000000 bytes, a copy of image debian-12.qcow2, named vm-101-disk-N by Proxmox VE"),
        ("disk DATA0001 of mint-data in default", "4000000000 bytes, blank, named vm-101-disk-N by Proxmox VE"),
    ]


def test_a_disk_that_was_declared_after_the_machine_was_begun_is_left_to_a_person() -> None:
    card = {"network": None, "bridge": "vmbr0", "vlan": None, "mac": "bc:24:11:00:00:01"}
    begun = profile(network=Network(bridge="vmbr0"))
    left = born(**SHOWN, id="101", cards=[card], made=False, birth=birth_of(declared_machine(**ON_PVE)))
    assert propose(left).refusals == ()
    both = {"DATA0001": MachineDisk(size=4 * GB), "DATA0002": MachineDisk(size=4 * GB)}
    away = "look at what its disks hold, switch its protection off, remove machine 101 on PVE1 yourself, and plan again"
    told = "disk DATA0002 is missing, and on Proxmox VE data disks are made only together with their machine: add a disk with serial=DATA0002"
    assert (propose(left, disks=both).refusals, propose(left, disks=both).drafts) == (
        (f"run {RUN} left mint-data half made, and {told} to machine 101 on PVE1 yourself, or {away}",),
        (),
    )
    [other] = propose(left, profile=begun.model_copy(update={"user": "admin"})).refusals
    assert other.endswith(f", begun with another value of user than machines.yml has by now: write machines.yml as it was, or {away}")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"boot": BootDisk(template="debian-12", size=8 * GB)}, "on Proxmox VE (PVE1) machines are made from images"),
        ({"network": Network(network="default")}, "default is a libvirt network, and PVE1 is Proxmox VE: name a bridge in the profile"),
        ({"network": Network()}, "the profile names no bridge, so the machine could not be reached: name one"),
        ({"agent": False}, "the profile has no guest agent, which on Proxmox VE shows that the first boot went well"),
    ],
)
def test_what_is_not_done_there_is_refused(other: dict[str, Any], told: str) -> None:
    seen = unborn(**SHOWN, templates={"debian-12": "9000"})
    proposal = propose(seen, profile=profile(**({"network": Network(bridge="vmbr0")} | other)))
    assert proposal.drafts == ()
    assert [reason for reason in proposal.refusals if reason.startswith(told)] == list(proposal.refusals)
    assert len(proposal.refusals) == 1


def test_more_disks_than_there_are_places_are_refused() -> None:
    disks = {f"DATA{number:04}": MachineDisk(size=GB) for number in range(31)}
    assert propose(unborn(**SHOWN), disks=disks).refusals == ("31 data disks are declared, Proxmox VE takes 30: declare fewer",)


def test_a_disk_that_an_existing_machine_lacks_is_left_to_a_person() -> None:
    card = {"network": None, "bridge": "vmbr0", "vlan": None, "mac": "bc:24:11:00:00:01"}
    seen = born(**SHOWN, id="101", cards=[card])
    assert propose(seen).refusals == ()
    seen["disks"] = seen["disks"][:1]
    told = "disk DATA0001 is missing, and on Proxmox VE data disks are made only together with their machine: "
    assert propose(seen).refusals == (f"{told}add a disk with serial=DATA0001 to machine 101 on PVE1 yourself",)
    assert propose(seen).drafts == ()


def _step() -> Step:
    return Step(
        id="mint-data/010",
        host="mint-data",
        capability="infra.vm.provision",
        role="vm_provision",
        mends=(),
        changes=(),
        downtime=Downtime(services=(), estimate_s=0),
        undo="none",
        variables={"vm_provision_id": 101, "vm_provision_memory": 2048 * MIB},
        runs_on=here_for("PVE1"),
    )


@pytest.mark.parametrize(("undoes", "entry"), [(None, "api"), ({"mint-data/010": "CAP-1"}, "api_rollback")])
def test_its_play_takes_no_lease_and_no_root_and_runs_with_the_python_that_has_the_libraries(undoes: dict[str, str] | None, entry: str) -> None:
    here = [route_here("pve1.localhost")]
    project = render_steps([_step()], keys={"mint-data/010": "CAP-2"}, holder="ann@desk", hosts=here, roles={}, undoes=undoes)
    [play] = json.loads(project["site.yml"])
    assert (play["hosts"], play["connection"], play["become"]) == ("pve1.localhost", "local", False)
    assert play["vars"] == {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    assert play["tasks"][0]["block"] == [
        {"name": "Include vm_provision", "ansible.builtin.include_role": {"name": "vm_provision", "tasks_from": entry}}
    ]
    assert (len(play["tasks"]), "target_run" in project["site.yml"].decode()) == (1, False)


def test_a_rendered_plan_says_which_variables_it_needs() -> None:
    plan = {"steps": (_step(),), "plan": "sha256:0"}
    project = render_plan(
        type("Plan", (), plan)(), keys={"mint-data/010": "CAP-2"}, holder="ann@desk", hosts=[route_here("pve1.localhost")], roles={}
    )
    assert "Export PROXMOX_TOKEN_SECRET, the token's secret, and REQUESTS_CA_BUNDLE, the file of the API's CA.\n" in project["README"].decode()
    assert b"pve1.localhost" in project["inventory/hosts.yml"]


def test_the_controllers_names_are_told_from_hosts() -> None:
    assert (works_here("pve1.localhost"), works_here("localhost"), works_here("pve1")) == (True, False, False)
    assert route_here("pve1.localhost").route == ("local",)
