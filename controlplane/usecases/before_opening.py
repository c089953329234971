"""What keeps a wave from opening beside its gates: `wave open` is refused by it, and `wave preflight` lists it, so that it foretells the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from controlplane.domain.capabilities import vm_provision
from controlplane.domain.coordination_rules import still_on
from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.record import GateJudged
from controlplane.domain.waves.trail import unclosed
from controlplane.domain.waves.values import Wave
from controlplane.usecases.apply_guards import held_by_another
from controlplane.usecases.look_at_wave import Look, why_unreached
from controlplane.usecases.settle_wave import why_unclosed
from controlplane.usecases.wave_ports import WavePorts, without_end


def to_be_seen(wave: Wave) -> tuple[str, ...]:
    """Return the hosts that have to be observed: a machine that the wave is to make is not there yet."""
    return wave.read_only if vm_provision.ID in wave.capabilities else wave.seen


def refuse_unclosed(what: str, wave: Wave, ports: WavePorts, chain: Sequence[Receipt]) -> None:
    """Raise `RefusedError` where a run that touched a host of the wave is not closed, also one that the wave only looks at: it is not settled."""
    told = why_unclosed(wave.seen, chain, ports, own=())
    if told is not None:
        raise RefusedError(f"{what}: {told[0]}. Nothing was changed. {told[1]}")


def in_the_way(name: str, wave: Wave, ports: WavePorts, look: Look, chain: Sequence[Receipt], *, own: Collection[str]) -> Iterator[GateJudged]:
    """Yield what keeps the wave from opening, beside its gates; `own` are its plans, where it goes on already."""
    still = why_unclosed(wave.seen, chain, ports, own=own)
    if still is not None:
        yield _shut("receipts", "no earlier run is open on its hosts", ". ".join(still))
    blind = why_unreached(look, to_be_seen(wave))
    if blind is not None:
        yield _shut("hosts", "every host is observed", blind, "UNKNOWN")
    try:
        ports.history.head()
    except UnknownError as error:
        yield _shut("history", "the site's version control can be read", str(error), "UNKNOWN")
    if wave.mutation != "controlled":
        return
    now = ports.apply.clock.now()
    mine = frozenset(one.key for one in unclosed(chain, hosts=(), plans=own))
    leased = held_by_another({host: look.seen[host] for host in wave.hosts}, own=mine, now=now)
    if leased is not None:
        yield _shut("leases", "nobody else holds its hosts", leased)
    other = next((one for one in ports.waves.waves() if one.mutating and one.ended_at is None and one.wave != name), None)
    if other is not None:
        yield _shut("waves", "no other wave changes machines", still_on(other, now))


def _shut(kind: str, what: str, reason: str, verdict: Literal["DRIFTED", "UNKNOWN"] = "DRIFTED") -> GateJudged:
    return GateJudged(phase="entry", kind=kind, what=what, verdict=verdict, reason=without_end(reason))
