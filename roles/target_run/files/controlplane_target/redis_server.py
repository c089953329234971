"""One Redis in its container: how it runs, where its data and its configuration file really lie, and what is in the way of a change.

Rules:
- The container's own passwords stay on this host: they come from its environment, its command line or its configuration file.
- A name that the container chose, such as its data folder's, is looked up within the container and followed nowhere else.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import inside
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .redis_client import Redis, RedisError, connect

_VARIABLES = ("REDIS_PASSWORD", "REDISCLI_AUTH", "VALKEY_PASSWORD")
_WRITING = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
# Each is harmless as it stands here, and is asked for with the rights that the real one needs.
_NEEDED = (
    ("CONFIG", "SET", "appendonly", "yes"),
    ("CLIENT", "PAUSE", "1", "WRITE"),
    ("CLIENT", "UNPAUSE"),
    ("BGSAVE",),
    ("LASTSAVE",),
    ("SCAN", "0"),
    ("SELECT", "0"),
    ("TYPE", "x"),
    ("GET", "x"),
    ("HGETALL", "x"),
    ("LRANGE", "x", "0", "-1"),
    ("SMEMBERS", "x"),
    ("ZRANGE", "x", "0", "-1"),
    ("XRANGE", "x", "-", "+"),
    ("XINFO", "GROUPS", "x"),
    ("XINFO", "CONSUMERS", "x", "y"),
    ("DUMP", "x"),
    ("PEXPIRETIME", "x"),
    ("OBJECT", "IDLETIME", "x"),
    ("TIME",),
)


@dataclass(frozen=True)
class Login:
    """How one logs in: the user, the variable of the container that has the password, and a password that only the controller knows."""

    user: str | None = None
    variable: str | None = None
    password: str | None = field(default=None, repr=False)


class Server:
    """The server of a container that runs. `settings` are those that were asked for, as they run."""

    def __init__(self, name: str, login: Login, port: int, file: str | None, engine: Engine | None = None) -> None:
        self.name = name
        self.engine = engine or Engine()
        inspection = self.engine.get(f"/containers/{name}/json")
        self.inspection: dict[str, Any] = inspection
        if not inspection["State"]["Running"]:
            raise RefusedFault(f"{name} does not run, and AOF is turned on while it does. Nothing was changed. Start it.")
        self.pid = int(inspection["State"]["Pid"])
        try:
            self.redis: Redis = connect(self.pid, port, user=login.user, passwords=self._passwords(login, file))
        except OSError as fault:
            raise FailedFault(f"{name} does not answer on its port {port}: {fault}") from fault

    def _passwords(self, login: Login, file: str | None) -> list[str]:
        if login.password is not None:
            return [login.password]
        config = self.inspection["Config"]
        environment = dict(str(pair).partition("=")[::2] for pair in config.get("Env") or [])
        found = [environment[name] for name in (login.variable, *_VARIABLES) if name and environment.get(name)]
        words = [self.inspection["Path"], *(self.inspection.get("Args") or [])]
        found += [str(words[at + 1]) for at, word in enumerate(words[:-1]) if word.lower() in ("--requirepass", "requirepass")]
        if file is not None:
            try:
                text = inside.read(self.pid, file).decode("utf-8", "surrogateescape")
            except OSError:
                text = ""
            found += [word.strip("\"'") for word in re.findall(r"^[ \t]*requirepass[ \t]+(\S+)", text, re.MULTILINE | re.IGNORECASE)]
        return list(dict.fromkeys(found))

    def mount_of(self, path: str) -> dict[str, Any] | None:
        """Return the mount of the container on which `path` lies, None where that is its writable layer."""
        held = [
            mount for mount in self.inspection["Mounts"] if path == mount["Destination"] or path.startswith(mount["Destination"].rstrip("/") + "/")
        ]
        return max(held, key=lambda mount: len(mount["Destination"]), default=None)

    def place_of(self, path: str) -> str:
        """Return where a path of the container lies on this host. Raises `RefusedFault` where it lies on no mount."""
        mount = self.mount_of(path)
        if mount is None or mount["Type"] not in ("bind", "volume"):
            raise RefusedFault(f"{path} of {self.name} lies in its own layer, which is gone once it is made anew. Nothing was changed.")
        return os.path.normpath(f"{mount['Source']}/{os.path.relpath(path, mount['Destination'])}")

    def is_written_in_layer(self, path: str) -> bool:
        """Say whether a path lies on no mount and differs from the image's: it is gone once the container is made anew."""
        if self.mount_of(path) is not None:
            return False
        return any(change["Path"] == path for change in self.engine.get(f"/containers/{self.name}/changes") or [])

    @contextmanager
    def data_folder(self) -> Iterator[int]:
        """Open the folder that Redis itself names as its `dir`."""
        path = self.redis.settings(["dir"])["dir"]
        with inside.opened(self.pid, path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            yield folder

    def names(self) -> dict[str, str]:
        """Return the names of its files in its data folder. Raises `FailedFault` for one that leads elsewhere: whoever answers chose it."""
        named = self.redis.settings(["appenddirname", "appendfilename", "dbfilename"])
        for setting, name in named.items():
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise FailedFault(f"{self.name} names its {setting} {name!r}, which is no plain name")
        return named

    def aof_names(self) -> list[str]:
        """Return the entries of its data folder that are append-only files: from 7 on a folder with a manifest, before that one file."""
        named = self.names()
        with self.data_folder() as folder:
            return [name for name in (named["appenddirname"], named["appendfilename"]) if _filled(folder, name)]

    def has_manifest(self) -> bool:
        """Say whether the append-only file is really on disk: the status reads ok before it is."""
        named = self.names()
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with self.data_folder() as folder:
            try:
                held = os.open(named["appenddirname"], flags, dir_fd=folder)
            except OSError:
                return False
            try:
                seen = os.stat(f"{named['appendfilename']}.manifest", dir_fd=held, follow_symlinks=False)
                return stat.S_ISREG(seen.st_mode) and seen.st_size > 0
            except OSError:
                return False
            finally:
                os.close(held)

    def lacking_rights(self) -> list[str]:
        """Return the commands that its user may not run, empty where it may not ask for that either."""
        try:
            user = self.redis.text("ACL", "WHOAMI")
            said = [(words, self.redis.text("ACL", "DRYRUN", user, *words)) for words in _NEEDED]
        except RedisError:
            return []
        return [" ".join(words[:2]) if words[0] in ("CONFIG", "CLIENT", "OBJECT", "XINFO") else words[0] for words, answer in said if answer != "OK"]

    def await_file(self, limit_s: float) -> None:
        """Return once the append-only file is written and nothing works on it. Raises `FailedFault`."""
        end = time.monotonic() + limit_s
        while True:
            seen = self.redis.info("persistence")
            # The status is that of the last one, also while the next one works.
            if all(seen.get(key) == "0" for key in _WRITING):
                if seen.get("aof_last_bgrewrite_status") != "ok":
                    raise FailedFault(
                        f"{self.name} could not write its append-only file: look at its log ('docker logs {self.name}') and at the disk"
                    )
                if self.has_manifest():
                    return
            if time.monotonic() > end:
                raise FailedFault(f"{self.name} still writes its first append-only file after {limit_s:.0f} s; it goes on by itself")
            time.sleep(0.1)

    def await_saved(self, limit_s: float) -> None:
        """Write dump.rdb anew and return once it is on disk. Raises `FailedFault`."""
        self.await_quiet(limit_s)
        before = self.redis.ask("LASTSAVE")
        # It tells whole seconds: within the same one a new dump could not be told from the one before.
        time.sleep(1.1)
        try:
            self.redis.ask("BGSAVE")
        except RedisError:
            # It began to write by itself since it was quiet: one dump at a time.
            self.await_quiet(limit_s)
            self.redis.ask("BGSAVE")
        self.await_quiet(limit_s)
        if self.redis.info("persistence").get("rdb_last_bgsave_status") != "ok" or self.redis.ask("LASTSAVE") == before:
            raise FailedFault(f"{self.name} could not write its dump: look at its log ('docker logs {self.name}') and at the disk")

    def await_quiet(self, limit_s: float) -> None:
        """Return once it writes no file as a whole: told to end within that, it may not, and is killed. Raises `FailedFault`."""
        end = time.monotonic() + limit_s
        while True:
            seen = self.redis.info("persistence")
            if all(seen.get(key) == "0" for key in ("rdb_bgsave_in_progress", *_WRITING)):
                return
            if time.monotonic() > end:
                raise FailedFault(f"{self.name} still writes to its disk after {limit_s:.0f} s")
            time.sleep(0.1)


def _filled(folder: int, name: str) -> bool:
    """Say whether an entry of a folder is a file, or a folder with something in it."""
    try:
        held = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except NotADirectoryError:
        return True
    except FileNotFoundError:
        return False
    try:
        return bool(os.listdir(held))
    finally:
        os.close(held)


def free_name(folder: int, name: str) -> str:
    """Return `name`, or the first with a number that nothing in the folder has."""
    for candidate in (name, *(f"{name}.{number}" for number in range(2, 1000))):
        try:
            os.lstat(candidate, dir_fd=folder)
        except FileNotFoundError:
            return candidate
    raise FailedFault(f"a thousand names like {name} are taken: clear them")


def inspected(name: str, engine: Engine | None = None) -> dict[str, Any] | None:
    """Return a container as Docker tells it, None where there is none of this name. Raises `OSError`, `FailedFault` where Docker can't say."""
    status, answer = (engine or Engine()).call("GET", f"/containers/{name}/json")
    if status not in (200, 404):
        raise FailedFault(f"Docker does not say how {name} is: {(answer or {}).get('message', status)}. Look at Docker's log, then run this again")
    return dict(answer) if status == 200 else None


def state_of(name: str, engine: Engine | None = None) -> dict[str, Any] | None:
    """Return Docker's state of a container, None where there is none of this name. Raises `OSError`, `FailedFault`."""
    held = inspected(name, engine)
    return None if held is None else dict(held["State"])


def start(name: str, engine: Engine | None = None) -> None:
    """Start a container that stands still. Raises `FailedFault`."""
    status, answer = (engine or Engine()).call("POST", f"/containers/{name}/start")
    if status not in (204, 304):
        raise FailedFault(f"{name} does not start: {(answer or {}).get('message', status)}")


def set_restart(container: str, policy: dict[str, Any], engine: Engine | None = None) -> None:
    """Set a container's restart policy; one that is gone has none. Raises `FailedFault`."""
    status, answer = (engine or Engine()).call("POST", f"/containers/{container}/update", body={"RestartPolicy": policy})
    if status not in (200, 404):
        raise FailedFault(
            f"the restart policy of {container} can't be set: {(answer or {}).get('message', status)}. It shall be {policy['Name']}: see that "
            f"'docker update --restart {policy['Name']} {container}' works (Docker's log says why it does not), then run this again"
        )
