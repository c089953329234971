"""What a site says beyond its policy: gates, registers, waves, releases; read together, because each names the others."""

from __future__ import annotations

from dataclasses import dataclass, field

from controlplane.domain.desired import DesiredState, Registered
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.gates.values import Gates
from controlplane.domain.registers import Registers
from controlplane.domain.registers.links import Linkage, linkages
from controlplane.domain.registers.rules import Broken
from controlplane.domain.releases.values import ReleaseSpec
from controlplane.domain.waves.values import Wave


@dataclass(frozen=True)
class Governance:
    """All of it. `registers` is None where the site has none, or where `register_faults` say that they can't be read.

    `broken` are the rules of the registers that do not hold, each with its place in `broken_faults`.
    """

    gates: Gates = field(default_factory=Gates)
    registers: Registers | None = None
    waves: dict[str, Wave] = field(default_factory=dict)
    gate_faults: tuple[Fault, ...] = ()
    register_faults: tuple[Fault, ...] = ()
    wave_faults: tuple[Fault, ...] = ()
    broken: tuple[Broken, ...] = ()
    broken_faults: tuple[Fault, ...] = ()
    releases: dict[str, ReleaseSpec] = field(default_factory=dict)
    release_faults: tuple[Fault, ...] = ()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Return every fault of every file, rules included."""
        return (*self.gate_faults, *self.register_faults, *self.wave_faults, *self.broken_faults, *self.release_faults)

    def linkages(self) -> tuple[Linkage, ...]:
        """Return how each STOR finding is linked."""
        return linkages(self.registers, self.broken) if self.registers is not None else ()

    def registered(self, state: DesiredState) -> DesiredState:
        """Return the state with the STOR findings of each host; one that names no host is every host's."""
        if self.registers is None and not self.register_faults:
            return state
        rows, doubt = self.linkages(), "; ".join(str(fault) for fault in self.register_faults[:3]) or None
        hosts = tuple(
            desired.model_copy(
                update={"registered": Registered(rows=tuple(row for row in rows if not row.hosts or desired.host in row.hosts), doubt=doubt)}
            )
            for desired in state.hosts
        )
        return DesiredState(hosts=hosts)

    def checked_registers(self) -> Registers:
        """Return the registers. Raises `InputInvalidError` where they can't be read; rules that do not hold are no reason."""
        if self.register_faults:
            raise InputInvalidError(self.register_faults)
        return self.registers or Registers()

    def checked_gates(self) -> Gates:
        """Return the gates. Raises `InputInvalidError` where gates.yml has faults."""
        if self.gate_faults:
            raise InputInvalidError(self.gate_faults)
        return self.gates

    def checked_waves(self) -> dict[str, Wave]:
        """Return the waves. Raises `InputInvalidError` where a wave file has faults, or gates.yml, which they name."""
        if self.wave_faults or self.gate_faults:
            raise InputInvalidError((*self.wave_faults, *self.gate_faults))
        return self.waves

    def checked_releases(self) -> dict[str, ReleaseSpec]:
        """Return the releases, by their stacks. Raises `InputInvalidError` where one or a manifest has faults, or gates.yml, which they name."""
        if self.release_faults or self.gate_faults:
            raise InputInvalidError((*self.release_faults, *self.gate_faults))
        return self.releases
