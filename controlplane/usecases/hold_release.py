"""One verb at a time changes a stack in an environment, from its first look to its last proof or its way back, over all controllers of a site.

Rules:
- There are two locks: the kernel's in this folder of the site, which goes with a program that was killed, and a lease in the store that controllers
  share.
- Who was killed goes on here at once. From another controller, or another copy of the site, that takes until the lease is over.
- Before each host, each proof and each play of a way back the lease is renewed: who slept past its end and lost it begins nothing more.
- A store that can't be asked takes nothing away as long as the lease lasts; after that nobody knows who has it, and nothing more is begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from controlplane.domain.coordination import moment_of
from controlplane.domain.errors import ControlPlaneError, InterruptedRunError, RefusedError
from controlplane.domain.releases.lease import ReleaseHeld, holder_of, release_lost
from controlplane.domain.releases.smoke import SmokeReport
from controlplane.domain.releases.values import EnvironmentName
from controlplane.ports.plays import PlayRunner, StepResult
from controlplane.usecases.release_case import Progress, ReleasePorts, ReleaseSite
from controlplane.usecases.wave_ports import without_end

# Longer than a host takes with its images there or small; one that takes longer is kept by its own lease.
TTL = timedelta(minutes=30)


class HeldRelease:
    """The lease of one verb; `ports` begin no play and no proof once it is lost."""

    def __init__(self, held: ReleaseHeld, ports: ReleasePorts) -> None:
        self._held, self._leases, self._clock = held, ports.leases, ports.apply.clock
        self.ports = replace(fenced(ports, self.lost), prove=_FencedProver(ports, self.lost))

    def lost(self) -> str | None:
        """Renew the lease; return why nothing more may be begun, None where it may."""
        now = self._clock.now()
        try:
            self._held = self._leases.renew_release(self._held, now=now, ttl=TTL)
        except RefusedError as lost:
            return without_end(str(lost)).rstrip(".")
        except ControlPlaneError as away:
            lasts = now < moment_of(self._held.expires_at)
            return None if lasts else f"nobody knows who has the lease since {self._held.expires_at}: {without_end(str(away)).rstrip('.')}"
        return None

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
    """Hold a stack in an environment. Raises `RefusedError`, naming who does it; then nothing was changed."""
    # No host can have a name with a space in it.
    with ports.apply.locks.hold((f"{stack} in {name}",), operator=site.operator):
        now = ports.apply.clock.now()
        holder = holder_of(site.operator, ports.apply.locks.place)
        held = HeldRelease(ports.leases.take_release(stack, name, verb, holder=holder, now=now, ttl=TTL), ports)
        try:
            yield held
        finally:
            held.give_back()


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
