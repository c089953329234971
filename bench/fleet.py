"""Fifty hosts on the loopback: one sshd each, at an address, with a host key, a machine-id and a /tmp of its own.

Rules:
- All of it lies in one private folder and is ended by pid: what the bench did not start, it does not touch.
- Host keys are pinned and logins are by key, as on real hosts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.rows import BenchError, command

SSHD = "/usr/sbin/sshd"
# In a mount namespace of its own, so that fifty hosts are not one machine fifty times.
_ENTER = 'mount --bind "$1" /etc/machine-id && mount -t tmpfs -o mode=1777 tmpfs /tmp && exec "$2" -D -e -f "$3"'
# An address for each host, in one /16 of the loopback.
_NETWORK = "127.77.0"

_INVENTORY = """\
all:
  vars:
    ansible_user: root
    ansible_python_interpreter: /usr/bin/python3
    ansible_ssh_common_args: "-F {config}"
    ansible_port: {port}
  hosts:
"""
_ADDRESS = "    {}: {{ansible_host: {}}}\n"


@dataclass(frozen=True)
class Fleet:
    """The hosts that run: names, addresses, their one port, and the folder with the client's key and known_hosts."""

    folder: Path
    port: int
    addresses: dict[str, str]

    @property
    def key(self) -> Path:
        return self.folder / "client"

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh_config"

    def environment(self) -> dict[str, str]:
        """Return an environment in which every temporary file and control socket lies in the bench's folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "CONTROLPLANE_", "XDG_", "SSH_"))}
        return {**kept, "TMPDIR": str(self.folder), "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    def write_site(self, site: Path, policy: str) -> None:
        """Write a site folder with this fleet as its inventory."""
        site.mkdir()
        (site / "site.yml").write_text("name: bench\ninventory: hosts.yml\napproval: none\n")
        hosts = "".join(_ADDRESS.format(name, address) for name, address in self.addresses.items())
        (site / "hosts.yml").write_text(_INVENTORY.format(config=self.ssh_config, port=self.port) + hosts)
        (site / "policy.yml").write_text(policy)


def why_not() -> str | None:
    """Return why no fleet can run here, None where one can."""
    if os.geteuid() != 0:
        return "fifty sshd with machine-ids of their own need root"
    missing = [program for program in (SSHD, "unshare", "ssh-keygen") if shutil.which(program) is None]
    return f"{', '.join(missing)} missing: script/setup installs it" if missing else None


@contextlib.contextmanager
def fleet(hosts: int) -> Iterator[Fleet]:
    """Start `hosts` hosts and end them."""
    folder = Path(tempfile.mkdtemp(prefix="cpb-", dir="/var/tmp"))
    running: list[subprocess.Popen[bytes]] = []
    try:
        made = Fleet(folder, _free_port(), {f"bench-{n:02d}": f"{_NETWORK}.{n + 1}" for n in range(hosts)})
        _keys(made)
        running += [_start(made, name) for name in made.addresses]
        _wait(made)
        yield made
    finally:
        for sshd in running:
            _end(sshd)
        _await_sockets_gone(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((f"{_NETWORK}.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _keys(made: Fleet) -> None:
    folder = made.folder
    for name in ("client", "host"):
        command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", folder / name])
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text("".join(f"[{address}]:{made.port} {host_key}\n" for address in made.addresses.values()))
    shutil.copy(folder / "client.pub", folder / "authorized_keys")
    # A name that testinfra can't be given in its host's address; Ansible and the program bring sockets of their own.
    common = f"  ControlPath {folder}/%C\n  UserKnownHostsFile {folder}/known_hosts\n  IdentityFile {made.key}\n"
    common += "  IdentitiesOnly yes\n  StrictHostKeyChecking yes\n  User root\n"
    hosts = "".join(f"Host {name}\n  HostName {address}\n  Port {made.port}\n" for name, address in made.addresses.items())
    made.ssh_config.write_text(f"Host bench-* {_NETWORK}.*\n{common}{hosts}")


def _start(made: Fleet, name: str) -> subprocess.Popen[bytes]:
    own = made.folder / name
    own.mkdir()
    (own / "machine-id").write_text(f"{os.urandom(16).hex()}\n")
    (own / "sshd_config").write_text(
        f"ListenAddress {made.addresses[name]}:{made.port}\nHostKey {made.folder}/host\nAuthorizedKeysFile {made.folder}/authorized_keys\n"
        f"PidFile none\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        f"StrictModes no\nUseDNS no\nMaxSessions 20\nLogLevel ERROR\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sshd", own / "machine-id", SSHD, own / "sshd_config"]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(own / "log").open("wb"))


def _wait(made: Fleet) -> None:
    ends = time.monotonic() + 30
    for name, address in made.addresses.items():
        while True:
            try:
                socket.create_connection((address, made.port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > ends:
                    raise BenchError(f"{name} does not listen: {(made.folder / name / 'log').read_text()[-500:]}") from None
                time.sleep(0.05)


def _end(sshd: subprocess.Popen[bytes]) -> None:
    # Sessions first: closed by the server, the masters that ssh left for ControlPersist end by themselves.
    children = Path(f"/proc/{sshd.pid}/task/{sshd.pid}/children")
    sessions = children.read_text().split() if sshd.poll() is None else []
    sshd.terminate()
    for pid in sessions:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), 15)
    sshd.wait(10)


def _await_sockets_gone(folder: Path) -> None:
    ends = time.monotonic() + 5
    while time.monotonic() < ends and any(path.is_socket() for path in folder.rglob("*")):
        time.sleep(0.05)
