"""What a wave of governance has to say in its closeout: its last runs, the linkage, and promote or hold with the fields that change.

What can't be said is left out, so that the wave is found to lack it: nothing here is said for want of a better answer.
"""

from __future__ import annotations

from controlplane.domain.gates.promotion import Standing
from controlplane.domain.waves.values import Wave
from controlplane.usecases.gate_standings import order_of, standings
from controlplane.usecases.look_at_wave import Look
from controlplane.usecases.run_gates import host_digests
from controlplane.usecases.wave_ports import WavePorts, WaveSite


def outputs_of(wave: Wave, site: WaveSite, ports: WavePorts, look: Look) -> dict[str, str]:
    """Return the outputs that the wave's file asks for, as far as there is anything to say."""
    found: dict[str, str] = {}
    if "last-runs" in wave.outputs and wave.pack is not None:
        wanted = site.view.gates.promotion.runs
        runs = [run.run for run in ports.gates.runs.latest_runs(wave.pack, wanted)]
        if len(runs) == wanted:
            found["last-runs"] = ", ".join(runs)
    if "linkage" in wave.outputs and site.governance.registers is not None:
        faults = [*map(str, site.governance.register_faults), *(f"{rule.id}: {rule.message}" for rule in site.governance.broken)]
        found["linkage"] = "; ".join(faults) or "complete: every finding leads to gaps and a loop"
    if "promotion" in wave.outputs:
        checks = dict.fromkeys(check for gate in wave.exit if gate.kind in ("promotable", "promoted") for check in gate.checks)
        digests = {host: digest for host, digest in host_digests(look.seen).items() if digest != "unreached"}
        stand = standings(
            site.view,
            checks=list(checks),
            hosts=list(wave.seen),
            runs=ports.gates.runs,
            checkers=ports.gates.checkers,
            began=order_of(ports.apply.receipts),
            now=ports.apply.clock.now(),
            seen=digests,
        )
        if stand:
            found["promotion"] = "; ".join([*map(_decision, stand), *(f"gates.yml {_field(one)}" for one in stand if _changes(one))])
    return found


def _decision(one: Standing) -> str:
    if one.mode == "enforce":
        return f"{one.check} on {one.host}: enforced{', demotion proposed' if one.proposes == 'demote' else ''}"
    held = "" if one.proposes is not None else f" ({'; '.join(one.held_by)})"
    return f"{one.check} on {one.host}: {one.proposes or 'hold'}{held}"


def _changes(one: Standing) -> bool:
    return one.mode == "enforce" or one.proposes == "promote"


def _field(one: Standing) -> str:
    return f"modes.{one.check}.{one.host}: {'enforce' if one.mode == 'enforce' else 'report -> enforce'}"
