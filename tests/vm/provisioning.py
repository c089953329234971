"""A hypervisor of the test's own, and the site of a machine that is declared to run on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.adapters.lab.home import LabHome
from controlplane.adapters.lab.requirements import missing_reason
from tests.lab.operating import MAIN, ROOT, Running, Said
from tests.vm.cloud_image import cloud_image
from tests.vm.libvirt_host import LibvirtHost

NAME = "mint-data"
ADDRESS = "192.0.2.10"
CAPABILITY = "infra.vm.provision"


def why_no_libvirt() -> str:
    """Return why no hypervisor can be started here, empty if one can."""
    reason = missing_reason(vm=True)
    if reason or not all(map(shutil.which, ("libvirtd", "virsh", "dnsmasq", "genisoimage", "extlinux"))):
        return f"no libvirt can be started here: {reason or 'script/setup installs what is missing'}"
    return ""


@contextmanager
def libvirt_host(name: str, folder: Path) -> Iterator[LibvirtHost]:
    """Yield a hypervisor that runs, with the image that the sites name in its pool."""
    image = cloud_image(LabHome.from_environment())
    host = LibvirtHost(name, folder)
    host.start()
    try:
        # The same bytes under the name in the policy: a reflink or a sparse copy.
        subprocess.run(["cp", "--reflink=auto", "--sparse=always", image, host.pool / "debian-12.qcow2"], check=True)
        host.virsh("pool-refresh", "default")
        yield host
    finally:
        host.stop()


@dataclass
class Site:
    """A site of one machine that is declared, and the hypervisor that it is to run on."""

    site: Path
    env: dict[str, str]
    host: LibvirtHost

    def write(
        self,
        *,
        image: str = "debian-12.qcow2",
        disks: tuple[str, ...] = ("DATA0001",),
        size: str = "1GB",
        name: str = NAME,
        entry: dict[str, Any] | None = None,
        profile: dict[str, Any] | None = None,
    ) -> None:
        """Write policy and machines; `entry` and `profile` are more of what the host's policy and its profile say."""
        # Under emulation it takes longer than a disk may by default until udev knows it.
        plain = {"min_size": "500MB", "max_size": "9TB", "filesystem": "ext4", "options": ["x-systemd.device-timeout=60s"]}
        wanted = [{"serial": serial, "mount": f"/mnt/{serial.lower()}", **plain} for serial in disks]
        policy = {"version": 1, "tiers": {"data-disk": {"data": "disk"}}, "hosts": {name: {"tier": "data-disk", "disks": wanted, **(entry or {})}}}
        small = {
            "cores": 2,
            "memory": "768MiB",
            "boot": {"image": image, "size": "3GB"},
            "network": {"network": "default"},
            "ssh_keys": [(self.host.folder / "id.pub").read_text().strip()],
            **(profile or {}),
        }
        machine = {
            "profile": "small",
            "hypervisor": "kvm1",
            "address": f"{ADDRESS}/24",
            "gateway": "192.0.2.1",
            "disks": {serial: {"size": size} for serial in disks},
        }
        machines = {
            "version": 1,
            "hypervisors": {"kvm1": {"kind": "libvirt", "host": self.host.name, "accelerator": "qemu"}},
            "profiles": {"small": small},
            "machines": {name: machine},
        }
        hosts = {
            "all": {
                "vars": {"ansible_ssh_common_args": f"-F {self.host.ssh_config}"},
                "hosts": {self.host.name: {"ansible_user": "root"}, name: {"ansible_host": ADDRESS, "ansible_user": "ops", "ansible_become": True}},
            }
        }
        for file, content in {"policy.yml": policy, "machines.yml": machines, "hosts.yml": hosts}.items():
            (self.site / file).write_text(json.dumps(content))

    def run(self, *words: str, timeout: float = 1500) -> Said:
        done = subprocess.run([*MAIN, *words], env=self.env, capture_output=True, text=True, timeout=timeout, check=False, cwd=self.site)
        return Said(done.returncode, done.stdout, done.stderr)

    def plan(self, name: str = "plan.json", code: int = 3) -> dict[str, Any]:
        done = self.run("plan", "--capability", CAPABILITY, "--out", str(self.file(name)), "-o", "json")
        assert done.code == code, done
        return dict(done.json)

    def file(self, name: str) -> Path:
        return self.site.parent / name

    def start(self, *words: str) -> Running:
        return Running(self, words)  # type: ignore[arg-type]  # it reads what every operator has

    @property
    def known_hosts(self) -> str:
        file = self.site / "known_hosts"
        return file.read_text() if file.exists() else ""


def new_site(host: LibvirtHost, folder: Path) -> Site:
    """Return a site below `folder` for a machine on this hypervisor."""
    place = folder / "site"
    place.mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CONTROLPLANE_SITE": str(place), "COLUMNS": "400"}
    (place / "site.yml").write_text("name: vm\ninventory: hosts.yml\ntimezone: UTC\napproval: none\nevidence_max_age: 15m\n")
    made = Site(place, env, host)
    made.write()
    return made
