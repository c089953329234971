"""release.deploy: the preview of a deployment says what starts, stops and changes, and refuses what evidence shows already."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.capabilities.proposal import Outlook, Proposal
from controlplane.domain.capabilities.release_deploy import CAPABILITY
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.evidence import Reader
from controlplane.domain.planning import chosen_capabilities
from controlplane.domain.releases.wanted import ComposeText, ReleaseWanted, ServiceWanted
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, bind, container, desired_mint_data, place
from tests.fakes.release_builder import BASE, DIR, NEW, OLD, of_service, release_wanted, running

V1 = release_wanted()
V2 = release_wanted(
    manifest="sha256:" + "2" * 64,
    manifest_name="v2",
    images=V1.images | {"web": f"registry.example.org/shop/web@{NEW}"},
    irreversible=("orders: schema 1 to 2",),
)


@pytest.fixture
def healthy() -> EvidenceBuilder:
    """Return a host on which nothing drifts."""
    return EvidenceBuilder()


def first(builder: EvidenceBuilder) -> EvidenceBuilder:
    """Let the host be asked about a project that no release brought yet."""
    builder.probes["releases"]["shop"] = {"record": None, "changed": []}
    return builder


def proposed(builder: EvidenceBuilder, wanted: ReleaseWanted = V2, **desired: Any) -> Proposal:
    host = desired_mint_data(releases=(wanted,), **desired)
    return CAPABILITY.propose(host, Reader(builder.build()), Outlook(now=COLLECTED, retention=timedelta(days=7)))


def told(proposal: Proposal) -> list[tuple[str, str, str | None, str | None]]:
    [draft] = proposal.drafts
    return [(change.kind, change.target, change.before, change.after) for change in draft.changes]


def test_what_runs_already_is_left_alone(healthy: EvidenceBuilder) -> None:
    assert proposed(running(healthy, V1), V1) == Proposal()


def test_a_host_without_a_release_gets_no_step(healthy: EvidenceBuilder) -> None:
    assert CAPABILITY.propose(desired_mint_data(), Reader(healthy.build()), Outlook(now=COLLECTED, retention=timedelta(days=7))) == Proposal()


def test_a_first_deployment_brings_files_and_services_and_stops_nothing(healthy: EvidenceBuilder) -> None:
    proposal = proposed(first(healthy), V1)
    assert told(proposal) == [
        ("file", f"{DIR}/compose.yml", None, "7a4a65b2ddac"),
        ("file", f"{DIR}/.env", None, "e" * 12),
        ("recreate", "shop db", None, f"registry.example.org/shop/db@{BASE}"),
        ("recreate", "shop web", None, f"registry.example.org/shop/web@{OLD}"),
    ]
    [draft] = proposal.drafts
    assert (draft.downtime.services, draft.downtime.estimate_s) == ((), 0)
    assert draft.undo == "nothing of this project is there now: its containers stop and go, its volumes stay"


def test_the_way_back_of_a_first_deployment_names_what_ran_by_hand(healthy: EvidenceBuilder) -> None:
    of_service(first(running(healthy, V1)), "db").update({"image": "shop/db:dev", "image_digests": [], "image_id": "sha256:abc"})
    [draft] = proposed(healthy, V1).drafts
    assert draft.undo == (
        "what runs there now, which no release brought, comes back with its files: db shop-db-1: shop/db:dev (sha256:abc), running, "
        f"healthy; web shop-web-1: registry.example.org/shop/web@{OLD}, running, healthy; volumes stay"
    )
    assert ("recreate", "shop db", "shop-db-1: shop/db:dev (sha256:abc), running", f"registry.example.org/shop/db@{BASE}") in [
        (change.kind, change.target, change.before, change.after) for change in draft.changes
    ]


def test_where_only_an_image_differs_only_its_service_stops(healthy: EvidenceBuilder) -> None:
    proposal = proposed(running(healthy, V1))
    before = f"shop-web-1: registry.example.org/shop/web@{OLD}, running"
    assert told(proposal) == [("recreate", "shop web", before, f"registry.example.org/shop/web@{NEW}")]
    [draft] = proposal.drafts
    assert (draft.downtime.services, draft.downtime.estimate_s) == (("shop-web-1",), 70)
    assert draft.undo == "the files of manifest v1 come back byte for byte, and its images with them; not undone: orders: schema 1 to 2"
    assert draft.variables["compose_stack_places"] == ["/mnt/data/shop/db"]
    assert [(mend.check, mend.surface) for mend in draft.mends] == [("D249", "release:shop")]


def test_where_a_file_differs_every_service_may_be_replaced(healthy: EvidenceBuilder) -> None:
    running(healthy, V1)
    healthy.probes["releases"]["shop"]["changed"] = [".env"]
    proposal = proposed(healthy, V1)
    assert told(proposal)[0] == ("file", f"{DIR}/.env", f"{'e' * 12}, changed by hand since", "e" * 12)
    [draft] = proposal.drafts
    assert (draft.downtime.services, draft.downtime.estimate_s) == (("shop-db-1", "shop-web-1"), 90)


def test_a_container_that_was_made_by_hand_is_replaced(healthy: EvidenceBuilder) -> None:
    of_service(running(healthy, V1), "web")["id"] = "by-hand"
    before = f"shop-web-1: registry.example.org/shop/web@{OLD}, running"
    assert told(proposed(healthy, V1)) == [("recreate", "shop web", before, f"registry.example.org/shop/web@{OLD}")]


def test_a_file_that_was_taken_out_and_another_order_are_shown(healthy: EvidenceBuilder) -> None:
    files = tuple(ComposeText(name=name, text=f"name: shop # {name}\n") for name in ("a.yml", "b.yml"))
    running(healthy, release_wanted(compose=files))
    out = told(proposed(healthy, release_wanted(compose=files[:1])))
    assert [row for row in out if row[0] == "file"] == [("file", f"{DIR}/b.yml", "a8635e338256", "stays, and is read no longer")]
    turned = told(proposed(healthy, release_wanted(compose=files[::-1])))
    assert [row for row in turned if row[0] == "file"] == [("file", f"order of the files in {DIR}", "a.yml, b.yml", "b.yml, a.yml")]
    assert [row[1] for row in turned if row[0] == "recreate"] == ["shop db", "shop web"]


def test_a_service_that_the_release_no_longer_has_goes_and_that_is_named_as_destructive(healthy: EvidenceBuilder) -> None:
    running(healthy, V1)
    images = {"web": V1.images["web"]}
    [draft] = proposed(healthy, release_wanted(images=images, services={"web": ServiceWanted()}, manifest="sha256:3")).drafts
    gone = [(change.kind, change.target) for change in draft.changes if change.destructive]
    assert gone == [("delete", "container shop-db-1 of shop")]
    assert draft.downtime.services == ("shop-db-1",)


def test_a_volume_that_will_be_made_is_shown_with_where_it_lands(healthy: EvidenceBuilder) -> None:
    wanted = release_wanted(services=dict(V1.services) | {"web": ServiceWanted(volumes={"shop_cache": "/cache"})})
    assert ("volume", "shop_cache", None, "/mnt/data/docker/volumes/shop_cache") in told(proposed(first(healthy), wanted))


def test_a_renamed_folder_is_refused_by_name(healthy: EvidenceBuilder) -> None:
    of_service(running(healthy, V1), "web")["compose_dir"] = "/opt/stacks/shop-old"
    [reason] = proposed(healthy).refusals
    assert reason.startswith("shop: project shop runs from /opt/stacks/shop-old, not from /opt/stacks/shop: a renamed folder is another project")


def test_a_folder_that_was_renamed_under_what_runs_is_refused_and_one_that_is_yet_to_come_is_not(healthy: EvidenceBuilder) -> None:
    healthy.probes["paths"][DIR] = place(DIR, "254:1", "/", exists=False, nearest="/opt/stacks")
    assert proposed(first(healthy), V1).refusals == ()
    running(healthy, V1)
    healthy.probes["releases"]["shop"]["changed"] = [".env", "compose.release.yml", "compose.yml"]
    [reason] = proposed(healthy).refusals
    assert reason.startswith(f"shop: project shop runs from {DIR}, which is not there: it was renamed or removed, and with it the way back")
    assert reason.endswith(f"Move it back; or, to give its files up, make an empty {DIR}")
    healthy.probes["paths"][DIR] = place(DIR, "254:1", "/")
    assert proposed(healthy).refusals == ()


def test_a_missing_bind_source_is_refused_by_name(healthy: EvidenceBuilder) -> None:
    healthy.probes["paths"]["/mnt/data/shop/db"] = place("/mnt/data/shop/db", "254:16", "/mnt/data", exists=False)
    [reason] = proposed(first(healthy), V1).refusals
    assert reason.startswith("shop: /mnt/data/shop/db (db: /var/lib/postgresql/data) is not there: Docker would make an empty folder")


def _volume(name: str, inside: str = "/cache", **other: Any) -> dict[str, Any]:
    return bind(f"/mnt/data/docker/volumes/{name}/_data", inside, type="volume", name=name, **other)


def _moved(builder: EvidenceBuilder, now: list[dict[str, Any]], **wanted: Any) -> Proposal:
    """Return what is proposed where the running database has these mounts, and the release these."""
    of_service(running(builder, V1), "db")["mounts"] = now
    return proposed(builder, release_wanted(services=dict(V1.services) | {"db": ServiceWanted(**wanted)}, manifest="sha256:3"))


_INSIDE = "/var/lib/postgresql/data"


@pytest.mark.parametrize(
    ("now", "wanted", "was", "will"),
    [
        (_volume("shop_postgres", _INSIDE), {"volumes": {"shop_pgdata": _INSIDE}}, "volume shop_postgres", "volume shop_pgdata"),
        (bind("/mnt/data/shop/db", _INSIDE), {"binds": {"/mnt/data/shop/db2": _INSIDE}}, "/mnt/data/shop/db", "/mnt/data/shop/db2"),
        (_volume("shop_postgres", _INSIDE), {"binds": {"/mnt/data/shop/db": _INSIDE}}, "volume shop_postgres", "/mnt/data/shop/db"),
        (bind("/mnt/data/shop/db", _INSIDE), {"volumes": {"shop_pgdata": _INSIDE}}, "/mnt/data/shop/db", "volume shop_pgdata"),
        (bind("/srv/a", _INSIDE, rw=False), {"binds": {"/srv/b": _INSIDE}}, "/srv/a", "/srv/b"),
    ],
)
def test_a_service_that_would_begin_on_other_data_is_refused_by_name(
    healthy: EvidenceBuilder, now: dict[str, Any], wanted: dict[str, Any], was: str, will: str
) -> None:
    proposal = _moved(healthy, [now], **wanted)
    told = (
        f"shop: its data would be left behind: shop-db-1 has {was} at {_INSIDE}, and would get {will} there. Move them first "
        "(storage.persistent_paths), or keep the former folder or volume in the compose files"
    )
    assert proposal == Proposal(refusals=(told,))


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        # The folder itself, by its name or through what Docker or a link calls it.
        (_volume("shop_db", _INSIDE, host_path="/mnt/data/shop/db"), {"binds": {"/mnt/data/shop/db": _INSIDE}}),
        (bind("/srv/by-link", _INSIDE), {"binds": {"/mnt/data/shop/db": _INSIDE}}),
        # Another path in the container, as a new major version of PostgreSQL has it.
        (_volume("shop_db", _INSIDE), {"volumes": {"shop_db": "/var/lib/postgresql"}}),
        # Settings that come from elsewhere.
        (bind("/srv/a", "/etc/db", rw=False), {"binds": {"/srv/b": "/etc/db"}, "reads": ("/srv/b",)}),
        (bind("", _INSIDE, type="tmpfs", host_path=None), {"volumes": {"shop_db": _INSIDE}}),
    ],
)
def test_a_service_whose_data_stay_is_in_nobodys_way(healthy: EvidenceBuilder, now: dict[str, Any], wanted: dict[str, Any]) -> None:
    healthy.probes["paths"]["/srv/by-link"] = place("/srv/by-link", "254:16", "/mnt/data", real="/mnt/data/shop/db")
    proposal = _moved(healthy, [now], **wanted)
    assert (proposal.refusals, [row for row in told(proposal) if row[0] == "mount"]) == ((), [])


def test_data_that_a_service_mounts_no_longer_are_shown(healthy: EvidenceBuilder) -> None:
    proposal = _moved(healthy, [_volume("shop_db", _INSIDE), bind("/srv/a", "/etc/db", rw=False)])
    assert [row for row in told(proposal) if row[0] == "mount"] == [
        ("mount", f"shop-db-1 {_INSIDE}", "volume shop_db", "stays, and is mounted no longer")
    ]


SIDECARS = {
    "web": ServiceWanted(stop_s=10),
    "side": ServiceWanted(stop_s=40, stops_with=("web",)),
    "beside": ServiceWanted(stops_with=("side", "web")),
    "db": ServiceWanted(stop_s=30),
}


def test_what_compose_stops_along_with_a_service_is_shown_and_counts(healthy: EvidenceBuilder) -> None:
    images = V1.images | {name: f"registry.example.org/shop/{name}@{BASE}" for name in ("side", "beside")}
    running(healthy, release_wanted(services=SIDECARS, images=images))
    proposal = proposed(healthy, release_wanted(services=SIDECARS, images=images | {"web": V2.images["web"]}, manifest="sha256:" + "2" * 64))
    [draft] = proposal.drafts
    assert [(kind, target, after) for kind, target, _, after in told(proposal)] == [
        ("recreate", "shop beside", "stops and starts again, as it goes with side, web"),
        ("recreate", "shop side", "stops and starts again, as it goes with web"),
        ("recreate", "shop web", V2.images["web"]),
    ]
    assert (draft.downtime.services, draft.downtime.estimate_s) == (("shop-beside-1", "shop-side-1", "shop-web-1"), 100)


def _refusals(builder: EvidenceBuilder, mount: dict[str, Any], **other: Any) -> list[str]:
    """Return why the stack can't come beside a container of another project with that mount."""
    web = ServiceWanted(binds={"/mnt/data/logs": "/logs"}, volumes={"shop_cache": "/cache"}, reads=("/mnt/data/logs",))
    services = dict(V1.services) | {"web": web}
    builder.probes["docker_containers"].append(container("else-web-1", [mount], compose_service="web", **({"compose_project": "else"} | other)))
    return list(proposed(first(builder), release_wanted(services=services)).refusals)


@pytest.mark.parametrize(
    ("mount", "what"),
    [
        (bind("/mnt/data/shop/db", "/data"), "/mnt/data/shop/db"),
        (bind("/mnt/data/shop", "/data"), "/mnt/data/shop"),
        (bind("/mnt/data/shop/db/base", "/data"), "/mnt/data/shop/db/base"),
        (bind("/srv/by-link", "/data"), "/srv/by-link"),
        (_volume("shop_cache"), "volume shop_cache"),
        (bind("/srv/x", "/data", type="volume", name="else_db", host_path="/mnt/data/shop/db"), "/mnt/data/shop/db"),
    ],
)
@pytest.mark.parametrize("project", ["else", None])
def test_data_to_which_another_project_writes_are_refused_by_name(
    healthy: EvidenceBuilder, mount: dict[str, Any], what: str, project: str | None
) -> None:
    healthy.probes["paths"]["/srv/by-link"] = place("/srv/by-link", "254:16", "/mnt/data", real="/mnt/data/shop/db")
    told = f"shop: another project has the same data: else-web-1 writes to {what}. Two that write to them would destroy them: give each its own"
    assert _refusals(healthy, mount, compose_project=project) == [told]


@pytest.mark.parametrize(
    ("mount", "other"),
    [
        (bind("/mnt/data/shop/db", "/data", rw=False), {}),
        (_volume("shop_cache", rw=False), {}),
        (_volume("else_cache"), {}),
        (bind("/mnt/data/shop/database", "/data"), {}),
        (bind("/mnt/data/logs", "/data"), {}),
        (bind("/mnt/data", "/backed-up"), {}),
        (bind("/", "/rootfs"), {}),
        (bind("/mnt/data/shop/db", "/data"), {"running": False, "state": "exited"}),
        (bind("/tmp", "/data", host_path=None), {}),
    ],
)
def test_who_reads_or_writes_elsewhere_is_in_nobodys_way(healthy: EvidenceBuilder, mount: dict[str, Any], other: dict[str, Any]) -> None:
    assert _refusals(healthy, mount, **other) == []


def test_what_could_not_be_observed_is_refused(healthy: EvidenceBuilder) -> None:
    assert proposed(running(healthy, V1).fail("docker_containers"), V2).refusals[0].startswith("could not be observed: shop: docker_containers")
    assert proposed(EvidenceBuilder().fail("releases"), V2).refusals[0].startswith("could not be observed: shop: releases")


def test_containers_of_other_projects_are_no_part_of_it(healthy: EvidenceBuilder) -> None:
    running(healthy, V1)
    healthy.probes["docker_containers"].append(container("else-web-1", [], compose_project="else", compose_service="web"))
    assert not [target for _, target, _, _ in told(proposed(healthy)) if "else" in target]


def test_no_other_verb_plans_it() -> None:
    with pytest.raises(InputInvalidError, match=r"release\.deploy has gates of its own: see controlplane release --help"):
        chosen_capabilities(["release.deploy"])
    assert "release.deploy" not in [one.id for one in chosen_capabilities([])]
