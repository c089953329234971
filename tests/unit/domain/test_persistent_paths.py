"""storage.persistent_paths: what is planned for data that lie elsewhere than declared, and each doubt that makes a refusal of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.asking import what_to_ask
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities, make_plan
from controlplane.domain.services import FilesService, MinioService, Stack, WriteSurface
from tests.fakes.evidence_builder import COLLECTED, MINIO, POSTGRES, REDIS, EvidenceBuilder, bind, desired_mint_data, place
from tests.unit.roles.docker_by_hand import carry_out, read

Spoil = Callable[[EvidenceBuilder], object]
ID = "storage.persistent_paths"
PLACE = "/mnt/data/mint-data/minio"
COMPOSED = {
    "compose_project": "mint-data",
    "compose_service": "minio",
    "compose_files": ["/opt/c.yml"],
    "compose_dir": "/opt",
    "stop_timeout_s": None,
}


def volume(name: str, *, anonymous: bool = False, destination: str = "/data", root: str = "/var/lib/docker") -> dict[str, Any]:
    path = f"{root}/volumes/{name}/_data"
    seen = {"type": "volume", "name": name, "source": path, "host_path": path}
    return {**seen, "destination": destination, "rw": True, "anonymous": anonymous}


def drifting(*mounts: dict[str, Any]) -> EvidenceBuilder:
    """Return a host whose object store mounts these."""
    builder = EvidenceBuilder()
    builder.container(MINIO).update(COMPOSED, mounts=list(mounts or [volume("shop")]))
    builder.boot_path(*(mount["host_path"] for mount in mounts or [volume("shop")] if mount["host_path"]))
    builder.probes["docker_usage"]["volume_bytes"] = {"shop": 1_000_000_000}
    return builder


def plan(builder: EvidenceBuilder, desired: DesiredHost | None = None, capabilities: Sequence[str] = (ID,)) -> Plan:
    wanted = desired or desired_mint_data()
    asked: Evidence = builder.build().model_copy(update={"asked": what_to_ask(wanted)})
    return make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[wanted],
        evidence={"mint-data": asked},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(capabilities),
        retention=timedelta(days=7),
    )


def test_a_named_volume_moves_to_its_place_and_its_container_is_made_anew_once() -> None:
    made = plan(drifting())
    [step] = made.steps
    assert [(change.kind, change.target, change.before, change.after) for change in step.changes] == [
        ("move", f"/data of {MINIO}", "volume shop", PLACE),
        ("file", "the compose file of mint-data", "minio mounts volume shop", f"{PLACE} at /data, and the project's name is pinned"),
        ("recreate", f"container {MINIO}", "/data in volume shop", f"/data in {PLACE}, by Compose, from the changed file, once"),
        ("retire", f"volume shop of {MINIO}", "in use", "kept unchanged until a purge of its own"),
    ]
    assert not any(change.destructive for change in step.changes)
    assert [(mend.check, mend.surface) for mend in step.mends] == [("D236", f"service:{MINIO}")]
    assert (step.downtime.services, step.downtime.estimate_s) == ((MINIO,), 85)
    [bound] = made.bounds
    assert (bound.measure, bound.of, bound.at_least) == ("free_bytes", "/mnt/data", 1_050_000_000 + (64 << 20))
    assert step.variables == {
        "persistent_paths_container": MINIO,
        "persistent_paths_paths": [
            {"kind": "minio", "data": "/data", "place": PLACE, "volume": "", "mount": "/mnt/data", "proof": [], "owner": "", "mode": ""}
        ],
        "persistent_paths_override": False,
        "persistent_paths_port": 6379,
        "persistent_paths_auth": {},
    }


def test_what_lies_where_it_shall_be_is_left_alone_and_so_is_a_container_that_the_policy_does_not_name() -> None:
    assert plan(EvidenceBuilder()).steps == ()
    builder = drifting()
    without = {name: service for name, service in desired_mint_data().services.items() if name != MINIO}
    made = plan(builder, desired_mint_data(services=without))
    assert (made.steps, made.refusals) == ((), ())


@pytest.mark.parametrize(
    ("mounts", "told"),
    [
        ([volume("0" * 64, anonymous=True)], "an anonymous volume"),
        ([volume("shop", destination="/")], "volume shop, data in it"),
        ([], "its writable layer"),
    ],
)
def test_the_records_name_a_source_without_what_differs_from_one_container_to_the_next(mounts: list[dict[str, Any]], told: str) -> None:
    builder = drifting(*mounts)
    if not mounts:
        builder.container(MINIO).update(mounts=[], writable_bytes=5_000_000)
    [step] = plan(builder).steps
    assert step.changes[0].before == told
    assert ("whole copy" in step.undo) == (told != "volume shop, data in it")


def test_a_named_volume_is_a_destination_where_dockers_root_is_off_the_boot_disk() -> None:
    wanted = desired_mint_data(services={MINIO: MinioService(data="/data", volume="mint-data_minio")})
    builder = drifting(volume("0" * 64, anonymous=True, root="/mnt/data/docker"))
    at = f"/mnt/data/docker/volumes/{'0' * 64}/_data"
    builder.probes["paths"][at] = {**builder.probes["paths"]["/mnt/data/docker"], "real": at}
    [step] = plan(builder, wanted).steps
    assert step.changes[0].after == "volume mint-data_minio"
    [path] = step.variables["persistent_paths_paths"]
    assert (path["volume"], path["mount"]) == ("mint-data_minio", "")
    builder.probes["docker_info"]["root"] = "/var/lib/docker"
    made = plan(builder, wanted)
    assert made.steps == ()
    assert "docker.data_root has to move that first" in made.refusals[0].reason


def test_a_proof_and_an_override_file_and_a_login_are_handed_on() -> None:
    wanted = desired_mint_data(
        services={MINIO: FilesService(data="/data", place=PLACE, proof=("wikictl", "count"))},
        stacks=(Stack(project="mint-data", dir="/opt", edit="override"),),
    )
    [step] = plan(drifting(), wanted).steps
    assert step.variables["persistent_paths_paths"][0]["proof"] == ["wikictl", "count"]
    assert step.variables["persistent_paths_override"] is True
    assert step.changes[1].target == "the override file beside the compose file of mint-data"


def test_settings_of_a_database_that_drift_as_well_are_not_promised() -> None:
    builder = EvidenceBuilder()
    builder.container(POSTGRES).update(COMPOSED, mounts=[volume("pg", destination="/var/lib/postgresql/data")])
    builder.boot_path("/var/lib/docker/volumes/pg/_data")
    assert plan(builder).steps[0].mends != ()
    builder.probes["postgres"][POSTGRES]["running"]["fsync"] = "off"
    assert plan(builder).steps[0].mends == ()


def _not_of_compose(builder: EvidenceBuilder) -> None:
    builder.container(MINIO).update(compose_project=None, compose_service=None, compose_files=[])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_not_of_compose, "docker cp mint-modules-minio:/data/. - | tar"),
        (lambda b: b.container(MINIO).update(running=False), "it does not run"),
        (lambda b: b.container(MINIO)["mounts"].append(volume("more", destination="/data/more")), "/data/more is mounted below /data"),
        (lambda b: b.container(MINIO).update(tmpfs=["/data/tmp"]), "/data/tmp is mounted below /data"),
        (lambda b: b.container(MINIO).update(tmpfs=["/data"], mounts=[]), "lies in memory"),
        (lambda b: b.container(MINIO).pop("stop_timeout_s"), f"could not be observed: {MINIO}: its stop timeout was not collected"),
        (
            lambda b: b.container(MINIO).update(mounts=[], writable_bytes=None),
            f"could not be observed: {MINIO}: Docker did not tell the size of its writable layer",
        ),
        (
            lambda b: b.container(REDIS)["mounts"].append(volume("shop", destination="/other")),
            f"{REDIS} also mounts /var/lib/docker/volumes/shop/_data",
        ),
        (lambda b: b.probes["paths"]["/var/lib/docker/volumes/shop/_data"].update(real="/etc"), "leads to /etc by a symbolic link"),
        (lambda b: b.fail("docker_containers"), f"could not be observed: {MINIO}: docker_containers: "),
        (lambda b: b.probes["docker_containers"].remove(b.container(MINIO)), f"could not be observed: {MINIO}: there is no container of this name"),
    ],
)
def test_what_can_not_be_moved_is_refused_with_its_reason(spoil: Spoil, reason: str) -> None:
    builder = drifting()
    spoil(builder)
    made = plan(builder)
    assert [step for step in made.steps if MINIO in step.downtime.services] == []
    assert reason in " ".join(refusal.reason for refusal in made.refusals), made.refusals


@pytest.mark.parametrize("into", ["place", "volume"])
def test_the_commands_for_a_container_without_compose_carry_its_data_over(tmp_path: Path, into: str) -> None:
    at = str(tmp_path / "not there/mint data/minio")
    service = MinioService(data="/data", place=at) if into == "place" else MinioService(data="/data", volume="shop_objects")
    builder = drifting()
    _not_of_compose(builder)
    builder.probes["docker_info"]["root"] = "/mnt/data/docker"
    builder.probes["paths"][at] = {**builder.probes["paths"][PLACE], "real": at}
    [refusal] = plan(builder, desired_mint_data(services={MINIO: service})).refusals
    done = carry_out(refusal.reason, tmp_path, {f"{MINIO}:/data": {"kept": "as it was"}})
    landed = Path(at) if into == "place" else tmp_path / "volumes/shop_objects"
    assert read(landed) == {"kept": "as it was"}
    assert done.stopped == [MINIO]
    source = f"type=bind,source={at}" if into == "place" else "type=volume,source=shop_objects"
    assert done.run_with == ["--mount", f"{source},target=/data"]


def test_a_place_on_a_disk_that_is_not_there_is_refused() -> None:
    builder = drifting()
    builder.probes["mounts"] = [seen for seen in builder.probes["mounts"] if seen["mount"] != "/mnt/data"]
    made = plan(builder)
    assert made.steps == ()
    assert f"{PLACE} lies on /mnt/data, which can't be provided" in made.refusals[0].reason


def test_each_service_is_a_step_of_its_own_after_the_root_and_before_durability() -> None:
    builder = drifting()
    for name, service in ((POSTGRES, "postgres"), (REDIS, "redis")):
        destination = builder.container(name)["mounts"][0]["destination"]
        builder.container(name).update(COMPOSED, compose_service=service, mounts=[volume(service, destination=destination)])
        builder.boot_path(f"/var/lib/docker/volumes/{service}/_data")
    for settings in ("running", "persisted"):
        builder.probes["redis"][REDIS][settings].update(appendonly="no")
    builder.probes["redis"][REDIS]["info"].update(role="master", used_memory="5000000")
    builder.probes["redis"][REDIS].update(version="7.0.15")
    made = plan(builder, capabilities=(ID, "redis.durability"))
    assert [(step.capability, step.downtime.services) for step in made.steps][:3] == [(ID, (MINIO,)), (ID, (POSTGRES,)), (ID, (REDIS,))]


def test_a_redis_that_would_load_nothing_at_its_next_start_is_not_stopped_and_its_durability_comes_first() -> None:
    builder = drifting()
    builder.container(REDIS).update(COMPOSED, compose_service="redis", mounts=[volume("redis", destination="/data")])
    builder.boot_path("/var/lib/docker/volumes/redis/_data")
    builder.probes["redis"][REDIS]["running"].update(appendonly="no")
    builder.probes["redis"][REDIS]["info"].update(role="master", used_memory="5000000")
    made = plan(builder, capabilities=(ID, "redis.durability"))
    assert REDIS not in {name for step in made.steps if step.capability == ID for name in step.downtime.services}
    assert "redis.durability" in {step.capability for step in made.steps}
    assert f"{REDIS}: AOF is off while it runs and on at its next start" in " ".join(refusal.reason for refusal in made.refusals)


UPLOADS = WriteSurface(container=MINIO, path="/var/uploads", place="/mnt/data/uploads", owner="1000:1000", mode="0750")
CACHE = WriteSurface(container=MINIO, path="/var/cache/minio", place="/mnt/data/cache")
BOTH = ("storage.persistent_paths", "storage.write_surfaces")


def with_surfaces(*surfaces: WriteSurface) -> DesiredHost:
    return desired_mint_data(services={MINIO: MinioService(data="/data", place=PLACE)}, write_surfaces=surfaces)


def with_layer(builder: EvidenceBuilder, *surfaces: WriteSurface) -> EvidenceBuilder:
    """Return the builder whose object store has these paths in its writable layer."""
    builder.container(MINIO).update(writable_bytes=2_000_000_000)
    for surface in surfaces:
        builder.probes["paths"][surface.place] = place(surface.place, "254:16", "/mnt/data") | {"exists": False}
    return builder


@pytest.mark.parametrize("capabilities", [(ID,), BOTH])
def test_a_containers_surfaces_go_along_with_its_data_in_one_step_that_stops_it_once(capabilities: Sequence[str]) -> None:
    made = plan(with_layer(drifting(), UPLOADS, CACHE), with_surfaces(UPLOADS, CACHE), capabilities)
    [step] = made.steps
    assert (step.capability, made.refusals) == (ID, ())
    assert [(mend.check, mend.surface) for mend in step.mends] == [
        ("D236", f"service:{MINIO}"),
        ("D238", f"write_surface:{MINIO}:/var/cache/minio"),
        ("D238", f"write_surface:{MINIO}:/var/uploads"),
    ]
    assert [(change.kind, change.target) for change in step.changes] == [
        ("move", f"/data of {MINIO}"),
        ("move", f"/var/cache/minio of {MINIO}"),
        ("move", f"/var/uploads of {MINIO}"),
        *[("file", "the compose file of mint-data")] * 3,
        ("recreate", f"container {MINIO}"),
        ("retire", f"volume shop of {MINIO}"),
        ("retire", f"its writable layer of {MINIO}"),
        ("attribute", "/mnt/data/uploads"),
    ]
    # A gigabyte of the volume and two of the layer, which is counted once.
    assert (step.downtime.services, step.downtime.estimate_s) == ((MINIO,), 60 + 15 + 30)
    [bound] = made.bounds
    assert bound.at_least == 3_150_000_000 + (64 << 20)
    assert [(one["kind"], one["data"], one["place"], one["owner"]) for one in step.variables["persistent_paths_paths"]] == [
        ("minio", "/data", PLACE, ""),
        ("surface", "/var/cache/minio", "/mnt/data/cache", ""),
        ("surface", "/var/uploads", "/mnt/data/uploads", "1000:1000"),
    ]
    assert "whole copy" in step.undo


def test_a_surface_whose_owner_alone_differs_goes_along_and_one_that_is_as_declared_does_not() -> None:
    builder = with_layer(drifting(volume("shop"), bind("/mnt/data/uploads", "/var/uploads"), bind("/mnt/data/cache", "/var/cache/minio")))
    for surface in (UPLOADS, CACHE):
        seen = {"uid": 0, "gid": 0, "mode": 0o755}
        builder.probes["paths"][surface.place] = place(surface.place, "254:16", "/mnt/data") | seen
    [step] = plan(builder, with_surfaces(UPLOADS, CACHE), BOTH).steps
    assert [(change.before, change.after) for change in step.changes if change.kind == "attribute"] == [("0:0 0755", "1000:1000 0750")]
    assert [change.target for change in step.changes if change.kind == "move"] == [f"/data of {MINIO}"]
    assert [mend.surface for mend in step.mends] == [f"service:{MINIO}", f"write_surface:{MINIO}:/var/uploads"]


def test_where_the_data_stay_their_containers_surfaces_have_a_step_of_their_own() -> None:
    # Either nobody asked for the data, or they can't be moved.
    for capabilities, spoil in (
        (("storage.write_surfaces",), lambda _: None),
        (BOTH, lambda b: b.container(REDIS)["mounts"].append(volume("shop", destination="/other"))),
        (BOTH, lambda b: b.probes["docker_usage"]["volume_bytes"].update(shop=10**15)),
    ):
        builder = with_layer(drifting(), UPLOADS, CACHE)
        spoil(builder)
        made = plan(builder, with_surfaces(UPLOADS, CACHE), capabilities)
        [step] = made.steps
        assert step.capability == "storage.write_surfaces", made.refusals
        assert [one["data"] for one in step.variables["write_surfaces_paths"]] == ["/var/cache/minio", "/var/uploads"]


def test_a_surface_that_can_not_be_moved_is_refused_by_its_own_capability_and_the_data_go_without_it() -> None:
    builder = with_layer(drifting(), UPLOADS, CACHE)
    builder.container(MINIO).update(tmpfs=["/var/uploads"])
    made = plan(builder, with_surfaces(UPLOADS, CACHE), BOTH)
    [step] = made.steps
    assert [one["data"] for one in step.variables["persistent_paths_paths"]] == ["/data", "/var/cache/minio"]
    assert [(refusal.capability, "lies in memory" in refusal.reason) for refusal in made.refusals] == [("storage.write_surfaces", True)]


def test_a_surface_within_the_data_waits_for_a_step_of_its_own() -> None:
    inner = WriteSurface(container=MINIO, path="/data/uploads", place="/mnt/data/uploads")
    made = plan(with_layer(drifting(), inner), with_surfaces(inner), BOTH)
    assert [(step.capability, step.downtime.services) for step in made.steps] == [(ID, (MINIO,)), ("storage.write_surfaces", (MINIO,))]
