"""The site's own known_hosts file: the host keys of machines that were made from here, known before anybody connects.

Rules:
- A key is only ever added. One of the same type that differs is told with both fingerprints and stays.
- The file is used beside the operator's own known_hosts and the system's; host keys are checked as strictly as before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from controlplane.adapters.durable_files import write_durably
from controlplane.domain.inventory import InventoryHost

NAME = "known_hosts"
_SYSTEM = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


def ssh_options(file: Path | None) -> tuple[str, ...]:
    """Return the options by which ssh knows the keys in `file` too; none where there is no such file."""
    if file is None or not file.is_file():
        return ()
    quoted = str(file.absolute()).replace("\\", "\\\\").replace('"', '\\"')
    return ("-o", f'GlobalKnownHostsFile={" ".join(_SYSTEM)} "{quoted}"')


class SiteKnownHosts:
    """Adds keys to one file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pin(self, host: InventoryHost, keys: Sequence[str]) -> str | None:
        """Add the host's public keys ('type base64') under the names by which ssh looks them up; return why that can't be, or None."""
        names = _names(host)
        added = []
        for kind, blob in (key.split()[:2] for key in keys):
            if _fingerprint(blob) is None:
                return f"the {kind} host key that {host.name} was born with can't be read"
            missing = []
            for name in names:
                known = [found for found in self._known(name) if found[0] == kind]
                other = next((found for found in known if found[1] != blob), None)
                if other is not None:
                    return (
                        f"{self._file} has another {kind} host key for {name}: {_fingerprint(other[1])}, and the machine was born with "
                        f"{_fingerprint(blob)}. Nothing was changed there. If the old machine is gone, remove its line with "
                        f"'ssh-keygen -R {name} -f {self._file}', then apply the same plan again"
                    )
                if not known:
                    missing.append(name)
            added += [f"{','.join(missing)} {kind} {blob}\n"] if missing else []
        if added:
            text = self._file.read_text() if self._file.exists() else ""
            text += "" if not text or text.endswith("\n") else "\n"
            write_durably(self._file, (text + "".join(added)).encode(), mode=0o644)
        return None

    def strangers(self, hosts: Sequence[InventoryHost]) -> list[InventoryHost]:
        """Return those of the hosts that the file surely has no key of; a hashed line may be anybody's. No process is started for it."""
        text = self._file.read_text(errors="replace") if self._file.is_file() else ""
        fields = [line.split() for line in text.splitlines() if not line.startswith("#")]
        # A mark such as @revoked may stand before the names; a line that has none after it is nobody's.
        named = {name for words in fields for first in words[bool(words) and words[0].startswith("@") :][:1] for name in first.split(",")}
        if any(name.startswith("|") or set(name) & set("*?!") for name in named):
            return []
        return [host for host in hosts if not named & set(_names(host))]

    def _known(self, name: str) -> list[tuple[str, str]]:
        """Return type and key of each line for this name; names may be hashed."""
        if not self._file.exists():
            return []
        argv = ["ssh-keygen", "-F", name, "-f", str(self._file)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        rows = [line.split() for line in done.stdout.splitlines() if line and not line.startswith(("#", "@"))]
        return [(row[1], row[2]) for row in rows if len(row) >= 3]


def _names(host: InventoryHost) -> tuple[str, ...]:
    """Return what ssh looks up: the address and the inventory's name, with the port where that is not 22."""
    port = str(host.variables.get("ansible_port", 22))
    names = dict.fromkeys((str(host.variables.get("ansible_host", host.name)), host.name))
    return tuple(name if port == "22" else f"[{name}]:{port}" for name in names)


def _fingerprint(blob: str) -> str | None:
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except (binascii.Error, ValueError):
        return None
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
