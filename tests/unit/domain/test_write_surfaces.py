"""storage.write_surfaces: what is planned for a path that is not at its place, or at one of another owner or mode."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from controlplane.domain.asking import what_to_ask
from controlplane.domain.checks import judge_host
from controlplane.domain.desired import DesiredHost
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities, make_plan
from controlplane.domain.services import WriteSurface
from tests.fakes.evidence_builder import COLLECTED, MINIO, EvidenceBuilder, bind, desired_mint_data, place

UPLOADS, PLACE = "/var/uploads", "/mnt/data/uploads"
COMPOSED = {
    "compose_project": "mint-data",
    "compose_service": "minio",
    "compose_files": ["/opt/c.yml"],
    "compose_dir": "/opt",
    "stop_timeout_s": None,
}


def desired(**more: Any) -> DesiredHost:
    return desired_mint_data(services={}, write_surfaces=(WriteSurface(container=MINIO, path=UPLOADS, place=PLACE, **more),))


def builder(*, bound: bool, **seen: Any) -> EvidenceBuilder:
    made = EvidenceBuilder()
    made.container(MINIO).update(COMPOSED, writable_bytes=1000)
    made.probes["paths"][PLACE] = (
        place(PLACE, "254:16", "/mnt/data") | ({"uid": 1000, "gid": 1000, "mode": 0o750} if bound else {"exists": False}) | seen
    )
    if bound:
        made.container(MINIO)["mounts"].append(bind(PLACE, UPLOADS))
    return made


def plan(made: EvidenceBuilder, wanted: DesiredHost) -> Plan:
    return make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[wanted],
        evidence={"mint-data": made.build().model_copy(update={"asked": what_to_ask(wanted)})},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(["storage.write_surfaces"]),
        retention=timedelta(days=7),
    )


@pytest.mark.parametrize("path", ["/", "/tmp", "/var", "/var/tmp"])
def test_a_bind_over_all_of_a_temp_folder_is_refused_with_the_reason(path: str) -> None:
    with pytest.raises(ValidationError, match=f"{path} would be a mount over all of the container's (/tmp|/var/tmp): name the exact path"):
        WriteSurface(container=MINIO, path=path, place=PLACE)


@pytest.mark.parametrize("path", ["/tmp/uploads", "/var/tmp/uploads", "/var/uploads", "/tmpfiles", "/data"])
def test_an_exact_path_is_taken(path: str) -> None:
    assert WriteSurface(container=MINIO, path=path, place=PLACE).path == path


def test_a_path_in_the_writable_layer_gets_its_bind_with_owner_and_mode() -> None:
    [step] = plan(builder(bound=False), desired(owner="1000:1000", mode="0750")).steps
    assert [(change.kind, change.before, change.after) for change in step.changes] == [
        ("move", "its writable layer", PLACE),
        ("file", "minio mounts its writable layer", f"{PLACE} at {UPLOADS}, and the project's name is pinned"),
        ("recreate", f"{UPLOADS} in its writable layer", f"{UPLOADS} in {PLACE}, by Compose, from the changed file, once"),
        ("retire", "in use", "kept unchanged until a purge of its own"),
        ("attribute", None, "1000:1000 0750"),
    ]
    assert step.downtime.services == (MINIO,)
    assert [(mend.check, mend.surface) for mend in step.mends] == [("D238", f"write_surface:{MINIO}:{UPLOADS}")]
    assert step.variables == {
        "write_surfaces_container": MINIO,
        "write_surfaces_paths": [{"data": UPLOADS, "place": PLACE, "mount": "/mnt/data", "owner": "1000:1000", "mode": "0750"}],
        "write_surfaces_override": False,
    }


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda b: b.probes["paths"].pop(PLACE), f"{PLACE} was not looked at"),
        (lambda b: b.container(MINIO).pop("stop_timeout_s"), "its stop timeout was not collected"),
        (lambda b: b.probes["docker_containers"].remove(b.container(MINIO)), "there is no container of this name"),
    ],
)
def test_what_could_not_be_observed_is_told_with_its_containers_name_once(spoil: Callable[[EvidenceBuilder], object], reason: str) -> None:
    made = builder(bound=False)
    spoil(made)
    found = plan(made, desired())
    assert (found.steps, [refusal.reason for refusal in found.refusals]) == ((), [f"could not be observed: {MINIO}: {reason}"])


def test_a_place_of_another_mode_gets_it_and_nothing_stops() -> None:
    [step] = plan(builder(bound=True), desired(owner="1000:1000", mode="2770")).steps
    assert [(change.kind, change.before, change.after) for change in step.changes] == [("attribute", "1000:1000 0750", "1000:1000 2770")]
    assert step.downtime.services == ()
    assert plan(builder(bound=True), desired(owner="1000:1000", mode="0750")).steps == ()


def test_paths_of_one_container_are_one_step_and_one_within_another_waits() -> None:
    made = builder(bound=True)
    surfaces = [(UPLOADS, PLACE), ("/var/cache", "/mnt/data/cache"), ("/var/cache/deep", "/mnt/data/deep")]
    for _, at in surfaces[1:]:
        made.probes["paths"][at] = place(at, "254:16", "/mnt/data") | {"exists": False}
    wanted = desired_mint_data(services={}, write_surfaces=tuple(WriteSurface(container=MINIO, path=p, place=at, mode="2770") for p, at in surfaces))
    first, second = plan(made, wanted).steps
    assert [(change.kind, change.target) for change in first.changes] == [
        ("move", f"/var/cache of {MINIO}"),
        ("file", "the compose file of mint-data"),
        ("recreate", f"container {MINIO}"),
        ("retire", f"its writable layer of {MINIO}"),
        ("attribute", "/mnt/data/cache"),
        ("attribute", PLACE),
    ]
    assert [mend.surface for mend in first.mends] == [f"write_surface:{MINIO}:/var/cache", f"write_surface:{MINIO}:{UPLOADS}"]
    assert [one["data"] for one in second.variables["write_surfaces_paths"]] == ["/var/cache/deep"]


@pytest.mark.parametrize(
    ("size", "verdict", "said"), [(900, "MET", "is bound to"), (5_000_001, "DRIFTED", "limit 5.0 MB"), (None, "UNKNOWN", "was not measured in time")]
)
def test_its_size_is_watched(size: int | None, verdict: str, said: str) -> None:
    made = builder(bound=True)
    made.probes["surfaces"] = {"sizes": {PLACE: size}}
    wanted = desired(max_size=5_000_000)
    found = judge_host(wanted, made.build(), now=COLLECTED, max_age=timedelta(hours=1))
    [judged] = [one for one in found if one.surface == f"write_surface:{MINIO}:{UPLOADS}"]
    assert (judged.verdict.value, said in judged.reason) == (verdict, True), judged
