"""A stack that was released on two hosts, in memory: its files, its deployments as receipts have them, and what runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.plan import Binds, Downtime, Plan, Step, seal
from controlplane.domain.receipt import Outcome
from controlplane.domain.releases.manifest import Manifest
from controlplane.domain.releases.smoke import CommandRan, RecertReport, SmokeReport, SmokeTest
from controlplane.domain.releases.values import EnvironmentName, Recert, ReleaseSpec, Smoke
from controlplane.domain.releases.wanted import ComposeText
from controlplane.domain.run_key import make_run_key
from controlplane.ports.releases import KeptManifest
from controlplane.usecases.record_run import WHOLE, Ledger
from controlplane.usecases.run_recert import RecertPorts, run_recert
from controlplane.usecases.run_smoke import SmokePorts, run_smoke
from tests.fakes.evidence_builder import container, healthy_probes
from tests.fakes.host import FakeHost
from tests.fakes.interruption import Interruption
from tests.fakes.site import OPERATOR, FakeSite

STACK = "shop"
HOSTS = ("mint-apps", "mint-data")
SECRET = "hunter2-and-more"
SPEC: dict[str, Any] = {
    "goal": "orders come in",
    "images": {"intake": "registry.example.org/shop/intake", "seeds": "registry.example.org/shop/seeds"},
    "environments": {
        name: {
            "hosts": [*HOSTS],
            "project": f"shop-{name}",
            "compose": ["shop/compose.yml"],
            "contract": f"shop/.env.{name}.example",
            "smoke": {"files": ["shop/smoke/test_flow.py"], "urls": {"intake": f"http://10.0.0.1:{port}"}},
        }
        for name, port in (("staging", 8080), ("production", 80))
    },
    "recert": [{"name": "typecheck", "run": ["true"]}, {"name": "state", "run": ["controlplane", "doctor"]}],
}


def manifest(number: int) -> Manifest:
    """Return the manifest of one build: its images' digests are made of its number."""
    images = {service: f"registry.example.org/shop/{service}@{digest(number, service)}" for service in ("intake", "seeds")}
    return Manifest.model_validate({"stack": STACK, "commit": f"{number:040x}", "built_at": f"2026-01-0{number}T08:00:00Z", "images": images})


def digest(number: int, service: str) -> str:
    """Return the digest of a service's image in one build."""
    return f"sha256:{number:02x}{len(service):02x}" + "0" * 60


def env_text(environment: str) -> str:
    """Return the environment file as it lies there."""
    return f"# of {environment}\nDB_PASSWORD={SECRET}\n"


def keyed(text: str) -> str:
    """Return the digest of an environment file."""
    return f"hmac-sha256:{sum(text.encode()):064x}"


class FakeReleaseFiles:
    """The files of releases in memory; `marks` are (stack, manifest, run), and `refuses` what marking one raises."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.specs = {STACK: ReleaseSpec.model_validate(SPEC)}
        self.held = {(STACK, f"r{number}"): manifest(number) for number in (1, 2, 3)}
        self.env = {(STACK, name): env_text(name) for name in ("staging", "production")}
        self.tests = {"shop/smoke/test_flow.py": "1" * 64}
        self.marks: list[tuple[str, str, str]] = []
        self.refuses: Exception | None = None

    def stacks(self) -> tuple[str, ...]:
        return tuple(sorted(self.specs))

    def spec(self, stack: str) -> ReleaseSpec:
        if stack not in self.specs:
            raise InputInvalidError([Fault(f"releases/{stack}.yml", 0, "", "does not exist")])
        return self.specs[stack]

    def manifests(self, stack: str) -> tuple[KeptManifest, ...]:
        return tuple(KeptManifest(name, one) for (held, name), one in sorted(self.held.items(), key=lambda pair: pair[1].built_at) if held == stack)

    def manifest(self, stack: str, name: str) -> KeptManifest:
        if (stack, name) not in self.held:
            raise InputInvalidError([Fault(f"releases/{stack}/manifests/{name}.yml", 0, "", "does not exist")])
        return KeptManifest(name, self.held[stack, name])

    def compose(self, stack: str, environment: EnvironmentName) -> tuple[ComposeText, ...]:
        return (ComposeText(name="compose.yml", text=f"name: {self.specs[stack].environments[environment].project}\n"),)

    def env_digest(self, stack: str, environment: EnvironmentName) -> str:
        return keyed(self.env_text(stack, environment))

    def env_text(self, stack: str, environment: EnvironmentName) -> str:
        if (stack, environment) not in self.env:
            raise InputInvalidError([Fault(f"releases/{stack}/.env.{environment}", 0, "", "does not exist")])
        return self.env[stack, environment]

    def smoke_digests(self, stack: str, environment: EnvironmentName) -> dict[str, str]:
        return {file: self.tests[file] for file in self.specs[stack].environments[environment].smoke.files}

    def mark_tested(self, stack: str, name: str, run: str) -> None:
        self.world.touch("mark manifest")
        if self.refuses is not None:
            raise self.refuses
        self.marks.append((stack, name, run))
        self.held[stack, name] = self.held[stack, name].model_copy(update={"tested_by": run})


class FakeSmokeRunner:
    """Says of each test how it ended; `during` happens while the tests run, `given` is what the last run was given."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.tests: tuple[SmokeTest, ...] = (SmokeTest(name="test_flow.py::test_it", outcome="passed", seconds=0.5),)
        self.during: Callable[[], None] = lambda: None
        self.given: dict[str, Any] = {}

    def run(
        self,
        smoke: Smoke,
        hosts: Sequence[InventoryHost],
        *,
        release: Mapping[str, str],
        hidden: Sequence[str],
        progress: Callable[[str], None],
    ) -> tuple[SmokeTest, ...]:
        self.world.touch("run smoke tests")
        self.given = {"smoke": smoke, "hosts": [host.name for host in hosts], "release": dict(release), "hidden": tuple(hidden)}
        self.during()
        for test in self.tests:
            progress(f"  {test.name}: {test.outcome}")
        self.world.touch("smoke tests ended")
        return self.tests


class FakeCommands:
    """Commands that end with 0, but for those of `ends` (name -> exit code)."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.ends: dict[str, int | None] = {}
        self.ran: list[str] = []
        self.hidden: tuple[str, ...] = ()
        self.told: dict[str, str] = {}

    def run(self, command: Recert, *, release: Mapping[str, str], hidden: Sequence[str]) -> CommandRan:
        self.world.touch("run a command")
        self.ran.append(command.name)
        self.hidden, self.told = tuple(hidden), dict(release)
        return CommandRan(name=command.name, argv=command.run, dir=command.dir, code=self.ends.get(command.name, 0), seconds=0.5, tail="as it said")


class ReleaseSite(FakeSite):
    """Two hosts that run nothing of the stack until `deploy`, and every port of smoke and recertification faked."""

    def __init__(self) -> None:
        super().__init__(hosts=HOSTS)
        self.hosts |= {name: FakeHost(name, healthy_probes()) for name in HOSTS}
        self.evidence.hosts = self.hosts
        self.files, self.tests, self.commands = FakeReleaseFiles(self.world), FakeSmokeRunner(self.world), FakeCommands(self.world)
        self.smoke_ports = SmokePorts(
            clock=self.clock,
            entropy=self.ports.entropy,
            evidence=self.evidence,
            receipts=self.receipts,
            plans=self.ports.plans,
            files=self.files,
            runner=self.tests,
        )
        self.recert_ports = RecertPorts(clock=self.clock, entropy=self.ports.entropy, receipts=self.receipts, files=self.files, runner=self.commands)

    def smoke(self, environment: EnvironmentName = "staging", progress: Callable[[str], None] = lambda _: None, stack: str = STACK) -> SmokeReport:
        return run_smoke(stack, environment, self.view, operator=OPERATOR, ports=self.smoke_ports, progress=progress)

    def recert(self, name: str = "r1") -> RecertReport:
        return run_recert(STACK, name, self.view, operator=OPERATOR, ports=self.recert_ports, progress=lambda _: None)

    def deploy(
        self,
        number: int,
        environment: EnvironmentName = "staging",
        hosts: Sequence[str] = HOSTS,
        *,
        ends: Mapping[str, Outcome | Literal["open"]] | None = None,
    ) -> str:
        """Let a run deploy one build, and return its key; `ends` says how it ended on a host, if not well."""
        plan = deploy_plan(number, environment, hosts)
        self.ports.plans.keep(plan)
        run = self._key(WHOLE)
        ledger = Ledger(self.receipts, self.clock, run=run, site="lab", plan=plan.plan, policy="sha256:policy", operator=OPERATOR)
        ledger.intend(run, host="*", capability=WHOLE, step="*")
        ended = {step.host: (ends or {}).get(step.host, "done") for step in plan.steps}
        for step in plan.steps:
            key = self._key(step.capability)
            ledger.intend(key, host=step.host, capability=step.capability, step=step.id)
            if ended[step.host] == "done":
                self.run_on(step.host, number, environment)
            if (end := ended[step.host]) != "open":
                ledger.close(key, host=step.host, capability=step.capability, step=step.id, outcome=end)
        if "open" not in ended.values():
            ledger.close(run, host="*", capability=WHOLE, step="*", outcome="done" if set(ended.values()) == {"done"} else "failed")
        return run

    def take_back(self, run: str, *, ends: bool = True, hosts: Sequence[str] = HOSTS) -> None:
        """Let the steps of a run be taken back on these hosts; without `ends` that is begun only."""
        plan = next(one.plan for one in self.receipts.chain if one.run == run)
        ledger = Ledger(self.receipts, self.clock, run=run, site="lab", plan=plan, policy="sha256:policy", operator=OPERATOR)
        for intent in [one for one in self.receipts.chain if one.run == run and one.host in hosts and one.phase == "intent"]:
            key = self._key(intent.capability)
            about: dict[str, Any] = {"host": intent.host, "capability": intent.capability, "step": intent.step, "undoes": intent.key}
            ledger.intend(key, **about)
            if ends:
                ledger.close(key, **about, outcome="rolled-back")

    def run_on(self, host: str, number: int, environment: EnvironmentName = "staging") -> None:
        """Let a host run one build."""
        kept = [one for one in self.hosts[host].probes["docker_containers"] if one["compose_project"] != f"shop-{environment}"]
        self.hosts[host].probes["docker_containers"] = [*kept, *(running(number, service, environment) for service in ("intake", "seeds"))]

    def service(self, host: str, service: str) -> dict[str, Any]:
        """Return the container of a service, to be changed."""
        return next(one for one in self.hosts[host].probes["docker_containers"] if one["compose_service"] == service)

    def _key(self, capability: str) -> str:
        return make_run_key(capability, self.clock.now(), self.ports.entropy.four_hex())


def running(number: int, service: str, environment: str) -> dict[str, Any]:
    """Return the container of a service of one build, healthy."""
    pinned = manifest(number).images[service]
    return container(
        f"shop-{environment}-{service}-1",
        [],
        id=f"id-{number}-{service}",
        image=pinned,
        image_digests=[pinned],
        health="healthy",
        compose_project=f"shop-{environment}",
        compose_service=service,
    )


def deploy_plan(number: int, environment: EnvironmentName, hosts: Sequence[str] = HOSTS) -> Plan:
    """Return the plan that deploys one build."""
    what = manifest(number)
    variables = {
        "compose_stack_stack": STACK,
        "compose_stack_environment": environment,
        "compose_stack_manifest": what.digest,
        "compose_stack_manifest_name": f"r{number}",
        "compose_stack_project": f"shop-{environment}",
        "compose_stack_images": dict(what.images),
        "compose_stack_env_digest": keyed(env_text(environment)),
    }
    steps = tuple(
        Step(
            id=f"{host}/010",
            host=host,
            capability="release.deploy",
            role="compose_stack",
            mends=(),
            changes=(),
            downtime=Downtime(services=(), estimate_s=0),
            undo="the files of before come back",
            variables=variables,
        )
        for host in hosts
    )
    binds = Binds(policy="sha256:policy", inventory="sha256:inventory", roles="sha256:roles", facts={}, evidence={})
    return seal(site="lab", made_at="2026-01-02T12:00:00Z", binds=binds, bounds=(), steps=steps, refusals=())
