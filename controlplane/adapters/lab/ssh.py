"""Reach machines by OpenSSH with a key of the lab's own and each machine's host key pinned.

How a connection gets there is the lane's: into the machine's network namespace, or to a port on this host's loopback.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from controlplane.domain.errors import RunFailedError

from .home import LabHome, MachineFiles
from .programs import environment, run
from .records import MachineSpec, read_record

CONTAINERD_STORE = '{\n  "features": {\n    "containerd-snapshotter": true\n  }\n}\n'


def ensure_access(home: LabHome) -> None:
    """Make the lab's key and its ssh_config where they aren't there; each machine adds an entry by its own file."""
    home.machines.mkdir(mode=0o700, parents=True, exist_ok=True)
    with home.locked("ssh"):
        if not home.key.exists():
            home.key.with_suffix(".pub").unlink(missing_ok=True)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "controlplane lab", "-f", home.key])
        # The lab's site signs with the same key: approvals and receipts are shown as they are in earnest.
        signers = home.key.with_name("allowed_signers")
        line = f"operator@lab {home.key.with_suffix('.pub').read_text().strip()}\n"
        if not signers.exists() or signers.read_text() != line:
            signers.write_text(line)
        text = f"# Written by 'controlplane lab'; one entry a machine.\nInclude {home.machines}/*/ssh_config\n"
        if not home.ssh_config.exists() or home.ssh_config.read_text() != text:
            partial = home.ssh_config.with_suffix(".partial")
            partial.write_text(text)
            partial.rename(home.ssh_config)


def entry(home: LabHome, files: MachineFiles, way: Mapping[str, str]) -> str:
    """Return the machine's entry of ssh_config; `way` is how to get to it, in ssh_config's own words."""
    alias = f"controlplane-lab-{files.name}"
    there = "\n".join(f"  {key} {value}" for key, value in way.items())
    return f"""Host {files.name}
{there}
  HostKeyAlias {alias}
  User root
  IdentityFile {home.key}
  IdentitiesOnly yes
  UserKnownHostsFile {files.path}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  ServerAliveInterval 2
  LogLevel ERROR
"""


def write_entry(home: LabHome, files: MachineFiles, way: Mapping[str, str]) -> None:
    """Write the machine's entry in one step."""
    target = files.path / "ssh_config"
    partial = target.with_suffix(".partial")
    partial.write_text(entry(home, files, way))
    partial.rename(target)


def write_identity(home: LabHome, files: MachineFiles, spec: MachineSpec) -> None:
    """Write what makes the machine itself (host name, host key, who may log in) and pin its key on this side."""
    shutil.rmtree(files.personal, ignore_errors=True)
    etc = files.personal / "etc"
    (etc / "ssh").mkdir(parents=True)
    (etc / "hostname").write_text(f"{files.name}\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {files.name}\n")
    (etc / "machine-id").write_text(Path("/proc/sys/kernel/random/uuid").read_text().replace("-", ""))
    host_key = etc / "ssh/ssh_host_ed25519_key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", files.name, "-f", host_key])
    uuid = run(["blkid", "-o", "value", "-s", "UUID", files.boot]).strip()
    (etc / "fstab").write_text(f"# <file system> <mount point> <type> <options> <dump> <pass>\nUUID={uuid} / ext4 errors=remount-ro 0 1\n")
    if spec.image_store == "containerd":
        (etc / "docker").mkdir()
        (etc / "docker/daemon.json").write_text(CONTAINERD_STORE)
    for login, mode in (("root", 0o700), ("home/ops", 0o755)):
        folder = files.personal / login / ".ssh"
        folder.mkdir(parents=True, mode=0o700)
        folder.parent.chmod(mode)
        shutil.copy(home.key.with_suffix(".pub"), folder / "authorized_keys")
    public = host_key.with_suffix(".pub").read_text().split()
    (files.path / "known_hosts").write_text(f"controlplane-lab-{files.name} {public[0]} {public[1]}\n")


def ssh_argv(home: LabHome, name: str, argv: Sequence[str] = (), *, options: Sequence[str] = ()) -> list[str]:
    """Return the command that runs `argv` on the machine (a login shell without one); words arrive as they are."""
    command = ["--", shlex.join(argv)] if argv else []
    return ["ssh", "-F", str(home.ssh_config), *options, name, *command]


def ssh_run(
    home: LabHome,
    name: str,
    argv: Sequence[str],
    *,
    stdin: bytes | Path | None = None,
    timeout: float = 300.0,
    options: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program on the machine and return how it ended, whatever its exit code (255: not reached)."""
    command = ssh_argv(home, name, argv, options=["-o", "BatchMode=yes", *options])
    with stdin.open("rb") if isinstance(stdin, Path) else nullcontext() as handle:
        given: dict[str, Any] = {"stdin": handle} if handle else {"input": stdin or b""}
        try:
            done = subprocess.run(command, check=False, capture_output=True, timeout=timeout, env=environment(), **given)
        except subprocess.TimeoutExpired:
            raise RunFailedError(f"lab: {name}: '{shlex.join(argv)[:120]}' did not end within {timeout:.0f} s") from None
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return subprocess.CompletedProcess(list(argv), done.returncode, out, err)


def wait_until_up(home: LabHome, files: MachineFiles, *, limit_s: float, after_boot: str = "", options: Sequence[str] = ()) -> str:
    """Wait until the machine answers over ssh and has started its units; return systemd's word for its state.

    `after_boot` is the boot id before a reboot: an answer from that boot doesn't count. `options` are ssh's own.
    """
    deadline = time.monotonic() + limit_s
    probe = ["sh", "-c", "cat /proc/sys/kernel/random/boot_id; timeout 60 systemctl is-system-running --wait"]
    last = "it has not answered"
    while time.monotonic() < deadline:
        if not read_record(files).may_come_up():
            raise RunFailedError(f"lab: {files.name} stopped while starting; its console is in {files.console}")
        try:
            done = ssh_run(home, files.name, probe, timeout=max(5.0, deadline - time.monotonic()), options=options)
        except RunFailedError:
            break
        lines = done.stdout.split()
        if len(lines) == 2 and lines[0] != after_boot and lines[1] in {"running", "degraded"}:
            return lines[1]
        last = (done.stderr.strip().splitlines() or lines[1:] or [last])[-1]
        time.sleep(0.2)
    raise RunFailedError(
        f"lab: {files.name} was not up after {limit_s:.0f} s ({last}); its console is in {files.console}. "
        f"'controlplane lab down {files.name}' ends it."
    )
