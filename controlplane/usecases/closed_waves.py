"""Whether a wave that the store calls closed was closed: its receipt says so, and the closeout that it names is there.

Whoever may write the store could write that word there. What was done is in the receipts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import RunFailedError
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.closeout import is_closeout
from controlplane.domain.waves.record import GateJudged
from controlplane.domain.waves.trail import closing_of


def proven_state(held: WaveHeld, chain: Sequence[Receipt], read: Callable[[str], bytes]) -> str:
    """Return the state of a wave; of one that the store calls closed that word only where receipts prove it, else what is missing.

    `read` gives a file of the site's waves; raises `RunFailedError` where it is gone.
    """
    if held.state != "closed":
        return held.state
    said = closing_of(held.wave, held.record.get("attempt"), chain)
    if said is None:
        return (
            "closed in the store alone, these receipts hold no closing of that attempt: bring state/ of the controller that closed it, or lead "
            "this wave there"
        )
    file = str((said.told or {}).get("file"))
    try:
        fits = is_closeout(read(file), said)
    except RunFailedError:
        return f"closed by {said.key}, and {file} can't be read: restore it from a copy"
    return "closed" if fits else f"closed by {said.key}, and {file} is not what that says: restore it from a copy"


def gates_at_the_end(held: WaveHeld, chain: Sequence[Receipt], read: Callable[[str], bytes]) -> tuple[GateJudged, ...]:
    """Return the gates of a wave as the closeout holds them that its receipt names; none where there is none, or it holds them in another form."""
    said = closing_of(held.wave, held.record.get("attempt"), chain)
    if said is None:
        return ()
    try:
        return tuple(GateJudged.model_validate(one) for one in json.loads(read(str((said.told or {}).get("file"))))["gates"])
    except (RunFailedError, ValueError, KeyError, TypeError):
        return ()
