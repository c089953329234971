"""Two hosts to which releases are really brought, by fake roles: staged, proven, promoted, taken back."""

from __future__ import annotations

from typing import Any

from controlplane.domain.approval import approve
from controlplane.domain.coordination import GateRun, WaveHeld
from controlplane.domain.digest import digest_of
from controlplane.domain.examination import Examination, Point, examined
from controlplane.domain.governance import Governance
from controlplane.domain.plan import Plan
from controlplane.domain.readiness import ID as READY
from controlplane.domain.registers import Registers
from controlplane.domain.releases.compose_view import ComposeView, ServiceView
from controlplane.domain.releases.result import ReleaseResult
from controlplane.domain.releases.smoke import SmokeReport, SmokeTest
from controlplane.domain.releases.values import EnvironmentName
from controlplane.domain.services import Stack
from controlplane.usecases import release_case
from controlplane.usecases.deploy_release import promote_release, stage_release
from controlplane.usecases.record_run import Ledger
from controlplane.usecases.refuse_wave_plan import every_attempt
from controlplane.usecases.release_case import Checked, Progress, ReleasePorts, plan_release
from controlplane.usecases.release_way_back import way_back
from controlplane.usecases.return_release import return_release
from tests.fakes.coordination import FakeCoordination
from tests.fakes.releases import STACK, ReleaseSite, digest
from tests.fakes.site import OPERATOR
from tests.fakes.waves import FakeFolder

LOOP = "LOOP-SHOP-RELEASE"
GOOD = (SmokeTest(name="test_flow.py::test_it", outcome="passed", seconds=0.5),)
BAD = (SmokeTest(name="test_flow.py::test_it", outcome="failed", reason="a stub answered"),)


class _Runs:
    def __init__(self) -> None:
        self.held: tuple[GateRun, ...] = ()

    def latest_runs(self, pack: str, limit: int = 50) -> tuple[GateRun, ...]:  # noqa: ARG002 - the port's signature
        return self.held


class PromotedSite(ReleaseSite):
    """Builds in `stubs` are healthy and do nothing: their smoke tests fail wherever they run. `faults` is what the check of production finds,
    `points` what an examination of the site does."""

    def __init__(self, *, approval: str = "none") -> None:
        super().__init__()
        stacks = tuple(Stack(project=f"shop-{name}", dir=f"/opt/stacks/shop-{name}") for name in ("staging", "production"))
        hosts = tuple(host.model_copy(update={"stacks": (*host.stacks, *stacks)}) for host in self.view.desired.hosts)
        self.view = self.view.model_copy(update={"desired": self.view.desired.model_copy(update={"hosts": hosts}), "approval": approval})
        for host in self.hosts.values():
            for name in ("staging", "production"):
                host.probes["releases"][f"shop-{name}"] = {"record": None, "changed": []}
        self.stubs: set[int] = set()
        self.faults: tuple[str, ...] = ()
        self.points: tuple[Point, ...] = (Point(name="policy", level="pass", told="2 hosts"),)
        self.runs = _Runs()
        self.files.specs[STACK] = self.files.specs[STACK].model_copy(update={"loop": LOOP})
        registers = Registers.model_validate({"loops": {LOOP: {"title": "the shop"}}}, strict=False)
        self.site = release_case.ReleaseSite(self.view, Governance(registers=registers), self.files, self.views, OPERATOR)
        self.leases, self.folder = FakeCoordination(self.world), FakeFolder(self.world)
        self.release_ports = ReleasePorts(
            apply=self.ports,
            runs=self.runs,  # type: ignore[arg-type]
            leases=self.leases,
            waves=self.attempts,
            prove=self.prove,
            check=self.check,
            authority=self.examine,
            folder=self.folder,
        )

    def views(self, stack: str, environment: EnvironmentName) -> dict[str, ComposeView]:
        spec = self.files.spec(stack)
        project = spec.environments[environment].project
        services = tuple(ServiceView(name=name, image=None, container=None, networks=("default",)) for name in spec.images)
        return {host: ComposeView(project=project, dir=f"/opt/stacks/{project}", services=services) for host in spec.environments[environment].hosts}

    # Methods, not closures: these come along in a `deepcopy` of the site.
    def attempts(self) -> tuple[WaveHeld, ...]:
        return every_attempt(self.leases)

    def check(self, *_: Any) -> Checked:
        return Checked(self.faults, None)

    def examine(self) -> Examination:
        self.world.touch("examine site")
        return examined("lab", self.points)

    def prove(self, stack: str, environment: EnvironmentName, *, progress: Progress) -> SmokeReport:
        assert stack == STACK
        self.tests.tests = BAD if self.runs_a_stub(environment) else GOOD
        return self.smoke(environment, progress)

    def runs_a_stub(self, environment: str) -> bool:
        """Say whether a host runs a stub in this environment."""
        return any(
            one["compose_project"] == f"shop-{environment}" and digest(number, one["compose_service"]) in one["image_digests"][0]
            for host in self.hosts.values()
            for one in host.probes["docker_containers"]
            for number in self.stubs
        )

    def plan_of(self, number: int, environment: EnvironmentName) -> Plan:
        return plan_release(self.site, STACK, environment, self.files.manifest(STACK, f"r{number}"), ports=self.ports)

    def stage(self, number: int) -> ReleaseResult:
        return stage_release(self.site, STACK, self.plan_of(number, "staging"), self.release_ports, command="again", progress=lambda _: None)

    def promote(self, plan: Plan) -> ReleaseResult:
        return promote_release(self.site, STACK, plan, self.release_ports, command="again", progress=lambda _: None)

    def roll_back(self, environment: EnvironmentName = "production", to: str | None = None) -> ReleaseResult:
        back = way_back(self.site, STACK, environment, to, self.release_ports)
        return return_release(self.site, STACK, back, self.release_ports, to=to, progress=lambda _: None)

    def make_ready(self) -> None:
        """Leave ready receipts of both hosts."""
        for name in self.hosts:
            key = self._key(READY)
            ledger = Ledger(self.receipts, self.clock, run=key, site="lab", plan="", policy=self.view.policy_digest, operator=OPERATOR)
            ((_, route),) = self.view.chosen((name,))
            about: dict[str, Any] = {"host": name, "capability": READY, "step": "*"}
            ledger.intend(key, **about)
            ledger.close(key, **about, outcome="done", expires_at="2026-01-09T00:00:00Z", route=digest_of(route.model_dump(mode="json")))

    def bring_to_gate(self, number: int) -> Plan:
        """Stage, prove and certify a build, make both hosts ready, and return the plan of its promotion."""
        assert self.stage(number).outcome == "done"
        self.tests.tests = GOOD
        assert self.smoke("staging").passed
        self.recert(f"r{number}")
        self.make_ready()
        plan = self.plan_of(number, "production")
        if self.view.approval != "none":
            self.approvals.add(approve(plan.plan, approver=OPERATOR, requester=OPERATOR, now=self.clock.now()))
        return plan

    def bring_to_gate_uncut(self, number: int) -> Plan:
        """Do the same, and let what waits to happen during smoke tests happen to those of production alone."""
        waits, self.tests.during = self.tests.during, lambda: None
        plan = self.bring_to_gate(number)
        self.tests.during = waits
        return plan

    def run_fully(self, host: str, plan: Plan) -> None:
        """Let a host be as a plan has it, without a play."""
        step = next(step for step in plan.steps if step.host == host)
        self.hosts[host].play(step.role, {**step.variables, f"{step.role}_run": f"beside-{host}"}, lambda _: None)

    def production(self) -> set[str]:
        """Return the digests that run in production, over all hosts, as `number service`."""
        return self.running("production")

    def running(self, environment: str) -> set[str]:
        """Return the digests that run in an environment."""
        known = {digest(number, service): f"{number} {service}" for number in (1, 2, 3) for service in ("intake", "seeds")}
        rows = [one for host in self.hosts.values() for one in host.probes["docker_containers"] if one["compose_project"] == f"shop-{environment}"]
        return {known[one["image_digests"][0].rpartition("@")[2]] for one in rows}
