"""Hold a plan's bounds against evidence: what varies by itself, and must not lie below what a step needs.

Rules:
- A bound that can't be measured does not hold.
- Planning and apply measure in one way, so that a plan which apply would refuse for a bound is not made.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    usage = reader.usage.get(bound.of)
    if usage is None:
        raise Unobserved(f"{bound.of} is not mounted, or did not answer")
    return usage["available"] if bound.measure == "free_bytes" else usage["inodes_free"]
