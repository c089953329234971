"""A plan holds its own bounds: what does not fit by the evidence that it is made from is refused before anybody approves it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.bounds import broken_bounds
from controlplane.domain.capabilities.data_disk import planned_uuid
from controlplane.domain.desired import DesiredHost
from controlplane.domain.plan import Bound, Change, Plan
from controlplane.domain.planning import chosen_capabilities, make_plan, unplanned
from tests.fakes.evidence_builder import COLLECTED, DATA, GB, MINIO, POSTGRES, EvidenceBuilder, desired_mint_data, mount, place
from tests.fakes.host import drifting_probes
from tests.fakes.site import desired_host

# What the fakes' three containers wrote into their own layers.
LAYERS = 3 * 4096
NEXT = (
    "Declare a larger disk (policy.yml, hosts.mint-data.disks) or another place (hosts.mint-data.docker), "
    "make room there, or clear images and volumes that nobody needs; then plan again"
)


def _drifting(**usage: int) -> EvidenceBuilder:
    """Return a host whose data disk is blank."""
    builder = EvidenceBuilder()
    builder.probes = drifting_probes()
    builder.probes["docker_usage"].update(usage)
    return builder


def _mounted(**usage: int) -> EvidenceBuilder:
    """Return a host whose disk is mounted, with Docker still on the boot disk."""
    builder = EvidenceBuilder()
    builder.probes["docker_info"]["root"] = "/var/lib/docker"
    builder.probes["docker_usage"].update(usage)
    return builder


def _formatted() -> EvidenceBuilder:
    """Return a host whose disk carries our filesystem and is not mounted, as after a rollback."""
    builder = _drifting()
    wanted = planned_uuid("m1", desired_host("mint-data").disks[0])
    builder.probes["signatures"][DATA].update(uuid=wanted, type="ext4", blkid={"TYPE": "ext4", "UUID": wanted}, wipefs=["ext4@0x438"])
    return builder


def _with_volumes(builder: EvidenceBuilder, root: str, **sizes: int) -> EvidenceBuilder:
    """Return the builder whose services have their data in volumes of that Docker root, as large as `sizes` say by the service's name."""
    for name, path in ((MINIO, "/data"), (POSTGRES, "/var/lib/postgresql/data")):
        at = f"{root}/volumes/{name}/_data"
        seen = {"type": "volume", "name": name, "source": at, "host_path": at, "destination": path, "rw": True, "anonymous": False}
        builder.container(name).update(mounts=[seen])
        builder.probes["paths"][at] = place(at, *((DATA, "/mnt/data") if root.startswith("/mnt/data") else ("254:0", "/")))
    builder.probes["docker_usage"].update(volumes=sum(sizes.values()), volume_bytes={MINIO: sizes["minio"], POSTGRES: sizes["postgres"]})
    return builder


def _plan(builder: EvidenceBuilder, desired: DesiredHost | None = None) -> Plan:
    return make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[desired or desired_host("mint-data")],
        evidence={"mint-data": builder.build()},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(()),
        retention=timedelta(days=7),
    )


def _move_refusals(plan: Plan) -> list[str]:
    return [refusal.reason for refusal in plan.refusals if refusal.capability == "docker.data_root"]


def test_data_that_do_not_fit_on_a_blank_disk_refuse_the_move_and_leave_the_steps_before_it() -> None:
    plan = _plan(_drifting(volumes=150 * GB))

    assert [step.capability for step in plan.steps] == ["storage.data_disk", "storage.fstab"]
    assert all(bound.measure == "disk_bytes" and bound.what.startswith("size of") for bound in plan.bounds)
    needed = int((int((153 * GB + LAYERS) * 1.05) + 256_000_000) / 0.92)
    assert _move_refusals(plan) == [f"free bytes on serial DATA0001: {100 * GB}, at least {needed} needed. {NEXT}"]


def test_data_that_do_not_fit_on_a_mounted_disk_refuse_the_move() -> None:
    plan = _plan(_mounted(volumes=84 * GB))

    assert "docker.data_root" not in [step.capability for step in plan.steps]
    assert _move_refusals(plan) == [f"free bytes on /mnt/data: {85 * GB}, at least {int((87 * GB + LAYERS) * 1.05) + 256_000_000} needed. {NEXT}"]


def test_data_that_fit_are_moved_and_their_bound_stands_in_the_plan() -> None:
    plan = _plan(_mounted(volumes=70 * GB))

    assert plan.steps[-1].capability == "docker.data_root"
    assert [(bound.measure, bound.of) for bound in plan.bounds] == [("free_bytes", "/mnt/data")]
    assert _move_refusals(plan) == []


def test_what_several_steps_put_on_one_disk_adds_up_in_their_order() -> None:
    made = _plan(_with_volumes(_mounted(), "/var/lib/docker", minio=15 * GB, postgres=25 * GB), desired_mint_data())

    # The root, with both volumes in it, and then each service once more: of 85 GB each alone would leave some.
    assert [step.downtime.services[0] for step in made.steps if step.capability == "storage.persistent_paths"] == [MINIO]
    root, minio = (bound.at_least for bound in made.bounds if bound.of == "/mnt/data")
    assert root == int((43 * GB + LAYERS) * 1.05) + 256_000_000
    assert minio == root + int(15 * GB * 1.05) + (64 << 20)
    [told] = [refusal.reason for refusal in made.refusals if refusal.capability == "storage.persistent_paths"]
    needed = minio + int(25 * GB * 1.05) + (64 << 20)
    assert told.startswith(
        f"free bytes on /mnt/data, for {POSTGRES}, beside the {minio} that the steps before it need: {85 * GB}, at least {needed} needed"
    )
    # What was room enough for both at the plan, and is for one alone at apply, is refused there too.
    builder = _with_volumes(_mounted(), "/var/lib/docker", minio=15 * GB, postgres=25 * GB)
    builder.probes["usage"]["/mnt/data"]["available"] = minio - 1
    assert [told.split(",")[0] for told in broken_bounds(made, {"mint-data": desired_mint_data()}, {"mint-data": builder.build()})] == [
        "mint-data: free bytes on /mnt/data"
    ]


def test_a_step_that_is_done_needs_its_room_no_longer() -> None:
    builder = _with_volumes(EvidenceBuilder(), "/mnt/data/docker", minio=15 * GB, postgres=25 * GB)
    builder.probes["usage"]["/mnt/data"]["available"] = 43 * GB

    made = _plan(builder, desired_mint_data())

    assert [step.downtime.services[0] for step in made.steps if step.capability == "storage.persistent_paths"] == [MINIO, POSTGRES]


def test_a_step_that_the_plan_does_not_hold_takes_no_room() -> None:
    builder = _with_volumes(_mounted(), "/var/lib/docker", minio=15 * GB, postgres=25 * GB)
    made = make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[desired_mint_data()],
        evidence={"mint-data": builder.build()},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(["storage.persistent_paths"]),
        retention=timedelta(days=7),
    )

    assert [step.downtime.services[0] for step in made.steps] == [MINIO, POSTGRES]


@pytest.mark.parametrize("lost", [True, False])
def test_room_that_was_not_observed_is_doubt_and_never_a_pass(lost: bool) -> None:
    builder = _mounted()
    if lost:
        builder.lose("usage")
    else:
        del builder.probes["usage"]["/mnt/data"]

    plan = _plan(builder)

    [told] = _move_refusals(plan)
    assert "could not be observed: " in told
    assert ("usage was not collected" if lost else "free bytes on /mnt/data, at least ") in told
    assert "docker.data_root" not in [step.capability for step in plan.steps]


def test_a_filesystem_that_is_not_mounted_yet_is_bounded_by_its_disk_and_the_role_measures_the_rest() -> None:
    plan = _plan(_formatted())

    assert [step.capability for step in plan.steps] == ["storage.data_disk", "storage.fstab", "docker.data_root"]
    assert plan.refusals == ()
    assert {(bound.measure, bound.of) for bound in plan.bounds} == {("disk_bytes", "serial DATA0001")}


def test_a_run_that_mounted_it_can_be_resumed_although_the_move_could_be_planned_by_now() -> None:
    plan, builder = _plan(_formatted()), _formatted()
    builder.probes["mounts"].append(mount("/mnt/data", DATA, source="/dev/vdb"))
    builder.probes["usage"]["/mnt/data"] = {"size": 95 * GB, "free": 94 * GB, "available": 90 * GB, "inodes": 6_000_000, "inodes_free": 5_999_000}
    builder.probes["paths"]["/mnt/data"] = place("/mnt/data", DATA, "/mnt/data")
    builder.probes["beneath"]["/mnt/data"] = {"exists": True, "entries": 0, "sample": [], "immutable": True}
    later = _plan(builder)

    assert later.steps[-1].capability == "docker.data_root"
    assert unplanned(plan, later) == ()


@pytest.mark.parametrize(("capability", "beyond"), [("release.deploy", 0), ("docker.data_root", 1)])
def test_what_a_cut_off_release_half_replaced_is_within_its_plan_and_of_no_other_step(capability: str, beyond: int) -> None:
    made = _plan(_mounted())
    old, new = (
        {"kind": "recreate", "target": "shop web", "before": before, "after": "web@sha256:2"} for before in ("web@sha256:1", "web@sha256:2, created")
    )
    step = made.steps[-1].model_copy(update={"capability": capability})
    of = [made.model_copy(update={"steps": (step.model_copy(update={"changes": (Change.model_validate(one),)}),)}) for one in (old, new)]
    assert len(unplanned(*of)) == beyond
    other = step.model_copy(update={"changes": (Change.model_validate({**old, "after": "web@sha256:3"}),)})
    assert len(unplanned(of[0], made.model_copy(update={"steps": (other,)}))) == 1


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ({"measure": "disk_bytes", "of": "serial OTHER"}, "x: could not be measured (serial OTHER is there 0 times)"),
        ({"measure": "free_bytes", "of": "/srv"}, "x: could not be measured (/srv is not mounted, or did not answer)"),
        ({"measure": "free_bytes", "of": "/", "at_least": 39 * GB}, f"x: {38 * GB}, at least {39 * GB} needed"),
        ({"measure": "storage_bytes", "of": "tank"}, "x: could not be measured (machine was not collected)"),
    ],
)
def test_a_bound_that_is_short_or_cannot_be_measured_does_not_hold(bound: dict[str, Any], told: str) -> None:
    made = _plan(_mounted())
    made = made.model_copy(update={"bounds": (Bound.model_validate({"host": "mint-data", "what": "x", "at_least": 1, **bound}),)})

    broken = broken_bounds(made, {"mint-data": desired_host("mint-data")}, {"mint-data": _mounted().build()})

    assert broken == (f"mint-data: {told}",)
