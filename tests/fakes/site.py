"""A whole site in memory: one host that drifts, and every port faked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from controlplane.domain.desired import DesiredHost, DesiredState
from controlplane.domain.inventory import Inventory, InventoryHost
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities
from controlplane.domain.run_result import RunResult
from controlplane.domain.site_view import SiteView
from controlplane.usecases.apply_plan import ApplyPorts, apply_plan
from controlplane.usecases.make_plan import plan_site
from controlplane.usecases.roll_back import roll_back
from tests.fakes.evidence_builder import desired_mint_data
from tests.fakes.host import FakeHost
from tests.fakes.interruption import Interruption
from tests.fakes.ports import (
    FakeApprovals,
    FakeClock,
    FakeEntropy,
    FakeEvidence,
    FakeKnownHosts,
    FakeLocks,
    FakePlans,
    FakeReceipts,
    FakeRoles,
    FakeRunner,
    FakeWitness,
)

OPERATOR = "ann@desk"


class FakeSite:
    """A site and its world; `arm` says at which contact the next call is interrupted."""

    def __init__(self, *, approval: str = "none", hosts: tuple[str, ...] = ("mint-data",), **wanted: Any) -> None:
        self.world = Interruption()
        self.hosts = {name: FakeHost(name) for name in hosts}
        self.clock = FakeClock()
        desired = tuple(desired_host(name, **wanted) for name in hosts)
        inventory = Inventory(hosts=tuple(InventoryHost(name=name, variables={"ansible_host": f"10.0.0.{n}"}) for n, name in enumerate(hosts, 1)))
        self.view = SiteView.model_validate(
            {
                "name": "lab",
                "folder": "inventory/lab",
                "desired": DesiredState(hosts=desired),
                "inventory": inventory,
                "policy_digest": "sha256:policy",
                "approval": approval,
                "retention": timedelta(days=7),
                "max_age": timedelta(hours=1),
            }
        )
        self.evidence = FakeEvidence(self.hosts, self.clock, self.world)
        self.runner = FakeRunner(self.hosts, self.world)
        self.receipts = FakeReceipts(self.world)
        self.approvals = FakeApprovals(self.world)
        self.witness = FakeWitness(self.world)
        self.locks = FakeLocks()
        self.known_hosts = FakeKnownHosts()
        self.roles = FakeRoles()
        self.ports = ApplyPorts(
            clock=self.clock,
            entropy=FakeEntropy(),
            evidence=self.evidence,
            runner=self.runner,
            receipts=self.receipts,
            approvals=self.approvals,
            roles=self.roles,
            witness=self.witness,
            plans=FakePlans(self.world),
            locks=self.locks,
            known_hosts=self.known_hosts,
        )

    @property
    def host(self) -> FakeHost:
        return self.hosts["mint-data"]

    def arm(self, at: int | None, error: type[BaseException] = KeyboardInterrupt) -> None:
        """Interrupt at contact `at` from now on; None: never."""
        self.world.__init__(at, error)  # type: ignore[misc]  # every fake holds this very object

    def plan(self, *capabilities: str) -> Plan:
        chosen = chosen_capabilities(capabilities)
        return plan_site(self.view, hosts=(), capabilities=chosen, clock=self.clock, evidence=self.evidence, roles=self.roles)

    def apply(self, plan: Plan, operator: str = OPERATOR) -> RunResult:
        return apply_plan(plan, self.view, operator=operator, ports=self.ports, progress=lambda _: None)

    def rollback(self, key: str) -> RunResult:
        return roll_back(key, self.view, operator=OPERATOR, ports=self.ports, progress=lambda _: None)


def desired_host(name: str, **other: Any) -> DesiredHost:
    """Return `mint-data`'s desired state without services, under any name."""
    return desired_mint_data(**({"host": name, "services": {}, "boot_accepted": ()} | other))
