"""Inventories that Ansible itself has to read: INI files, and, only where that was asked for, scripts and plugins.

`ansible-inventory --list` runs as a process of its own: it prints values as they are written (templates are not run), it
brings group_vars and host_vars along, and nothing of Ansible's global state gets into this program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from controlplane.adapters.inventory_sources import Given, RawHost, RawInventory, taken
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.faults import Nowhere, Source

LIMIT_S: Final = 300
# Without these two nothing but data is read; scripts and plugins need the others.
STATIC_PLUGINS: Final = "ini,yaml"


def list_inventory(source: Path, *, dynamic: bool) -> RawInventory:
    """Return what Ansible makes of `source`; `dynamic` allows scripts and plugins. InputInvalidError if it can't read it."""
    program = Path(sys.executable).with_name("ansible-inventory")
    try:
        with tempfile.TemporaryDirectory(prefix="controlplane-inventory-") as folder:
            done = subprocess.run(
                [str(program), "-i", str(source.absolute()), "--list"],
                env=_environment(Path(folder), dynamic=dynamic),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
            )
    except FileNotFoundError:
        raise _refusal(source, f"needs {program}, which is missing: install ansible-core beside this program") from None
    except subprocess.TimeoutExpired:
        raise _refusal(source, f"was not read within {LIMIT_S} s: see what its script or plugin waits for") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[-400:]
        raise _refusal(source, f"is nothing that Ansible reads: {said}")
    return _raw(json.loads(done.stdout), Nowhere(str(source)))


def _environment(folder: Path, *, dynamic: bool) -> dict[str, str]:
    base = dict(os.environ) if dynamic else {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    base["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{base.get('PATH', os.defpath)}"
    base |= {"LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"}
    base["ANSIBLE_DEPRECATION_WARNINGS"] = "0"
    if not dynamic:
        # An empty configuration, because one in the current folder could enable more than data.
        configuration = folder / "ansible.cfg"
        configuration.touch()
        base |= {"ANSIBLE_CONFIG": str(configuration), "ANSIBLE_INVENTORY_ENABLED": STATIC_PLUGINS}
    return base


def _raw(listed: dict[str, Any], document: Source) -> RawInventory:
    raw = RawInventory()
    for name, node in listed.items():
        if name == "_meta":
            continue
        group = raw.group(name)
        group.children |= set(node.get("children", ()))
        group.hosts |= set(node.get("hosts", ()))
        for host in group.hosts:
            raw.hosts.setdefault(host, RawHost(Given(host, document, (host,))))
    for host, variables in listed.get("_meta", {}).get("hostvars", {}).items():
        owner = raw.hosts.setdefault(host, RawHost(Given(host, document, (host,))))
        owner.variables = taken(variables, document, (host,))
    return raw


def _refusal(source: Path, message: str) -> InputInvalidError:
    return InputInvalidError([Fault(str(source), 0, "", message)])
