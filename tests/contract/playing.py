"""Play tasks of a collection against a server, as a role would: with the real modules, the token's secret and the CA in the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.proxmox.server import ProxmoxServer

Task = Mapping[str, Any]
_LIMIT = 120


def collection_missing() -> str | None:
    """Say why community.proxmox can't be played; None where it is installed."""
    given = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "~/.ansible/collections:/usr/share/ansible/collections").split(":")
    places = [Path(sysconfig.get_paths()["purelib"]), *(Path(one).expanduser() for one in given if one)]
    if any((place / "ansible_collections/community/proxmox/MANIFEST.json").is_file() for place in places):
        return None
    return "the collection community.proxmox is not installed: script/setup brings it where the package `ansible` can be had"


@dataclass
class Play:
    """How a play ended: its exit code, what it printed, each task's result by the task's name."""

    rc: int
    output: str
    results: dict[str, dict[str, Any]] = field(default_factory=dict)


def play(server: ProxmoxServer, folder: Path, tasks: Sequence[Task], *, watch: Callable[[], None] | None = None, **environment: str | None) -> Play:
    """Play tasks on localhost; `watch` is called again and again while they run; a variable that is None is left out."""
    (folder / "play.yml").write_text(json.dumps([_against(server, tasks)]))
    trust = {"PROXMOX_TOKEN_SECRET": server.secret, "REQUESTS_CA_BUNDLE": str(server.ca)}
    rc, output = _run(folder, {**trust, **environment}, watch=watch)
    return Play(rc, output, _results(output))


def play_each(folder: Path, plays: Mapping[str, tuple[ProxmoxServer, Sequence[Task]]], *, untrusted: Sequence[str] = ()) -> dict[str, Play]:
    """Play tasks by name, each against its server and on a host of its own; those of `untrusted` are told no CA. `rc` is 1 where a task failed.

    One start of Ansible does them all, for it takes longer than most tasks. What fails is gone on behind: it would end the plays that follow.
    """
    whole = []
    for name, (server, tasks) in plays.items():
        trust = {} if name in untrusted else {"REQUESTS_CA_BUNDLE": str(server.ca)}
        told = {"PROXMOX_TOKEN_SECRET": server.secret, **trust}
        whole.append({**_against(server, tasks), "name": name, "hosts": name, "environment": told, "ignore_errors": True})
    (folder / "play.yml").write_text(json.dumps(whole))
    _, output = _run(folder, {"ANSIBLE_PIPELINING": "1"}, hosts=list(plays))
    told_of = {part.partition("]")[0]: part for part in output.split("\nPLAY [")[1:]}
    return {name: Play(int("\nfatal: [" in told_of[name]), told_of[name], _results(told_of[name])) for name in plays}


def _against(server: ProxmoxServer, tasks: Sequence[Task]) -> dict[str, Any]:
    user, _, token = server.token_id.partition("!")
    login = {"api_host": "localhost", "api_port": server.port, "api_user": user, "api_token_id": token, "validate_certs": True}
    head = {"hosts": "localhost", "connection": "local", "gather_facts": False, "module_defaults": {"group/community.proxmox.proxmox": login}}
    return {**head, "vars": {"ansible_python_interpreter": sys.executable}, "tasks": list(tasks)}


def _run(
    folder: Path, environment: Mapping[str, str | None], *, hosts: Sequence[str] = ("localhost",), watch: Callable[[], None] | None = None
) -> tuple[int, str]:
    given: dict[str, str | None] = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "ansible/tmp"),
        "ANSIBLE_COLLECTIONS_PATH": os.environ.get("ANSIBLE_COLLECTIONS_PATH"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_NOCOLOR": "1",
        **environment,
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", f"{','.join(hosts)},", "-vvv", "play.yml"]
    clean = {key: value for key, value in given.items() if value is not None}
    out = folder / "output"
    with (
        out.open("w") as written,
        subprocess.Popen(command, cwd=folder, env=clean, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT) as process,
    ):
        end = time.monotonic() + _LIMIT
        while process.poll() is None and time.monotonic() < end:
            if watch is not None:
                watch()
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
    return process.returncode, out.read_text()


def _results(output: str) -> dict[str, dict[str, Any]]:
    """Return the last result that each task printed; what follows the name of the host is JSON."""
    found: dict[str, dict[str, Any]] = {}
    name = ""
    for start in range(len(lines := output.splitlines())):
        line = lines[start]
        if line.startswith("TASK ["):
            name = line.removeprefix("TASK [").partition("]")[0]
        elif line.startswith(("ok: [", "changed: [", "fatal: [")) and "=> {" in line:
            told, _ = json.JSONDecoder().raw_decode("\n".join([line.partition("=> ")[2], *lines[start + 1 :]]))
            found[name] = told
    return found


class Spy:
    """Looks for a secret in the arguments of every process and in the files below a folder."""

    def __init__(self, secret: str, folder: Path) -> None:
        self.secret, self.folder = secret.encode(), folder
        self.seen: set[str] = set()
        self.looks = 0

    def __call__(self) -> None:
        self.looks += 1
        # os.walk goes on where a folder that it has just seen is gone.
        files = [Path(folder, name) for folder, _, names in os.walk(self.folder) for name in names]
        for path in [*Path("/proc").glob("[0-9]*/cmdline"), *files]:
            try:
                if self.secret in path.read_bytes():
                    self.seen.add(path.name)
            except OSError:
                continue
