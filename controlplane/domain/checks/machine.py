"""D246: the machine is on its hypervisor what machines.yml says."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.desired import DesiredHost
from controlplane.domain.machine_view import differences


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `machine` of hosts whose machine is provisioned from a hypervisor.

    Description: the hypervisor has the machine, running and started at its own boot, with the cores, the memory, the network card, the agent's
    channel and every declared disk: its serial number, and at least its size.
    Drift: no such machine, made only half, or another one than declared (high); not running or not started at boot (medium).
    Unknown: the hypervisor could not be asked.
    Rationale: a machine that is born without its data disk keeps its data on the boot disk from the first container on.
    """
    if desired.machine is not None and desired.machine.hypervisor is not None:
        yield Question("machine", _as_declared)


def _as_declared(case: Case) -> Answer:
    machine = case.desired.machine
    if machine is None:
        raise TypeError("the question is asked of declared machines only")
    seen = case.reader.machine
    where = machine.hypervisor_name
    if not seen["exists"]:
        return drifted(f"{where} has no such machine" + (f", and {seen['other']} is in its place" if seen["other"] else ""), "high")
    lacking = differences(machine, seen)
    if lacking:
        return drifted(f"on {where}: {'; '.join(lacking)}", "high")
    asleep = [*([] if seen["state"] == "running" else [f"it is {seen['state']}"]), *([] if seen["autostart"] else ["it is not started at boot"])]
    return drifted(f"on {where}: {'; '.join(asleep)}", "medium") if asleep else met(f"as declared on {where}")


CHECK = Check("D246", "machine", "high", _questions)
