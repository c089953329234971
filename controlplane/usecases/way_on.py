"""How a run that another one is kept from by its open receipts is gone on with, or taken back: by a verb that does not refuse it.

Rules:
- A release goes on, and back, by its own verbs alone.
- A run that an aborted wave left before its first step is resumed by nothing: what takes it back closes it.
- What deletes (a run only by name) does not go back, and goes on whatever came since.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.trail import is_left_unbegun


def way_on(receipt: Receipt, chain: Sequence[Receipt], *, resume: str) -> str:
    """Return the sentence that goes on with the run, or the rollback, of an open receipt; `resume` says by what a plan goes on that no verb leads."""
    if any(CAPABILITIES[one.capability].led_by for one in _steps_of(receipt.run, chain)):
        return "Go on with it as 'controlplane release status' says"
    if receipt.undoes is not None:
        return f"Go on with it: controlplane rollback {receipt.undoes}"
    if is_left_unbegun(receipt.run, chain):
        return f"It has begun no step, and its wave has ended. Close it: controlplane rollback {receipt.run}"
    or_back = f", or take it back: controlplane rollback {receipt.run}" if goes_back(receipt.run, chain) else ""
    return f"Resume it {resume}{or_back}"


def goes_back(run: str, chain: Sequence[Receipt]) -> bool:
    """Say whether a run can be taken back as a whole, by the steps of it that began."""
    return not any(CAPABILITIES[one.capability].only_by_name for one in _steps_of(run, chain))


def _steps_of(run: str, chain: Sequence[Receipt]) -> list[Receipt]:
    return [one for one in chain if one.run == run and one.capability in CAPABILITIES]
