"""A site that leads waves, in memory: several hosts, a store that several people share, and every port of a wave faked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from controlplane.domain.approval import Approval
from controlplane.domain.errors import RunFailedError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Finding
from controlplane.domain.gates.report import GateReport, ReportHead
from controlplane.domain.gates.run_order import Begun
from controlplane.domain.gates.values import Gates, SiteCheck
from controlplane.domain.governance import Governance
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.plan import Plan
from controlplane.domain.registers import Registers
from controlplane.domain.registers.closing import RunReport
from controlplane.domain.run_result import RunResult
from controlplane.domain.waves.record import WaveRecord, record_of
from controlplane.domain.waves.values import Wave
from controlplane.ports.waves import Commit
from controlplane.usecases.close_wave import close_wave
from controlplane.usecases.open_wave import abort_wave, open_wave, preflight
from controlplane.usecases.plan_wave import approve_wave, plan_wave
from controlplane.usecases.proven_runs import ProvenRuns
from controlplane.usecases.refuse_wave_plan import every_attempt
from controlplane.usecases.roll_back import roll_back
from controlplane.usecases.run_gates import GatePorts
from controlplane.usecases.run_wave import resume_wave, run_wave
from controlplane.usecases.show_waves import wave_status
from controlplane.usecases.wave_ports import WavePorts, WaveSite
from tests.fakes.coordination import FakeCoordination
from tests.fakes.interruption import Interruption
from tests.fakes.site import OPERATOR, FakeSite

BOB = "bob@other"
MOVE = {
    "goal": "no data on boot disks",
    "mutation": "controlled",
    "hosts": ["mint-data"],
    "capabilities": ["storage.data_disk", "storage.fstab", "docker.data_root", "storage.purge"],
    "pack": "mint",
    "exit": [{"kind": "met", "checks": ["D235"]}],
}


class FakeFolder:
    """Files of waves in memory."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.files: dict[str, bytes] = {}
        self.evidence: dict[str, Mapping[str, Evidence | Unreached]] = {}

    def keep(self, wave: str, attempt: str, name: str, content: bytes) -> str:
        self.world.touch(f"keep {name}")
        path = f"state/waves/{wave}/{attempt}/{name}"
        self.files[path] = content
        self.world.touch(f"{name} kept")
        return path

    def keep_evidence(self, wave: str, attempt: str, name: str, seen: Mapping[str, Evidence | Unreached]) -> str:
        self.world.touch("keep evidence")
        path = f"state/waves/{wave}/{attempt}/{name}.json"
        assert path not in self.evidence, f"{path} was written over"
        self.evidence[path] = seen
        return path

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise RunFailedError(f"{path} can't be read.")
        return self.files[path]


class FakeHistory:
    """Version control in memory."""

    def __init__(self) -> None:
        self.at: str | None = "a" * 40
        self.commits: tuple[Commit, ...] = ()
        self.loose: tuple[str, ...] = ()

    def head(self) -> str | None:
        return self.at

    def since(self, head: str | None) -> tuple[Commit, ...]:
        return self.commits if head is not None else ()

    def uncommitted(self) -> tuple[str, ...]:
        return self.loose

    def upstream(self) -> tuple[int, int] | None:
        return None


class FakeBackup:
    """A proof of a backup; `doubt` is why there is none."""

    def __init__(self) -> None:
        self.age = 60.0
        self.doubt: str | None = None

    def age_s(self) -> float:
        if self.doubt is not None:
            raise ValueError(self.doubt)
        return self.age


class FakeReports:
    """Gate reports in memory."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.held: list[GateReport] = []

    def keep(self, report: GateReport) -> None:
        self.world.touch("keep report")
        self.held.append(report)

    def head_of(self, run: str) -> ReportHead | None:
        return next((ReportHead(one, one.digest()) for one in self.held if one.run == run), None)

    def latest(self, limit: int, began: Mapping[str, Begun]) -> tuple[RunReport, ...]:  # noqa: ARG002 - the port's signature
        return tuple(RunReport(run=one.run, at=one.judged_at, findings=one.findings) for one in self.held[-limit:])


class FakeSiteChecks:
    """The site's own checks, which find what `says` holds; they look at the first host or at the site."""

    def __init__(self) -> None:
        self.says: dict[str, str] = {}

    def run(self, checks: Mapping[str, SiteCheck], hosts: Sequence[InventoryHost]) -> tuple[Finding, ...]:  # noqa: ARG002 - the port's signature
        return tuple(
            Finding.model_validate(
                {"check": check, "host": "site", "surface": "site", "verdict": self.says.get(check, "MET"), "severity": "medium", "reason": "so"},
                strict=False,
            )
            for check in checks
        )


class FakeCheckers:
    """Judges by one and the same."""

    def of(self, check: str, own: Mapping[str, SiteCheck]) -> str:  # noqa: ARG002 - the port's signature
        return f"sha256:{check}"


class FakeWaveSite(FakeSite):
    """A site with waves; `waves` are their files by name, `gates` is gates.yml. Verbs take `by`, the person who types them."""

    def __init__(
        self,
        waves: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        gates: Mapping[str, Any] | None = None,
        registers: Registers | None = None,
        view: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        said = Gates.model_validate(gates or {"packs": {"mint": {"checks": ["D235"]}}})
        self.view = self.view.model_copy(update={"gates": said, "registers": registers, **(view or {})})
        self.governance = Governance(
            gates=said, registers=registers, waves={name: Wave.model_validate(one) for name, one in (waves or {"W1": MOVE}).items()}
        )
        self.store = FakeCoordination(self.world)
        self.folder, self.history, self.backup = FakeFolder(self.world), FakeHistory(), FakeBackup()
        self.site_checks, self.reports = FakeSiteChecks(), FakeReports(self.world)
        gate_ports = GatePorts(
            clock=self.clock,
            entropy=self.ports.entropy,
            evidence=self.evidence,
            site_checks=self.site_checks,
            receipts=self.receipts,
            reports=self.reports,
            runs=ProvenRuns(self.store, self.reports, self.receipts),
            checkers=FakeCheckers(),
            time=self.store,
        )
        self.wave_ports = WavePorts(
            apply=self.ports, gates=gate_ports, waves=self.store, folder=self.folder, history=self.history, backup=self.backup
        )

    def site(self, by: str = OPERATOR) -> WaveSite:
        return WaveSite(view=self.view, governance=self.governance, operator=by)

    def wave(self, name: str = "W1", **changed: Any) -> None:
        """Change fields of a wave's file."""
        one = self.governance.waves[name]
        waves = {**self.governance.waves, name: Wave.model_validate(one.model_dump(mode="json") | changed)}
        self.governance = replace(self.governance, waves=waves)

    def open(self, name: str = "W1", by: str = OPERATOR) -> WaveRecord:
        return open_wave(name, self.site(by), self.wave_ports)[1]

    def preflight(self, name: str = "W1", by: str = OPERATOR) -> dict[str, str]:
        return {one.kind: one.verdict for one in preflight(name, self.site(by), self.wave_ports)}

    def plan_wave(self, *capabilities: str, name: str = "W1", by: str = OPERATOR) -> Plan:
        return plan_wave(name, self.site(by), self.wave_ports, capabilities=capabilities)[0]

    def approve(self, name: str = "W1", by: str = OPERATOR) -> Approval:
        return approve_wave(name, self.site(by), self.wave_ports)[0]

    def run(self, name: str = "W1", by: str = OPERATOR) -> RunResult:
        return run_wave(name, self.site(by), self.wave_ports, progress=lambda _: None)

    def resume(self, name: str = "W1", by: str = OPERATOR) -> None:
        resume_wave(name, self.site(by), self.wave_ports)

    def close(self, name: str = "W1", by: str = OPERATOR, deferred: tuple[str, ...] = ()) -> Any:
        return close_wave(name, self.site(by), self.wave_ports, attest="seen it", deferred=deferred)[0]

    def abort(self, name: str = "W1", by: str = OPERATOR) -> str:
        return abort_wave(name, self.site(by), self.wave_ports, reason="not today")

    def rollback(self, key: str) -> RunResult:
        waves = partial(every_attempt, self.store)
        return roll_back(key, self.view, operator=OPERATOR, ports=self.ports, progress=lambda _: None, waves=waves)

    def next(self, name: str = "W1") -> str | None:
        told: str | None = wave_status(name, self.site(), self.wave_ports)["next"]
        return told

    def state(self, name: str = "W1") -> str | None:
        held = self.store.find(name)
        return None if held is None else held.state

    def record(self, name: str = "W1") -> WaveRecord:
        held = self.store.find(name)
        assert held is not None
        return record_of(held.record)

    def said(self, verb: str) -> list[str | None]:
        """Return how the receipts of one verb ended."""
        return [one.outcome for one in self.receipts.chain if one.phase == "result" and one.capability == f"wave.{verb}"]

    def led(self) -> FakeWaveSite:
        """Open, plan, approve."""
        self.open()
        self.plan_wave()
        if self.view.approval != "none" or any(gate.kind == "approval" for gate in self.governance.waves["W1"].entry):
            self.approve()
        return self
