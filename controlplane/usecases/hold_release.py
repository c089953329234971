"""One verb at a time changes a stack, whatever its environment, from its first look to its last proof or its way back, over all controllers.

Rules:
- There are two locks: the kernel's in this folder of the site, which goes with a program that was killed, and a lease in the store that controllers
  share. The former is of the stack; the latter of one environment, and those of the others are looked at: what one gate reads (the manifest, what
  staging runs and has proven) the other verb would change under it.
- That is of what works now. What was interrupted in one environment keeps no verb from the other in the same folder and by the same operator;
  anybody else waits until its lease is over.
- Who was killed goes on here at once. From another controller, or another copy of the site, that takes until the lease is over.
- Before each host, each proof and each play of a way back the lease is renewed: who slept past its end and lost it begins nothing more.
- Whose lease ended by a reset of the site's time, because a clock had run ahead, counts as having slept past it: others were let in from then on.
- A store that can't be asked takes nothing away as long as the lease lasts; after that nobody knows who has it, and nothing more is begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controlplane.domain.coordination import moment_of, stamp_of
from controlplane.domain.errors import ControlPlaneError, InterruptedRunError, RefusedError
from controlplane.domain.releases.elsewhere import open_runs
from controlplane.domain.releases.lease import ReleaseHeld, holder_of, overtaken, refuse_beside, release_lost
from controlplane.domain.releases.smoke import SmokeReport
from controlplane.domain.releases.values import EnvironmentName
from controlplane.ports.plays import PlayRunner, StepResult
from controlplane.ports.releases import ReleaseLeases
from controlplane.usecases.release_case import Progress, ReleasePorts, ReleaseSite, history
from controlplane.usecases.wave_ports import without_end

ENVIRONMENTS: tuple[EnvironmentName, ...] = ("staging", "production")
# Longer than a host takes with its images there or small; one that takes longer is kept by its own lease.
TTL = timedelta(minutes=30)


class HeldRelease:
    """The lease of one verb; `ports` begin no play and no proof once it is lost."""

    def __init__(self, held: ReleaseHeld, ports: ReleasePorts) -> None:
        self._held, self._leases, self._clock = held, ports.leases, ports.apply.clock
        self._overtaken: str | None = None
        # Whether it ran out, and nobody was asked yet who came in meanwhile.
        self._ran_out = False
        # Since when others were let in, where a reset of the site's time ended it. By a clock that is still ahead their leases would be over.
        self._reset_at: datetime | None = None
        self.ports = replace(fenced(ports, self.lost), prove=_FencedProver(ports, self.lost))

    def lost(self) -> str | None:
        """Renew the lease; return why nothing more may be begun, None where it may."""
        if self._overtaken is not None:
            return self._overtaken
        now, before = self._clock.now(), self._held
        try:
            self._reset_at = self._ended_by_reset() or self._reset_at
            self._ran_out = self._ran_out or self._reset_at is not None
            self._held = self._leases.renew_release(before, now=now, ttl=TTL)
            # As long as it lasted it kept every other environment out.
            self._ran_out = self._ran_out or not before.leased(_renewed_at(self._held))
            if self._ran_out:
                at = self._reset_at or _renewed_at(self._held)
                self._overtaken = overtaken(self._held, _of_others(self._held, self._leases), at=at)
                self._ran_out, self._reset_at = False, None
        except RefusedError as lost:
            return without_end(str(lost)).rstrip(".")
        except ControlPlaneError as away:
            lasts = now < moment_of(self._held.expires_at) and not self._ran_out
            since = stamp_of(self._reset_at) if self._reset_at is not None else self._held.expires_at
            return None if lasts else f"nobody knows who has the lease since {since}: {without_end(str(away)).rstrip('.')}"
        return self._overtaken

    def _ended_by_reset(self) -> datetime | None:
        """Return when the lease ended in the store, where that is earlier than was told here; None where it is not, or is another's."""
        kept = self._leases.find_release(self._held.stack, self._held.environment)
        if kept is None or kept.token != self._held.token:
            return None
        ends = moment_of(kept.expires_at)
        return ends if ends < moment_of(self._held.expires_at) else None

    def refuse_beside(self) -> None:
        """Raise `RefusedError` where another changes the stack in another environment. Raises what the store does that can't be asked."""
        refuse_beside(self._held, _of_others(self._held, self._leases), at=_renewed_at(self._held))

    def taken_over(self) -> str | None:
        """Return who has it now, where that is somebody else. A store that can't be asked takes nothing away."""
        try:
            return release_lost(self._held, self._leases.find_release(self._held.stack, self._held.environment))
        except ControlPlaneError:
            return None

    def give_back(self) -> None:
        """Let others have it."""
        # What was done is on record; a lease that can't be given back ends by itself.
        with suppress(ControlPlaneError):
            self._leases.end_release(self._held, now=self._clock.now())


def fenced(ports: ReleasePorts, lost: Callable[[], str | None]) -> ReleasePorts:
    """Return the ports, with plays that are begun only while `lost` gives no reason against it."""
    return replace(ports, apply=replace(ports.apply, runner=_FencedRunner(ports.apply.runner, lost)))


@contextmanager
def held_release(site: ReleaseSite, stack: str, name: EnvironmentName, verb: str, ports: ReleasePorts) -> Iterator[HeldRelease]:
    """Hold a stack for a verb in one of its environments. Raises `RefusedError`, naming who does what where; then nothing was changed."""
    with ExitStack() as locked:
        try:
            # No host can have a name with a space in it. Who is kept out reads what goes on where.
            locked.enter_context(ports.apply.locks.hold((f"stack {stack}",), operator=f"{site.operator}, release {verb} in {name}"))
        except RefusedError as twin:
            raise RefusedError(f"{stack} in {name} is not begun, one environment at a time: {twin}{_open_runs(site, stack, ports)}") from None
        now = ports.apply.clock.now()
        holder = holder_of(site.operator, ports.apply.locks.place)
        held = HeldRelease(ports.leases.take_release(stack, name, verb, holder=holder, now=now, ttl=TTL), ports)
        try:
            held.refuse_beside()
            yield held
        finally:
            held.give_back()


def leases_of(stack: str, leases: ReleaseLeases) -> tuple[ReleaseHeld, ...]:
    """Return the last taking of each environment of a stack, ended or not."""
    return tuple(held for name in ENVIRONMENTS if (held := leases.find_release(stack, name)) is not None)


def _of_others(held: ReleaseHeld, leases: ReleaseLeases) -> tuple[ReleaseHeld, ...]:
    return tuple(one for one in leases_of(held.stack, leases) if one.environment != held.environment)


def _renewed_at(held: ReleaseHeld) -> datetime:
    """Return when a lease was taken or renewed last, by the site's time, which may be ahead of this controller's."""
    return moment_of(held.expires_at) - TTL


def _open_runs(site: ReleaseSite, stack: str, ports: ReleasePorts) -> str:
    """Return the runs of a stack that are open, of which one is what goes on; nothing where none is on record yet, or nobody can tell."""
    told: list[str] = []
    # It is only said beside a refusal, which stands without it.
    with suppress(ControlPlaneError):
        chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
        for name in site.files.spec(stack).environments:
            runs = open_runs(history(site, stack, name, chain, ports.apply), chain, ports.apply.plans.get)
            told += [f"{run.run} in {name}" for run in runs]
    return f" Open: {', '.join(told)}." if told else ""


@dataclass(frozen=True)
class _FencedRunner:
    """Begins a play only while it may: `lost` says why not."""

    runner: PlayRunner
    lost: Callable[[], str | None]

    def run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Progress) -> StepResult:
        """Run it, or say that it was stopped before it began."""
        lost = self.lost()
        if lost is not None:
            return StepResult(status="interrupted", message=f"interrupted before anything was begun: {lost}", told={})
        return self.runner.run(project, key=key, host=host, playbook=playbook, progress=progress)

    def dry_run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Progress) -> StepResult:
        """Ask: that changes nothing."""
        return self.runner.dry_run(project, key=key, host=host, playbook=playbook, progress=progress)


@dataclass(frozen=True)
class _FencedProver:
    """Begins a proof only while the lease is ours."""

    ports: ReleasePorts
    lost: Callable[[], str | None]

    def __call__(self, stack: str, environment: EnvironmentName, *, progress: Progress) -> SmokeReport:
        """Prove. Raises `InterruptedRunError` where it is not begun."""
        lost = self.lost()
        if lost is not None:
            raise InterruptedRunError(f"the smoke tests were not begun: {lost}")
        return self.ports.prove(stack, environment, progress=progress)
