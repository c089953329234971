"""A site whose one machine belongs on the stand-in for Proxmox VE, the program as an operator starts it, and a guest that reads its seed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.adapters.proxmox_machines import look
from controlplane.adapters.site_files import SiteFolder
from tests.fakes.proxmox.example import IMAGE, PUBLIC_KEY
from tests.fakes.proxmox.server import ProxmoxServer
from tests.fakes.proxmox.world import Vm, World

NUMBER = 101
KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
_LIMIT_S = 170

_SITE = "name: contract\ninventory: hosts.yml\ntimezone: UTC\napproval: none\n"
# Nothing listens there: the machine never answers for itself, its hypervisor speaks of it.
_HOSTS = "all: {hosts: {mint-data: {ansible_host: 127.0.0.1, ansible_port: 1, ansible_user: ops}}}\n"
_POLICY = """
version: 1
tiers: {data-disk: {data: disk}}
hosts:
  mint-data:
    tier: data-disk
    disks: [{serial: DATA0001, min_size: 1GiB, max_size: 600GiB, filesystem: ext4, mount: /mnt/data}]
"""
_MACHINES = """
version: 1
hypervisors:
  pve1: {{kind: proxmox, api: "https://localhost:{port}", node: pve, token: {{id: "{token}", secret: {{password_env: PVE_TOKEN}}}}{ca}}}
profiles:
  small:
    cores: 2
    memory: 2GiB
    boot: {{image: "{image}", size: 6GiB, storage: tank}}
    network: {{bridge: vmbr0}}
    ssh_keys: ["{key}"]
machines:
  mint-data:
    profile: small
    hypervisor: pve1
    id: {number}
    address: 192.0.2.10/24
    gateway: 192.0.2.1
    disks: {{DATA0001: {{size: 8GiB, storage: tank}}}}
"""


def seed_of(world: World, vm: Vm) -> dict[str, Any]:
    """Return the user-data on the CD that is in the machine."""
    volume = vm.config["ide2"].partition(",")[0]
    data = world.storage(volume.partition(":")[0]).volumes[volume].data
    text = data.partition(b"#cloud-config\n")[2]
    found, _ = json.JSONDecoder().raw_decode(text.split(b"\0")[0].decode())
    return dict(found)


def boots(world: World) -> Callable[[Vm], None]:
    """Return a guest that does at its start what cloud-init would: it takes the host key on its CD for its own."""

    def start(vm: Vm) -> None:
        if not vm.config.get("ide2", "none").startswith("none"):
            vm.guest.files[KEY_FILE] = seed_of(world, vm)["ssh_keys"]["ed25519_public"] + " root@mint-data\n"

    return start


@dataclass
class Done:
    """How a verb ended."""

    rc: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Operator:
    """Writes the site and starts the program in it."""

    def __init__(self, server: ProxmoxServer, folder: Path, *, trusted: bool = True, image: str = IMAGE) -> None:
        self.server, self.folder, self.site = server, folder, folder / "site"
        self.site.mkdir()
        (self.site / "site.yml").write_text(_SITE)
        (self.site / "hosts.yml").write_text(_HOSTS)
        (self.site / "policy.yml").write_text(_POLICY)
        if trusted:
            (self.site / "pve-ca.pem").write_bytes(server.ca.read_bytes())
        told = {"port": server.port, "token": server.token_id, "image": image, "key": PUBLIC_KEY, "number": NUMBER}
        (self.site / "machines.yml").write_text(_MACHINES.format(**told, ca=", ca: pve-ca.pem" if trusted else ""))
        (folder / "tmp").mkdir()
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "ANSIBLE_COLLECTIONS_PATH") if name in os.environ},
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "PVE_TOKEN": server.secret,
        }

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a verb in a session of its own."""
        command = [sys.executable, "-m", "controlplane", *words, "--site", str(self.site)]
        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, watch: Callable[[], None] | None = None) -> Done:
        """Run a verb to its end; `watch` is called again and again meanwhile."""
        process = self.begin(*words)
        if watch is not None:
            while process.poll() is None:
                watch()
                time.sleep(0.02)
        out, err = process.communicate(timeout=_LIMIT_S)
        return Done(process.returncode, out, err)

    def plan(self) -> Done:
        return self.run("plan", "--capability", "infra.vm.provision", "--out", str(self.folder / "plan.json"))

    def apply(self, watch: Callable[[], None] | None = None) -> Done:
        return self.run("apply", str(self.folder / "plan.json"), watch=watch)

    def unseen(self) -> str:
        """Return why nothing is seen of the machine, as the program would be told; it is looked at from here, with this process's environment."""
        desired = SiteFolder(self.site).read(run_inventory=False).desired().by_name()
        seen = look(desired, site=self.site)["mint-data"]
        assert seen.status == "failed"
        return str(seen.error)

    def killed_at(self, n: int) -> None:
        """Apply, and kill the program and all that it started when the server has taken its n-th changing call."""
        process = self.begin("apply", str(self.folder / "plan.json"))
        ends = time.monotonic() + _LIMIT_S
        while len(self.server.changes) < n and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.002)
        for pid in reversed(_family(process.pid)):
            _kill(pid)
        process.communicate()

    def judged(self) -> dict[str, Any]:
        """Return the finding about the machine on evidence of now."""
        told = self.run("audit", "-o", "json").json()
        [finding] = [one for one in told["findings"] if one["check"] == "D246"]
        return dict(finding)


def _family(root: int) -> list[int]:
    """Return a process that was started here and all that descend from it, also those in sessions of their own."""
    found = [root]
    for pid in found:
        try:
            found += [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
