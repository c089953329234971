"""One machine from its policy to its ready receipt, by the commands that an operator types, and how long each phase takes."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.operating import Said
from tests.vm.libvirt_host import LibvirtHost
from tests.vm.provisioning import ADDRESS, NAME, Site, new_site

MOUNT = "/mnt/data0001"
ENTRY = {"docker": {"data_root": f"{MOUNT}/docker", "containerd_root": f"{MOUNT}/containerd", "log": {"max_size": "10MB", "max_files": 3}}}
PROFILE = {
    "agent": True,
    "baseline": {
        "packages": ["tini"],
        "services": ["cron.service"],
        "time": "none",
        "docker": {"packages": ["docker.io", "docker-cli"]},
        "monitoring": {"packages": ["prometheus-node-exporter"], "unit": "prometheus-node-exporter.service"},
    },
}
# The unit in which the program lets apt work, and what the machine's own download leaves once apt's lists are read.
INSTALLATION, LISTS_READ = "controlplane-vm-bootstrap.service", "/run/controlplane-prefetch/lists"
# Under emulation a probe may take too long: what only looked, and was left in doubt, looks again.
_LOOKS = ("provision", "bootstrap", "ready")


@dataclass
class Newborn:
    """The machine and its site, what each verb said, the seconds of each phase, and what a boot and the packages took by themselves."""

    site: Site
    said: dict[str, Said] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    first_boot: float = 0.0
    packages: float = 0.0
    reboot: float = 0.0

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def floor(self) -> float:
        """Return what boots and packages take, whoever asks for them."""
        return self.first_boot + self.packages + self.reboot

    def ssh(self, command: str) -> str:
        """Run a command on the machine by its pinned key."""
        options = ["-F", str(self.site.host.ssh_config), "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.site.site}/known_hosts"]
        options += ["-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=5"]
        return subprocess.run(["ssh", *options, f"ops@{ADDRESS}", command], capture_output=True, text=True, check=True, timeout=400).stdout.strip()


def bring_to_life(host: LibvirtHost, folder: Path) -> Newborn:
    """Provision, bootstrap, reboot, judge; each verb has to end as it should."""
    made = Newborn(new_site(host, folder))
    made.site.write(size="3GB", entry=ENTRY, profile=PROFILE)
    _verb(made, "preview", 3, "provision", NAME, "--out", _file(made, "machine.json"))
    with _Answering(host) as answering:
        _verb(made, "machine", 0, "apply", _file(made, "machine.json"), "-o", "json")
    # sshd answers before all is started, and nobody can judge the machine before that.
    made.first_boot = answering.seconds + _starting_after_sshd(made)
    _verb(made, "preview of the baseline", 3, "bootstrap", NAME, "--out", _file(made, "baseline.json"))
    _verb(made, "baseline", 0, "apply", _file(made, "baseline.json"), "-o", "json")
    journal = made.ssh(f"sudo journalctl --no-pager --output short-unix --unit {INSTALLATION}")
    # The file is as old as the reading's begin, and got its name at its end.
    made.packages = package_seconds(journal, made.ssh(f"sudo stat --format '%.3Y %.3Z' {LISTS_READ}"))
    _verb(made, "reboot and ready", 0, "ready", NAME, "--after-reboot", "-o", "json")
    made.reboot = _plain_reboot(made)
    assert min(made.first_boot, made.packages, made.reboot) > 0, made
    return made


def _file(made: Newborn, name: str) -> str:
    return str(made.site.file(name))


def _verb(made: Newborn, phase: str, code: int, *words: str) -> None:
    began = time.monotonic()
    said = made.site.run(*words)
    if said.code == 5 and words[0] in _LOOKS:
        said = made.site.run(*(word for word in words if word != "--after-reboot"))
    made.seconds[phase] = time.monotonic() - began
    assert said.code == code, (phase, said)
    made.said[phase] = said


class _Answering:
    """How long after its emulator was started the machine's sshd answers for the first time, watched from beside."""

    def __init__(self, host: LibvirtHost) -> None:
        self.seconds = 0.0
        self._host = host
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Answering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        started = 0.0
        while not self._over.is_set() and not self.seconds:
            if not started:
                running = self._host.virsh("domstate", NAME, check=False).strip() == "running"
                started = time.monotonic() if running else 0.0
            elif _answers(self._host):
                self.seconds = time.monotonic() - started
            self._over.wait(0.5)


def _answers(host: LibvirtHost) -> bool:
    done = host.sh("sh", "-c", f"echo | timeout 5 nc -w 5 {ADDRESS} 22 || true", check=False)
    return done.startswith("SSH-2.0")


def package_seconds(journal: str, read: str) -> float:
    """Return the seconds that apt works for the packages, by systemd's own word, as it would take them one after the other.

    Of what the machine does by itself from its first boot on, `read` are the begin and the end of reading apt's lists, in seconds since the epoch:
    the installation then leaves that out. The rest of it does not count: this image's packages lie in a folder of its own, so there is nothing to
    download, and what apt does with them there the installation does again. Seconds in which both work count once. That reading goes on beside the
    end of the boot and the program's own steps, so it may take a little longer than by itself, and starting it is part of the boot: a second or two.
    """
    begun, ended = (
        [float(at) for at in re.findall(rf"^(\d+\.\d+) .* {word}", journal, re.MULTILINE)]
        for word in (rf"Started {INSTALLATION}", rf"{INSTALLATION}: Deactivated")
    )
    at_work = sorted([tuple(map(float, read.split())), *zip(begun, ended, strict=True)])
    total, until = 0.0, 0.0
    for start, end in at_work:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _starting_after_sshd(made: Newborn) -> float:
    """Return the seconds between sshd's start and the end of the boot that the machine is in, or has behind it."""
    made.ssh("sudo timeout 300 systemctl is-system-running --wait || true")
    told = made.ssh("systemctl show -p FinishTimestampMonotonic; systemctl show ssh.service -p ActiveEnterTimestampMonotonic")
    at = {key: int(value) / 1e6 for key, value in (line.split("=") for line in told.splitlines())}
    return max(0.0, at["FinishTimestampMonotonic"] - at["ActiveEnterTimestampMonotonic"])


def _plain_reboot(made: Newborn, limit_s: float = 600) -> float:
    """Return the seconds from asking for a reboot until all that starts at boot is started."""
    before = made.ssh("cat /proc/sys/kernel/random/boot_id")
    began = time.monotonic()
    # The connection may be gone before it says that it did it.
    with suppress(subprocess.SubprocessError):
        made.ssh("sudo systemctl --no-block reboot")
    while time.monotonic() - began < limit_s:
        time.sleep(1)
        with suppress(subprocess.SubprocessError):
            if made.ssh("cat /proc/sys/kernel/random/boot_id") != before:
                made.ssh("sudo timeout 300 systemctl is-system-running --wait || true")
                return time.monotonic() - began
    raise AssertionError(f"{NAME} did not come back within {limit_s} s")
