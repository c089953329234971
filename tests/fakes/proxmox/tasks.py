"""Tasks: what a call starts and what goes on after its answer.

A task's identifier, states and log lines as pve-common's UPID module has them: `UPID:node:pid:pstart:starttime:kind:id:user:` in upper
case hexadecimal; status running or stopped; exit status OK or the text that it died of; a log ends in TASK OK or TASK ERROR: text.
Time is calls: a task ends when as many calls have come in as it was told to outlive, so that tests neither wait nor race.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.proxmox.replies import RefusedCallError, TaskError

_START = 0x68000000


@dataclass
class Task:
    """One task; `work` is done when it ends well, `undo` puts back what its start has already shown."""

    upid: str
    node: str
    kind: str
    id: str
    user: str
    started: int
    left: int | None
    work: Callable[[], object]
    undo: Callable[[], None]
    dies_of: str | None = None
    exit_status: str | None = None
    log: list[str] = field(default_factory=list)

    def goes_on(self) -> None:
        """Let one call's time go by."""
        if self.exit_status is not None or self.left is None:
            return
        if self.left > 0:
            self.left -= 1
        if self.left == 0:
            self._end()

    def _end(self) -> None:
        try:
            if self.dies_of is not None:
                raise TaskError(self.dies_of)
            self.work()
            self.exit_status = "OK"
            self.log.append("TASK OK")
        except (TaskError, RefusedCallError) as fault:
            self.undo()
            self.exit_status = str(fault)
            self.log.append(f"TASK ERROR: {fault}")

    def status(self) -> dict[str, object]:
        """Return what tasks/{upid}/status answers."""
        told: dict[str, object] = {
            "upid": self.upid,
            "node": self.node,
            "pid": int(self.upid.split(":")[2], 16),
            "pstart": int(self.upid.split(":")[3], 16),
            "starttime": self.started,
            "type": self.kind,
            "id": self.id,
            "user": self.user,
            "status": "running" if self.exit_status is None else "stopped",
        }
        return told if self.exit_status is None else {**told, "exitstatus": self.exit_status}


def new_task(
    number: int,
    *,
    node: str,
    kind: str,
    id: str,  # noqa: A002 - Proxmox VE's word
    user: str,
    lasts: int | None,
    dies_of: str | None,
    work: Callable[[], object],
    undo: Callable[[], None],
) -> Task:
    """Return a task; one that outlives no call has ended already."""
    pid, started = 0x1000 + number, _START + number
    upid = f"UPID:{node}:{pid:08X}:{0x10000 + number:08X}:{started:08X}:{kind}:{id}:{user}:"
    task = Task(upid, node, kind, id, user, started, lasts, work, undo, dies_of, log=[f"start {kind} {id}"])
    if lasts == 0:
        task.goes_on()
    return task
