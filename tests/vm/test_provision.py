"""A machine from policy to a login: previewed, refused, interrupted, finished, given a disk more, on a libvirt of the test's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.operating import Running, Said
from tests.vm.libvirt_host import LibvirtHost
from tests.vm.provisioning import ADDRESS, CAPABILITY, NAME, Site, libvirt_host, new_site, why_no_libvirt

pytestmark = pytest.mark.vm

PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY"
FETCHES = "; fetches 4 packages at its first boot, installs none"


@pytest.fixture(scope="module")
def kvm1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtHost]:
    if reason := why_no_libvirt():
        pytest.skip(reason)
    with libvirt_host(f"cpvirt-{os.getpid()}", tmp_path_factory.mktemp("kvm1") / "host") as host:
        yield host


@pytest.fixture
def site(kvm1: LibvirtHost, tmp_path: Path) -> Site:
    return new_site(kvm1, tmp_path)


def state(host: LibvirtHost) -> tuple[str, ...]:
    """Return everything that a preview or a refusal must leave alone."""
    names = host.virsh("list", "--all", "--name").split()
    return (
        *(host.virsh("dumpxml", name) for name in names),
        host.virsh("vol-list", "default"),
        host.sh("sh", "-c", "find /var/lib/controlplane -name 'CAP-*' -prune"),
    )


def wait_for(what: Callable[[], bool], running: Running, limit_s: float = 240) -> None:
    limit = time.monotonic() + limit_s
    while not what():
        assert running.process.poll() is None, running.end()
        assert time.monotonic() < limit, running.said()
        time.sleep(0.2)


def kill_on(host: LibvirtHost) -> None:
    """Kill what the controller started on the hypervisor, as when that loses power: libvirtd's own copies go on or not, as they will."""
    script = "for p in /proc/[0-9]*; do grep -qa vm_provision $p/cmdline 2>/dev/null && [ ${p#/proc/} != $$ ] && kill -9 ${p#/proc/}; done; true"
    host.sh("sh", "-c", script)


def mark(host: LibvirtHost) -> dict[str, str]:
    """Return the attributes of the machine's mark, empty where there is no machine."""
    text = host.virsh("dumpxml", NAME, check=False)
    found = ET.fromstring(text).find("./metadata/{https://controlplane.invalid/machine/1}machine") if text else None  # noqa: S314 - libvirt's own
    return dict(found.attrib) if found is not None else {}


def forget_volumes(host: LibvirtHost) -> None:
    for line in host.virsh("vol-list", "default").splitlines():
        if line.split() and line.split()[0].startswith(f"{NAME}-"):
            host.virsh("vol-delete", line.split()[0], "--pool", "default")


def test_the_preview_names_machine_volumes_and_serial_and_changes_nothing(site: Site) -> None:
    before = state(site.host)
    plan = site.plan()
    text = site.run("plan", "--host", NAME)

    [step] = plan["steps"]
    assert (step["host"], step["capability"], step["runs_on"]) == (NAME, CAPABILITY, site.host.name)
    assert step["mends"] == [{"check": "D246", "surface": "machine"}]
    assert [(change["kind"], change["target"], change["before"], change["after"], change["destructive"]) for change in step["changes"]] == [
        ("volume", f"{NAME}-boot in default", None, "3000000000 bytes, a copy of image debian-12.qcow2", False),
        ("volume", f"{NAME}-DATA0001 in default", None, "1000000000 bytes, blank", False),
        (
            "machine",
            f"{NAME} on kvm1",
            None,
            f"2 cores, 768 MiB, network default, login ops, guest agent, started, and at each boot{FETCHES}",
            False,
        ),
        ("file", f"known_hosts: {NAME}", None, "the host key that it is born with", False),
    ]
    assert text.code == 3
    assert f"{NAME}-DATA0001 in default: nothing -> 1000000000 bytes, blank" in text.out
    assert "destroys   nothing" in text.out
    assert (state(site.host), site.known_hosts) == (before, "")


def rendered(site: Site) -> list[str]:
    """Return the command that plays the plan without this program, on the hypervisor as it is by then."""
    site.plan()
    folder = site.file("project")
    assert site.run("render", str(site.file("plan.json")), "--out", str(folder)).code == 0
    return [str(Path(sys.executable).with_name("ansible-playbook")), str(folder / "site.yml")]


def play(site: Site, argv: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    env = {**site.env, "ANSIBLE_CONFIG": str(Path(argv[1]).with_name("ansible.cfg"))}
    return subprocess.run([*argv, *more], cwd=Path(argv[1]).parent, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_a_dry_run_of_the_role_shows_what_it_would_make_and_changes_nothing(site: Site) -> None:
    argv, before = rendered(site), state(site.host)
    done = play(site, argv, "--check", "--diff")
    assert done.returncode == 0, done.stdout
    assert f"+{NAME}: volume {NAME}-DATA0001 in default: 1000000000 bytes" in done.stdout
    assert state(site.host) == before


def test_the_role_itself_refuses_a_name_that_was_taken_since(site: Site) -> None:
    argv = rendered(site)
    foreign = f"<domain type='qemu'><name>{NAME}</name><memory unit='MiB'>768</memory><vcpu>2</vcpu><os><type arch='x86_64'>hvm</type></os></domain>"
    site.host.virsh("define", "/dev/stdin", stdin=foreign)
    try:
        before = state(site.host)
        done = play(site, argv)
        assert done.returncode != 0
        told = " ".join(done.stdout.split())
        assert "a machine of this name is there already, and no run here made it" in told
        assert "Nothing was changed." in told
        assert state(site.host)[:2] == before[:2]
    finally:
        site.host.virsh("undefine", NAME)


def test_a_machine_of_another_kind_in_its_place_is_refused_and_left_alone(site: Site) -> None:
    foreign = f"<domain type='qemu'><name>{NAME}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os></domain>"
    site.host.virsh("define", "/dev/stdin", stdin=foreign)
    try:
        before = state(site.host)
        plan = site.plan(code=4)
        assert "it has 1 core, declared are 2: change it on kvm1 yourself" in [refusal["reason"] for refusal in plan["refusals"]]
        assert (plan["steps"], state(site.host)) == ([], before)
    finally:
        site.host.virsh("undefine", NAME)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"image": "absent.qcow2"}, r"kvm1 has no image absent.qcow2 in storage default: put it there, or name another in the profile"),
        ({"size": "8TB"}, r"storage default of kvm1 has \d+ bytes free, \d+ are needed"),
    ],
    ids=["image", "room"],
)
def test_what_it_can_not_be_made_from_is_refused(site: Site, wanted: dict[str, str], told: str) -> None:
    site.write(**wanted)  # type: ignore[arg-type]  # one of its keywords
    before = state(site.host)
    plan = site.plan(code=4)
    assert [re.fullmatch(told, refusal["reason"]) is not None for refusal in plan["refusals"]] == [True], plan["refusals"]
    assert (plan["steps"], state(site.host)) == ([], before)


def test_a_definition_that_was_never_started_is_taken_back_and_its_volumes_stay(site: Site) -> None:
    site.plan()
    running = site.start("apply", str(site.file("plan.json")))
    wait_for(lambda: mark(site.host).get("started") == "no", running)
    running.kill()
    kill_on(site.host)
    assert mark(site.host)["started"] == "no"
    [key] = [row["key"] for row in site.run("receipts", "list", "-o", "json").json if row["capability"] == CAPABILITY]
    left = site.host.sh("sh", "-c", f"stat -c '%a %n' /var/lib/controlplane/{key}/vm_provision /var/lib/controlplane/{key}/vm_provision/host_key")
    assert [line.split()[0] for line in left.splitlines()] == ["700", "600"]

    done = site.run("rollback", key)

    assert done.code == 0, done
    assert site.host.virsh("list", "--all", "--name").split() == []
    assert site.host.sh("sh", "-c", f"ls -A /var/lib/controlplane/{key}/vm_provision* 2>/dev/null; true").split() == [
        f"/var/lib/controlplane/{key}/vm_provision.json"
    ]
    wait_until_idle(site.host)
    forget_volumes(site.host)


def wait_until_idle(host: LibvirtHost, limit_s: float = 120) -> None:
    """Wait until libvirtd makes no copy any more."""
    limit = time.monotonic() + limit_s
    while "qemu-img" in host.sh("sh", "-c", "cat /proc/[0-9]*/comm"):
        assert time.monotonic() < limit
        time.sleep(0.3)
    host.virsh("pool-refresh", "default")


@pytest.fixture(scope="module")
def born(kvm1: LibvirtHost, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, list[Said], list[dict[str, str]]]:
    """A machine whose making was killed twice, with its hypervisor's side the first time, and finished by the third apply of one plan."""
    site = new_site(kvm1, tmp_path_factory.mktemp("born"))
    site.plan()
    said, marks = [], []
    first = site.start("apply", str(site.file("plan.json")))
    wait_for(lambda: f"{NAME}-boot" in kvm1.virsh("vol-list", "default"), first)
    first.kill()
    kill_on(kvm1)
    marks.append(mark(kvm1))
    second = site.start("apply", str(site.file("plan.json")))
    wait_for(lambda: kvm1.virsh("domstate", NAME, check=False).strip() == "running", second)
    time.sleep(3)
    second.kill()
    marks.append(mark(kvm1))
    said.append(site.run("apply", str(site.file("plan.json")), "-o", "json"))
    return site, said, marks


Born = tuple[Site, list[Said], list[dict[str, str]]]


def test_what_was_killed_before_and_after_the_first_start_is_finished_by_the_same_plan(born: Born) -> None:
    site, [done], [before, after] = born
    assert (before["made"], before["started"]) == ("no", "no")
    assert (after["made"], after["started"], after["run"]) == ("no", "yes", before["run"])
    assert done.code == 0, done
    assert (done.json["outcome"], {change["status"] for change in done.json["changed"]}) == ("done", {"done"})
    said = f"went on with what run {before['run']} left half made: it was started already, and only waited for"
    assert [message for message in done.json["messages"] if message.endswith(said)] == done.json["messages"]
    assert mark(site.host) == {"run": before["run"], "made": "yes", "started": "yes"}
    assert site.run("receipts", "verify").code == 0


def test_the_machine_is_as_declared_and_a_second_plan_has_no_steps(born: Born) -> None:
    site, _, _ = born
    audit = site.run("audit", "--check", "D246", "-o", "json")
    assert [(finding["verdict"], finding["reason"]) for finding in audit.json["findings"]] == [("MET", "as declared on kvm1")]
    assert site.plan("second.json", code=0)["steps"] == []
    before = state(site.host)
    assert site.run("apply", str(site.file("plan.json"))).code == 0
    assert state(site.host) == before
    assert site.host.virsh("list", "--autostart", "--name").split() == [NAME]


def test_it_is_reached_by_the_pinned_key_alone(born: Born) -> None:
    site, _, _ = born
    [line] = site.known_hosts.splitlines()
    assert line.startswith(f"{ADDRESS},{NAME} ssh-ed25519 ")
    strict = ["ssh", "-F", str(site.host.ssh_config), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    pinned = [*strict, "-o", f"UserKnownHostsFile={site.site}/known_hosts", f"ops@{ADDRESS}"]
    told = subprocess.run([*pinned, "hostname; sudo -n lsblk -dno SERIAL /dev/vdb"], capture_output=True, text=True, check=False)
    assert told.stdout.split() == [NAME, "DATA0001"], told
    unpinned = subprocess.run([*strict, f"ops@{ADDRESS}", "true"], capture_output=True, text=True, check=False)
    assert unpinned.returncode == 255
    assert "Host key verification failed" in unpinned.stderr


def test_an_audit_sees_the_data_disk_by_its_serial(born: Born) -> None:
    site, _, _ = born
    seen = site.run("evidence", "-o", "json")
    assert '"DATA0001"' in seen.out, seen
    plan = site.run("plan", "--capability", "storage.data_disk", "-o", "json").json
    assert [change["target"] for step in plan["steps"] for change in step["changes"] if change["kind"] == "mkfs"] == ["serial DATA0001"]


def test_no_private_key_and_no_seed_is_left_anywhere(born: Born) -> None:
    site, _, _ = born
    assert f"{NAME}-seed" not in site.host.virsh("vol-list", "default")
    assert "controlplane-seed" not in site.host.virsh("dumpxml", NAME) + site.host.virsh("dumpxml", "--inactive", NAME)
    hypervisor = site.host.sh("grep", "-rlae", PRIVATE, "/var/lib/controlplane", "/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", check=False)
    assert hypervisor == ""
    here = subprocess.run(["grep", "-rlae", PRIVATE, site.site.parent], capture_output=True, text=True, check=False)
    assert here.stdout == ""


def test_a_machine_that_runs_is_never_taken_back(born: Born) -> None:
    site, _, _ = born
    key = mark(site.host)["run"]
    before = site.host.virsh("dumpxml", NAME)
    done = site.host.sh("sh", "-c", f"/var/lib/controlplane/{key}/undo 2>&1; echo $?")
    assert done.split()[-1] == "4"
    assert f"{NAME} was started, and may hold data, so it is not taken back. Nothing was changed." in done
    assert site.host.virsh("dumpxml", NAME) == before


def test_a_disk_that_is_declared_later_is_attached_while_it_runs(born: Born) -> None:
    site, _, _ = born
    boot = login(site, "cat /proc/sys/kernel/random/boot_id")
    site.write(disks=("DATA0001", "DATA0002"))
    plan = site.plan("disk.json")
    assert [(change["kind"], change["target"]) for change in plan["steps"][0]["changes"]] == [
        ("volume", f"{NAME}-DATA0002 in default"),
        ("machine", f"disk DATA0002 of {NAME}"),
    ]
    done = site.run("apply", str(site.file("disk.json")), "-o", "json")
    assert done.code == 0, done
    assert login(site, "cat /proc/sys/kernel/random/boot_id") == boot
    assert set(login(site, "lsblk -dno SERIAL").split()) == {"DATA0001", "DATA0002"}
    kept = ET.fromstring(site.host.virsh("dumpxml", "--inactive", NAME))  # noqa: S314 - libvirt's own
    assert [disk.findtext("serial") for disk in kept.findall("./devices/disk")] == [None, "DATA0001", "DATA0002"]
    assert site.plan("none.json", code=0)["steps"] == []


def test_it_keeps_its_address_and_its_host_key_over_boots_that_find_no_seed(born: Born) -> None:
    site, _, _ = born
    boot = login(site, "cat /proc/sys/kernel/random/boot_id")
    site.host.virsh("reset", NAME)
    again, limit = "", time.monotonic() + 300
    while again in ("", boot):
        assert time.monotonic() < limit, f"{NAME} did not come back"
        time.sleep(2)
        with suppress(subprocess.SubprocessError):
            again = login(site, "cat /proc/sys/kernel/random/boot_id")
    assert login(site, "ls /etc/ssh/*.pub") == "/etc/ssh/ssh_host_ed25519_key.pub"


def login(site: Site, command: str) -> str:
    options = ["-F", str(site.host.ssh_config), "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={site.site}/known_hosts", "-o", "ConnectTimeout=20"]
    return subprocess.run(["ssh", *options, f"ops@{ADDRESS}", command], capture_output=True, text=True, check=True).stdout.strip()


def test_nothing_of_the_hypervisor_outlives_it(tmp_path: Path, kvm1: LibvirtHost) -> None:
    assert kvm1.name
    own = LibvirtHost(f"cpvirt-{os.getpid()}-2", tmp_path / "host")
    own.start()
    inner = int(own.sh("sh", "-c", "ps -e -o pid= | wc -l"))
    assert inner > 3
    own.stop()
    assert own.name not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert subprocess.run(["pgrep", "-f", str(own.folder)], capture_output=True, text=True, check=False).stdout == ""
