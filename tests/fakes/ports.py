"""One fake a port; each counts its contacts with the world, so that a test can interrupt at any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from controlplane.domain.approval import Approval
from controlplane.domain.chain import Anchor, Named, link
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.evidence import Evidence, ProbeRecord, Unreached
from controlplane.domain.evidence_shapes import SHAPES
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import ChainFault, Receipt
from controlplane.domain.witness import Answer, Question
from controlplane.ports.plays import StepResult
from tests.fakes.evidence_builder import COLLECTED
from tests.fakes.host import FakeHost
from tests.fakes.interruption import Interruption
from tests.fakes.machine_builder import born
from tests.fakes.unsafe_yaml import load_unsafe


class FakeClock:
    """Goes on by a second each time that it is asked."""

    def __init__(self, start: datetime = COLLECTED) -> None:
        self.time = start

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


class FakeEntropy:
    """Counts."""

    def __init__(self) -> None:
        self.last = 0

    def four_hex(self) -> str:
        self.last += 1
        return f"{self.last:04x}"


class FakeEvidence:
    """Looks at fake hosts; `unreached` gives reasons by host: no connection came about, but to those `at_odds`, where something answered.

    `by_hypervisor` gives reasons of hosts that only their hypervisor speaks of.
    """

    def __init__(self, hosts: dict[str, FakeHost], clock: FakeClock, world: Interruption) -> None:
        self.hosts, self.clock, self.world = hosts, clock, world
        self.unreached: dict[str, str] = {}
        self.at_odds: set[str] = set()
        self.by_hypervisor: dict[str, str] = {}
        self.asked = 0

    def collect(
        self,
        hosts: Sequence[InventoryHost],
        desired: Mapping[str, DesiredHost],  # noqa: ARG002 - the port's signature
        *,
        only: Sequence[str] = (),
    ) -> dict[str, Evidence | Unreached]:
        self.world.touch("collect evidence")
        self.asked += 1
        stamp = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        seen: dict[str, Evidence | Unreached] = {host.name: self.hosts[host.name].evidence(stamp) for host in hosts}
        if only:
            seen = {name: one.model_copy(update={"probes": {probe: one.probes[probe] for probe in only}}) for name, one in seen.items()}
        self.world.touch("evidence collected")
        seen |= {name: _by_hypervisor(name, reason, stamp) for name, reason in self.by_hypervisor.items() if name in seen}
        unreached = {name: Unreached(host=name, reason=reason, unconnected=name not in self.at_odds) for name, reason in self.unreached.items()}
        return seen | {name: one for name, one in unreached.items() if name in seen}


def _by_hypervisor(host: str, reason: str, stamp: str) -> Evidence:
    blank = ProbeRecord(status="failed", error=f"the host was not reached: {reason}", seconds=0.0)
    machine = ProbeRecord(status="ok", seconds=0.1, data=born(state="shut off"))
    return Evidence(host=host, collected_at=stamp, asked={}, probes={**dict.fromkeys(SHAPES, blank), "machine": machine}, unconnected=True)


class FakeRunner:
    """Plays a project on fake hosts; `ends` overrides how the next plays end, after what they did, `dry_ends` how a host's dry runs do."""

    def __init__(self, hosts: dict[str, FakeHost], world: Interruption) -> None:
        self.hosts, self.world = hosts, world
        self.plays: list[str] = []
        self.ends: list[StepResult] = []
        self.dry_ends: dict[str, StepResult] = {}
        self.dry_runs: list[str] = []
        self.dry_keys: list[str] = []

    def dry_run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:  # noqa: ARG002 - the port's signature
        self.world.touch("start dry run")
        self.dry_keys.append(key)
        self.dry_runs += [play["name"] for play in json.loads(project[playbook])]
        return self.dry_ends.get(host, StepResult(status="done", message="", told={"told": {"back": {"services": {}, "against": [], "doubts": []}}}))

    def run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:  # noqa: ARG002 - the port's signature
        self.world.touch("start play")
        for play in json.loads(project[playbook]):
            self.plays.append(play["name"])
            if "block" not in play["tasks"][-1]:
                continue
            role = play["tasks"][-1]["block"][0]["ansible.builtin.include_role"]["name"]
            progress(f"  {role}")
            self.hosts[host].play(role, _plain(load_unsafe(project[play["vars_files"][0]])), self.world.touch)
        self.world.touch("play ended")
        return self.ends.pop(0) if self.ends else StepResult(status="done", message="", told={"downtime_s": {"engine": 1.5}})


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return str(data) if isinstance(data, str) else data


class FakeReceipts:
    """The chain in memory."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.chain: list[Receipt] = []
        self.faults: tuple[ChainFault, ...] = ()

    def load(self) -> tuple[tuple[str, Receipt], ...]:
        return tuple((receipt.file_name(), receipt) for receipt in self.chain)

    def append(self, receipt: Receipt) -> Receipt:
        self.world.touch(f"write {receipt.phase}")
        made = link(receipt, self.chain[-1] if self.chain else None)
        self.chain.append(made)
        self.world.touch(f"{receipt.phase} written")
        return made

    def signature_faults(self) -> tuple[ChainFault, ...]:
        return self.faults

    def examine(self) -> tuple[tuple[tuple[str, Receipt], ...], tuple[ChainFault, ...]]:
        return self.load(), self.signature_faults()

    checks_signatures = True


class FakeAnchors:
    """What holds a chain in its place, in memory."""

    def __init__(self) -> None:
        self.held: tuple[Anchor, ...] = ()
        self.gone: tuple[ChainFault, ...] = ()

    def read(self) -> tuple[tuple[Anchor, ...], tuple[ChainFault, ...]]:
        return self.held, ()

    def lost(self, receipts: Named) -> tuple[ChainFault, ...]:  # noqa: ARG002 - the port's signature
        return self.gone


class FakeApprovals:
    """Approvals in memory; `me` is how the signers name the operator."""

    def __init__(self, world: Interruption, me: str | None = "ann@example.org") -> None:
        self.world, self.me = world, me
        self.held: dict[str, Approval] = {}

    def find(self, plan: str, *, at: datetime) -> Approval | None:  # noqa: ARG002 - the port's signature
        return self.held.get(plan)

    def expire(self, plan: str, *, seen_at: str) -> None:  # noqa: ARG002 - the port's signature
        self.held[plan] = self.held[plan].model_copy(update={"expired": True})

    def add(self, approval: Approval) -> Approval:
        self.held[approval.plan] = approval
        return approval

    def signs_as(self) -> str | None:
        return self.me

    def use(self, plan: str, run: str) -> None:
        self.world.touch("use approval")
        held = self.held[plan]
        if held.used_by not in (None, run):
            raise RefusedError(f"the approval of {plan} was used by {held.used_by} a moment ago. Nothing was changed.")
        self.held[plan] = held.model_copy(update={"used_by": run})
        self.world.touch("approval used")


class FakeRoles:
    """A file of two roles each, and the action that reboots."""

    def __init__(self) -> None:
        self.content = {"data_disk/tasks/main.yml": b"[]\n", "fstab/tasks/main.yml": b"[]\n"}
        self.content["target_run/action_plugins/target_run_reboot.py"] = b""

    def files(self) -> dict[str, bytes]:
        return self.content


class FakeWitness:
    """Agrees with everything, but for `doubts` (surface -> what it says instead)."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.doubts: dict[str, str] = {}

    def answer(self, hosts: Sequence[InventoryHost], questions: Sequence[Question]) -> tuple[Answer, ...]:  # noqa: ARG002 - the port's signature
        self.world.touch("ask witness")
        return tuple(Answer(question=q, said=self.doubts.get(q.surface, f"{q.pick}{q.expect}"), error=None) for q in questions)


class FakePlans:
    """Plans in memory."""

    def __init__(self, world: Interruption) -> None:
        self.world = world
        self.held: dict[str, Plan] = {}

    def keep(self, plan: Plan) -> None:
        self.world.touch("keep plan")
        self.held[plan.plan] = plan

    def get(self, digest: str) -> Plan:
        if digest not in self.held:
            raise RunFailedError(f"plan {digest} is gone.")
        return self.held[digest]


class FakeKnownHosts:
    """Host keys in memory; `fault` is what stands in the way of pinning."""

    def __init__(self) -> None:
        self.pinned: dict[str, tuple[str, ...]] = {}
        self.fault: str | None = None

    def pin(self, host: InventoryHost, keys: Sequence[str]) -> str | None:
        if self.fault is None:
            self.pinned[host.name] = tuple(keys)
        return self.fault


class FakeLocks:
    """Locks in memory; `held_by` names who holds a host."""

    place = "here"

    def __init__(self) -> None:
        self.held_by: dict[str, str] = {}

    @contextmanager
    def hold(self, hosts: Sequence[str], *, operator: str) -> Iterator[None]:
        for host in hosts:
            if host in self.held_by:
                raise RefusedError(f"{host} is being changed by {self.held_by[host]}. Nothing was changed.")
        self.held_by |= dict.fromkeys(hosts, operator)
        try:
            yield
        finally:
            for host in hosts:
                del self.held_by[host]
