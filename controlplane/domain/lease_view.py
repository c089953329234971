"""Who may change a host right now, as the host's own files say."""

from __future__ import annotations

from datetime import datetime

from controlplane.domain.evidence import Reader
from controlplane.domain.evidence_shapes.runs import Lease
from controlplane.domain.values import Value

# The unit of the role vm_bootstrap in which apt and dpkg work.
INSTALLATION = "controlplane-vm-bootstrap.service"
# All that the views here read: who only asks for them need not look at the rest of the host.
LEASE_PROBES = ("target_state",)


class LeaseView(Value):
    """A host's lease. `expired` by the controller's clock; `working` is the unit of the lease's run, if it still runs there."""

    host: str
    token: int | None = None
    holder: str | None = None
    run: str | None = None
    taken_at: str | None = None
    expires_at: str | None = None
    expired: bool = False
    working: str | None = None

    @property
    def held(self) -> bool:
        """Say whether a lease lies on the host, expired or not."""
        return self.run is not None

    @property
    def can_be_cancelled(self) -> bool:
        """Say whether a unit works that may be stopped; half of an installation is no way back."""
        return self.working not in (None, INSTALLATION)


def lease_of(host: str, reader: Reader, *, now: datetime) -> LeaseView:
    """Return the host's lease. Raises `Unobserved`."""
    state = reader.target_state
    lease = state["lease"]
    if lease is None:
        return LeaseView(host=host)
    working = next((run["unit"] for run in state["runs"] if run["run"] == lease["run"] and run["unit_active"]), None)
    return LeaseView(host=host, **lease, expired=_expired(lease, now), working=working)


def reboot_objections(host: str, reader: Reader, *, now: datetime) -> tuple[str, ...]:
    """Return what a reboot of the host would cut short: a lease that somebody holds, and units of runs. Raises `Unobserved`."""
    lease = lease_of(host, reader, now=now)
    told = []
    if lease.held and (not lease.expired or lease.working is not None):
        told.append(f"{host} is leased to run {lease.run} by {lease.holder} since {lease.taken_at}, until {lease.expires_at}")
    told += [f"the unit {run['unit']} of run {run['run']} works on {host}" for run in reader.target_state["runs"] if run["unit_active"]]
    return tuple(told)


def _expired(lease: Lease, now: datetime) -> bool:
    try:
        return datetime.fromisoformat(lease["expires_at"].replace("Z", "+00:00")) <= now
    except (TypeError, ValueError):
        return False  # what can't be read is not taken for over
