"""A hypervisor host for tests: libvirtd and sshd of its own, in namespaces of its own, that touch nothing of this machine's libvirt.

Its folders (/etc/libvirt, /var/lib/libvirt, /var/lib/controlplane and their like) are bound over inside of a mount namespace, its network lives in a
network namespace, and all its processes in a process namespace: ending the first one ends every machine too.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

_OWN_FOLDERS = (
    "/etc/libvirt",
    "/var/lib/libvirt",
    "/var/cache/libvirt",
    "/var/log/libvirt",
    "/var/lib/controlplane",
    "/run/libvirt",
    "/run/controlplane-dry-run",
    "/run/sshd",
)
_QEMU_CONF = """security_driver = "none"
user = "root"
group = "root"
cgroup_controllers = []
namespaces = []
remember_owner = 0
stdio_handler = "file"
"""
_LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_group = "root"\n'
# `open` leaves this machine's packet filter alone.
_NETWORK = """<network><name>default</name><forward mode='open'/><bridge name='virbr0' stp='off' delay='0'/>
<ip address='192.0.2.1' netmask='255.255.255.0'><dhcp><range start='192.0.2.100' end='192.0.2.199'/></dhcp></ip></network>"""


class LibvirtHost:
    """One hypervisor that a test starts and ends."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.pool = folder / "pool"
        self._process: subprocess.Popen[bytes] | None = None
        self._inner = 0

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh_config"

    def start(self) -> None:
        """Start it and return when libvirt answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pool.mkdir()
        for path in _OWN_FOLDERS:
            Path(path).mkdir(parents=True, exist_ok=True)
            self._own(path).mkdir(parents=True)
        (self._own("/etc/libvirt") / "qemu.conf").write_text(_QEMU_CONF)
        (self._own("/etc/libvirt") / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
        self._write_ssh()
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        script = self.folder / "init.sh"
        script.write_text(self._script())
        with (self.folder / "init.log").open("wb") as log:
            self._process = subprocess.Popen(
                # The process namespace's first process is the shell: with it dies everything in it.
                ["ip", "netns", "exec", self.name, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-e", str(script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        limit = time.monotonic() + 60
        while not (self.folder / "ready").exists():
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "init.log").read_text()
            assert time.monotonic() < limit, (self.folder / "init.log").read_text()
            time.sleep(0.1)
        [inner] = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._inner = int(inner)
        self.virsh("pool-define-as", "default", "dir", "--target", str(self.pool))
        self.virsh("pool-start", "default")
        network = self.folder / "network.xml"
        network.write_text(_NETWORK)
        self.virsh("net-define", str(network))
        self.virsh("net-start", "default")

    def _script(self) -> str:
        lines = ["mount --make-rprivate /", "ip link set lo up"]
        lines += [f"mount --bind {shlex.quote(str(self._own(path)))} {path}" for path in _OWN_FOLDERS]
        lines += [
            f"/usr/sbin/virtlogd -d -p {shlex.quote(str(self.folder / 'virtlogd.pid'))}",
            f"/usr/sbin/libvirtd -d -p {shlex.quote(str(self.folder / 'libvirtd.pid'))}",
            f"/usr/sbin/sshd -f {shlex.quote(str(self.folder / 'sshd_config'))} -E {shlex.quote(str(self.folder / 'sshd.log'))}",
            "until virsh -q -c qemu:///system list >/dev/null 2>&1; do sleep 0.2; done",
            f"touch {shlex.quote(str(self.folder / 'ready'))}",
            # As the first process of its namespace it has to take the orphans.
            "while :; do sleep 3600 & wait $!; done",
        ]
        return "\n".join(lines) + "\n"

    def _own(self, path: str) -> Path:
        return self.folder / "own" / path.strip("/").replace("/", "-")

    def _write_ssh(self) -> None:
        for name in ("host_key", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)], check=True)
        shutil.copy(self.folder / "id.pub", self.folder / "authorized_keys")
        (self.folder / "sshd_config").write_text(
            f"Port 22\nListenAddress 127.0.0.1\nHostKey {self.folder}/host_key\nAuthorizedKeysFile {self.folder}/authorized_keys\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
            "Subsystem sftp internal-sftp\n"
        )
        key = (self.folder / "host_key.pub").read_text().split()
        (self.folder / "known_hosts").write_text(f"{self.name} {key[0]} {key[1]}\n")
        way = f"ProxyCommand nsenter --net=/run/netns/{self.name} nc"
        self.ssh_config.write_text(
            f"Host {self.name}\n  {way} 127.0.0.1 22\n  HostKeyAlias {self.name}\n"
            f"Host 192.0.2.*\n  {way} %h %p\n"
            f"Host *\n  IdentityFile {self.folder}/id\n  IdentitiesOnly yes\n  UserKnownHostsFile {self.folder}/known_hosts\n"
        )

    def sh(self, *argv: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a program on this host and return what it printed."""
        entered = ["nsenter", "--target", str(self._inner), "--mount", "--net", "--pid", "--", *argv]
        done = subprocess.run(entered, check=False, capture_output=True, text=True, input=stdin)
        assert not check or done.returncode == 0, done
        return done.stdout

    def virsh(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """Ask its libvirt."""
        return self.sh("virsh", "-q", "-c", "qemu:///system", *words, check=check, stdin=stdin)

    def stop(self) -> None:
        """End it with everything that runs in it."""
        if self._process is not None:
            if self._inner:
                os.kill(self._inner, signal.SIGKILL)
            self._process.kill()
            self._process.wait(timeout=30)
        subprocess.run(["ip", "netns", "del", self.name], check=False)
