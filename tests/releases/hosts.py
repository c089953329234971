"""What a lab machine is given before releases are tried on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.conftest import LabMachine

DISK = "/mnt/data"


def give_docker_a_disk(machine: LabMachine) -> None:
    """Let Docker live on the machine's data disk, so that it can be filled without harm to all else, and give up a pull at the first failure.

    By itself Docker asks a registry that died four more times, for most of a minute.
    """
    settings = json.dumps({"data-root": f"{DISK}/docker", "max-download-attempts": 1})
    machine.sh(
        f"mkfs.ext4 -q -m 0 {machine.data_device} && mkdir -p {DISK} && mount {machine.data_device} {DISK} && mkdir -p /etc/docker"
        f" && echo '{settings}' > /etc/docker/daemon.json && systemctl restart docker"
    )


def give_up_a_pull_at_once(machine: LabMachine) -> None:
    """Let Docker give up a pull at its first failure, from its next start on; whoever governs it keeps the setting."""
    machine.sh("mkdir -p /etc/docker && echo '{\"max-download-attempts\": 1}' > /etc/docker/daemon.json")


def fill(machine: LabMachine, *, leave: int) -> None:
    """Leave so many bytes on Docker's disk, for root too: the last of it can't be reserved, it has to be written."""
    machine.sh(
        f"cd {DISK} && fallocate -l $(($(stat -f -c '%a * %S' .) - 64 * 1024 * 1024)) full && {{ cat /dev/zero >> full 2> /dev/null || true; }}"
        f" && truncate -s -{leave} full && sync"
    )


def make_room(machine: LabMachine) -> None:
    """Take back what `fill` did."""
    machine.sh(f"rm -f {DISK}/full")
