"""doctor: is this site governed? Each point is looked at by itself, so that one that is broken hides none of the others.

Rules:
- No host is asked, nor git's remote, and nothing is changed; inventory scripts are not run.
- A point that can't be looked at fails: doubt is never a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from controlplane.domain.amounts import counted, show_age
from controlplane.domain.errors import ControlPlaneError, InputInvalidError
from controlplane.domain.examination import Examination, Level, Point, Upstream, examined
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.site import Site, SiteContent
from controlplane.ports.clocks import Clock, SiteTime
from controlplane.ports.receipts import AnchorSource, ApprovalStore, ReceiptStore
from controlplane.ports.waves import SiteHistory, WaveStore
from controlplane.usecases.interrupted_run import if_gone
from controlplane.usecases.verify_receipts import trail_faults

_Seen = tuple[Level, str]
# The remote is not asked: how long what is known of it counts as what it is.
_FETCHED_WITHIN = timedelta(days=1)
# What to do about something of a family that was stopped.
_LOOK = {
    "gates": "give the same proposal to --apply again, and see which modes hold (controlplane gates status)",
    "wave": "controlplane wave status {0} says what to type",
    "gaps": "controlplane gaps close {0}, with the words that were said, brings it to its end",
    "loops": "controlplane loops close {0} brings it to its end",
}


@dataclass(frozen=True)
class DoctorPorts:
    """What an examination looks at. Each is asked for when its point is due, because opening it can fail as well."""

    site: Callable[[], Site]
    content: Callable[[], SiteContent]
    receipts: Callable[[], ReceiptStore]
    anchors: Callable[[], AnchorSource]
    approvals: Callable[[], ApprovalStore]
    store: Callable[[], tuple[WaveStore, SiteTime]]
    history: SiteHistory
    upstream: Callable[[], Upstream | None]
    clock: Clock


def examine_site(name: str, ports: DoctorPorts) -> Examination:
    """Return the examination of one site."""
    looks: tuple[tuple[str, Callable[[DoctorPorts], _Seen]], ...] = (
        ("policy", _policy),
        ("gates", _gates),
        ("registers", _registers),
        ("waves", _waves),
        ("releases", _releases),
        ("signers", _signers),
        ("chain", _chain),
        ("open runs", _open_runs),
        ("coordination", _coordination),
        ("version control", _history),
    )
    return examined(name, tuple(_point(what, look, ports) for what, look in looks))


def _point(what: str, look: Callable[[DoctorPorts], _Seen], ports: DoctorPorts) -> Point:
    try:
        level, told = look(ports)
    except InputInvalidError as error:
        shown = "; ".join(str(fault) for fault in error.faults[:3])
        more = f"; and {len(error.faults) - 3} more" if len(error.faults) > 3 else ""
        return Point(name=what, level="fail", told=f"{shown}{more}")
    except ControlPlaneError as error:
        return Point(name=what, level="fail", told=" ".join(str(error).split()))
    return Point(name=what, level=level, told=told)


def _policy(ports: DoctorPorts) -> _Seen:
    content = ports.content()
    notes = "; ".join(content.notes)
    told = f"{counted(len(content.policy.hosts), 'host')}, {content.policy_digest[:19]}"
    return ("warn", f"{told}; {notes}") if notes else ("pass", told)


def _gates(ports: DoctorPorts) -> _Seen:
    gates = ports.content().governance.checked_gates()
    if not gates.packs:
        return "warn", "gates.yml names no pack: write one, so that runs are on record"
    enforced = sum(mode == "enforce" for by_host in gates.modes.values() for mode in by_host.values())
    return "pass", f"{counted(len(gates.packs), 'pack')}, {counted(len(gates.checks), 'check')} of the site's own, {enforced} enforced"


def _registers(ports: DoctorPorts) -> _Seen:
    governance = ports.content().governance
    held = governance.checked_registers()
    if governance.registers is None:
        return "warn", "the site has none: findings are linked to no work"
    if governance.broken_faults:
        shown = "; ".join(str(fault) for fault in governance.broken_faults[:3])
        rules = f"{counted(len(governance.broken_faults), 'rule')} {'does' if len(governance.broken_faults) == 1 else 'do'} not hold"
        return "fail", f"{rules}: {shown}. All of them: controlplane gaps status"
    still = sum(gap.is_open for gap in held.gaps.values())
    gaps, loops = f"{counted(len(held.gaps), 'gap')} ({still} open)", counted(len(held.loops), "loop")
    return "pass", f"{counted(len(held.findings), 'finding')}, {gaps}, {loops}; every one is linked"


def _waves(ports: DoctorPorts) -> _Seen:
    waves = ports.content().governance.checked_waves()
    return ("pass", counted(len(waves), "wave")) if waves else ("warn", "the site has no waves/ folder")


def _releases(ports: DoctorPorts) -> _Seen:
    releases = ports.content().governance.checked_releases()
    if not releases:
        return "pass", "the site releases no stack"
    places = sum(len(spec.environments) for spec in releases.values())
    return "pass", f"{counted(len(releases), 'stack')} in {counted(places, 'environment')}: {', '.join(sorted(releases))}"


def _signers(ports: DoctorPorts) -> _Seen:
    said = ports.site()
    if said.signing_key is None:
        return "warn", "site.yml names no signing_key: receipts and approvals are not signed"
    if said.allowed_signers is None:
        return "warn", "site.yml names no allowed_signers: signatures are made, and checked by nobody"
    principal = ports.approvals().signs_as()
    if principal is None:
        return "fail", f"{said.allowed_signers} does not name the key {said.signing_key}: what it signs is refused"
    return "pass", f"this operator signs as {principal}; approval: {said.approval}"


def _chain(ports: DoctorPorts) -> _Seen:
    store = ports.receipts()
    chain = store.load()
    faults = trail_faults(store, ports.anchors())
    if faults:
        shown = "; ".join(f"{fault.file} {fault.reason}" for fault in faults[:3])
        return "fail", f"{counted(len(faults), 'fault')}: {shown}. All of them: controlplane receipts verify"
    return "pass", f"{counted(len(chain), 'receipt')} {'holds' if len(chain) == 1 else 'hold'}"


def _open_runs(ports: DoctorPorts) -> _Seen:
    chain = [receipt for _, receipt in ports.receipts().load()]
    runs = dict.fromkeys(receipt.run for receipt in open_intents(chain))
    told = [f"{run} is open: go on with it or take it back (controlplane runs list). {if_gone(run)}" for run in runs]
    told += [f"{one.key} ({one.step}) was stopped before its end was on record: {_look(one)}" for one in _stopped(chain)]
    return ("warn", "; ".join(told)) if told else ("pass", "none")


def _stopped(chain: Sequence[Receipt]) -> list[Receipt]:
    """Return the changes of modes, closings of gaps and turns of waves that no result ends, and where nothing was brought to an end since."""
    ended = {receipt.key for receipt in chain if receipt.phase == "result"}
    last = {(_family(one), one.step): number for number, one in enumerate(chain) if one.phase == "result"}
    return [
        one
        for number, one in enumerate(chain)
        if one.phase == "intent" and _family(one) in _LOOK and one.key not in ended and number > last.get((_family(one), one.step), -1)
    ]


def _family(receipt: Receipt) -> str:
    return receipt.capability.partition(".")[0]


def _look(receipt: Receipt) -> str:
    return _LOOK[_family(receipt)].format(receipt.step)


def _coordination(ports: DoctorPorts) -> _Seen:
    waves, time = ports.store()
    time.compare_time(ports.clock.now())
    going_on = [held for held in waves.waves() if held.ended_at is None]
    told = "; ".join(f"{held.wave} is {held.state}, held by {held.holder} until {held.expires_at}" for held in going_on)
    return "pass", told or "no wave goes on"


def _history(ports: DoctorPorts) -> _Seen:
    head = ports.history.head()
    if head is None:
        return "warn", "the site is not under version control: nobody sees who changed what"
    level, told = _upstream(head, ports.upstream(), ports)
    loose = ports.history.uncommitted()
    if loose:
        shown = ", ".join(loose[:5])
        told = f"{told}; not committed: {shown}{f' and {len(loose) - 5} more' if len(loose) > 5 else ''}"
    return "warn" if loose and level == "pass" else level, told


def _upstream(head: str, upstream: Upstream | None, ports: DoctorPorts) -> _Seen:
    if upstream is None:
        return "warn", f"at {head[:12]}; its branch has no upstream: it is on this machine alone"
    if upstream.is_here:
        return "warn", f"at {head[:12]}; its upstream is a branch of this repository: it is on this machine alone"
    age = max(ports.clock.now() - upstream.fetched, timedelta(0)) if upstream.fetched is not None else None
    known = f"as fetched {show_age(age)} ago" if age is not None else "as it was cloned: nobody has fetched since"
    if upstream.behind:
        return "fail", f"at {head[:12]}, {counted(upstream.behind, 'commit')} behind its upstream, {known}: pull first, or you work by an old policy"
    stand = f"{counted(upstream.ahead, 'commit')} not pushed to its upstream" if upstream.ahead else "as its upstream"
    if age is None or age > _FETCHED_WITHIN:
        return "warn", f"at {head[:12]}, {stand}, {known}: 'git fetch' shows whether others changed the policy meanwhile"
    return "warn" if upstream.ahead else "pass", f"at {head[:12]}, {stand}, {known}"
