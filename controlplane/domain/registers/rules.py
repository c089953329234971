"""What must hold between gaps, loops, findings, waves and hosts.

Rules:
- A link leads to something that is there, and to nothing that was superseded or absorbed.
- Nothing open is without somebody who works on it: no gap without a loop, none that is open in closed loops alone, no finding without gap and loop.
- Nothing contradicts itself: what is closed says nowhere that some of it remains, what is open has something left to do.
- What an open gap's criteria name is there to be asked.
- Every host that lives has a row in the policy, and every row a host.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from controlplane.domain.faults import Place
from controlplane.domain.gates.values import SITE
from controlplane.domain.registers.criteria import strangers
from controlplane.domain.registers.rest import said_to_remain
from controlplane.domain.registers.values import Gap, Loop, Registers, StorFinding

File = Literal["gaps", "loops", "findings", "waves", "hosts", "gates"]


class Broken(NamedTuple):
    """One rule that does not hold: in which file, where in it, about which id, and what to do."""

    file: File
    place: Place
    id: str
    message: str


def broken_rules(
    registers: Registers,
    *,
    checks: Sequence[str] | None,
    waves: Mapping[str, Sequence[tuple[Place, str]]] | None = None,
    governed: Sequence[str] = (),
    live: Sequence[str] | None = None,
    expected: Sequence[str] = (),
) -> tuple[Broken, ...]:
    """Return every rule that does not hold.

    `checks` are all check ids of the site, None where gates.yml could not be read. `waves` are the gaps that each wave and its gates name, each with
    its place in the wave's file, None where waves are not to be looked at; `governed` the hosts of the policy and `live` those of the inventory,
    None where it was not read; `expected` the STOR ids that gates.yml names, in its order.
    """
    found = [*_of_gaps(registers), *_of_criteria(registers, checks, governed), *_of_loops(registers)]
    found += _of_findings(registers, checks, waves, governed)
    found += _of_waves(registers, waves or {})
    found += [
        Broken("gates", ("expected", number, "stor"), stor, f"there is no {stor} in findings.yml: file it, or name the right one")
        for number, stor in enumerate(expected)
        if stor not in registers.findings
    ]
    if live is not None:
        found += [
            Broken("hosts", (host,), host, "lives in the inventory, and policy.yml has no row for it: say where its data belong")
            for host in sorted(set(live) - set(governed))
        ]
    return tuple(found)


def _of_gaps(registers: Registers) -> Iterator[Broken]:
    for name, gap in registers.gaps.items():
        at: Place = ("gaps", name)
        for number, loop in enumerate(gap.loops):
            yield from _link_to_loop(registers, name, loop, (*at, "loops", number))
        if not gap.loops and gap.status != "superseded":
            yield Broken("gaps", at, name, "is in no loop, so nobody works on it: link it to one (loops: [LOOP-…])")
        known = [registers.loops[loop] for loop in gap.loops if loop in registers.loops]
        if gap.is_open and known and all(loop.status == "closed" for loop in known):
            yield Broken("gaps", (*at, "status"), name, f"is open while {_listed(gap.loops)} is closed: link it to an open loop, or reopen that one")
        yield from _of_gap_status(registers, name, gap)


def _of_gap_status(registers: Registers, name: str, gap: Gap) -> Iterator[Broken]:
    at: Place = ("gaps", name)
    if (gap.status == "superseded") != (gap.superseded_by is not None):
        yield Broken("gaps", (*at, "superseded_by"), name, "belongs to status superseded, and that to it: write both or none")
    elif gap.superseded_by == name:
        yield Broken("gaps", (*at, "superseded_by"), name, "names the gap itself: name the one that took its place")
    elif gap.superseded_by is not None and gap.superseded_by not in registers.gaps:
        yield Broken("gaps", (*at, "superseded_by"), name, f"there is no {gap.superseded_by} in gaps.yml: file it, or name the right one")
    elif _goes_round(name, lambda one: registers.gaps[one].superseded_by if one in registers.gaps else None):
        yield Broken("gaps", (*at, "superseded_by"), name, f"leads from {gap.superseded_by} back to the gap itself: name the one that took its place")
    if gap.status == "accepted" and gap.reason is None:
        yield Broken("gaps", (*at, "reason"), name, "is missing: an accepted gap says why it may stay")
    if gap.is_open and gap.closed is not None:
        yield Broken("gaps", (*at, "closed"), name, "says who closed it while its status is open: remove one of the two")
    if gap.status in ("fixed", "accepted") and gap.closed is None:
        yield Broken("gaps", (*at, "status"), name, f"is {gap.status} and does not say who closed it, when, by which runs: controlplane gaps close")


def _link_to_loop(registers: Registers, gap: str, loop: str, at: Place) -> Iterator[Broken]:
    seen = registers.loops.get(loop)
    if seen is None:
        yield Broken("gaps", at, gap, f"there is no {loop} in loops.yml: file it, or name the right one")
    elif seen.status == "absorbed":
        yield Broken("gaps", at, gap, f"{loop} was absorbed by {seen.absorbed_by or 'another one'}: link to that one")


def _of_loops(registers: Registers) -> Iterator[Broken]:
    left: dict[str, list[str]] = {}
    for gap, held in registers.gaps.items():
        for name in held.loops if held.is_open else ():
            left.setdefault(name, []).append(gap)
    for name, loop in registers.loops.items():
        at: Place = ("loops", name)
        if (loop.status == "absorbed") != (loop.absorbed_by is not None):
            yield Broken("loops", (*at, "absorbed_by"), name, "belongs to status absorbed, and that to it: write both or none")
        elif loop.absorbed_by == name:
            yield Broken("loops", (*at, "absorbed_by"), name, "names the loop itself: name the one that took it in")
        elif loop.absorbed_by is not None and loop.absorbed_by not in registers.loops:
            yield Broken("loops", (*at, "absorbed_by"), name, f"there is no {loop.absorbed_by} in loops.yml: file it, or name the right one")
        elif _goes_round(name, lambda one: registers.loops[one].absorbed_by if one in registers.loops else None):
            yield Broken("loops", (*at, "absorbed_by"), name, f"leads from {loop.absorbed_by} back to the loop itself: name the one that took it in")
        yield from _of_closed_loop(name, loop, left.get(name, []))


def _of_closed_loop(name: str, loop: Loop, left: Sequence[str]) -> Iterator[Broken]:
    if loop.status != "closed":
        if loop.closed is not None:
            yield Broken("loops", ("loops", name, "closed"), name, f"says who closed it while its status is {loop.status}: remove one of the two")
        return
    for field in ("title", "text"):
        said = said_to_remain(getattr(loop, field) or "")
        if said is not None:
            ways = "file what is left as a gap, or reopen it; where nothing is left, say it in other words"
            yield Broken("loops", ("loops", name, field), name, f"says {said!r} while it is closed: {ways}")
    if left:
        yield Broken("loops", ("loops", name, "status"), name, f"is closed while {_listed(left)} is open in it: close that first, or reopen the loop")


def _of_criteria(registers: Registers, checks: Sequence[str] | None, governed: Sequence[str]) -> Iterator[Broken]:
    known, hosts = None if checks is None else frozenset(checks), frozenset((*governed, SITE)) if governed else frozenset()
    for name, gap in registers.gaps.items():
        for number, criterion in enumerate(gap.criteria if gap.is_open else ()):
            for told in strangers(criterion, checks=known, hosts=hosts, findings=registers.findings):
                yield Broken("gaps", ("gaps", name, "criteria", number), name, told)


def _of_findings(registers: Registers, checks: Sequence[str] | None, waves: Collection[str] | None, governed: Sequence[str]) -> Iterator[Broken]:
    rooms = (
        ("checks", frozenset(checks) if checks is not None else None, "among the checks of this program and of the site"),
        ("waves", frozenset(waves) if waves is not None else None, "in waves/"),
        ("hosts", frozenset(governed) or None, "in policy.yml"),
    )
    for name, finding in registers.findings.items():
        at: Place = ("findings", name)
        for field, known, where in rooms:
            for number, one in enumerate(getattr(finding, field)):
                if known is not None and one not in known:
                    yield Broken("findings", (*at, field, number), name, f"there is no {one} {where}: name the right one")
        yield from _gaps_of(registers, name, finding)


def _gaps_of(registers: Registers, name: str, finding: StorFinding) -> Iterator[Broken]:
    at: Place = ("findings", name)
    for number, gap in enumerate(finding.gaps):
        seen = registers.gaps.get(gap)
        if seen is None:
            yield Broken("findings", (*at, "gaps", number), name, f"there is no {gap} in gaps.yml: file it, or name the right one")
        elif seen.status == "superseded":
            yield Broken("findings", (*at, "gaps", number), name, f"{gap} was superseded by {seen.superseded_by or 'another one'}: link to that one")
    if not finding.gaps:
        yield Broken("findings", at, name, "has no gap, so nothing says what is missing: link it to one (gaps: [GAP-…])")
    elif not registers.loops_of(finding):
        yield Broken("findings", (*at, "gaps"), name, f"leads to no loop by {_listed(finding.gaps)}: link a gap of it to one")
    held = [registers.gaps[gap] for gap in finding.gaps if gap in registers.gaps]
    loops = [registers.loops[loop] for loop in registers.loops_of(finding) if loop in registers.loops]
    if not held or finding.status == "closed":
        if finding.status == "closed" and any(gap.is_open for gap in held):
            yield Broken("findings", (*at, "status"), name, f"is closed while {_listed(_open_of(registers, finding))} is open: close that first")
        return
    if not any(gap.is_open for gap in held):
        yield Broken("findings", (*at, "status"), name, f"is {finding.status} while none of its gaps is open: close it, or file what is left")
    elif finding.status == "in-progress" and loops and all(loop.status == "closed" for loop in loops):
        yield Broken("findings", (*at, "status"), name, f"is in progress while {_listed(registers.loops_of(finding))} is closed: nobody works on it")


def _of_waves(registers: Registers, waves: Mapping[str, Sequence[tuple[Place, str]]]) -> Iterator[Broken]:
    named = {gap for finding in registers.findings.values() for gap in finding.gaps}
    for wave, gaps in waves.items():
        for place, gap in gaps:
            at: Place = (wave, *place)
            if gap not in registers.gaps:
                yield Broken("waves", at, wave, f"there is no {gap} in gaps.yml: file it, or name the right one")
            elif registers.gaps[gap].status == "superseded":
                yield Broken("waves", at, wave, f"{gap} was superseded by {registers.gaps[gap].superseded_by or 'another one'}: name that one")
            elif gap not in named:
                yield Broken("waves", at, wave, f"{gap} is named by no finding, so nothing would show that it is mended: link one to it")


def _goes_round(name: str, next_of: Callable[[str], str | None]) -> bool:
    """Say whether what took the place of `name` was in the end replaced by `name`."""
    seen, at = {name}, next_of(name)
    while at is not None and at not in seen:
        seen.add(at)
        at = next_of(at)
    return at == name


def _open_of(registers: Registers, finding: StorFinding) -> list[str]:
    return [gap for gap in finding.gaps if gap in registers.gaps and registers.gaps[gap].is_open]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
