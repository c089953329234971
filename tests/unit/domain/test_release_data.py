"""Where a release's named volumes have their data, by what Docker has on the host: judged, handed to the role, and held against other projects."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.capabilities.proposal import Outlook, Proposal
from controlplane.domain.capabilities.release_deploy import CAPABILITY
from controlplane.domain.evidence import Reader
from controlplane.domain.releases.wanted import ServiceWanted
from controlplane.domain.services import BootAccepted
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, bind, container, desired_mint_data, place
from tests.fakes.release_builder import release_wanted

_INSIDE = "/var/lib/postgresql/data"


@pytest.fixture
def healthy() -> EvidenceBuilder:
    """Return a host on which nothing drifts, and that is asked about a project that no release brought yet."""
    builder = EvidenceBuilder()
    builder.probes["releases"]["shop"] = {"record": None, "changed": []}
    return builder


def _there(name: str, **options: str) -> dict[str, Any]:
    """Return a volume that Docker has, with its own options."""
    mountpoint = f"/mnt/data/docker/volumes/{name}/_data"
    return {"name": name, "driver": "local", "mountpoint": mountpoint, "options": options, "anonymous": False, "in_use_by": []}


def _with_volume(builder: EvidenceBuilder, *there: dict[str, Any], wanted: ServiceWanted | None = None, **other: Any) -> Proposal:
    """Return what is proposed where these volumes are there, and the database is to have `pgdata`."""
    builder.probes["docker_volumes"] = list(there)
    services = {"web": ServiceWanted(), "db": wanted or ServiceWanted(volumes={"pgdata": _INSIDE})}
    host = desired_mint_data(releases=(release_wanted(services=services),), **other)
    return CAPABILITY.propose(host, Reader(builder.build()), Outlook(now=COLLECTED, retention=timedelta(days=7)))


BOUND = {"type": "none", "o": "bind"}
ON_BOOT = "would lie on the boot disk of mint-data: bind a directory below /mnt/data"


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (_there("pgdata"), None),
        (_there("pgdata", device="/mnt/data/pg", **BOUND), None),
        (_there("pgdata", device="/srv/pg", **BOUND), f"has its data in /srv/pg, which {ON_BOOT}"),
        (_there("pgdata", device="/mnt/data/../../srv/pg", **BOUND), f"has its data in /srv/pg, which {ON_BOOT}"),
        (
            _there("pgdata", device="/etc/pg", **BOUND),
            "has its data in /etc/pg, which lies in /etc, which belongs to the system: name a place such as /mnt/data",
        ),
        (_there("pgdata", device="/mnt/data/gone", **BOUND), "has its data in /mnt/data/gone, which is not there: bring its disk back, or make it"),
        (
            _there("pgdata", type="nfs", o="addr=nas", device=":/pg"),
            "is of nfs, so where its data lie can't be judged: bind a directory of the host in its place",
        ),
        (_there("pgdata") | {"driver": "cloud"}, "is of cloud, so where its data lie can't be judged: bind a directory of the host in its place"),
        (
            _there("pgdata") | {"mountpoint": "/var/lib/docker/volumes/pgdata/_data"},
            f"has its data in /var/lib/docker/volumes/pgdata/_data, which {ON_BOOT}",
        ),
    ],
)
def test_a_volume_that_is_there_is_judged_where_its_own_options_put_it(healthy: EvidenceBuilder, there: dict[str, Any], why: str | None) -> None:
    healthy.probes["paths"]["/mnt/data/gone"] = place("/mnt/data/gone", "254:16", "/mnt/data", exists=False)
    told = () if why is None else (f"shop: volume pgdata (db: {_INSIDE}) {why}",)
    assert _with_volume(healthy, there).refusals == told


def test_where_a_volume_has_its_data_goes_to_the_role_and_what_is_only_read_is_judged_as_a_bind_that_is(healthy: EvidenceBuilder) -> None:
    [draft] = _with_volume(healthy, _there("pgdata", device="/mnt/data/pg", **BOUND)).drafts
    assert draft.variables["compose_stack_volumes"] == {"pgdata": "/mnt/data/pg"}
    [draft] = _with_volume(healthy).drafts
    assert draft.variables["compose_stack_volumes"] == {"pgdata": "/mnt/data/docker/volumes/pgdata/_data"}
    read = ServiceWanted(volumes={"pgdata": _INSIDE}, reads=("pgdata",))
    for there in (_there("pgdata", device="/srv/pg", **BOUND), _there("pgdata", type="nfs", device=":/pg")):
        assert _with_volume(healthy, there, wanted=read).refusals == ()


def test_a_volume_that_is_there_and_binds_another_directory_than_the_files_say_is_refused(healthy: EvidenceBuilder) -> None:
    wanted = ServiceWanted(binds={"/mnt/data/pg": _INSIDE}, named={"shop_pg": "/mnt/data/pg"})
    assert _with_volume(healthy, wanted=wanted).refusals == ()
    assert _with_volume(healthy, _there("shop_pg", device="/mnt/data/pg", **BOUND), wanted=wanted).refusals == ()
    [told] = _with_volume(healthy, _there("shop_pg", device="/mnt/data/old", **BOUND), wanted=wanted).refusals
    assert told.startswith(
        f"shop: volume shop_pg (db: {_INSIDE}) is there already and has its data in /mnt/data/old, not in /mnt/data/pg, as the compose files say"
    )


def test_on_a_host_whose_data_stay_on_the_boot_disk_production_has_no_volume_there_that_the_policy_does_not_name(healthy: EvidenceBuilder) -> None:
    there = _there("pgdata", device="/srv/pg", **BOUND)
    boot: dict[str, Any] = {"data": "boot", "disks": (), "services": {}}
    [told] = _with_volume(healthy, there, **boot).refusals
    assert told.startswith(
        f"shop: volume pgdata (db: {_INSIDE}) has its data in /srv/pg, which would lie on the boot disk of mint-data, and the policy names"
    )
    accepted = (BootAccepted(container="shop-db-1", path=_INSIDE, reason="small"),)
    assert _with_volume(healthy, there, boot_accepted=accepted, **boot).refusals == ()


@pytest.mark.parametrize("theirs", [bind("/srv/x/pg", "/data"), bind("/srv/x", "/data"), bind("/srv/x/pg/base", "/data")])
def test_who_writes_where_a_volume_has_its_data_is_in_the_way(healthy: EvidenceBuilder, theirs: dict[str, Any]) -> None:
    healthy.probes["docker_containers"].append(container("else-db-1", [theirs], compose_project="else"))
    accepted = (BootAccepted(container="shop-db-1", path=_INSIDE, reason="small"),)
    [told] = _with_volume(healthy, _there("pgdata", device="/srv/x/pg", **BOUND), boot_accepted=accepted).refusals
    assert told.startswith(
        f"shop: another project has the same data: else-db-1 writes to {theirs['host_path']}. Two that write to them would destroy"
    )


@pytest.mark.parametrize(
    ("source", "refused"), [("/mnt/data/docker/volumes/pgdata/_data", True), ("/mnt/data/docker/volumes", False), ("/mnt/data/docker", False)]
)
def test_who_has_a_view_of_all_of_dockers_folders_is_in_nobodys_way_and_who_writes_into_one_is(
    healthy: EvidenceBuilder, source: str, refused: bool
) -> None:
    healthy.probes["docker_containers"].append(container("else-view-1", [bind(source, "/view")], compose_project="else"))
    assert bool(_with_volume(healthy, _there("pgdata")).refusals) is refused
