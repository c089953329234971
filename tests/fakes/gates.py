"""What gates touch beyond machines, in memory; and a site whose gates can be run, promoted and demoted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from controlplane.domain.approval import approve
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.proposal import ModeChange, Proposal
from controlplane.domain.gates.report import GateReport, ReportHead
from controlplane.domain.gates.run_order import Begun, latest_of
from controlplane.domain.gates.values import Gates, Mode, SiteCheck
from controlplane.domain.governance import Governance
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.registers import Registers
from controlplane.domain.registers.closing import RunReport
from controlplane.ports.new_text import NewText
from controlplane.usecases.change_modes import ModePorts, carry_out, propose
from controlplane.usecases.proven_runs import ProvenRuns
from controlplane.usecases.run_gates import GatePorts, run_gates
from tests.fakes.coordination import FakeCoordination
from tests.fakes.evidence_builder import healthy_probes
from tests.fakes.host import FakeHost
from tests.fakes.interruption import Interruption
from tests.fakes.ports import FakeEntropy
from tests.fakes.site import OPERATOR, FakeSite

OWN = SiteCheck(title="secrets are there", severity="high", file="checks/test_d204.py")


class FakeSiteChecks:
    """Says MET on the site, but for `says`: (check, host) -> (verdict, reason)."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.says: dict[tuple[str, str], tuple[Verdict, str]] = {}

    def run(self, checks: Mapping[str, SiteCheck], hosts: Sequence[InventoryHost]) -> tuple[Finding, ...]:  # noqa: ARG002 - the port's signature
        self.world.touch("run site checks")
        found = []
        for check, held in checks.items():
            said = {host: ended for (name, host), ended in self.says.items() if name == check} or {"site": (Verdict.MET, "as declared")}
            for host, (verdict, reason) in said.items():
                found.append(Finding(check=check, host=host, surface="check:test_it", verdict=verdict, severity=held.severity, reason=reason))
        return tuple(found)


class FakeGateReports:
    """Reports in memory, by run."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.held: dict[str, GateReport] = {}

    def keep(self, report: GateReport) -> None:
        self.world.touch("keep gate report")
        self.held[report.run] = report

    def head_of(self, run: str) -> ReportHead | None:
        report = self.held.get(run)
        return None if report is None else ReportHead(report, report.digest())

    def latest(self, limit: int, began: Mapping[str, Begun]) -> tuple[RunReport, ...]:
        held = [
            RunReport(run=one.run, at=one.judged_at, findings=one.findings, digest=one.digest(), policy=one.policy_digest, checkers=one.checkers)
            for _, one in sorted(self.held.items())
        ]
        return tuple(latest_of(held, began, limit))


class FakeCheckers:
    """The program judges as it did; `changed` are the digests of checks that judge anew."""

    def __init__(self) -> None:
        self.changed: dict[str, str] = {}

    def of(self, check: str, own: Mapping[str, SiteCheck]) -> str:
        return self.changed.get(check, "sha256:file" if check in own else "sha256:program")


class FakeModeFile:
    """gates.yml as a list of lines; `locked` says whether somebody holds its lock."""

    name = "gates.yml"

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.text = ""
        self.locked = False

    @contextmanager
    def editing(self) -> Iterator[None]:
        assert not self.locked
        self.locked = True
        try:
            yield
        finally:
            self.locked = False

    def digest(self, text: str | None = None) -> str:
        return digest_of(self.text if text is None else text)

    def prepared(self, changes: Sequence[ModeChange]) -> NewText:
        return NewText(self.text + "".join(f"{one.field}: {one.after}\n" for one in changes), self.digest())

    def write(self, new: NewText) -> None:
        assert self.locked
        self.world.touch("write gates.yml")
        if new.was != self.digest():
            raise RefusedError("gates.yml was changed by another hand meanwhile.")
        self.text = new.text
        self.world.touch("gates.yml written")


class GateSite(FakeSite):
    """Two machines that are as declared, a check of the site's own, complete registers, and every port faked."""

    def __init__(self, *, approval: str = "none", hosts: tuple[str, ...] = ("mint-apps", "mint-data"), registers: bool = True, **gates: Any) -> None:
        super().__init__(approval=approval, hosts=hosts)
        self.hosts |= {name: FakeHost(name, healthy_probes()) for name in hosts}
        self.evidence.hosts = self.hosts
        packs = {"mint": {"checks": ["D235", "D204"]}}
        self.gates = Gates.model_validate({"checks": {"D204": OWN}, "packs": packs, "promotion": {"runs": 3, "interval": 3600}, **gates})
        self.registers = Registers() if registers else None
        self.settle()
        self.coordination = FakeCoordination(self.world)
        self.site_checks, self.reports, self.checkers = FakeSiteChecks(self.world), FakeGateReports(self.world), FakeCheckers()
        self.file = FakeModeFile(self.world)
        self.runs = ProvenRuns(self.coordination, self.reports, self.receipts)
        entropy = FakeEntropy()
        self.gate_ports = GatePorts(
            clock=self.clock,
            entropy=entropy,
            evidence=self.evidence,
            site_checks=self.site_checks,
            receipts=self.receipts,
            reports=self.reports,
            runs=self.runs,
            checkers=self.checkers,
            time=self.coordination,
        )
        self.mode_ports = ModePorts(
            clock=self.clock,
            entropy=entropy,
            receipts=self.receipts,
            approvals=self.approvals,
            runs=self.runs,
            checkers=self.checkers,
            site_checks=self.site_checks,
            file=self.file,
        )

    def settle(self, **gates: Any) -> None:
        """Let the site be read anew, with these fields of gates.yml."""
        self.gates = self.gates.model_copy(update=gates)
        desired = Governance(gates=self.gates, registers=self.registers).registered(self.view.desired)
        self.view = self.view.model_copy(update={"gates": self.gates, "registers": self.registers, "desired": desired})

    def run(self, pack: str | None = "mint", *, after: timedelta = timedelta(hours=1), hosts: tuple[str, ...] = ()) -> GateReport:
        """Run a pack that much later."""
        self.clock.time += after
        return run_gates(self.view, pack=pack, hosts=hosts, operator=OPERATOR, ports=self.gate_ports)

    def propose(self, kind: Any = "promote", *checks: str, hosts: tuple[str, ...] = ("mint-data",), reason: str = "") -> Proposal:
        seen = self.seen(hosts) if kind == "promote" else {}
        return propose(self.view, kind, checks=checks, hosts=hosts, seen=seen, requester=OPERATOR, reason=reason, ports=self.mode_ports)

    def carry_out(self, proposal: Proposal, operator: str = OPERATOR) -> str:
        """Carry a proposal out; where the site leaves it to who asked, they approve it themselves."""
        if self.view.approval == "none" and proposal.proposal not in self.approvals.held:
            self.approvals.add(approve(proposal.proposal, approver=operator, requester=operator, now=self.clock.now()))
        hosts = tuple(one.host for one in proposal.changes if one.host in self.hosts)
        return carry_out(proposal, self.view, seen=self.seen(hosts), operator=operator, ports=self.mode_ports)

    def seen(self, hosts: tuple[str, ...]) -> Any:
        return self.evidence.collect([self.view.route(host) for host in hosts], {})

    def enforce(self, check: str, host: str, mode: Mode = "enforce") -> None:
        self.settle(modes={**self.gates.modes, check: {**self.gates.modes.get(check, {}), host: mode}})
