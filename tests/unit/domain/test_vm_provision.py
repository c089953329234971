"""infra.vm.provision: what is made, what is refused, and that nothing that is there is touched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.capabilities import vm_provision
from controlplane.domain.capabilities.proposal import Outlook, Proposal
from controlplane.domain.checks import judge_host
from controlplane.domain.evidence import Evidence, ProbeRecord, Reader
from controlplane.domain.evidence_shapes import SHAPES
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.machines import Baseline, DockerPackages
from controlplane.domain.planning import make_plan
from tests.fakes.evidence_builder import COLLECTED, COLLECTED_TEXT, EvidenceBuilder, desired_mint_data
from tests.fakes.machine_builder import GB, MIB, RUN, born, declared_machine, profile, seen_from_hypervisor, unborn

NOW = datetime(2026, 1, 2, 12, 1, tzinfo=UTC)
FETCHES = "; fetches 3 packages at its first boot, installs none"


def propose(seen: dict[str, Any], **machine: Any) -> Proposal:
    desired = desired_mint_data(machine=declared_machine(**machine))
    return vm_provision.CAPABILITY.propose(desired, Reader(seen_from_hypervisor(seen)), Outlook(now=NOW, retention=timedelta(days=7)))


def pool(**other: Any) -> dict[str, Any]:
    return {"default": {"active": True, "free": 100 * GB, "total": 200 * GB, "volumes": {}} | other}


def changes(proposal: Proposal) -> list[str]:
    return [f"{c.kind} {c.target}: {c.before} -> {c.after}" for draft in proposal.drafts for c in draft.changes]


def judged(seen: dict[str, Any] | None, **machine: Any) -> Finding:
    record = ProbeRecord(status="failed", error="virsh is not there", seconds=0.1) if seen is None else None
    evidence = seen_from_hypervisor(seen or unborn())
    if record is not None:
        evidence = evidence.model_copy(update={"probes": {"machine": record}})
    desired = desired_mint_data(machine=declared_machine(**machine))
    (finding,) = judge_host(desired, evidence, now=COLLECTED, max_age=timedelta(hours=1), only=["D246"])
    return finding


def test_a_machine_that_is_not_there_is_made_with_its_data_disk() -> None:
    proposal = propose(unborn())
    assert proposal.refusals == ()
    assert changes(proposal) == [
        "volume mint-data-boot in default: None -> 8000000000 bytes, a copy of image debian-12.qcow2",
        "volume mint-data-DATA0001 in default: None -> 4000000000 bytes, blank",
        f"machine mint-data on kvm1: None -> 2 cores, 2048 MiB, network default, login ops, guest agent, started, and at each boot{FETCHES}",
        "file known_hosts: mint-data: None -> the host key that it is born with",
    ]
    (draft,) = proposal.drafts
    assert (draft.runs_on, [bound.at_least for bound in draft.bounds]) == ("kvm1", [int(12 * GB * 1.02)])
    assert draft.variables["vm_provision_disks"] == [{"serial": "DATA0001", "size": 4 * GB, "storage": "default", "volume": "mint-data-DATA0001"}]


def prefetched(baseline: Baseline) -> object:
    [draft] = propose(unborn(), profile=profile(baseline=baseline)).drafts
    return draft.variables["vm_provision_prefetch"]


def test_a_new_machine_fetches_what_its_own_sources_have_of_its_baseline() -> None:
    docker = DockerPackages(packages=("docker-ce",), repository="https://deb.example.org/debian bookworm stable", signed_by="docker.asc")
    bare = Baseline(packages=("tini",), services=(), time="none")
    assert prefetched(bare) == ["tini"]
    assert prefetched(bare.model_copy(update={"docker": DockerPackages(packages=("docker.io",))})) == ["tini", "docker.io"]
    # Its repository is made known by bootstrap.
    assert prefetched(bare.model_copy(update={"docker": docker})) == ["tini"]
    [told] = [change for change in changes(propose(unborn(), profile=profile(baseline=bare))) if change.startswith("machine ")]
    assert told.endswith("; fetches 1 package at its first boot, installs none")
    [told] = [change for change in changes(propose(unborn(), profile=profile(baseline=Baseline(services=(), time="none")))) if "cores" in change]
    assert told.endswith(", and at each boot")


def test_a_machine_that_is_there_fetches_nothing() -> None:
    [draft] = propose(born(disks=born()["disks"][:1])).drafts
    assert draft.variables["vm_provision_prefetch"] == []


def test_a_machine_as_declared_needs_nothing() -> None:
    assert propose(born()) == Proposal()
    assert judged(born()).verdict is Verdict.MET


def test_a_half_made_machine_is_finished_and_only_what_is_missing_is_made() -> None:
    half = unborn(run=RUN, storages=pool(volumes={"mint-data-boot": 8 * GB}), host_keys=["ssh-ed25519 A"])
    assert changes(propose(half)) == [
        "volume mint-data-DATA0001 in default: None -> 4000000000 bytes, blank",
        f"machine mint-data on kvm1: None -> 2 cores, 2048 MiB, network default, login ops, guest agent, started, and at each boot{FETCHES}",
    ]


def test_a_defined_machine_that_its_run_left_is_finished() -> None:
    left = born(made=False, state="shut off", autostart=False)
    assert changes(propose(left)) == [
        f"machine mint-data on kvm1: None -> 2 cores, 2048 MiB, network default, login ops, guest agent, started, and at each boot{FETCHES}"
    ]
    assert (judged(left).verdict, judged(left).reason) == (Verdict.DRIFTED, f"on kvm1: run {RUN} has not finished making it")


def test_a_disk_that_a_finished_machine_lacks_is_added_and_nothing_else_is_touched() -> None:
    seen = born(disks=born()["disks"][:1])
    assert changes(propose(seen)) == [
        "volume mint-data-DATA0001 in default: None -> 4000000000 bytes, blank",
        "machine disk DATA0001 of mint-data: None -> attached, serial number DATA0001",
    ]
    assert judged(seen).reason == "on kvm1: disk DATA0001 is missing"


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (unborn(other="web7"), "web7 is in its place on kvm1: nothing is replaced; give this machine another id or name"),
        (unborn(images={}), "kvm1 has no image debian-12.qcow2 in storage default: put it there, or name another in the profile"),
        (
            unborn(images={"debian-12.qcow2": 9 * GB}),
            "the image debian-12.qcow2 holds a disk of 9000000000 bytes, the profile's boot disk has 8000000000: make it larger",
        ),
        (unborn(networks=[]), "kvm1 has no network default: make it there, or name another in the profile"),
        (unborn(storages={}), "kvm1 has no storage default: make it there, or name another"),
        (unborn(storages=pool(active=False)), "storage default of kvm1 is not active: start it there"),
        (unborn(storages=pool(free=12 * GB)), f"storage default of kvm1 has 12000000000 bytes free, {int(12 * GB * 1.02)} are needed"),
        (
            unborn(storages=pool(volumes={"mint-data-DATA0001": 4 * GB})),
            "mint-data-DATA0001 lie on kvm1 already and no run here made them: look at what they hold, then move them away",
        ),
        (born(cores=4), "it has 4 cores, declared are 2: change it on kvm1 yourself"),
        (born(memory=1024 * MIB), f"it has {1024 * MIB} bytes of memory, declared are {2048 * MIB}: change it on kvm1 yourself"),
        (born(agent=False), "it has no channel for the guest agent: change it on kvm1 yourself"),
        (born(cards=[]), "it has no card on network default: change it on kvm1 yourself"),
        (born(state="shut off"), "mint-data is shut off: see why, and start it on kvm1 yourself"),
        (born(autostart=False), "mint-data is not started at boot: have kvm1 do that"),
    ],
)  # fmt: skip
def test_each_refusal_says_what_is_in_the_way(seen: dict[str, Any], told: str) -> None:
    assert (propose(seen).refusals, propose(seen).drafts) == ((told,), ())


def test_a_smaller_disk_than_declared_is_never_resized() -> None:
    disks = [born()["disks"][0], born()["disks"][1] | {"size": 3 * GB}]
    assert propose(born(disks=disks)).refusals == ("disk DATA0001 has 3000000000 bytes, declared are 4000000000: change it on kvm1 yourself",)


def test_a_volume_of_unknown_origin_is_never_given_to_a_machine_that_is_there() -> None:
    seen = born(disks=born()["disks"][:1], storages=pool(volumes={"mint-data-DATA0001": 4 * GB}))
    told = (
        "mint-data-DATA0001 lies in storage default of kvm1 already, and mint-data does not have it: "
        "resume the run that made it, or look at what it holds and move it away"
    )
    assert (propose(seen).refusals, propose(seen).drafts) == ((told,), ())


def test_no_second_machine_is_made_while_the_first_answers_from_elsewhere() -> None:
    elsewhere = EvidenceBuilder().build("mint-data", COLLECTED_TEXT)
    evidence = elsewhere.model_copy(update={"probes": {**elsewhere.probes, **seen_from_hypervisor(unborn()).probes}})
    desired = desired_mint_data(machine=declared_machine())
    proposal = vm_provision.CAPABILITY.propose(desired, Reader(evidence), Outlook(now=NOW, retention=timedelta(days=7)))
    told = (
        "mint-data answers, but kvm1 has no such machine: a second one would take its place in the network; "
        "name the hypervisor that it runs on, or take the other one away"
    )
    assert (proposal.drafts, proposal.refusals) == ((), (told,))


def test_no_machine_is_made_while_nobody_can_tell_that_its_place_is_free() -> None:
    """A key that is not pinned, a login that was refused, a network that the controller lacks: none of them says that nothing is there."""
    blank = ProbeRecord(status="failed", error="the host was not reached: Host key verification failed.", seconds=0.0)
    nobody = seen_from_hypervisor(unborn())
    doubted = nobody.model_copy(update={"probes": {**dict.fromkeys(SHAPES, blank), **nobody.probes}, "unconnected": False})
    desired, outlook = desired_mint_data(machine=declared_machine()), Outlook(now=NOW, retention=timedelta(days=7))
    proposal = vm_provision.CAPABILITY.propose(desired, Reader(doubted), outlook)
    told = (
        "whether mint-data is there already can't be told, though kvm1 has no such machine: something may answer in its place "
        "(the host was not reached: Host key verification failed.), and a second one would take that in the network; where it is the machine, "
        "pin its key or let this controller log in, and name the hypervisor that it runs on; else take away what answers, or mend the controller's "
        "own network, and plan again"
    )
    assert (proposal.drafts, proposal.refusals) == ((), (told,))
    # One that is there half made may answer with a key that is not pinned yet.
    begun = doubted.model_copy(update={"probes": {**doubted.probes, **seen_from_hypervisor(born(made=False)).probes}})
    assert vm_provision.CAPABILITY.propose(desired, Reader(begun), outlook).refusals == ()


def test_a_hypervisor_that_could_not_be_asked_is_doubt_never_a_machine_to_make() -> None:
    assert judged(None).verdict is Verdict.UNKNOWN
    evidence = seen_from_hypervisor(unborn()).model_copy(update={"probes": {}})
    desired = desired_mint_data(machine=declared_machine())
    proposal = vm_provision.CAPABILITY.propose(desired, Reader(evidence), Outlook(now=NOW, retention=timedelta(days=7)))
    assert (proposal.drafts, proposal.refusals) == ((), ("could not be observed: machine was not collected",))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (unborn(), "kvm1 has no such machine"),
        (born(state="shut off"), "on kvm1: it is shut off"),
        (born(autostart=False), "on kvm1: it is not started at boot"),
    ],
)
def test_a_machine_that_is_missing_or_asleep_has_drifted(seen: dict[str, Any], reason: str) -> None:
    assert (judged(seen).verdict, judged(seen).reason) == (Verdict.DRIFTED, reason)


def plan_of(evidence: Evidence, *capabilities: Any) -> Any:
    return make_plan(
        site="lab",
        now=NOW,
        hosts=[desired_mint_data(machine=declared_machine(profile=profile()))],
        evidence={"mint-data": evidence},
        policy="sha256:p",
        inventory="sha256:i",
        roles="sha256:r",
        capabilities=capabilities,
        retention=timedelta(days=7),
    )


def test_nothing_else_is_planned_on_a_machine_that_is_not_there() -> None:
    from controlplane.domain.capabilities import CAPABILITIES

    plan = plan_of(seen_from_hypervisor(unborn()), CAPABILITIES["storage.data_disk"])
    assert plan.steps == ()
    assert [r.reason for r in plan.refusals] == ["the machine is not there yet: infra.vm.provision has to run first"]
