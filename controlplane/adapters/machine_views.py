"""Bring what hypervisors show of machines together with what the machines say of themselves.

Rules:
- A hypervisor that runs on a host of the inventory is asked in the same play as everything else: one remote execution for all its machines.
- A host that gave no evidence, but whose hypervisor did, has evidence of which every other probe failed, with the reason why it was not reached.
- A hypervisor that could not be asked is a failed probe, never a machine that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from controlplane.domain.asking import what_to_ask, what_to_ask_of_a_hypervisor
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, ProbeRecord, Unreached
from controlplane.domain.evidence_shapes import SHAPES
from controlplane.domain.machines import DesiredMachine, Libvirt

PROBE = "machines"


def questions(desired: Mapping[str, DesiredHost]) -> dict[str, dict[str, Any]]:
    """Return what is asked of each inventory host that runs machines, by its name."""
    running: dict[str, list[DesiredMachine]] = {}
    for host in desired.values():
        if host.machine is not None and isinstance(host.machine.hypervisor, Libvirt):
            running.setdefault(host.machine.hypervisor.host, []).append(host.machine)
    return {name: what_to_ask_of_a_hypervisor(machines) for name, machines in running.items()}


def only_machines(question: dict[str, Any]) -> dict[str, Any]:
    """Return the collector's parameters for a host of which nothing else is asked."""
    return {**what_to_ask(None), "machines": question, "only": [PROBE]}


def with_machines(
    seen: Mapping[str, Evidence | Unreached],
    hosts: Sequence[str],
    desired: Mapping[str, DesiredHost],
    *,
    collected_at: str,
    through_api: Mapping[str, ProbeRecord] = MappingProxyType({}),
) -> dict[str, Evidence | Unreached]:
    """Return the evidence of `hosts`, each with its machine where one is declared; `seen` also holds the hypervisors' own.

    `through_api` is what was seen of machines whose hypervisor is no host of the inventory.
    """
    together: dict[str, Evidence | Unreached] = {}
    for name in hosts:
        machine = desired[name].machine if name in desired else None
        own = _without_probe(seen[name])
        if name in through_api:
            together[name] = _joined(own, through_api[name], desired[name], collected_at)
            continue
        if machine is None or not isinstance(machine.hypervisor, Libvirt):
            together[name] = own
            continue
        record = _record(name, machine.hypervisor.host, seen.get(machine.hypervisor.host))
        together[name] = _joined(own, record, desired[name], collected_at)
    return together


def _without_probe(one: Evidence | Unreached) -> Evidence | Unreached:
    if isinstance(one, Unreached) or PROBE not in one.probes:
        return one
    return one.model_copy(update={"probes": {name: record for name, record in one.probes.items() if name != PROBE}})


def _record(name: str, hypervisor: str, seen: Evidence | Unreached | None) -> ProbeRecord:
    if seen is None or isinstance(seen, Unreached):
        reason = seen.reason if seen is not None else "it was not asked"
        return ProbeRecord(status="failed", error=f"the hypervisor {hypervisor} was not reached: {reason}", seconds=0.0)
    record = seen.probes.get(PROBE)
    if record is None:
        return ProbeRecord(status="failed", error=f"the hypervisor {hypervisor} said nothing of its machines", seconds=0.0)
    if record.status != "ok":
        return record.model_copy(update={"error": f"the hypervisor {hypervisor}: {record.error or 'no reason given'}"})
    found = record.data.get(name) if isinstance(record.data, dict) else None
    if found is None:
        return ProbeRecord(status="failed", error=f"the hypervisor {hypervisor} said nothing of {name}", seconds=record.seconds)
    return record.model_copy(update={"data": found})


def _joined(own: Evidence | Unreached, record: ProbeRecord, desired: DesiredHost, collected_at: str) -> Evidence | Unreached:
    if isinstance(own, Evidence):
        return own.model_copy(update={"probes": {**own.probes, "machine": record}})
    if record.status != "ok":
        return own.model_copy(update={"reason": f"{own.reason}; {record.error}"})
    blank = ProbeRecord(status="failed", error=f"the host was not reached: {own.reason}", seconds=0.0)
    probes = {**dict.fromkeys(SHAPES, blank), "machine": record}
    return Evidence(host=own.host, collected_at=collected_at, asked=what_to_ask(desired), probes=probes, unconnected=own.unconnected)
