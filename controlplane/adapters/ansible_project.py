"""What every Ansible run here gets: a configuration, an environment and an inventory of our own, and nothing else of the operator's shell.

Rules:
- Host keys are checked. There is no option here that could switch that off.
- The inventory is JSON with only the hosts of the run; values are data, and one with template marks is refused, because Ansible would run it here.
- Python on a host is /usr/bin/python3 unless the inventory names another: discovery tries whatever PATH leads to first, shims included.
- One multiplexed connection belongs to one way of reaching one host: two machines behind different proxy commands may share address and port.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.inventory import InventoryHost, variable_fault

_KEPT_ENVIRONMENT = ("HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "KRB5CCNAME", "TZ", "ANSIBLE_COLLECTIONS_PATH")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def configuration(*, only_looks: bool, control_dir: Path, local_tmp: Path, ssh_options: Sequence[str] = ()) -> bytes:
    """Return ansible.cfg.

    Where the run `only_looks`, a connection that broke is tried once more, and each task is one round trip: a change might run twice, and with
    pipelining a remote command outlives its connection.
    """
    return f"""[defaults]
host_key_checking = True
gathering = explicit
fact_caching = memory
retry_files_enabled = False
deprecation_warnings = False
system_warnings = False
interpreter_python = /usr/bin/python3
local_tmp = {local_tmp}
nocows = True
timeout = 10

[inventory]
enable_plugins = ansible.builtin.yaml

[connection]
pipelining = {only_looks}

[ssh_connection]
pipelining = {only_looks}
control_path_dir = {control_dir}
retries = {1 if only_looks else 0}
ssh_args = {ssh_arguments(ssh_options)}
""".encode()


def ssh_arguments(ssh_options: Sequence[str], *, lasting: bool = True) -> str:
    """Return the options of every ssh; one that is not `lasting` keeps no connection, and so passes on what a jump host's ssh says of a failure."""
    # Without a path ssh keeps none of the operator's own configuration either.
    kept = "-o ControlMaster=auto -o ControlPersist=60s " if lasting else "-o ControlPath=none "
    return f"-o StrictHostKeyChecking=yes {kept}-o ServerAliveInterval=5 -o ServerAliveCountMax=3 {shlex.join(ssh_options)}"


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of ansible-playbook: the little that ssh and its agents need, a fixed locale and PATH, and `extra`."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    # Installed as a tool, ansible-playbook is on nobody's PATH but beside our own interpreter.
    path = f"{Path(sys.executable).parent}:{_SYSTEM_PATH}"
    # A jump host's ssh is started by ssh without any of our options: what it would ask of a terminal is answered by no at once.
    unasked = {"SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force"}
    return {**kept, "PATH": path, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "ANSIBLE_HOST_KEY_CHECKING": "True", **unasked, **extra}


def control_directory() -> Path:
    """Return a private folder for ssh's control sockets, short enough for a socket's 108 bytes; it outlasts a run, so that the next one is quick.

    Raises `RefusedError` where somebody else holds its name.
    """
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
    base = runtime if runtime.is_dir() and len(str(runtime)) < 40 else Path(tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp")  # noqa: S108 - made private below
    folder = base / f"controlplane-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise RefusedError(f"{folder} is not a private folder of this user: remove it, then run this again. Nothing was changed.")
    return folder


def inventory_json(hosts: Sequence[InventoryHost], *, variables: Mapping[str, Mapping[str, Any]], control_dir: Path) -> bytes:
    """Return an inventory of exactly these hosts with their connection variables and `variables` by host.

    Raises `InputInvalidError` for a connection variable that Ansible would not take as plain data.
    """
    faults = [
        Fault("inventory", 0, f"{host.name}.{name}", fault)
        for host in hosts
        for name, value in host.variables.items()
        if (fault := variable_fault(name, value)) is not None
    ]
    if faults:
        raise InputInvalidError(faults)
    entries = {host.name: {**_connection(host, control_dir), **variables.get(host.name, {})} for host in hosts}
    return json.dumps({"all": {"hosts": entries}}, sort_keys=True).encode()


def control_path(host: InventoryHost, control_dir: Path) -> str:
    """Return the socket of the multiplexed connection that belongs to this host by this way."""
    route = json.dumps([host.name, host.variables], sort_keys=True)
    return str(control_dir / hashlib.sha256(route.encode()).hexdigest()[:16])


def _connection(host: InventoryHost, control_dir: Path) -> dict[str, Any]:
    return {**host.variables, "ansible_control_path": control_path(host, control_dir)}
