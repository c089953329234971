"""redis.durability: what is planned for a Redis that drifts, and each doubt that makes a refusal of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.asking import what_to_ask
from controlplane.domain.capabilities import redis_aof
from controlplane.domain.evidence import Evidence
from controlplane.domain.facts import facts_of
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities, make_plan
from tests.fakes.evidence_builder import COLLECTED, GB, REDIS, EvidenceBuilder, desired_mint_data

Spoil = Callable[[EvidenceBuilder], object]
ID = "redis.durability"


def container(builder: EvidenceBuilder) -> dict[str, Any]:
    return builder.container(REDIS)


def state(builder: EvidenceBuilder) -> dict[str, Any]:
    return builder.probes["redis"][REDIS]  # type: ignore[no-any-return]


def drifting() -> EvidenceBuilder:
    """Return a host whose Redis keeps nothing but a dump; its settings stand in its command."""
    builder = EvidenceBuilder()
    state(builder)["running"].update(appendonly="no")
    state(builder)["persisted"].update(appendonly="no")
    state(builder)["info"].update(role="master", used_memory="5000000")
    state(builder).update(aof_files=[], dir="/data", version="7.0.15", keys=120_000)
    container(builder).update(
        command=["redis-server"], compose_project="mint-data", compose_service="redis", compose_files=["/opt/c.yml"], compose_dir="/opt"
    )
    return builder


def asked(builder: EvidenceBuilder) -> Evidence:
    return builder.build().model_copy(update={"asked": what_to_ask(desired_mint_data())})


def plan(builder: EvidenceBuilder, capabilities: Sequence[str] = (ID,)) -> Plan:
    return make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[desired_mint_data()],
        evidence={"mint-data": asked(builder)},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(capabilities),
        retention=timedelta(days=7),
    )


def test_what_its_command_says_is_turned_on_live_and_its_container_made_anew_once() -> None:
    made = plan(drifting())
    [step] = made.steps
    assert [(change.kind, change.target) for change in step.changes] == [
        ("rename", f"append-only files of {REDIS}"),
        ("setting", f"appendonly of {REDIS}, live"),
        ("file", f"the command of {REDIS} in its compose file"),
        ("recreate", f"container {REDIS}"),
    ]
    assert not any(change.destructive for change in step.changes)
    assert [(mend.check, mend.surface) for mend in step.mends] == [("D236", f"redis:{REDIS}")]
    assert (step.downtime.services, step.downtime.estimate_s) == ((REDIS,), 73)
    assert {bound.measure for bound in made.bounds} == {"free_bytes"}
    assert made.bounds[0].at_least == 1 << 24
    assert step.variables["redis_aof_route"] == "compose"
    assert step.variables["redis_aof_settings"]["appendonly"] == "yes"
    assert step.variables["redis_aof_persist"] == ["appendonly"]


def test_what_is_persisted_already_is_only_set_and_nothing_is_made_anew() -> None:
    builder = drifting()
    state(builder)["persisted"].update(appendonly="yes")
    [step] = plan(builder).steps
    assert [change.kind for change in step.changes] == ["rename", "setting"]
    assert step.variables["redis_aof_persist"] == []
    assert step.downtime.services == ()


def test_a_run_that_was_cut_off_between_two_settings_has_no_more_to_do_than_was_approved() -> None:
    builder = drifting()
    state(builder)["running"].update(appendfsync="no")
    before = {change for step in plan(builder).steps for change in step.changes}
    state(builder)["running"].update(appendfsync="everysec")
    assert {change for step in plan(builder).steps for change in step.changes} < before


def test_a_file_on_a_mount_is_written_there_and_nothing_stops() -> None:
    builder = drifting()
    state(builder).update(persisted_from="/data/redis.conf and command line")
    [step] = plan(builder).steps
    assert (step.variables["redis_aof_route"], step.variables["redis_aof_file"]) == ("file", "/data/redis.conf")
    assert [change.kind for change in step.changes] == ["rename", "setting", "file"]
    assert (step.downtime.services, step.downtime.estimate_s) == ((), 0)
    # What the command says over the file has to change in the command.
    container(builder).update(command=["redis-server", "/data/redis.conf", "--appendonly", "no"])
    [step] = plan(builder).steps
    assert step.variables["redis_aof_route"] == "compose"


def test_a_file_in_the_containers_own_layer_is_left_for_its_command() -> None:
    builder = drifting()
    state(builder).update(persisted_from="/etc/redis.conf")
    [step] = plan(builder).steps
    assert (step.variables["redis_aof_route"], step.variables["redis_aof_file"]) == ("compose", "/etc/redis.conf")


def test_what_runs_and_would_be_forgotten_is_only_persisted() -> None:
    builder = drifting()
    state(builder)["running"].update(appendonly="yes")
    state(builder).update(aof_files=["appendonlydir/appendonly.aof.manifest"])
    [step] = plan(builder).steps
    assert [change.kind for change in step.changes] == ["file", "recreate"]


def test_what_is_as_declared_gets_no_step_and_a_host_without_redis_none_either() -> None:
    assert plan(EvidenceBuilder()).steps == ()
    assert plan(EvidenceBuilder()).refusals == ()


def test_a_durable_setting_that_the_policy_leaves_open_and_a_start_would_not_have_is_forgotten_too() -> None:
    builder = drifting()
    state(builder)["running"].update(save="1 1", appendonly="yes")
    found = redis_aof._set_live_only(state(builder), {"appendonly": "yes", "appendfsync": "everysec"})  # type: ignore[arg-type]
    assert found == ["save"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda b: state(b).update(reachable=False, error="NOAUTH"), f"could not be observed: {REDIS}: Redis's settings could not be read (NOAUTH)"),
        (lambda b: state(b).update(version=None), f"could not be observed: {REDIS}: Redis did not say its version"),
        (lambda b: b.fail("redis"), f"could not be observed: {REDIS}: redis: "),
        (lambda b: b.lose("docker_containers"), f"could not be observed: {REDIS}: docker_containers was not collected"),
        (lambda b: state(b)["info"].pop("used_memory"), "did not say how much memory it uses"),
        (lambda b: state(b).update(version="6.2.1"), "it is Redis 6.2.1, and only 7.0 and newer are known here"),
        (lambda b: state(b)["info"].update(role="slave"), "it is a replica, whose data comes from its master"),
        (lambda b: state(b)["running"].update(port="0"), "it listens on a socket of its file system only"),
        (lambda b: container(b).update(compose_project=None), "Compose did not make it, so nobody here can make it anew as it was"),
        (lambda b: container(b).update(command=["/bin/sh", "-c", "redis-server"]), "its command is a shell's"),
        (lambda b: state(b)["running"].update(maxmemory="5000"), "maxmemory was set while it runs and would be forgotten"),
        (lambda b: (state(b)["running"].update(replicaof=""), state(b)["persisted"].update(replicaof="b 1")), "replicaof was set while it runs"),
        (lambda b: container(b).update(mounts=[]), "its data lies in mint-modules-redis's own layer"),
    ],
)
def test_a_doubt_is_a_refusal_that_names_the_way_out(spoil: Spoil, reason: str) -> None:
    builder = drifting()
    spoil(builder)
    made = plan(builder)
    assert made.steps == ()
    [refusal] = made.refusals
    assert reason in refusal.reason


def in_the_way(builder: EvidenceBuilder, at: str | None) -> EvidenceBuilder:
    """Return the builder whose Redis has its data at another path of the boot disk than declared, or in its own layer, with that disk full."""
    mount = {"type": "volume", "name": "shop", "source": at, "destination": "/data", "rw": True, "anonymous": False, "host_path": at}
    upper = f"/var/lib/docker/overlay2/{REDIS}/diff"
    container(builder).update(mounts=[mount] if at else [], upper_dir=upper, writable_bytes=4096)
    builder.boot_path(at or upper)
    builder.probes["docker_usage"]["volume_bytes"] = {"shop": 1_000_000}
    builder.probes["usage"]["/"]["available"] = 1 << 20
    return builder


@pytest.mark.parametrize("at", ["/var/lib/docker/volumes/shop/_data", None])
def test_data_that_the_same_plan_moves_are_where_the_policy_wants_them_by_then(at: str | None) -> None:
    made = plan(in_the_way(drifting(), at), ("storage.persistent_paths", ID))

    assert [step.capability for step in made.steps] == ["storage.persistent_paths", ID]
    assert made.refusals == ()
    moved, kept = made.bounds
    assert [(bound.measure, bound.of) for bound in made.bounds] == [("free_bytes", "/mnt/data")] * 2
    assert kept.at_least == moved.at_least + (1 << 24)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("/var/lib/docker/volumes/shop/_data", f"free bytes on /, for {REDIS}: {1 << 20}, at least {1 << 24} needed"),
        (None, "let storage.persistent_paths bring /data to /mnt/data/mint-data/redis, in this plan or before"),
    ],
)
def test_data_that_no_step_of_the_plan_moves_stay_where_they_are(at: str | None, reason: str) -> None:
    made = plan(in_the_way(drifting(), at))

    assert made.steps == ()
    [refusal] = made.refusals
    assert reason in refusal.reason


def test_the_disk_to_which_the_data_move_has_to_hold_the_append_only_file_too() -> None:
    builder = in_the_way(drifting(), "/var/lib/docker/volumes/shop/_data")
    state(builder)["info"].update(used_memory=str(50 * GB))

    made = plan(builder, ("storage.persistent_paths", ID))

    assert [step.capability for step in made.steps] == ["storage.persistent_paths"]
    [refusal] = made.refusals
    assert f"free bytes on /mnt/data, for {REDIS}, beside the " in refusal.reason


def test_data_that_go_along_with_dockers_root_are_written_where_that_goes() -> None:
    builder = in_the_way(drifting(), "/var/lib/docker/volumes/shop/_data")
    builder.probes["docker_info"]["root"] = "/var/lib/docker"
    container(builder)["mounts"][0]["destination"] = "/"

    made = plan(builder, ("docker.data_root", ID))

    assert [(step.capability, bound.of) for step, bound in zip(made.steps, made.bounds, strict=True)] == [
        ("docker.data_root", "/mnt/data"),
        (ID, "/mnt/data"),
    ]


def test_a_file_in_the_data_is_on_a_mount_once_they_are_moved() -> None:
    builder = in_the_way(drifting(), None)
    state(builder).update(persisted_from="/data/redis.conf")
    assert plan(builder, ("storage.persistent_paths", ID)).steps[-1].variables["redis_aof_route"] == "file"


def test_settings_are_facts_and_what_varies_by_itself_is_not() -> None:
    builder = drifting()
    before = facts_of(asked(builder))
    state(builder)["info"].update(used_memory="6000000")
    state(builder).update(keys=1)
    assert facts_of(asked(builder)) == before
    state(builder)["running"].update(appendfsync="no")
    assert facts_of(asked(builder))["redis"] != before["redis"]
    state(builder).update(reachable=False)
    assert facts_of(asked(builder))["redis"] == {REDIS: None}
