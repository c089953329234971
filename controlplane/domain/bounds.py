"""Hold a plan's bounds against evidence: what varies by itself, and must not lie below what a step needs.

Rules:
- A bound that can't be measured does not hold.
- Planning and apply measure in one way, so that a plan which apply would refuse for a bound is not made.
- What the steps of one plan take of the same place adds up in their order. Nothing is given back in between: what a step retires stays where it is
  until a purge, which has a plan of its own, as docker.hygiene and storage.tmp_files have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controlplane.domain.capabilities.data_disk import devices_of
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, Reader, Unobserved
from controlplane.domain.plan import Bound, Plan


def broken_bounds(plan: Plan, hosts: Mapping[str, DesiredHost], evidence: Mapping[str, Evidence]) -> tuple[str, ...]:
    """Return the plan's bounds that do not hold on fresh evidence, one sentence each; one that can't be measured does not hold."""
    told: list[str] = []
    for bound in dict.fromkeys(plan.bounds):
        try:
            short = shortfall(bound, hosts[bound.host], Reader(evidence[bound.host]))
        except (Unobserved, KeyError) as doubt:
            short = f"{bound.what}: could not be measured ({doubt})"
        if short is not None:
            told.append(f"{bound.host}: {short}")
    return tuple(dict.fromkeys(told))


class Taken:
    """What the steps of a plan so far take of one host, in bytes by what is measured."""

    def __init__(self) -> None:
        self._bytes: dict[tuple[str, str], int] = {}

    def beside(self, room: Iterable[Bound]) -> tuple[Bound, ...]:
        """Return these bounds with what is taken before them added: all of that has to be there, as things are before the first step."""
        return tuple(_raised(bound, self._bytes.get((bound.measure, bound.of), 0)) for bound in room)

    def take(self, room: Iterable[Bound]) -> None:
        """Note that a step of the plan takes that."""
        for bound in room:
            key = (bound.measure, bound.of)
            self._bytes[key] = self._bytes.get(key, 0) + bound.at_least


def _raised(bound: Bound, taken: int) -> Bound:
    if not taken:
        return bound
    what = f"{bound.what}, beside the {taken} that the steps before it need"
    return bound.model_copy(update={"what": what, "at_least": taken + bound.at_least})


def shortfall(bound: Bound, desired: DesiredHost, reader: Reader) -> str | None:
    """Return how much there is and how much is needed, None where the bound holds. Raises `Unobserved` where it can't be measured."""
    seen = _measure(bound, desired, reader)
    return f"{bound.what}: {seen}, at least {bound.at_least} needed" if seen < bound.at_least else None


def _measure(bound: Bound, desired: DesiredHost, reader: Reader) -> int:
    if bound.measure == "disk_bytes":
        disk = next((disk for disk in desired.disks if disk.label == bound.of), None)
        sizes = [] if disk is None else [reader.block[number]["size"] for number in devices_of(disk, reader) if number in reader.block]
        if len(sizes) != 1:
            raise Unobserved(f"{bound.of} is there {len(sizes)} times")
        return sizes[0]
    if bound.measure == "storage_bytes":
        storage = reader.machine["storages"].get(bound.of)
        if storage is None:
            raise Unobserved(f"there is no storage {bound.of}")
        return storage["free"]
    if bound.measure == "log_bytes":
        log = next((log for log in reader.docker_store["logs"] if log["path"] == bound.of), None)
        if log is None:
            raise Unobserved(f"{bound.of} is no container's log any more")
        return log["size"]
    usage = reader.usage.get(bound.of)
    if usage is None:
        raise Unobserved(f"{bound.of} is not mounted, or did not answer")
    return usage["available"] if bound.measure == "free_bytes" else usage["inodes_free"]
