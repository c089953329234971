"""Say which host key a machine offers when it isn't the pinned one, for a person to compare, and how ssh gets there; nothing is accepted here."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from controlplane.adapters.ansible_project import environment
from controlplane.adapters.known_hosts import ssh_options
from controlplane.domain.inventory import InventoryHost

_OFFERED = re.compile(r"Server host key: (\S+ SHA256:\S+)")
_ASKED = re.compile(r"Authenticating to (\S+) as ")
_SECONDS = 15


# What ssh says of a jump host that did not let it through: with a connection that is kept, it throws away what the jump host's ssh said.
# Where it did pass that on, nothing is left to ask: a connection that never came about, or one that the jump host itself could not pass on.
_NO_WAY = (
    *("no route to host", "connection refused", "connection timed out", "network is unreachable", "host is unreachable", "host is down"),
    *("could not resolve hostname", "stdio forwarding failed"),
)
_CLOSED_ON_THE_WAY = ("connection closed by unknown port", "connection reset by unknown port", "kex_exchange_identification", "banner exchange")


class Offer(NamedTuple):
    """The key (type and fingerprint) that was refused, and who offered it where that was a jump host on the way."""

    key: str
    jump: str | None


def is_about_host_key(message: str) -> bool:
    """Say whether ssh refused a connection because of the machine's key."""
    lowered = message.lower()
    return "host key verification failed" in lowered or "host key is known" in lowered or "host identification has changed" in lowered


class KeyTrouble:
    """Tells which failed connections failed over a host key; each way over a jump host is looked at once, however many machines lie behind it."""

    def __init__(self, known_hosts: Path | None = None) -> None:
        self._known_hosts = known_hosts
        self._ways: dict[tuple[str, ...], str | None] = {}

    def of(self, host: InventoryHost, message: str, *, lasting: bool = True) -> str | None:
        """Return what happened and what to do next, None where `message` tells of something else; `lasting` is of `ssh_arguments`."""
        if is_about_host_key(message):
            return host_key_advice(host, self._known_hosts)
        lowered = message.lower()
        if any(words in lowered for words in _NO_WAY) or not any(words in lowered for words in _CLOSED_ON_THE_WAY):
            return None
        way = tuple(_words(host))
        if way not in self._ways:
            if not _has_untold(host, lasting=lasting):
                return None
            said = _refusal(host, self._known_hosts)
            self._ways[way] = _advice(host, said) if is_about_host_key(said) else None
        return self._ways[way]


def offered_key(host: InventoryHost, said: str) -> Offer | None:
    """Return the key that was refused on the host's own route, or None where `said`, ssh's own words, tells of none."""
    # Each machine on the way says its own before the next one is asked: the last one is the one that was refused.
    key, asked, by = None, None, None
    for line in said.splitlines():
        if found := _ASKED.search(line):
            asked = found[1]
        elif found := _OFFERED.search(line):
            key, by = found[1], asked
    if key is None:
        return None
    return Offer(key, by if by is not None and by != _last_stop(host) else None)


def _refusal(host: InventoryHost, known_hosts: Path | None) -> str:
    """Return all that ssh says on the way to the host, up to the key that it refuses."""
    # Verification comes before any login, and the key is wrong: this never gets further than the key.
    said = _ssh(host, "-v", "-o", "StrictHostKeyChecking=yes", *ssh_options(known_hosts))
    return said.stderr if said is not None else ""


def is_relayed(host: InventoryHost) -> bool:
    """Say whether ssh gets to the host over another one or through a program, by its own reading of its configuration; no connection is made."""
    return bool(_relays(_settings(host)))


def _has_untold(host: InventoryHost, *, lasting: bool) -> bool:
    """Say whether more may be known on the way to the host than ssh passed on; no connection is made.

    Of a connection that is not kept a program on the way has said all that it ever says; the ssh to a jump host may have been told to be quiet, which
    one that is asked for its steps is not.
    """
    settings = _settings(host)
    relays = _relays(settings)
    return not settings or "proxyjump" in relays or (lasting and bool(relays))


def _relays(settings: Mapping[str, str]) -> list[str]:
    return [name for name in ("proxyjump", "proxycommand") if settings.get(name, "none") != "none"]


def _last_stop(host: InventoryHost) -> str | None:
    """Return "address:port" of the machine itself as ssh resolves it."""
    settings = _settings(host)
    return f"{settings['hostname']}:{settings['port']}" if {"hostname", "port"} <= settings.keys() else None


def _settings(host: InventoryHost) -> dict[str, str]:
    said = _ssh(host, "-G")
    return dict(line.split(" ", 1) for line in said.stdout.splitlines() if " " in line) if said is not None else {}


def _ssh(host: InventoryHost, *options: str) -> subprocess.CompletedProcess[str] | None:
    variables = host.variables
    argv = ["ssh", *options, "-o", "BatchMode=yes", "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", f"ConnectTimeout={_SECONDS}"]
    argv += _words(host)
    if "ansible_port" in variables:
        argv += ["-p", str(variables["ansible_port"])]
    argv += ["--", str(variables.get("ansible_host", host.name)), "true"]
    try:
        return subprocess.run(
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


def _words(host: InventoryHost) -> list[str]:
    return [word for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args") for word in shlex.split(str(host.variables.get(name, "")))]


def host_key_advice(host: InventoryHost, known_hosts: Path | None = None) -> str:
    """Return what happened and what to do next, with the fingerprint where one was offered."""
    return _advice(host, _refusal(host, known_hosts))


def _advice(host: InventoryHost, said: str) -> str:
    offer = offered_key(host, said)
    told = f"it offers {offer.key}" if offer else "what it offers could not be read"
    whose = f"the host key of {offer.jump}, a jump host on the way to it," if offer and offer.jump else "its host key"
    return (
        f"{whose} is not the pinned one, or none is pinned: {told}. Compare that with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' "
        f"on {'that' if offer and offer.jump else 'the'} machine's own console, and add the key to known_hosts only if they are equal"
    )
