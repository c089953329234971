"""A jump host before a lab machine: an sshd of its own on this host's loopback, whose sessions live in the machine's network namespace.

Rules:
- The machine has no way in but its own namespace, so that what reaches its address came through the bastion.
- Each connection is one `sshd -i`; all of them are ended by pid, with what they started.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from controlplane.adapters.process_tree import Process, ProcessTree

if TYPE_CHECKING:
    from tests.lab.conftest import LabMachine

SSHD = "/usr/sbin/sshd"
# On every loopback, and nobody's on this host's.
TARGET = "127.88.0.1"
_SSHD_CONFIG = """\
HostKey {folder}/host
AuthorizedKeysFile {folder}/login.pub
PermitOpen {target}:22
PermitTTY no
ForceCommand /bin/false
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
PidFile none
LogLevel VERBOSE
"""
_SSH_CONFIG = """\
Host jump
  HostName 127.0.0.1
  Port {port}
  User root
  IdentityFile {folder}/login
  IdentitiesOnly yes
  UserKnownHostsFile {known_bastion}
  GlobalKnownHostsFile /dev/null
Host {target}
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {known_target}
  GlobalKnownHostsFile /dev/null
  HostKeyAlgorithms ssh-ed25519
"""


class Bastion:
    """Listens while the block runs; `config` writes an ssh_config that leads through it."""

    def __init__(self, machine: LabMachine, folder: Path) -> None:
        self._machine, self.folder = machine, folder
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        folder.mkdir()
        for name in ("host", "login", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
        (folder / "sshd_config").write_text(_SSHD_CONFIG.format(folder=folder, target=TARGET))
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # An accept that waits is not woken by closing its socket.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for session in self._sessions:
            if session.poll() is None:
                started = int(Path(f"/proc/{session.pid}/stat").read_text().rpartition(")")[2].split()[19])
                ProcessTree([Process(session.pid, started)]).end(grace=2)
            session.wait(10)

    def _serve(self) -> None:
        namespace = self._machine.lab.home.machine(self._machine.name).namespace_path
        argv = ["nsenter", f"--net={namespace}", SSHD, "-i", "-e", "-f", str(self.folder / "sshd_config")]
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, (self.folder / "log").open("ab") as log:
                self._sessions.append(subprocess.Popen(argv, stdin=connection, stdout=connection, stderr=log))

    def public(self, name: str) -> str:
        """Return a key of this folder as known_hosts has it."""
        return " ".join((self.folder / f"{name}.pub").read_text().split()[:2])

    def target_key(self) -> str:
        """Return the machine's own host key, as the lab pinned it."""
        pinned = self._machine.lab.home.machine(self._machine.name).path / "known_hosts"
        return " ".join(pinned.read_text().split()[1:3])

    def config(self, name: str, *, bastion_key: str, target_key: str) -> Path:
        """Write an ssh_config that pins these keys ('' for none) and return its path."""
        own = self.folder / name
        own.mkdir()
        (own / "known_bastion").write_text(f"[127.0.0.1]:{self.port} {bastion_key}\n" if bastion_key else "")
        (own / "known_target").write_text(f"{TARGET} {target_key}\n" if target_key else "")
        paths = {"known_bastion": own / "known_bastion", "known_target": own / "known_target", "key": self._machine.lab.home.key}
        (own / "ssh_config").write_text(_SSH_CONFIG.format(folder=self.folder, port=self.port, target=TARGET, **paths))
        return own / "ssh_config"


def fingerprint(key: str) -> str:
    """Return the SHA256 fingerprint of a public key."""
    done = subprocess.run(["ssh-keygen", "-lf", "-"], input=key, capture_output=True, text=True, check=True)
    return done.stdout.split()[1]
