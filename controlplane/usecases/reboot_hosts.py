"""Reboot hosts one after the other, with a receipt of each, and wait until each has started what it starts at boot.

Rules:
- A host is rebooted only where fresh evidence shows that nobody holds its lease and no run's unit works there, whoever's controller that is.
- What could not be observed is not rebooted.
- Where site.yml names windows, none is rebooted outside of one. A host of a wave that goes on is rebooted in that wave's windows, as its runs are:
  by this controller's clock, and by those of the hosts that it is behind.
- Neither is a host on which a Redis is seen that a stop and a start would cost its keys.
- One that belongs to a wave that goes on and changes machines is rebooted by that wave's holder alone, also where the wave only looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from controlplane.domain.checks.restart import lost_by_restart
from controlplane.domain.coordination import WaveHeld
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import ControlPlaneError, InputInvalidError, InterruptedRunError, RefusedError, RunFailedError, UnknownError
from controlplane.domain.evidence import Reader, Unobserved, Unreached
from controlplane.domain.host_clocks import ahead_of, by_clocks
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.lease_view import LEASE_PROBES, reboot_objections
from controlplane.domain.receipt import Outcome, open_intents
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.domain.waves.record import record_of
from controlplane.domain.windows import why_shut
from controlplane.ports.plays import StepResult
from controlplane.render.project import render_reboot
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.apply_plan import ApplyPorts
from controlplane.usecases.hosts_in_wave import Attempts, in_wave
from controlplane.usecases.record_run import Ledger
from controlplane.usecases.wave_case import opening_now
from controlplane.usecases.wave_ports import WaveSite, refuse_other_files, without_end

REBOOT = "host.reboot"
# What tells whether a database would lose anything by it.
_RESTART_PROBES = ("docker_containers", "redis")
# What holds a host's own clock.
_CLOCK_PROBES = ("identity",)
Shut = Callable[[datetime], str | None]


class Waves(NamedTuple):
    """The waves of a site: every attempt at one, asked of the store, and what its files say, read only for a host of the operator's own one."""

    attempts: Attempts
    site: Callable[[], WaveSite]


def reboot_hosts(
    site: SiteView,
    *,
    hosts: tuple[str, ...],
    operator: str,
    ports: ApplyPorts,
    progress: Callable[[str], None],
    judged_by: str = "verify --host",
    waves: Waves | None = None,
) -> tuple[str, ...]:
    """Reboot the hosts one after the other and return the receipts. `judged_by` are the words before a host that judge it without another reboot.

    Without `waves` no host belongs to one.

    Raises `RefusedError` where a run is open on one of them or changes it from elsewhere, or another's wave has it; `UnknownError` where that could
    not be observed, `InputInvalidError` where a wave's files have faults, `RunFailedError` for the first that does not come back,
    `InterruptedRunError`.
    """
    chosen = site.chosen(hosts)
    names = tuple(desired.host for desired, _ in chosen)
    busy = [r for r in open_intents([receipt for _, receipt in sound_chain(ports.receipts, now=ports.clock.now())]) if r.host in names]
    if busy:
        told = "; ".join(f"{r.key} on {r.host} since {r.at}" for r in busy)
        raise RefusedError(f"a run is still open: {told}. Nothing was rebooted. Resume it or take it back first: controlplane runs list")
    keys: list[str] = []
    files = ports.roles.files()

    asked = partial(_refuse_by_waves, site, waves=waves, operator=operator, ports=ports)

    def restart(route: InventoryHost, key: str) -> StepResult:
        return ports.runner.run(render_reboot([route], roles=files), key=key, host=route.name, playbook="site.yml", progress=progress)

    with ports.locks.hold(names, operator=operator):
        _refuse_unless_free(chosen, ports, rebooted=(), waves=asked)
        for number, (desired, route) in enumerate(chosen):
            if number:
                # The reboots before took their time.
                with telling(
                    f"{were_rebooted(names[:number])} Next: controlplane verify --after-reboot{named(names[number:])}    (goes on with the others)"
                ):
                    _refuse_unless_free(chosen[number : number + 1], ports, rebooted=names[:number], waves=asked)
            key = make_run_key(REBOOT, ports.clock.now(), ports.entropy.four_hex())
            keys.append(key)
            _reboot(
                Ledger(ports.receipts, ports.clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator),
                desired,
                partial(restart, route),
                f"controlplane {judged_by} {desired.host}",
                progress,
            )
    return tuple(keys)


def _refuse_unless_free(
    chosen: Sequence[tuple[DesiredHost, InventoryHost]],
    ports: ApplyPorts,
    *,
    rebooted: tuple[str, ...],
    waves: Callable[[Sequence[str], str], Shut],
) -> None:
    """Raise `RefusedError` where no window is open, or a wave or somebody changes one of the hosts, `UnknownError` where that is not known."""
    state = f"Only {were_rebooted(rebooted)}" if rebooted else "Nothing was rebooted."
    shut = waves([desired.host for desired, _ in chosen], state)
    seen = ports.evidence.collect([route for _, route in chosen], {}, only=(*LEASE_PROBES, *_RESTART_PROBES, *_CLOCK_PROBES))
    busy, doubts, lost = [], [], []
    for host in (desired.host for desired, _ in chosen):
        record = seen.get(host, Unreached(host=host, reason="it was not asked"))
        try:
            told = () if isinstance(record, Unreached) else reboot_objections(host, Reader(record), now=ports.clock.now())
        except Unobserved as doubt:
            doubts.append(f"whether {host} is being changed could not be observed: {doubt}")
            continue
        if isinstance(record, Unreached):
            doubts.append(f"{host} could not be observed: {record.reason}")
        elif told:
            busy.append((host, "; ".join(told)))
        else:
            lost += [f"{host}: {one}" for one in _lost(Reader(record))]
    if lost:
        raise RefusedError(f"{'; '.join(lost)}. {state} After that, run this again.")
    if busy:
        host = busy[0][0]
        raise RefusedError(
            f"{'; '.join(told for _, told in busy)}. {state} Wait for it; 'controlplane lease show {host}' tells how it stands. "
            f"If its controller is dead and no unit of it works any more: controlplane lease take {host}"
        )
    if doubts:
        raise UnknownError(f"{'; '.join(doubts)}. {state} Restore the connection, then run this again.")
    now = ports.clock.now()
    closed = [(clock, why) for clock in ahead_of(now, seen) if (why := shut(clock.says)) is not None]
    if closed:
        raise RefusedError(f"{by_clocks(closed, now)}. {state} Set the one that is wrong. Then run this again.")


def _refuse_by_waves(site: SiteView, hosts: Sequence[str], state: str, *, waves: Waves | None, operator: str, ports: ApplyPorts) -> Shut:
    """Return what tells why none of them may be rebooted at a time, by their windows; None where all may.

    Raises `RefusedError` where another's wave has one of the hosts, or no window of one is open now; `UnknownError` where the store can't be asked,
    `InputInvalidError` where a wave's files have faults.
    """
    try:
        attempts = tuple(waves.attempts()) if waves is not None else ()
    except InterruptedRunError:
        raise
    except ControlPlaneError as lost:
        raise UnknownError(f"{without_end(str(lost))} {state} Run this again then.") from lost
    theirs = in_wave(hosts, [one for one in attempts if one.holder != operator])
    if theirs is not None:
        raise RefusedError(
            f"{theirs.told}. {state} Leave it to its holder, or wait for its end: {theirs.status}. Once their lease is over it can be taken over: "
            f"controlplane wave resume {theirs.wave}"
        )
    shuts: list[Shut] = []
    for host in hosts:
        mine = next((one for one in attempts if in_wave([host], [one]) is not None), None)
        if mine is None or waves is None:
            shuts.append(lambda at: why_shut(site.windows, timezone=site.timezone, now=at))
            continue
        try:
            shuts.append(_shut_in(mine, host, waves.site()))
        except RefusedError as other:
            raise RefusedError(f"{without_end(str(other)).rstrip('.')}. {state}") from None
        except InputInvalidError as wrong:
            *others, last = wrong.faults
            told = f"{last.message}. {host} belongs to wave {mine.wave} and is not rebooted before that is mended. {state}"
            raise InputInvalidError([*others, replace(last, message=told)]) from None

    def shut(at: datetime) -> str | None:
        return next((why for one in shuts if (why := one(at)) is not None), None)

    why = shut(ports.clock.now())
    if why is not None:
        raise RefusedError(f"{why}. {state} Run this again then.")
    return shut


def _shut_in(held: WaveHeld, host: str, site: WaveSite) -> Shut:
    """Return what tells why no run of the wave would begin at a time. Raises `RefusedError` where its file is not the one that it was opened by."""
    refuse_other_files(f"{host} is not rebooted, it belongs to wave {held.wave}", held.wave, site, record_of(held.record))
    wave = site.wave(held.wave)

    def shut(at: datetime) -> str | None:
        why = opening_now(wave, site, at)[1]
        return None if why is None else f"{host} belongs to wave {held.wave}, outside of whose windows nothing is changed: {why}"

    return shut


def _lost(reader: Reader) -> tuple[str, ...]:
    """Return what a reboot would surely lose. Without a Docker that answers nothing of it is known, and a reboot may be what mends that."""
    try:
        return lost_by_restart(reader)
    except Unobserved:
        return ()


def were_rebooted(rebooted: tuple[str, ...]) -> str:
    """Return what a message says of hosts that were rebooted."""
    return f"{', '.join(rebooted)} {'was' if len(rebooted) == 1 else 'were'} rebooted."


def named(hosts: tuple[str, ...]) -> str:
    """Return the options that name these hosts again on the next command line; none stands for all."""
    return "".join(f" --host {host}" for host in hosts)


def _reboot(ledger: Ledger, desired: DesiredHost, run: Callable[[str], StepResult], judging: str, progress: Callable[[str], None]) -> None:
    key, host = ledger.run, desired.host
    stopped = f"Interrupted while {host} was rebooting; it may still be on its way. Next: {judging}"
    ledger.intend(key, host=host, capability=REBOOT, step="*")
    progress(f"{host} reboots")
    try:
        result = run(key)
    except KeyboardInterrupt:
        raise InterruptedRunError(stopped) from None
    outcome: Outcome = "done" if result.status == "done" else "interrupted" if result.status == "interrupted" else "failed"
    ledger.close(key, host=host, capability=REBOOT, step="*", outcome=outcome, reason=result.message or None)
    if outcome == "interrupted":
        raise InterruptedRunError(stopped)
    if outcome == "failed":
        raise RunFailedError(f"{host} did not come back from its reboot: {result.message}. Look at its console, then run: {judging}")


@contextmanager
def telling(state: str) -> Iterator[None]:
    """Tell what is true here of an interruption: who collects evidence only knows that it changed nothing itself."""
    try:
        yield
    except (KeyboardInterrupt, InterruptedRunError):
        raise InterruptedRunError(f"Interrupted. {state}") from None
