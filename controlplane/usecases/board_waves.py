"""What a board shows of waves: each with its gates, as they were judged.

Rules:
- A gate that nobody asked is UNKNOWN, never a pass: of a wave that is closed its closeout says how each stood, of one that goes on its record.
- What holds for every change of machines is a gate as well, whether the wave's file names it or not.
- A wave that goes on is shown also where its file is gone or can't be read: other changes are kept off by it all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from controlplane.domain.board import BoardGate, BoardWave
from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.finding import Verdict
from controlplane.domain.governance import Governance
from controlplane.domain.receipt import Receipt
from controlplane.domain.site_view import SiteView
from controlplane.domain.waves.gates import describe
from controlplane.domain.waves.record import GateJudged, record_of
from controlplane.domain.waves.values import Wave
from controlplane.domain.windows import next_opening, open_now
from controlplane.ports.waves import WaveFolder
from controlplane.usecases.closed_waves import gates_at_the_end, proven_state
from controlplane.usecases.show_waves import fileless
from controlplane.usecases.wave_case import governed


class _Stands(NamedTuple):
    """The state of a wave, how its gates were judged, and what is said of one that was not."""

    state: str
    judged: Sequence[GateJudged] = ()
    otherwise: str = "not asked yet"


def board_waves(
    site: SiteView, governance: Governance, attempts: Iterable[WaveHeld], chain: Sequence[Receipt] | None, folder: WaveFolder, *, now: datetime
) -> tuple[BoardWave, ...]:
    """Return every wave of the site, and those that go on without a file that says what they are; `chain` is None where it can't be read."""
    held = {one.wave: one for one in attempts}
    try:
        known = governance.checked_waves()
    except InputInvalidError:
        # The faults stand on the board beside what goes on.
        known = {}
    shown = [_with_file(name, wave, site, _stands(held.get(name), chain, folder), now) for name, wave in known.items()]
    return (*shown, *map(_without_file, fileless(held.values(), known)))


def _with_file(name: str, wave: Wave, site: SiteView, stands: _Stands, now: datetime) -> BoardWave:
    windows = wave.windows or site.windows
    opening = open_now(windows, timezone=site.timezone, now=now) or next_opening(windows, timezone=site.timezone, now=now)
    return BoardWave(
        id=name,
        goal=wave.goal,
        state=stands.state,
        mutation=wave.mutation,
        hosts=wave.seen,
        window=str(opening) if opening is not None else None,
        gates=_gates(governed(wave, site), stands),
    )


def _without_file(held: WaveHeld) -> BoardWave:
    record = record_of(held.record)
    return BoardWave(
        id=held.wave,
        goal=f"waves/{held.wave}.yml, which says what it is for, is gone or can't be read; it is held by {held.holder} and not ended",
        state=held.state,
        mutation="controlled" if held.mutating else "none",
        hosts=record.hosts or (),
        gates=tuple(
            BoardGate(phase=one.phase, what=one.what, verdict=Verdict(one.verdict), reason=one.reason) for one in (*record.entry, *record.exit)
        ),
    )


def _stands(held: WaveHeld | None, chain: Sequence[Receipt] | None, folder: WaveFolder) -> _Stands:
    if held is None:
        return _Stands("not opened")
    if held.state != "closed":
        record = record_of(held.record)
        return _Stands(held.state, (*record.entry, *record.exit))
    if chain is None:
        told = "closed in the store alone, the receipts can't be read"
        return _Stands(told, otherwise=told)
    state = proven_state(held, chain, folder.read)
    if state != "closed":
        return _Stands(state, otherwise=state)
    return _Stands(state, gates_at_the_end(held, chain, folder.read), otherwise="its closeout does not say how it stood")


def _gates(wave: Wave, stands: _Stands) -> tuple[BoardGate, ...]:
    judged = {(one.phase, one.what): one for one in stands.judged}
    found = []
    for phase, gates in (("entry", wave.entry), ("exit", wave.exit)):
        for gate in gates:
            seen = judged.get(("entry" if phase == "entry" else "exit", describe(gate)))
            verdict, reason = (Verdict(seen.verdict), seen.reason) if seen is not None else (Verdict.UNKNOWN, stands.otherwise)
            found.append(BoardGate(phase="entry" if phase == "entry" else "exit", what=describe(gate), verdict=verdict, reason=reason))
    return tuple(found)
