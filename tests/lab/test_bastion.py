"""A machine that is reached only through a jump host, as a login that becomes root by the one sudo rule that the manual names."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.bastion import TARGET, Bastion, fingerprint
from tests.lab.conftest import LabMachine
from tests.lab.operating import ROOT, Operator, Said, planned, verdicts

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
# docs/evidence.md names it.
SUDO_RULE = "ops ALL=(root) NOPASSWD: /bin/sh"


class Scene:
    """An operator whose inventory has nothing but the machine's address, and the bastion before it."""

    def __init__(self, machine: LabMachine, bastion: Bastion, folder: Path) -> None:
        self.machine, self.bastion = machine, bastion
        self.site = Operator(machine, folder / "operator", login="ops")
        self._hosts = (self.site.site / "hosts.yml").read_text().replace(f"{machine.name}:", f"{machine.name}: {{ansible_host: {TARGET}}}")

    def reach(self, config: Path, *options: str) -> None:
        """Write the inventory's way to the machine."""
        words = " ".join([f"-F {config}", *options])
        text, changed = re.subn(r"ansible_ssh_common_args: .*", f"ansible_ssh_common_args: '{words}'", self._hosts)
        assert changed == 1
        (self.site.site / "hosts.yml").write_text(text)

    def unknown(self) -> str:
        """Return why an audit knows nothing of the machine."""
        began = time.monotonic()
        said = self.site.run("audit", "-o", "json")
        assert time.monotonic() - began < 60
        assert said.code == 5, said
        assert {finding["verdict"] for finding in said.json["findings"]} == {"UNKNOWN"}
        [reason] = {finding["reason"] for finding in said.json["findings"]}
        return str(reason)


def a_disk_is_made_and_confirmed_through_the_bastion(scene: Scene) -> None:
    plan = scene.site.plan("plan.json", "--capability", "storage.data_disk")
    result = scene.site.applied()
    assert result["changed"] == planned(plan)
    # A second witness that did not get there would have turned them UNKNOWN.
    assert verdicts(result["verify"], plan) == {"MET"}
    assert scene.machine.sh("findmnt -n -o FSTYPE /mnt/data").strip() == "ext4"


def every_probe_answered(said: Said) -> None:
    [host] = said.json["hosts"]
    assert {name for name, record in host["probes"].items() if record["status"] not in ("ok", "absent")} == set()
    assert host["probes"]["identity"]["data"]["euid"] == 0


def test_everything_goes_through_a_jump_host_and_wrong_keys_are_told_apart(machine: Make, tmp_path: Path) -> None:
    assert SUDO_RULE in (ROOT / "docs/evidence.md").read_text()
    host = machine()
    host.sh(f"echo '{SUDO_RULE}' > /etc/sudoers.d/ops && visudo -c -q")
    with Bastion(host, tmp_path / "bastion") as bastion:
        scene = Scene(host, bastion, tmp_path)
        own, target, stranger = bastion.public("host"), bastion.target_key(), bastion.public("stranger")
        good = bastion.config("good", bastion_key=own, target_key=target)

        scene.reach(good)
        assert "host key" not in scene.unknown()  # without the bastion there is no way
        scene.reach(good, "-o ProxyJump=jump")
        every_probe_answered(scene.site.run("evidence", "-o", "json"))
        a_disk_is_made_and_confirmed_through_the_bastion(scene)
        scene.reach(good, f'-o ProxyCommand="ssh -F {good} -W %h:%p jump"')
        every_probe_answered(scene.site.run("evidence", "-o", "json"))

        jump = f"the host key of 127.0.0.1:{bastion.port}, a jump host on the way to it, is not the pinned one, or none is pinned: it offers "
        for name, key in (("changed", stranger), ("unknown", "")):
            scene.reach(bastion.config(f"bastion-{name}", bastion_key=key, target_key=target), "-o ProxyJump=jump")
            told = scene.unknown()
            assert f"{jump}ssh-ed25519 {fingerprint(own)}." in told, told
            assert fingerprint(target) not in told
        for name, key in (("changed", stranger), ("unknown", "")):
            scene.reach(bastion.config(f"target-{name}", bastion_key=own, target_key=key), "-o ProxyJump=jump")
            told = scene.unknown()
            assert f"its host key is not the pinned one, or none is pinned: it offers ssh-ed25519 {fingerprint(target)}." in told, told
            assert fingerprint(own) not in told

        host.sh("echo 'ops ALL=(root) PASSWD: ALL' > /etc/sudoers.d/ops")
        scene.reach(good, "-o ProxyJump=jump")
        assert "password" in scene.unknown()
