"""A real registry on this host for the time of a test: Debian's docker-registry, with TLS by a CA of its own.

Rules:
- It listens on 127.0.0.1 alone. A lab machine reaches it through a door, under a name and an address that exist on that machine only.
- That address is none of 127.0.0.0/8: Docker asks nobody there for a certificate that it can trust.
- What was started is ended by its process, whatever happens.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.releases.doors import Door

if TYPE_CHECKING:
    from tests.lab.conftest import LabMachine

PROGRAM = "docker-registry"
HOST, PORT = "registry.test", 5000
NAME = f"{HOST}:{PORT}"
# Kept for documentation, so it is nobody's; only the loopback of a machine ever has it.
ADDRESS = "198.51.100.10"
_CONFIG = """version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/storage}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}", secret: none, tls: {{certificate: {folder}/server.crt, key: {folder}/server.key}}}}
"""
USER, PASSWORD = "lab", "lab-login"
_LOGIN = "auth: {{htpasswd: {{realm: lab, path: {folder}/htpasswd}}}}\n"
# bcrypt of the password above, as `htpasswd -B` writes it.
_HTPASSWD = f"{USER}:$2b$05$AQ9XVuK/In9nNJDfyU.lLess5pdJK.PGjrp7qZLXwaVwxlXe4Gzb2\n"


def missing() -> str | None:
    """Return why there can be no registry here, or None."""
    return None if shutil.which(PROGRAM) else f"there is no {PROGRAM}; install it with: apt-get install {PROGRAM}"


class Registry:
    """Runs while the block does; `stop` and `start` may be called in it. Its storage lies in `folder` and stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        _make_certificates(folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        (folder / "config.yml").write_text(_CONFIG.format(folder=folder, port=self.port))
        self._process: subprocess.Popen[bytes] | None = None
        self._doors: list[Door] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for door in self._doors:
            door.close()
        self.stop()

    def start(self, limit_s: float = 20) -> None:
        """Start it, at the same port each time, and return as soon as it answers."""
        with (self.folder / "log").open("ab") as log:
            # It ends with this process even where that is killed.
            argv = ["setpriv", "--pdeathsig", "KILL", PROGRAM, "serve", str(self.folder / "config.yml")]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + limit_s
        while True:
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            try:
                connection = self.connect()
                connection.request("GET", "/v2/")
                assert connection.getresponse().status in (200, 401)
            except OSError:
                assert time.monotonic() < deadline, "the registry does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Kill it as a machine that loses its power would; every connection breaks."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def ask_for_a_login(self) -> None:
        """Start it anew, and from then on give nothing to who has not logged in."""
        self.stop()
        (self.folder / "htpasswd").write_text(_HTPASSWD)
        with (self.folder / "config.yml").open("a") as config:
            config.write(_LOGIN.format(folder=self.folder))
        self.start()

    def is_down(self) -> bool:
        """Say whether it does not run."""
        return self._process is None

    def stop_after(self, count: int) -> None:
        """Let it die once it has sent the machines `count` more bytes: in the middle of a pull."""
        for door in self._doors:
            door.after(count, self.stop)

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection from this host."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=ssl.create_default_context(cafile=self.folder / "ca.crt"), timeout=60)

    def open_to(self, machine: LabMachine, *, trusted: bool = True) -> None:
        """Let a machine reach it under its name; its Docker trusts it, without a restart, unless a test wants it otherwise."""
        namespace = machine.lab.home.machine(machine.name)
        subprocess.run(["ip", "-n", namespace.namespace, "address", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
        self._doors.append(Door((ADDRESS, PORT), ("127.0.0.1", self.port), listen_in=namespace.namespace_path))
        machine.sh(f"grep -q {HOST} /etc/hosts || echo {ADDRESS} {HOST} >> /etc/hosts")
        # Docker looks at a file of hosts that it has read for five seconds.
        deadline = time.monotonic() + 20
        while "lookup" in (said := machine.run(["docker", "pull", f"{NAME}/nothing"]).stderr):
            assert time.monotonic() < deadline, said
            time.sleep(0.5)
        if trusted:
            self.trust_on(machine)

    def trust_on(self, machine: LabMachine) -> None:
        """Give a machine's Docker the CA."""
        done = machine.run(["install", "-D", "-m", "0644", "/dev/stdin", f"/etc/docker/certs.d/{NAME}/ca.crt"], stdin=self.folder / "ca.crt")
        assert done.returncode == 0, done


def _make_certificates(folder: Path) -> None:
    """Make a CA and the server's certificate, for its name on the machines and its address here; both end after a day."""
    fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca, server = folder / "ca.crt", folder / "server.crt"
    ca_key, request = folder / "ca.key", folder / "server.csr"
    (folder / "names").write_text(f"subjectAltName=DNS:{HOST},IP:127.0.0.1\n")
    for argv in (
        ["req", "-x509", *fresh, "-keyout", ca_key, "-out", ca, "-days", "1", "-subj", "/CN=A CA of the lab"],
        ["req", *fresh, "-keyout", folder / "server.key", "-out", request, "-subj", f"/CN={HOST}"],
        ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", server, "-days", "1", "-extfile", folder / "names"],
    ):
        subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True)
