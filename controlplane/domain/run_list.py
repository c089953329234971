"""What ran, what is open, and what to do next: a view over the chain of receipts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.receipt import Receipt, open_intents, undone_keys
from controlplane.domain.values import Value
from controlplane.domain.waves.trail import is_left_unbegun


class RunRow(Value):
    """One run or one step of it."""

    run: str
    key: str
    capability: str
    host: str
    begun_at: str
    ended_at: str | None
    state: Literal["open", "done", "failed", "interrupted", "rolled-back", "refused"]
    next: str


def run_rows(chain: Sequence[Receipt]) -> tuple[RunRow, ...]:
    """Return a row for each intent, oldest first."""
    results = {receipt.key: receipt for receipt in chain if receipt.phase == "result"}
    undone = undone_keys(chain) | _taken_back(chain)
    still = {receipt.key for receipt in open_intents(chain)}
    released = {receipt.run for receipt in chain if receipt.capability == "release.deploy"}
    rows = (_row(receipt, results.get(receipt.key), chain, still=still, undone=undone) for receipt in chain if receipt.phase == "intent")
    return tuple(row.model_copy(update={"next": _of_release(row)}) if row.run in released else row for row in rows)


def way_back(intent: Receipt, chain: Sequence[Receipt]) -> str | None:
    """Return the command for an abandoned run, or a step of one, once its machine is back; None where nothing was begun."""
    if any(one.run == intent.run and one.capability in CAPABILITIES and CAPABILITIES[one.capability].led_by for one in chain):
        return "controlplane release status"
    if intent.undoes is not None:
        return f"controlplane rollback {intent.undoes}"
    steps = [one for one in chain if one.run == intent.run and one.phase == "intent" and one.undoes is None and one.key != intent.run]
    begun = [one for one in steps if intent.key in (one.key, intent.run)]
    # What deletes does not go back; planned anew, the rest of it is deleted.
    deleting = next((one for one in begun if one.capability in CAPABILITIES and CAPABILITIES[one.capability].only_by_name), None)
    if deleting is not None:
        where = f" --host {deleting.host}" if len({one.host for one in begun}) == 1 else ""
        return f"controlplane plan{where} --capability {deleting.capability}"
    return f"controlplane rollback {intent.key}" if begun else None


def _deletes(intent: Receipt, chain: Sequence[Receipt]) -> bool:
    """Say whether what began of an open run, or of a step of one, deletes for good: no rollback takes it. Until a result says more, it does."""
    begun = {one.key for one in chain if one.run == intent.run and one.phase == "intent" and not one.undoes and intent.key in (one.key, one.run)}
    mine = [one for one in chain if one.key in begun and one.capability in CAPABILITIES and CAPABILITIES[one.capability].only_by_name]
    known = {one.key for one in mine if one.changes}
    return any(one.key not in known or any(change.destructive for change in one.changes) for one in mine)


def _of_release(row: RunRow) -> str:
    """Return what goes on with a run that brought a release: its own verbs, which hold its gate."""
    return row.next if row.next == "nothing" else "see what goes on with it: controlplane release status"


def _taken_back(chain: Sequence[Receipt]) -> frozenset[str]:
    """Return the runs whose steps were all taken back."""
    undone = undone_keys(chain)
    steps: dict[str, set[str]] = {}
    for receipt in chain:
        if receipt.phase == "intent" and receipt.undoes is None and receipt.plan and receipt.key != receipt.run:
            steps.setdefault(receipt.run, set()).add(receipt.key)
    return frozenset(run for run, keys in steps.items() if keys <= undone)


def _look(intent: Receipt) -> str:
    if intent.capability == "verify.pack.run":
        named = "" if intent.step == "all" else f" {intent.step}"
        return f"see how the checks stand: controlplane gates run{named}"
    stack, _, environment = intent.step.partition("/")
    of_release = {
        "release.smoke": f"prove it again: controlplane release smoke {stack} --env {environment}",
        "release.recert": f"certify it again: controlplane release recert {stack} --manifest NAME",
        "release.begin": "nothing: what goes on with the release looks once more",
        "release.close": f'close it again: controlplane release close {stack} --env {environment} --attest "..."',
    }.get(intent.capability)
    if of_release is not None:
        return of_release
    if intent.capability.startswith("gates."):
        return "see which modes hold: controlplane gates status"
    return f"see how the host is: controlplane verify --host {intent.host}"


def _row(intent: Receipt, result: Receipt | None, chain: Sequence[Receipt], *, still: set[str], undone: frozenset[str]) -> RunRow:
    if intent.key in still:
        resume = f"controlplane rollback {intent.undoes}" if intent.undoes else "controlplane apply with the same plan file"
        state: Literal["open", "done", "failed", "interrupted", "rolled-back", "refused"] = "open"
        or_back = "" if intent.undoes or _deletes(intent, chain) else f"; or take it back: controlplane rollback {intent.key}"
        on = f"close it: controlplane rollback {intent.key}" if is_left_unbegun(intent.run, chain) else f"resume it: {resume}{or_back}"
        advice = f"{on}; its machine is gone for good: controlplane runs abandon {intent.run}"
    elif intent.key in undone:
        state, advice = "rolled-back", "nothing"
    elif not intent.plan:
        state = (result.outcome if result else None) or "interrupted"
        advice = "nothing" if state == "done" else _look(intent)
    else:
        state = (result.outcome if result else None) or "failed"
        where = "" if intent.host == "*" else f" --host {intent.host}"
        back = way_back(intent, chain) if state == "interrupted" else None
        advice = "nothing" if state in ("done", "rolled-back") else f"see what is left: controlplane plan{where}"
        if state == "interrupted":
            advice = f"should its machine come back: {back}" if back is not None else "nothing"
    return RunRow(
        run=intent.run,
        key=intent.key,
        capability=intent.capability,
        host=intent.host,
        begun_at=intent.at,
        ended_at=result.at if result else None,
        state=state,
        next=advice,
    )
