"""The second witness: live machines asked through testinfra; the only importer of testinfra.

Rules:
- A host is asked many questions at once, each command once, over the connection that looked at it before: else each would cost a round trip,
  and the first a handshake. A few of them go on side by side: most wait for a daemon.
- What could not be asked is an answer without words, and so never a confirmation. No answer passes for another's: what parts them is random.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from controlplane.adapters.ansible_project import control_directory, control_path
from controlplane.adapters.known_hosts import ssh_options
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.witness import Answer, Question
from controlplane.domain.witness_route import LOCAL, becomes, no_way

if TYPE_CHECKING:
    from testinfra.host import Host

_AT_ONCE = 8
# A Docker that hangs must not hang the verdict: neither by one question nor by all that are put at once.
_LIMIT_S = 60
_LIMIT_AT_ONCE_S = 150
_QUESTIONS_AT_ONCE = 40
_LANES = 3
# Fewer than these a lane are asked in the same time one after the other.
_WORTH_A_LANE = 4
# One argument of a program is 128 KiB at most, and ssh, sudo and two shells each quote what is asked once more.
_MOST_QUOTED = 40_000


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
        stopped = Event()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            told = pool.map(lambda name: _ask_host(routes[name], by_host[name], self._known_hosts, stopped), by_host)
            try:
                return tuple(answer for answers in told for answer in answers)
            except BaseException:
                # The pool waits for what runs: after an interruption that is what was asked of a host at once, and not the rest.
                stopped.set()
                raise


class _Heard(NamedTuple):
    """What one command printed, with its exit code and what it said of an error; `printed` None: it was not run to its end, and `ended` says why."""

    printed: str | None
    ended: str


_Argv = tuple[str, ...]


def _ask_host(route: InventoryHost, questions: Sequence[Question], known_hosts: Path | None, stopped: Event) -> list[Answer]:
    # What several findings rest on is asked once.
    commands = list(dict.fromkeys(question.argv for question in questions))
    heard: dict[_Argv, _Heard] = {}
    try:
        host = connect(route, known_hosts)
    except ValueError as error:
        return [_answer(question, _Heard(None, str(error))) for question in questions]
    for batch in _batches(commands):
        told = [_Heard(None, "it was interrupted")] * len(batch) if stopped.is_set() else _ask(host, batch)
        heard |= zip(batch, told, strict=True)
    return [_answer(question, heard[question.argv]) for question in questions]


def _batches(commands: Sequence[_Argv]) -> Iterator[list[_Argv]]:
    batch: list[_Argv] = []
    for command in commands:
        too_many = len(batch) == _QUESTIONS_AT_ONCE or len(shlex.quote(shlex.quote(_script([*batch, command], "")))) > _MOST_QUOTED
        if batch and too_many:
            yield batch
            batch = []
        batch.append(command)
    if batch:
        yield batch


def _ask(host: Host, commands: Sequence[_Argv]) -> list[_Heard]:
    mark = secrets.token_hex(16)
    try:
        result = host.run(f"timeout {_LIMIT_AT_ONCE_S} sh -c %s", _script(commands, mark))
    except (RuntimeError, OSError, AssertionError, ValueError) as error:
        return [_Heard(None, _why(error))] * len(commands)
    # Bytes, because what a program says need not be text.
    _, *told = result.stdout_bytes.decode("utf-8", "replace").split(mark)
    said = _short(result.stderr_bytes.decode("utf-8", "replace"))
    heard = [_Heard(None, f"the host did not answer to the end, rc {result.rc}: {said}")] * len(commands)
    asked = [number for lane in reversed(_lanes(len(commands))) for number in lane]
    for number, printed, ended in zip(asked, told[::2], told[1::2], strict=False):
        heard[number] = _Heard(printed, ended)
    return heard


def _lanes(number: int) -> list[range]:
    """Return which of that many commands go one after the other, by their places."""
    lanes = max(1, min(_LANES, number // _WORTH_A_LANE))
    return [range(first, number, lanes) for first in range(lanes)]


def _script(commands: Sequence[_Argv], mark: str) -> str:
    """Return a shell's words that run the commands, and print for each `mark`, what it printed, `mark`, its exit code, and what it said of an error.

    Each lane prints its own, and then passes on what the ones before it print in the meantime: the last lane's comes first.
    """
    said = f"printf %s {mark}"
    lanes = []
    for lane in _lanes(len(commands)):
        asking = (f"{{ err=$(timeout {_LIMIT_S} {shlex.join(commands[at])} </dev/null 2>&1 >&3 3>&-); code=$?; }} 3>&1" for at in lane)
        lanes.append("; ".join(f'{said}; {command}; {said}; printf "%d %s" "$code" "$err"' for command in asking))
    return " | ".join(f"{{ {words}; cat; }}" if at else f"{{ {words}; }}" for at, words in enumerate(lanes))


def _answer(question: Question, heard: _Heard) -> Answer:
    if heard.printed is None:
        return Answer(question=question, said=None, error=heard.ended)
    code, _, error = heard.ended.partition(" ")
    if code not in map(str, question.ends):
        return Answer(question=question, said=None, error=f"rc {code}: {_short(error)}")
    return Answer(question=question, said=heard.printed.strip(), error=None)


def _why(error: Exception) -> str:
    """Return what ssh said where testinfra raises because ssh itself failed: its own text begins with the whole command."""
    result = error.args[0] if error.args else error
    said = getattr(result, "stderr_bytes", None)
    return _short(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error))


def _short(text: str) -> str:
    return " ".join(text.split())[:300]


def connect(route: InventoryHost, known_hosts: Path | None) -> Host:
    """Return testinfra's view of a host, over the connection that collects evidence. ValueError says why there is no way to it."""
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
    return testinfra.get_host(
        f"ssh://{spec}",
        ssh_identity_file=variables.get("ansible_ssh_private_key_file"),
        ssh_extra_args=" ".join(["-o BatchMode=yes -o StrictHostKeyChecking=yes -o ServerAliveInterval=5", *filter(None, extra)]),
        controlpath=control_path(route, control_directory()),
        **sudo,
    )
