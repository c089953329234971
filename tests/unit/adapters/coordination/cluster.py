"""A PostgreSQL server of the tests' own: unprivileged, on a socket in a temporary folder, without a port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

_SETTINGS = ("listen_addresses=", "fsync=off", "max_connections=40", "shared_buffers=16MB", "autovacuum=off")


def missing_reason() -> str | None:
    """Say why there can't be one here, or None."""
    if not _programs():
        return "PostgreSQL's server is not installed (/usr/lib/postgresql/*/bin/initdb): apt-get install postgresql"
    if os.geteuid() == 0 and _user() is None:
        return "there is neither a user postgres nor nobody here, and PostgreSQL does not run as root"
    return None


class Cluster:
    """One server, with more settings where they are given; each test gets a schema of its own in it."""

    def __init__(self, *settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="controlplane-pg-"))
        self._count = 0
        self._as: tuple[str, ...] = ()
        user = _user() if os.geteuid() == 0 else None
        if user is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            # The server ends with whoever started it, also where that is killed.
            self._as = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig=INT")
        programs, data = _programs()[-1], self.folder / "data"
        self._run(programs / "initdb", "-D", data, "-U", "controlplane", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions")
        self._words = [
            *self._as,
            programs / "postgres",
            "-D",
            data,
            "-k",
            self.folder,
            *(word for one in (*_SETTINGS, *settings) for word in ("-c", one)),
        ]
        self.start()

    def start(self) -> None:
        """Start the server, also once more after `end`: what it holds is kept."""
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        self._wait()

    def url(self) -> str:
        """Return a store's URL with a schema that is new and empty."""
        import psycopg

        self._count += 1
        name = f"t{self._count}"
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self._url}&options=-csearch_path%3D{name}"

    def end(self) -> None:
        """End the server by its own id."""
        self._server.send_signal(signal.SIGINT)
        try:
            self._server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(timeout=20)

    def stop(self) -> None:
        """End the server, and remove the folder."""
        self.end()
        shutil.rmtree(self.folder)

    def renumber(self, *, epoch: int, following: int) -> None:
        """Let the ended server's next transaction be that one, after so many rounds: all its databases have to be frozen."""
        program = _programs()[-1] / "pg_resetwal"
        self._run(program, "-f", "-e", str(epoch), "-x", str(following), "-D", self.folder / "data")

    def address(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://controlplane@/{database}?host={self.folder}"

    @property
    def _url(self) -> str:
        return self.address()

    def _run(self, *words: str | Path) -> None:
        subprocess.run([*self._as, *words], stdin=subprocess.DEVNULL, capture_output=True, check=True, cwd="/", timeout=120)

    def _wait(self) -> None:
        import psycopg

        until = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self._url).close()
            except psycopg.OperationalError:
                assert self._server.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return


def _programs() -> list[Path]:
    return sorted((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), key=lambda path: int(path.parent.name))


def _user() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None
