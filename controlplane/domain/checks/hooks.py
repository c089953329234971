"""D248: the site's own backup client and monitoring agent work."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from controlplane.domain.checks.baseline import machine_of, missing_packages, unit_problem
from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.desired import DesiredHost
from controlplane.domain.machines import Hook


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `hook.backup` and `hook.monitoring` where the host's profile names them.

    Description: the hook's packages are installed, and its unit is enabled and active.
    Drift: one of them is not (medium).
    Unknown: packages or units could not be observed.
    Rationale: a host that nothing backs up and nobody watches is not ready, however right its disks are.
    """
    baseline = machine_of(desired).profile.baseline if desired.machine is not None else None
    for name, hook in (("backup", baseline.backup), ("monitoring", baseline.monitoring)) if baseline else ():
        if hook is not None:
            yield Question(f"hook.{name}", partial(_hook, hook=hook))


def _hook(case: Case, hook: Hook) -> Answer:
    missing = missing_packages(case, hook.packages) if hook.packages else []
    problem = unit_problem(hook.unit, case.reader.units.get(hook.unit))
    told = [*([f"not installed: {', '.join(missing)}"] if missing else []), *([problem] if problem else [])]
    return drifted("; ".join(told)) if told else met(f"{hook.unit} is enabled and active")


CHECK = Check("D248", "hooks", "medium", _questions)
