"""What the closings of gaps and of loops share: the receipts round the writing, and the end of a closing that was stopped.

Rules:
- A receipt of one that did not end well says which files were written all the same.
- Whoever signs may take their time, and an editor or git asks no lock: a file that is not what was read by then is left as it is.
- All of it is put together before the first receipt, which says what the register is going to say: where a kill came between the writing and the
  last receipt, the same call puts on record what was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from controlplane.domain.errors import ControlPlaneError, RefusedError, RunFailedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.registers.values import Gap, Loop
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site import SiteContent
from controlplane.ports.clocks import Entropy
from controlplane.ports.new_text import NewText
from controlplane.ports.registers import RegisterStore
from controlplane.usecases.edit_registers import Earlier, Edited
from controlplane.usecases.read_registers import Record
from controlplane.usecases.record_run import Ledger


@dataclass(frozen=True)
class ClosingPorts:
    """Everything that a closing touches."""

    registers: RegisterStore
    record: Record
    entropy: Entropy


@dataclass(frozen=True)
class Closing:
    """What is closed and by whom. `closed` is what the register is going to say of it, `more` what the receipts say beside that."""

    capability: str
    name: str
    by: str
    closed: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, Any]:
        """Return what its receipts say."""
        return {self.capability.partition("s.")[0]: self.name, "closed": {"met": [], **self.closed}, "reason": self.reason, **self.more}


def carry_out(closing: Closing, texts: Mapping[str, NewText], before: SiteContent, now: datetime, ports: ClosingPorts) -> Edited:
    """Write the registers, between a receipt of what is about to be done and one of what became of it.

    Raises `RefusedError` where another hand changed one since it was read: then none is written. Raises `RunFailedError`.
    """
    key = make_run_key(closing.capability, now, ports.entropy.four_hex())
    ledger = _ledger(key, before, closing, ports)
    ledger.intend(key, host="*", capability=closing.capability, step=closing.name, told=closing.told)
    close = partial(ledger.close, key, host="*", capability=closing.capability, step=closing.name)
    files: list[str] = []
    try:
        ports.registers.refuse_changed(texts)
        for path, text in texts.items():
            files += ports.registers.write({path: text})
    except ControlPlaneError as error:
        close(outcome="failed", reason=str(error), told={"written": files})
        refused = isinstance(error, RefusedError) and not files
        written = f"written was {', '.join(files)}" if files else "no register was written"
        told = f"{error} {closing.name} is not closed: {written}, and receipt {key} says so."
        raise (RefusedError if refused else RunFailedError)(told) from error
    close(outcome="done", reason=closing.reason, told=closing.told)
    return _edited(closing.name, key, closing.told, tuple(files))


def bring_to_its_end(closing: Closing, held: Gap | Loop, before: SiteContent, chain: Sequence[Receipt], ports: ClosingPorts) -> Edited:
    """Put on record a closing that was stopped once the register said it. Raises `RefusedError` where there is none."""
    ended = {one.key for one in chain if one.phase == "result"}
    says = held.closed.model_dump(mode="json") if held.closed is not None else None
    begun = [one for one in attempts(closing.capability, closing.name, chain) if one.key not in ended]
    stopped = next((one for one in begun if (one.told or {}).get("closed") == says), None)
    if stopped is None:
        raise RefusedError(f"{closing.name} is {held.status} already. Nothing was changed.")
    told = dict(stopped.told or {})
    _ledger(stopped.key, before, closing, ports).close(
        stopped.key, host="*", capability=closing.capability, step=closing.name, outcome="done", reason=told.get("reason"), told=told
    )
    return _edited(closing.name, stopped.key, told, ())


def attempts(capability: str, name: str, chain: Sequence[Receipt]) -> list[Receipt]:
    """Return the intents of closings of one record since it was closed last."""
    begun: list[Receipt] = []
    for one in chain:
        if (one.capability, one.step) == (capability, name):
            begun = [] if one.outcome == "done" else [*begun, one] if one.phase == "intent" else begun
    return begun


def failures(capability: str, name: str, chain: Sequence[Receipt]) -> dict[str, bool]:
    """Return the closings of one record that did not end well, by their keys, and of each whether it wrote a file before it ended."""
    ends = [one for one in chain if (one.capability, one.step, one.phase, one.outcome) == (capability, name, "result", "failed")]
    return {one.key: bool((one.told or {}).get("written")) for one in ends}


def _edited(name: str, key: str, told: Mapping[str, Any], files: tuple[str, ...]) -> Edited:
    earlier = {run: Earlier.model_validate(said) for run, said in told.get("written_before", {}).items()}
    return Edited(id=name, files=files, closed_findings=tuple(told.get("findings", ())), written_before=earlier, receipt=key)


def _ledger(key: str, site: SiteContent, closing: Closing, ports: ClosingPorts) -> Ledger:
    record = ports.record
    return Ledger(record.receipts, record.clock, run=key, site=site.site.name, plan="", policy=site.policy_digest, operator=closing.by)
