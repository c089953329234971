"""The second witness: live machines asked through testinfra; the only importer of testinfra.

Rules:
- One multiplexed connection a host: without a ControlPath each question would cost a whole handshake.
- What could not be asked is an answer without words, and so never a confirmation.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.adapters.ansible_project import control_directory
from controlplane.adapters.known_hosts import ssh_options
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.witness import Answer, Question
from controlplane.domain.witness_route import LOCAL, becomes, no_way

if TYPE_CHECKING:
    from testinfra.host import Host

_AT_ONCE = 8
# A Docker that hangs must not hang the verdict.
_LIMIT_S = 60


class TestinfraWitness:
    """Asks each host its questions, several hosts at once."""

    __test__ = False  # pytest takes every class of this name for tests

    def __init__(self, known_hosts: Path | None = None) -> None:
        self._known_hosts = known_hosts

    def answer(self, hosts: Sequence[InventoryHost], questions: Sequence[Question]) -> tuple[Answer, ...]:
        """Return an answer to each question; what could not be seen is an answer that says so."""
        routes = {host.name: host for host in hosts}
        by_host: dict[str, list[Question]] = {}
        for question in questions:
            by_host.setdefault(question.host, []).append(question)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            told = pool.map(lambda name: _ask_host(routes[name], by_host[name], self._known_hosts), by_host)
            return tuple(answer for answers in told for answer in answers)


def _ask_host(route: InventoryHost, questions: Sequence[Question], known_hosts: Path | None) -> list[Answer]:
    try:
        host = _connect(route, known_hosts)
    except ValueError as error:
        return [Answer(question=question, said=None, error=str(error)) for question in questions]
    return [_ask(host, question) for question in questions]


def _ask(host: Host, question: Question) -> Answer:
    try:
        argv = ("timeout", str(_LIMIT_S), *question.argv)
        result = host.run(" ".join(["%s"] * len(argv)), *argv)
    except (RuntimeError, OSError, AssertionError) as error:  # testinfra raises RuntimeError when ssh itself fails
        return Answer(question=question, said=None, error=" ".join(str(error).split())[:300])
    if result.rc != 0:
        return Answer(question=question, said=None, error=f"rc {result.rc}: {' '.join(result.stderr.split())[:300]}")
    return Answer(question=question, said=result.stdout.strip(), error=None)


def _connect(route: InventoryHost, known_hosts: Path | None) -> Host:
    import testinfra  # noqa: PLC0415 - a verb that asks no machine need not pay for it

    against = no_way(route)
    if against is not None:
        raise ValueError(against)
    variables = route.variables
    sudo: dict[str, Any] = {"sudo": becomes(route), "sudo_user": variables.get("ansible_become_user")}
    if variables.get("ansible_connection") in LOCAL:
        return testinfra.get_host("local://", **sudo)
    address = str(variables.get("ansible_host", route.name))
    spec = f"[{address}]" if ":" in address else address
    if "ansible_user" in variables:
        spec = f"{variables['ansible_user']}@{spec}"
    if "ansible_port" in variables:
        spec = f"{spec}:{variables['ansible_port']}"
    # testinfra hands these to a shell; Ansible reads them as words, and so do we.
    extra = [shlex.join(ssh_options(known_hosts))]
    extra += [shlex.join(shlex.split(str(variables.get(name, "")))) for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args")]
    socket = control_directory() / f"w-{hashlib.sha256(repr(sorted(variables.items())).encode() + route.name.encode()).hexdigest()[:16]}"
    return testinfra.get_host(
        f"ssh://{spec}",
        ssh_identity_file=variables.get("ansible_ssh_private_key_file"),
        ssh_extra_args=" ".join(["-o BatchMode=yes -o StrictHostKeyChecking=yes -o ServerAliveInterval=5", *filter(None, extra)]),
        controlpath=str(socket),
        **sudo,
    )
