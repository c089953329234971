"""Say which host key a machine offers when it isn't the pinned one, so that a person can compare it; nothing is ever accepted here."""

from __future__ import annotations

import re
import shlex
import subprocess

from controlplane.adapters.ansible_project import environment
from controlplane.domain.inventory import InventoryHost

_OFFERED = re.compile(r"Server host key: (\S+) (SHA256:\S+)")
_SECONDS = 15


def is_about_host_key(message: str) -> bool:
    """Say whether ssh refused a connection because of the machine's key."""
    lowered = message.lower()
    return "host key verification failed" in lowered or "host key is known" in lowered or "host identification has changed" in lowered


def offered_key(host: InventoryHost) -> str | None:
    """Return the type and fingerprint of the key that the machine offers by the host's own route, or None where none was offered."""
    variables = host.variables
    argv = ["ssh", "-v", "-o", "BatchMode=yes", "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", f"ConnectTimeout={_SECONDS}"]
    for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        argv += shlex.split(str(variables.get(name, "")))
    if "ansible_port" in variables:
        argv += ["-p", str(variables["ansible_port"])]
    # Verification comes before any login, and the key is wrong: this never gets further than the key.
    argv += ["-o", "StrictHostKeyChecking=yes", "--", str(variables.get("ansible_host", host.name)), "true"]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS * 2,
            check=False,
            env=environment({}),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _OFFERED.search(done.stderr)
    return f"{found[1]} {found[2]}" if found else None


def host_key_advice(host: InventoryHost) -> str:
    """Return what happened and what to do next, with the fingerprint where one was offered."""
    offered = offered_key(host)
    told = f"it offers {offered}" if offered else "what it offers could not be read"
    return (
        f"its host key is not the pinned one, or none is pinned: {told}. Compare that with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' "
        "on the machine's own console, and add the key to known_hosts only if they are equal"
    )
