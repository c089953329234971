"""machines.yml: every fault at once, with line and field; and what a host's machine resolves to."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.adapters.site_files import SiteFolder
from controlplane.domain.errors import InputInvalidError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq0mE1h0f9vN1n0h1l0m1n0o1p0q1r0s1t0u1v0w1x0 ops"
POLICY = """\
version: 1
tiers: {data-disk: {data: disk}, boot-only: {data: boot}}
hosts:
  db1:
    tier: data-disk
    disks: [{serial: DATA0001, min_size: 3GB, max_size: 9GB, mount: /mnt/data}]
  web1: {tier: boot-only}
"""
MACHINES = f"""\
version: 1
hypervisors:
  kvm1: {{kind: libvirt, host: kvm1, accelerator: qemu}}
profiles:
  standard:
    cores: 2
    memory: 2GiB
    boot: {{image: debian-12.qcow2, size: 8GB}}
    network: {{network: default}}
    ssh_keys: ["{KEY}"]
machines:
  db1: {{profile: standard, hypervisor: kvm1, disks: {{DATA0001: {{size: 4GB}}}}}}
  web1: {{profile: standard}}
"""


HOSTS = "all: {hosts: {db1: {ansible_host: 192.0.2.1}, web1: {ansible_host: 192.0.2.2}, kvm1: {}}}\n"


def site(tmp_path: Path, machines: str, policy: str = POLICY, hosts: str = HOSTS) -> SiteFolder:
    (tmp_path / "site.yml").write_text("name: shop\n")
    (tmp_path / "hosts.yml").write_text(hosts)
    (tmp_path / "policy.yml").write_text(policy)
    (tmp_path / "machines.yml").write_text(machines)
    return SiteFolder(tmp_path)


def faults(tmp_path: Path, machines: str, policy: str = POLICY, hosts: str = HOSTS) -> list[str]:
    with pytest.raises(InputInvalidError) as caught:
        site(tmp_path, machines, policy, hosts).read(run_inventory=False)
    return [f"{Path(fault.file).name}:{fault.line} {fault.field}: {fault.message}" for fault in caught.value.faults]


def test_a_machine_has_everything_that_its_profile_and_hypervisor_say(tmp_path: Path) -> None:
    machine = site(tmp_path, MACHINES).read(run_inventory=False).desired().by_name()["db1"].machine
    assert machine is not None
    assert machine.hypervisor is not None
    assert (machine.hypervisor.kind, machine.profile.cores, machine.profile.memory) == ("libvirt", 2, 2 * 1024**3)
    assert machine.disks["DATA0001"].size == 4 * 1000**3


def test_a_site_without_the_file_has_no_machines_and_the_policy_s_own_digest(tmp_path: Path) -> None:
    folder = site(tmp_path, MACHINES)
    with_file = folder.read(run_inventory=False).policy_digest
    (tmp_path / "machines.yml").unlink()
    content = folder.read(run_inventory=False)
    assert content.desired().by_name()["db1"].machine is None
    assert content.policy_digest != with_file


def test_a_change_of_a_profile_is_a_change_of_what_plans_are_bound_to(tmp_path: Path) -> None:
    before = site(tmp_path, MACHINES).read(run_inventory=False).policy_digest
    assert site(tmp_path, MACHINES.replace("cores: 2", "cores: 4")).read(run_inventory=False).policy_digest != before


def test_a_host_whose_tier_wants_a_disk_that_it_would_not_get_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path, MACHINES.replace(", disks: {DATA0001: {size: 4GB}}", "")) == [
        "machines.yml:12 machines.db1.disks: DATA0001 is missing: policy.yml wants it on db1, and it would be born without"
    ]


def test_a_disk_outside_the_policy_s_sizes_or_unknown_to_it_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path, MACHINES.replace("DATA0001: {size: 4GB}", "DATA0001: {size: 40GB}, OTHER: {size: 4GB}")) == [
        "machines.yml:12 machines.db1.disks.DATA0001.size: 40GB is outside what policy.yml allows, 3GB to 9GB",
        "machines.yml:12 machines.db1.disks.OTHER: is no disk that policy.yml wants on db1: add it there, or leave it out",
    ]


def test_a_disk_that_a_new_machine_can_t_be_given_is_refused(tmp_path: Path) -> None:
    told = faults(tmp_path, MACHINES.replace(", disks: {DATA0001: {size: 4GB}}", ""), POLICY.replace("serial: DATA0001", "wwn: x5000"))
    assert told == [
        "machines.yml:12 machines.db1: policy.yml names a disk of db1 by something that a new machine can't be given: name it there by serial"
    ]


@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        ("host: kvm1", "host: kvm9", "hypervisors.kvm1.host: kvm9 is not in the inventory: add it there, with how to reach it"),
        ("kind: libvirt", "kind: vmware", "hypervisors.kvm1.kind: 'vmware' is no kind of hypervisor: write 'libvirt', 'proxmox'"),
        (
            "profiles:",
            "  kvm2: {kind: libvirt, host: kvm1, uri: 'qemu:///session'}\nprofiles:",
            "hypervisors.kvm2.uri: qemu:///session is not qemu:///system, of which kvm1 is asked already: keep a host's machines in one libvirt",
        ),
        ("profile: standard}", "profile: small}", "machines.web1.profile: small is no profile of this file; there are standard"),
        ("hypervisor: kvm1", "hypervisor: kvm7", "machines.db1.hypervisor: kvm7 is no hypervisor of this file; there are kvm1"),
        ("image: debian-12.qcow2", "image: a, template: b", "profiles.standard.boot: write exactly one of image and template"),
        ("network: default", "network: a, bridge: b", "profiles.standard.network: write one of network and bridge"),
        ("memory: 2GiB", "memory: 2GB", "profiles.standard.memory: is no whole number of MiB: write it as 2GiB or 2048MiB"),
        (KEY, "rubbish", "profiles.standard.ssh_keys.0: is no public SSH key: write the one line of the .pub file"),
        (f'ssh_keys: ["{KEY}"]', "cores: 2", "profiles.standard.cores"),
        ("web1: {profile: standard}", "web2: {profile: standard}", "machines.web2: web2 has no entry under hosts in policy.yml"),
        ("web1: {profile: standard}", "web1: {profile: standard, id: 101}", "machines.web1.id: belongs to a machine that is provisioned"),
        ("hypervisor: kvm1,", "hypervisor: kvm1, address: 192.0.2.0/24,", "machines.db1.address: '192.0.2.0/24' names no single machine"),
        ("hypervisor: kvm1,", "hypervisor: kvm1, address: 192.0.2.5/24,", "machines.db1.gateway: is missing"),
        ("hypervisor: kvm1,", "hypervisor: kvm1, id: [101],", "machines.db1.id: "),
        ("hypervisor: kvm1,", "hypervisor: kvm1, id: 101,", "machines.db1.id: is a number of Proxmox VE, and libvirt gives its machines none"),
        ("hypervisor: kvm1,", "hypervisor: [kvm1],", "machines.db1.hypervisor: a list is no text: write one plain value"),
        ("image: debian-12.qcow2", "image: '{{ x }}'", "profiles.standard.boot.image"),
    ],
)  # fmt: skip
def test_each_wrong_entry_is_named_with_what_to_write(tmp_path: Path, written: str, instead: str, told: str) -> None:
    assert written in MACHINES
    found = faults(tmp_path, MACHINES.replace(written, instead))
    assert any(told in one for one in found), found


def test_two_machines_with_one_number_are_refused(tmp_path: Path) -> None:
    proxmox = MACHINES.replace(
        "{kind: libvirt, host: kvm1, accelerator: qemu}",
        "{kind: proxmox, api: 'https://pve.example.org:8006', node: pve1, token: {id: plan@pve!cp, secret: {password_env: PVE}}}",
    )
    twice = proxmox.replace("db1: {profile: standard,", "db1: {id: 101, profile: standard,").replace(
        "web1: {profile: standard}", "web1: {profile: standard, hypervisor: kvm1, id: 101}"
    )
    assert faults(tmp_path, twice) == ["machines.yml:13 machines.web1.id: 101 is the id of db1 on kvm1 already: give each machine an id of its own"]
    assert "machines.yml:12 machines.db1.id: is missing: on Proxmox VE each machine is named by its number" in faults(tmp_path, proxmox)


FIXED = MACHINES.replace("hypervisor: kvm1,", "hypervisor: kvm1, address: 192.0.2.1/24, gateway: 192.0.2.254,")


def test_a_machine_at_the_address_by_which_it_is_reached_is_no_fault(tmp_path: Path) -> None:
    assert site(tmp_path, FIXED).read(run_inventory=False).desired().by_name()["db1"].machine is not None


def test_two_machines_with_one_address_are_refused(tmp_path: Path) -> None:
    """Also where the inventory has only names for them."""
    twice = FIXED.replace("web1: {profile: standard}", "web1: {profile: standard, address: 192.0.2.1/16, gateway: 192.0.2.254}")
    hosts = "all: {hosts: {db1: {}, web1: {}, kvm1: {}}}\n"
    told = "machines.yml:13 machines.web1.address: 192.0.2.1 is the address of db1 already: give each machine an address of its own"
    assert faults(tmp_path, twice, hosts=hosts) == [told]
    # Behind two jump hosts they are two machines, as for the inventory.
    behind = "{hosts: {db1: {ansible_ssh_common_args: -J kvm1}, web1: {ansible_ssh_common_args: -J kvm2}, kvm1: {}}}"
    assert site(tmp_path, twice, hosts=f"all: {behind}\n").read(run_inventory=False)


def test_an_address_at_which_another_host_of_the_policy_is_reached_is_refused(tmp_path: Path) -> None:
    told = "machines.yml:12 machines.db1.address: 192.0.2.2 is the address of web1 (ansible_host) already: give each machine an address of its own"
    hosts = "all: {hosts: {db1: {}, web1: {ansible_host: 192.0.2.2}, kvm1: {}, other: {ansible_host: 192.0.2.1}}}\n"
    assert faults(tmp_path, FIXED.replace("192.0.2.1/24", "192.0.2.2/24"), hosts=hosts) == [told]
    # A host that the policy does not name may be another name of the same machine.
    assert site(tmp_path, FIXED, hosts=hosts).read(run_inventory=False)


def test_an_address_that_the_inventory_contradicts_is_refused(tmp_path: Path) -> None:
    other = FIXED.replace("192.0.2.1/24", "192.0.2.10/24")
    way = "write the same address in both, or a name as ansible_host where the machine is reached by another address than its own"
    told = f"machines.yml:12 machines.db1.address: 192.0.2.10 is not 192.0.2.1, the ansible_host of db1 in the inventory: {way}"
    assert faults(tmp_path, other) == [told]
    for reached in ("127.0.0.1", "db1.example.org"):
        assert site(tmp_path, other, hosts=f"all: {{hosts: {{db1: {{ansible_host: {reached}}}, web1: {{}}, kvm1: {{}}}}}}\n").read(
            run_inventory=False
        )
    # One that is there already may be reached from outside by an address that its card does not have.
    there = MACHINES.replace("web1: {profile: standard}", "web1: {profile: standard, address: 10.0.0.5/24}")
    assert site(tmp_path, there).read(run_inventory=False)


@pytest.mark.parametrize("engine", ["docker.io", "docker-ce", "containerd", "containerd.io", "podman-docker", "moby-engine"])
def test_an_engine_comes_by_docker_alone(tmp_path: Path, engine: str) -> None:
    told = f"{engine} would start before Docker's root is mounted, guarded and configured: name it under docker.packages, and only there"
    hooks = f"backup: {{packages: [{engine}], unit: b.timer}}, monitoring: {{packages: [{engine}], unit: m.timer}}"
    beside = MACHINES.replace("    cores: 2\n", f"    baseline: {{packages: [tini, {engine}], {hooks}}}\n    cores: 2\n")
    places = ("backup.packages.0", "monitoring.packages.0", "packages.1")
    assert faults(tmp_path, beside) == [f"machines.yml:6 profiles.standard.baseline.{place}: {told}" for place in places]
    guarded = MACHINES.replace("    cores: 2\n", f"    baseline: {{docker: {{packages: [{engine}]}}}}\n    cores: 2\n")
    assert site(tmp_path, guarded).read(run_inventory=False)


def test_faults_of_policy_and_machines_come_together(tmp_path: Path) -> None:
    told = faults(tmp_path, MACHINES.replace("cores: 2", "cores: 0"), POLICY.replace("web1: {tier: boot-only}", "web1: {tier: none}"))
    assert {line.split(":")[0] for line in told} == {"policy.yml", "machines.yml"}


def test_units_that_everybody_knows_bring_their_package_and_a_hypervisors_machine_its_guest_agent(tmp_path: Path) -> None:
    machines = {host.host: host.machine for host in site(tmp_path, MACHINES).read(run_inventory=False).desired().hosts}
    made_here, there = (machines[name].profile.baseline for name in ("db1", "web1"))  # type: ignore[union-attr]  # both are declared
    assert made_here.all_units() == ("ssh.service", "cron.service", "qemu-guest-agent.service", "systemd-timesyncd.service")
    assert made_here.all_packages() == ("openssh-server", "cron", "qemu-guest-agent", "systemd-timesyncd")
    assert "qemu-guest-agent" not in there.all_packages()
    plain = MACHINES.replace("    network:", "    agent: false\n    network:")
    [without] = [host.machine for host in site(tmp_path, plain).read(run_inventory=False).desired().hosts if host.host == "db1"]
    assert without is not None
    assert "qemu-guest-agent" not in without.profile.baseline.all_packages()
