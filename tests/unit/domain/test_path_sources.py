"""storage.persistent_paths: how much moves from directories that Docker keeps no account of, and data that no move mends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.services import MinioService
from tests.fakes.evidence_builder import MINIO, EvidenceBuilder, bind, desired_mint_data
from tests.unit.domain.test_persistent_paths import UPLOADS, drifting, plan, volume, with_layer, with_surfaces

Spoil = Callable[[EvidenceBuilder], object]


@pytest.mark.parametrize(
    "mount", [bind("/srv/shop", "/data"), volume("shop") | {"host_path": "/srv/shop"}], ids=["bind", "volume whose options name a directory"]
)
def test_how_much_a_directory_holds_counts_for_the_room_and_the_downtime(mount: dict[str, Any]) -> None:
    builder = drifting(mount)
    builder.probes["docker_usage"]["volume_bytes"] = {}
    builder.probes["sources"] = {"/srv/shop": 40_000_000_000}
    made = plan(builder)
    [step], [bound] = made.steps, made.bounds
    assert step.downtime.estimate_s == 60 + 15 + 400
    assert bound.at_least == 42_000_000_000 + (64 << 20)
    builder.probes["sources"] = {"/srv/shop": 100_000_000_000}
    made = plan(builder)
    assert made.steps == ()
    assert "free bytes on /mnt/data" in made.refusals[0].reason


@pytest.mark.parametrize("spoil", [lambda b: b.probes.update(sources={"/srv/shop": None}), lambda b: b.lose("sources"), lambda b: b.fail("sources")])
def test_what_could_not_be_measured_makes_no_promise_of_the_downtime(spoil: Spoil) -> None:
    builder = with_layer(drifting(bind("/srv/shop", "/data")), UPLOADS)
    builder.boot_path("/srv/shop")
    spoil(builder)
    made = plan(builder, with_surfaces(UPLOADS))
    [step], [bound] = made.steps, made.bounds
    assert (step.downtime.services, step.downtime.estimate_s) == ((MINIO,), None)
    # What is known of the rest is wanted all the same.
    assert bound.at_least == 2_100_000_000 + (64 << 20)


def bound_volume(at: str, **other: Any) -> dict[str, Any]:
    """Return a mount of the volume that the policy names, whose data lie at another path than its own folder (`o=bind`)."""
    return volume("mint-data_minio") | {"host_path": at} | other


NAME_ANOTHER = "name another place for it, or a volume that is not there yet (policy.yml, hosts.mint-data.services), then plan again"


@pytest.mark.parametrize(
    ("mount", "root", "reason"),
    [
        (
            bound_volume("/srv/pg"),
            "/mnt/data/docker",
            f"{MINIO}: /data lies in volume mint-data_minio on boot disk vda, at /srv/pg, which no move of Docker's root takes along: {NAME_ANOTHER}",
        ),
        (
            bound_volume("/mnt/data/minio", rw=False),
            "/mnt/data/docker",
            f"{MINIO}: /data is mounted read-only, and nobody here changes how a mount is mounted: mount it writable in its compose file",
        ),
        # What lies in Docker's root is its move's.
        (bound_volume("/var/lib/docker/volumes/mint-data_minio/_data"), "/var/lib/docker", None),
        (bound_volume("/mnt/data/minio"), "/mnt/data/docker", None),
    ],
)
def test_data_in_their_volume_that_no_move_brings_off_the_boot_disk_are_refused_by_name(mount: dict[str, Any], root: str, reason: str | None) -> None:
    wanted = desired_mint_data(services={MINIO: MinioService(data="/data", volume="mint-data_minio")})
    builder = drifting(mount)
    at = mount["host_path"]
    if at.startswith("/mnt/data/"):
        builder.probes["paths"][at] = {**builder.probes["paths"]["/mnt/data/docker"], "real": at}
    builder.probes["docker_info"]["root"] = root

    made = plan(builder, wanted)

    assert made.steps == ()
    assert [refusal.reason for refusal in made.refusals] == ([reason] if reason else [])
