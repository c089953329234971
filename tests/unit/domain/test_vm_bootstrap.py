"""infra.vm.bootstrap: what a fresh machine gets in one plan, what keeps Docker away, and what is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.capabilities import vm_bootstrap
from controlplane.domain.capabilities.fstab_text import guard_path, guard_text
from controlplane.domain.capabilities.proposal import ComingMount, Outlook, Proposal
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader
from controlplane.domain.machines import DesiredMachine, DockerPackages, Hook
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities, make_plan
from tests.fakes.evidence_builder import DATA_UUID, GB, EvidenceBuilder, desired_mint_data
from tests.fakes.host import drifting_probes
from tests.fakes.machine_builder import brought_up, settle, unit

NOW = datetime(2026, 1, 2, 12, 1, tzinfo=UTC)
NONE = {"status": "", "version": None}
GONE = unit(load_state="not-found", active_state="inactive", enabled="")


def wanted(machine: DesiredMachine | None = None, **other: Any) -> DesiredHost:
    return desired_mint_data(machine=machine or brought_up(), services={}, **other)


def fresh() -> EvidenceBuilder:
    """Return a machine with its data disk mounted, and without Docker and everything else that its profile names but ssh and cron."""
    builder = settle(EvidenceBuilder()).without_docker()
    there = ("openssh-server", "cron")
    builder.probes["packages"] = {name: seen if name in there else NONE for name, seen in builder.probes["packages"].items()}
    for name in ("systemd-timesyncd.service", "borg.timer", "node-exporter.service", "docker.service", "docker.socket", "containerd.service"):
        builder.probes["units"][name] = GONE
    builder.probes["fstab"] |= {"text": "", "entries": []}
    return builder


def blank() -> EvidenceBuilder:
    """Return a machine with a data disk that nothing is on."""
    builder = EvidenceBuilder()
    builder.probes = drifting_probes() | {name: fresh().probes[name] for name in ("packages", "network")}
    builder.probes["units"] |= fresh().probes["units"]
    return builder.without_docker()


def propose(builder: EvidenceBuilder, desired: DesiredHost | None = None, *, guarded: bool = True, missing: str = "") -> Proposal:
    mount = ComingMount(uuid=DATA_UUID, device="serial DATA0001", bytes_free=90 * GB, made_new=False, live=True)
    mounts = {} if missing else {"/mnt/data": mount}
    told = {"/mnt/data": missing} if missing else {}
    outlook = Outlook(now=NOW, retention=timedelta(days=7), mounts=mounts, missing=told, guarded=guarded)
    return vm_bootstrap.CAPABILITY.propose(desired or wanted(), Reader(builder.build()), outlook)


def changes(proposal: Proposal) -> list[str]:
    return [f"{c.kind} {c.target}: {c.before} -> {c.after}" for draft in proposal.drafts for c in draft.changes]


def mends(proposal: Proposal) -> set[str]:
    return {f"{mend.check} {mend.surface}" for draft in proposal.drafts for mend in draft.mends}


def whole_plan(builder: EvidenceBuilder, *names: str) -> Plan:
    chosen = chosen_capabilities(names)
    desired = wanted()
    return make_plan(
        site="s",
        now=NOW,
        hosts=[desired],
        evidence={"mint-data": builder.build()},
        policy="sha256:1",
        inventory="sha256:2",
        roles="sha256:3",
        capabilities=chosen,
        retention=timedelta(days=7),
    )


def test_a_fresh_machine_gets_docker_s_configuration_before_its_packages() -> None:
    proposal = propose(fresh())
    assert proposal.refusals == ()
    log = '"log-driver": "json-file", "log-opts": {"max-file": "3", "max-size": "10000000"}'
    assert changes(proposal) == [
        f'file /etc/docker/daemon.json: None -> holds {{"data-root": "/mnt/data/docker", {log}}}',
        'file /etc/containerd/config.toml: None -> holds root = "/mnt/data/containerd"',
        "package rsync: None -> installed",
        "package systemd-timesyncd: None -> installed",
        "package docker.io: None -> installed",
        "package borgbackup: None -> installed",
        "unit systemd-timesyncd.service: not enabled and active -> enabled and active",
        "unit docker.service: not enabled and active -> enabled and active",
        "unit borg.timer: not enabled and active -> enabled and active",
        "unit node-exporter.service: not enabled and active -> enabled and active",
    ]
    assert mends(proposal) == {
        *("D247 baseline.packages", "D247 baseline.time", "D247 baseline.docker", "D248 hook.backup", "D248 hook.monitoring"),
        *("D235 docker.data_root", "D235 docker.containerd_root", "D241 boot.guard", "D243 docker.log"),
    }
    [draft] = proposal.drafts
    assert draft.downtime.services == ()
    assert draft.variables["vm_bootstrap_mounts"] == [{"path": "/mnt/data", "uuid": DATA_UUID}]
    assert [(bound.of, bound.at_least) for bound in draft.bounds] == [("/", 1_100_000_000)]


def test_a_host_that_has_its_baseline_needs_nothing() -> None:
    assert propose(settle(EvidenceBuilder())) == Proposal()


def test_a_host_whose_machine_is_not_declared_is_left_alone() -> None:
    assert propose(fresh(), desired_mint_data()) == Proposal()


def test_one_plan_leads_from_a_blank_disk_to_docker_with_its_guards_first() -> None:
    plan = whole_plan(blank())
    assert [step.capability for step in plan.steps] == ["storage.data_disk", "storage.fstab", "infra.vm.bootstrap"]
    fstab, bootstrap = plan.steps[1], plan.steps[2]
    guards = fstab.variables["fstab_guards"]
    assert [(guard["unit"], guard["ahead"]) for guard in guards] == [("docker.service", True), ("docker.socket", True), ("containerd.service", True)]
    assert ("D241", "boot.guard") not in [(mend.check, mend.surface) for mend in fstab.mends]
    assert ("D241", "boot.guard") in [(mend.check, mend.surface) for mend in bootstrap.mends]
    assert plan.refusals == ()


def test_without_its_data_disk_a_host_gets_its_baseline_and_no_docker() -> None:
    builder = blank()
    gone = [number for number, seen in builder.probes["block"].items() if seen["serial"] == "DATA0001"]
    for number in gone:
        del builder.probes["block"][number]
        builder.probes["signatures"].pop(number, None)
    plan = whole_plan(builder)
    [step] = [step for step in plan.steps if step.capability == "infra.vm.bootstrap"]
    assert "docker.io" not in step.variables["vm_bootstrap_packages"]
    assert "docker.service" not in step.variables["vm_bootstrap_units"]
    assert step.variables["vm_bootstrap_docker"] == {}
    assert not {mend.check for mend in step.mends} & {"D235", "D241", "D243"}
    [reason] = [refusal.reason for refusal in plan.refusals if refusal.capability == "infra.vm.bootstrap"]
    assert reason.startswith("Docker is not installed: its root is to lie on /mnt/data, which can't be provided: serial DATA0001 is not there")


def test_bootstrap_alone_does_not_bring_docker_before_its_guard() -> None:
    proposal = propose(fresh(), guarded=False)
    assert proposal.refusals == ("Docker is not installed: storage.fstab has to guard it first, or it could start on the bare mountpoint",)


def test_bootstrap_alone_brings_docker_where_its_guard_waits_already() -> None:
    builder = fresh()
    for name in ("docker.service", "docker.socket", "containerd.service"):
        text = guard_text(name, [("/mnt/data", DATA_UUID)])
        builder.probes["units"][name] = GONE | {"drop_ins": [{"path": guard_path(name), "text": text, "mtime": 1.0}]}
    proposal = propose(builder, guarded=False)
    assert proposal.refusals == ()
    assert "package docker.io: None -> installed" in changes(proposal)


def test_a_policy_that_names_no_root_on_a_data_disk_brings_no_docker() -> None:
    desired = wanted(docker=desired_mint_data().docker.model_copy(update={"data_root": None, "containerd_root": None}))
    assert propose(fresh(), desired).refusals == (
        "Docker is not installed: the policy names no docker.data_root for mint-data, so its data would lie on the boot disk",
    )


def half_done(**other: Any) -> EvidenceBuilder:
    """Return a machine whose installation of Docker was cut off after dockerd was unpacked."""
    builder = settle(EvidenceBuilder())
    builder.probes["packages"]["docker.io"] = {"status": "iU", "version": "1"}
    builder.probes["units"]["docker.service"] |= {"active_state": "inactive", "enabled": "disabled"}
    builder.probes["docker_config"] |= other
    return builder.fail("docker_info", "failed", "Docker's socket is not there")


def test_an_installation_that_was_cut_off_is_finished() -> None:
    proposal = propose(half_done())
    assert proposal.refusals == ()
    assert changes(proposal) == ["package docker.io: None -> installed", "unit docker.service: not enabled and active -> enabled and active"]
    approved = set(changes(propose(fresh())))
    assert set(changes(proposal)) <= approved
    assert not [refusal for refusal in whole_plan(half_done()).refusals if refusal.capability == "docker.data_root"]


def test_a_half_done_docker_that_would_start_on_another_root_is_not_finished() -> None:
    proposal = propose(half_done(daemon_json=None))
    assert proposal.refusals == ("Docker is installed in part and would start on a root that is not /mnt/data/docker: finish or remove it yourself",)
    assert proposal.drafts == ()


def test_a_docker_that_runs_gets_what_is_missing_beside_it_and_keeps_its_root() -> None:
    machine = brought_up(docker=DockerPackages(packages=("docker.io", "docker-compose")))
    builder = settle(EvidenceBuilder(), machine)
    builder.probes["packages"]["docker-compose"] = NONE
    builder.probes["docker_info"]["root"] = "/var/lib/docker"
    builder.probes["docker_config"]["daemon_json"] = None
    proposal = propose(builder, wanted(machine))
    assert (proposal.refusals, changes(proposal)) == ((), ["package docker-compose: None -> installed"])
    assert mends(proposal) == {"D247 baseline.docker"}


def down(**config: Any) -> EvidenceBuilder:
    """Return a machine whose Docker is installed, guarded and down."""
    builder = settle(EvidenceBuilder())
    for name in ("docker.service", "docker.socket", "containerd.service"):
        drop_in = {"path": guard_path(name), "text": guard_text(name, [("/mnt/data", DATA_UUID)]), "mtime": 1.0}
        builder.probes["units"][name] |= {"active_state": "inactive", "drop_ins": [drop_in]}
    builder.probes["docker_config"] |= config
    return builder.fail("docker_info", "failed", "Docker's socket is not there")


STARTED = ["unit docker.service: not enabled and active -> enabled and active"]


@pytest.mark.parametrize("config", [{}, {"daemon_json": None, "dockerd_flags": ["--data-root=/mnt/data/docker"]}], ids=["file", "flag"])
def test_a_docker_that_is_down_is_started_on_its_root(config: dict[str, Any]) -> None:
    proposal = propose(down(**config), guarded=False)
    assert (proposal.refusals, changes(proposal), mends(proposal)) == ((), STARTED, {"D247 baseline.docker"})


def test_where_the_default_root_is_the_declared_one_a_docker_that_is_down_is_started() -> None:
    docker = desired_mint_data().docker.model_copy(update={"data_root": "/var/lib/docker", "containerd_root": None})
    proposal = propose(down(daemon_json=None), wanted(data="boot", disks=(), docker=docker), missing="none is declared")
    assert (proposal.refusals, changes(proposal)) == ((), STARTED)


def test_a_docker_that_is_down_is_never_started_on_another_root_than_the_declared_one() -> None:
    proposal = propose(down(daemon_json='{"log-driver": "local"}'))
    way = "if it never kept anything, write data-root into /etc/docker/daemon.json; if it did, start it yourself, and docker.data_root moves it"
    told = f"Docker is not started: it would start on another root than /mnt/data/docker: {way}"
    assert (proposal.drafts, proposal.refusals) == ((), (told,))


def test_a_docker_that_is_down_is_never_started_without_its_mount_or_the_guard_of_that() -> None:
    told = "Docker is not started: its root is to lie on /mnt/data, which can't be provided: serial DATA0001 is not there"
    proposal = propose(down(), missing="serial DATA0001 is not there")
    assert (proposal.drafts, proposal.refusals) == ((), (told,))
    bare = down()
    bare.probes["units"]["docker.service"]["drop_ins"] = []
    proposal = propose(bare, guarded=False)
    told = "Docker is not started: storage.fstab has to guard it first, or it could start on the bare mountpoint"
    assert (proposal.drafts, proposal.refusals) == ((), (told,))


def test_a_docker_from_elsewhere_is_refused() -> None:
    builder = settle(EvidenceBuilder())
    builder.probes["packages"]["docker.io"] = NONE
    assert propose(builder).refusals == ("a Docker is there that docker.io did not bring: name its packages in machines.yml, or remove it yourself",)


def test_a_masked_unit_and_one_that_no_package_brings_are_refused() -> None:
    machine = brought_up(monitoring=Hook(unit="nobody.service"))
    builder = settle(EvidenceBuilder(), machine)
    builder.probes["units"]["cron.service"] = unit(load_state="masked", enabled="masked")
    builder.probes["units"]["nobody.service"] = GONE
    assert propose(builder, wanted(machine)).refusals == (
        "cron.service is masked: see why on mint-data, and unmask or mend it there",
        "nobody.service is not there and no package is left to bring it: name its package in machines.yml",
    )


def test_a_clock_that_is_wrong_is_not_promised() -> None:
    builder = fresh()
    builder.probes["identity"]["clock_epoch"] -= 3600
    assert "D247 baseline.time" not in mends(propose(builder))


@pytest.mark.parametrize(("repository", "suite"), [("https://deb.example.org/debian bookworm stable", True), ("file:/srv/mirror ./", False)])
def test_a_site_s_repository_comes_with_its_key(repository: str, suite: bool) -> None:
    machine = brought_up(docker=DockerPackages(packages=("docker-ce",), repository=repository, signed_by="docker.asc"))
    builder = fresh()
    builder.probes["packages"]["docker-ce"] = NONE
    proposal = propose(builder, wanted(machine.model_copy(update={"docker_key": "a key\n"})))
    key, source = [change for draft in proposal.drafts for change in draft.changes][:2]
    assert (key.target, key.after) == ("/etc/apt/keyrings/controlplane-docker.asc", "a key\n")
    text = source.after or ""
    assert f"URIs: {repository.split(maxsplit=1)[0]}\nSuites: {repository.split()[1]}\n" in text
    assert ("Components: stable\n" in text) is suite
    assert text.endswith("Signed-By: /etc/apt/keyrings/controlplane-docker.asc\n")
    assert propose(builder, wanted(machine)).refusals == ("could not be observed: the key docker.asc was not read",)


@pytest.mark.parametrize("probe", ["packages", "units"])
def test_what_was_not_observed_is_a_refusal(probe: str) -> None:
    proposal = propose(fresh().fail(probe, "timeout", "no answer after 5 s"))
    assert proposal == Proposal(refusals=(f"could not be observed: {probe}: timeout: no answer after 5 s",))
