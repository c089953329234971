"""Collect evidence through Ansible: one play with one task, one remote execution a host.

Rules:
- A host that gave no whole, well-formed answer gave none: the reason is returned in its place.
- What a host prints around the answer (banners, profiles, sudo) is passed over.
- Nothing on the host is written by this, and the play is the same for every host: what differs is data.
- A password goes over the command's standard input alone. The task has no `no_log`, since its result is the evidence; no password is part of it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from controlplane.adapters.ansible_project import control_directory, inventory_json, ssh_arguments
from controlplane.adapters.collector.bundle import arguments, program
from controlplane.adapters.collector.main import BEGIN, END
from controlplane.adapters.host_key import KeyTrouble, is_relayed
from controlplane.adapters.known_hosts import NAME, SiteKnownHosts, ssh_options
from controlplane.adapters.machine_views import only_machines, questions, with_machines
from controlplane.adapters.proxmox_machines import look
from controlplane.adapters.runner import Event, RunResult, run_playbook
from controlplane.adapters.service_secrets import SiteSecrets, in_memory
from controlplane.domain.asking import what_to_ask
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import InterruptedRunError
from controlplane.domain.evidence import Evidence, ProbeRecord, Unreached
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.plain_json import load_plain
from controlplane.ports.clocks import Clock

_LARGEST = 64 << 20
_FORKS = 50
# A host whose every probe runs into its limit is done by then.
_SECONDS_A_HOST = 90
# ssh's own words where no connection came about, straight or over a jump host. What the controller itself lacks, a network or its resolver, says
# nothing of the host; neither does a key or a login that was refused.
_NO_CONNECTION = re.compile(
    r"connect to host \S+ port \d+: (?!Network is unreachable)|Could not resolve hostname \S+: (?!Temporary failure)"
    r"|timed out during banner exchange|(closed|reset) by UNKNOWN port|stdio forwarding failed",
    re.IGNORECASE,
)
# The relay's end and the machine's own sshd say the same where one closes early; which of them it was depends on whether there is a relay.
_CLOSED_EARLY = re.compile(r"kex_exchange_identification: .*(closed by remote host|reset by peer)", re.IGNORECASE)


class AnsibleEvidence:
    """Evidence by way of whatever connection the inventory names.

    `site` is the folder that files with passwords are named from, `routes` the inventory in which hypervisors are found.
    """

    def __init__(
        self, clock: Clock, *, site: Path = Path(), routes: Sequence[InventoryHost] = (), work_dir: Path | None = None, forks: int = _FORKS
    ) -> None:
        self._clock = clock
        self._routes = {route.name: route for route in routes}
        self._site = site
        self._work_dir = work_dir
        self._forks = forks

    def collect(
        self, hosts: Sequence[InventoryHost], desired: Mapping[str, DesiredHost], *, only: Sequence[str] = ()
    ) -> dict[str, Evidence | Unreached]:
        """Return each host's evidence, or the reason why there is none; with `only` no more than these probes of it.

        Raises `InterruptedRunError` once what ran has been stopped.
        """
        if not hosts:
            return {}
        desired = {} if only else desired
        asked = {host.name: what_to_ask(desired.get(host.name)) | ({"only": list(only)} if only else {}) for host in hosts}
        own = tuple(host.name for host in hosts)
        for name, question in questions({name: desired[name] for name in own if name in desired}).items():
            asked[name] = asked[name] | {"machines": question} if name in asked else only_machines(question)
        hosts = [*hosts, *(self._routes[name] for name in asked if name not in own)]
        through_api = look({name: desired[name] for name in own if name in desired}, site=self._site)
        secrets = SiteSecrets(self._site, os.environ)
        told = {host.name: secrets.of(desired.get(host.name)) for host in hosts}
        answers: dict[str, Evidence | Unreached] = {}

        def hear(event: Event) -> None:
            data = event.get("event_data") or {}
            if event.get("event") in ("runner_on_ok", "runner_on_failed") and data.get("host") in asked:
                host = str(data["host"])
                answers[host] = self._answer(host, asked[host], data.get("res") or {})

        with in_memory(told) as places:
            variables = {host.name: _variables(host, asked[host.name], places.get(host.name, "")) for host in hosts}
            unborn = {host.name for host in self._perhaps_unborn(hosts, desired)}
            for name in unborn:
                # Neither does anybody ask a second time why there was no way to it: on the first it is told by whoever knows.
                variables[name]["ansible_ssh_retries"] = 0
                variables[name]["ansible_ssh_args"] = ssh_arguments(ssh_options(self._site / NAME), lasting=False)
            result = run_playbook(
                {"collect.yml": _play(), "action_plugins/look.py": _action()},
                playbook="collect.yml",
                inventory=inventory_json(hosts, variables=variables, control_dir=control_directory()),
                forks=min(self._forks, len(hosts)),
                only_looks=True,
                on_event=hear,
                timeout=_SECONDS_A_HOST * (1 + len(hosts) // self._forks),
                work_dir=self._work_dir,
                known_hosts=self._site / NAME,
            )
        if result.outcome == "interrupted":
            raise InterruptedRunError("Interrupted while collecting evidence. What ran was stopped, nothing was changed; run the same command again.")
        keys = KeyTrouble(self._site / NAME)
        seen = {host.name: answers.get(host.name) or _unreached(host, result, keys, lasting=host.name not in unborn) for host in hosts}
        return with_machines(seen, own, desired, collected_at=self._now(), through_api=through_api)

    def _perhaps_unborn(self, hosts: Sequence[InventoryHost], desired: Mapping[str, DesiredHost]) -> list[InventoryHost]:
        """Return the hosts that may not be there yet, so that nobody waits for them twice: declared on a hypervisor, and no host key is pinned."""
        machines = {host.name: desired[host.name].machine for host in hosts if host.name in desired}
        declared = [host for host in hosts if (machine := machines.get(host.name)) is not None and machine.hypervisor is not None]
        return SiteKnownHosts(self._site / NAME).strangers(declared) if declared else []

    def _answer(self, host: str, asked: dict[str, Any], result: Mapping[str, Any]) -> Evidence | Unreached:
        try:
            probes = unpack(str(result.get("stdout") or ""))
        except ValueError as error:
            said = " ".join(str(result.get(key) or "").strip() for key in ("msg", "stderr", "module_stderr", "stdout")).strip()
            return Unreached(host=host, reason=f"{error}: {_plain(said)[:500]}" if said else str(error))
        try:
            records = {name: ProbeRecord.model_validate(record) for name, record in probes.items()}
        except (ValidationError, TypeError, AttributeError):
            return Unreached(host=host, reason="the collector's answer is not made of probes: is something on the host changing its output?")
        return Evidence(host=host, collected_at=self._now(), asked=asked, probes=records)

    def _now(self) -> str:
        return self._clock.now().isoformat().replace("+00:00", "Z")


def unpack(printed: str) -> dict[str, Any]:
    """Return the probes from what a host printed. Raises ValueError with a reason that names no content."""
    _, begun, rest = printed.partition(BEGIN)
    packed, ended, _ = rest.partition(END)
    if not begun:
        raise ValueError("the collector gave no answer")
    if not ended:
        raise ValueError("the collector's answer was cut short")
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(base64.b64decode("".join(packed.split()), validate=True), _LARGEST)
        if inflate.unconsumed_tail or not inflate.eof:
            raise ValueError("the collector's answer is too large or was cut short")
        # No search for keys that are there twice, as in a file that people can edit: our own collector writes this from dictionaries.
        # A host that wants to pass for a good one says so once.
        probes = load_plain(text)
    except (binascii.Error, zlib.error, json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError("the collector's answer is garbled") from None
    if not isinstance(probes, dict):
        raise ValueError("the collector's answer is garbled")
    return probes


def _play() -> bytes:
    play = {
        "name": "Collect evidence",
        "hosts": "all",
        "gather_facts": False,
        "vars": {"controlplane_program": {"__ansible_unsafe": program()}},
        "tasks": [
            {
                "name": "Look at this host",
                "look": {
                    "command": "{{ controlplane_python }}{{ controlplane_program }}{{ controlplane_asked }}",
                    "told": "{{ controlplane_told }}",
                },
                "changed_when": False,
            }
        ],
    }
    return json.dumps([play]).encode()


def _action() -> bytes:
    return files("controlplane.adapters").joinpath("look_action.py").read_bytes()


def _variables(host: InventoryHost, asked: Mapping[str, Any], told: str) -> dict[str, Any]:
    named = host.variables.get("ansible_python_interpreter")
    interpreter = str(named) if named is not None and str(named).startswith("/") else None
    python, question = arguments(asked, interpreter, is_told=bool(told))
    variables: dict[str, Any] = {"controlplane_python": python, "controlplane_asked": question, "controlplane_told": told}
    if not host.variables.get("ansible_become"):
        # A terminal costs time on the host; sudo may be set up to demand one.
        variables["ansible_ssh_use_tty"] = False
    return variables


def _unreached(host: InventoryHost, result: RunResult, keys: KeyTrouble, *, lasting: bool) -> Unreached:
    told = result.unreachable.get(host.name)
    if told is not None:
        about_key = keys.of(host, told, lasting=lasting)
        return Unreached(host=host.name, reason=about_key or _plain(told), unconnected=about_key is None and _is_unconnected(host, told))
    return Unreached(host=host.name, reason=_why_not(host, result))


def _is_unconnected(host: InventoryHost, said: str) -> bool:
    return _NO_CONNECTION.search(said) is not None or (_CLOSED_EARLY.search(said) is not None and is_relayed(host))


def _why_not(host: InventoryHost, result: RunResult) -> str:
    if result.outcome == "timeout":
        return "it gave no answer in time"
    if host.name in result.failed:
        return _plain(result.failed[host.name])
    return f"Ansible did not get to it: {_plain(result.said)[-500:] or 'it gave no reason'}"


def _plain(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
