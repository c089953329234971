"""docker.hygiene: what goes, what never does, and the timer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain import hygiene
from controlplane.domain.asking import HYGIENE_SERVICE, HYGIENE_TIMER, what_to_ask
from controlplane.domain.checks import judge_host
from controlplane.domain.checks.hygiene_timer import settings_digest, timer_settings
from controlplane.domain.desired import DesiredHost
from controlplane.domain.digest import digest_of
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities, differences, make_plan
from controlplane.domain.policy import Docker, Hygiene, Limits, LogLimits
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, desired_mint_data

MB = 1_000_000


def image(name: str, *, created: int, size: int = 100 * MB, containers: int = 0, tags: list[str] | None = None, tagged: int | None = None) -> Any:
    known = tags if tags is not None else [f"shop/app:{name}"]
    return {
        "id": f"sha256:{name}",
        "tags": known,
        "digests": [],
        "created": created,
        "last_tagged": tagged,
        "size": size,
        "unique": size,
        "containers": containers,
    }


def record(name: str, *, last_used: int | None, parents: list[str] | None = None, **more: Any) -> Any:
    return {
        "id": name,
        "size": 10 * MB,
        "last_used": last_used,
        "in_use": False,
        "shared": False,
        "parents": parents or [],
        "what": "regular",
        **more,
    }


IMAGES = [
    image("none", created=900, tags=[]),
    image("1", created=100),
    image("2", created=200),
    image("3", created=300),
    image("4", created=400),
    image("used", created=50, containers=1, tags=["base:1"]),
    image("kept", created=10, tags=["golden/x:1", "other:9"]),
]


def test_untagged_go_first_then_the_longest_not_tagged_and_no_more_than_it_takes() -> None:
    chosen = hygiene.doomed_images(IMAGES, over=150 * MB, keep=2, protect=["golden/*"], releases=[])
    assert [one.id for one in chosen] == ["sha256:none", "sha256:1"]
    assert chosen[0].name == "untagged"
    assert hygiene.doomed_images(IMAGES, over=0, keep=2, protect=[], releases=[]) == []


def test_what_is_used_protected_or_among_the_newest_never_goes_whatever_it_takes() -> None:
    chosen = hygiene.doomed_images(IMAGES, over=10**12, keep=2, protect=["golden/*"], releases=[])
    assert [one.id for one in chosen] == ["sha256:none", "sha256:1", "sha256:2"]


def test_an_image_that_would_free_nothing_stays_and_the_next_one_goes_instead() -> None:
    free = {**image("shared", created=1, tags=[]), "unique": 0}
    images = [free, image("1", created=100), image("2", created=200)]
    assert [one.id for one in hygiene.doomed_images(images, over=1, keep=0, protect=[], releases=[])] == ["sha256:1"]
    assert hygiene.doomed_images([free], over=10**12, keep=0, protect=[], releases=[]) == []


def test_a_record_of_the_cache_goes_after_those_that_were_made_from_it() -> None:
    records = [record("a", last_used=1), record("b", last_used=5, parents=["a"]), record("c", last_used=None, in_use=True), record("d", last_used=3)]
    assert [one.id for one in hygiene.doomed_cache(records, over=10**12)] == ["d", "b", "a"]
    assert [one.id for one in hygiene.doomed_cache(records, over=15 * MB)] == ["d", "b"]


def test_a_log_is_cut_where_its_container_has_no_limit_of_its_own() -> None:
    logs: Any = [
        {"container": name, "path": f"/{name}", "size": size, "rotates": rotates}
        for name, size, rotates in (("a", 9, False), ("b", 99, False), ("c", 99, True))
    ]
    assert [one.name for one in hygiene.doomed_logs(logs, limit=10)] == ["b"]
    assert hygiene.doomed_logs(logs, limit=None) == []


def pin(name: str, repository: str = "shop/app") -> str:
    return f"{repository}@sha256:{name}"


def pinned(name: str, *, created: int, repository: str = "shop/app", **more: Any) -> Any:
    """Return an image as a release's pull leaves it: no tag, and known by its digest."""
    return {**image(name, created=created, tags=[], **more), "digests": [pin(name, repository)]}


def release(manifest: str, *images: str, project: str = "shop", is_open: bool = False) -> Any:
    return {"project": project, "manifest": manifest, "images": list(images), "at": 1, "open": is_open}


# The oldest image by age was released last, as after a rollback.
PULLED = [pinned("a", created=100), pinned("b", created=200), pinned("c", created=300), pinned("d", created=400)]


def gone(images: list[Any], releases: list[Any], *, keep: int = 2) -> list[str]:
    return [one.id.removeprefix("sha256:") for one in hygiene.doomed_images(images, over=10**12, keep=keep, protect=[], releases=releases)]


def test_what_stays_is_what_was_released_last_and_not_what_is_youngest() -> None:
    releases = [release("m4", pin("a")), release("m3", pin("c")), release("m2", pin("b")), release("m1", pin("d"))]
    assert gone(PULLED, releases) == ["b", "d"]
    assert gone(PULLED, releases, keep=3) == ["d"]
    assert gone(PULLED, []) == ["a", "b"]
    # The same one deployed again is one release.
    assert gone(PULLED, [releases[0], releases[0], *releases[1:]]) == ["b", "d"]


def test_each_stack_keeps_its_own_last_releases_and_one_that_is_half_deployed_stays_besides() -> None:
    first = [release("m2", pin("a")), release("m1", pin("b"))]
    assert gone(PULLED, [*first, release("m9", pin("c"), project="other"), release("m8", pin("c"), project="other")]) == ["d"]
    assert gone(PULLED, [release("m3", pin("d"), is_open=True), *first]) == ["c"]
    assert gone(PULLED, [release("m3", pin("d"), is_open=True), *first], keep=0) == ["a", "b", "c"]
    # It failed, and another was deployed since.
    assert gone(PULLED, [*first, release("m3", pin("d"), is_open=True)]) == ["c", "d"]


def test_with_too_few_releases_on_record_the_newest_by_age_stay_as_well() -> None:
    one = [release("m1", pin("a"))]
    assert gone(PULLED, one) == ["b"]
    assert hygiene.kept_by_age(PULLED, one, 2) == ["shop/app"]
    assert gone(PULLED, one, keep=1) == ["b", "c", "d"]
    assert hygiene.kept_by_age(PULLED, one, 1) == []
    # One that did not come to its end is none of them.
    assert hygiene.kept_by_age(PULLED, [*one, release("m2", pin("b"), is_open=True)], 2) == ["shop/app"]
    # Another stack has it, too, and tells too little.
    assert hygiene.kept_by_age(PULLED, [*one, release("m0", pin("b")), release("m9", pin("c"), project="other")], 2) == ["shop/app"]


def test_a_repository_of_no_release_goes_by_age_and_docker_s_own_registry_has_two_names() -> None:
    base = [pinned("x", created=1, repository="redis"), pinned("y", created=2, repository="redis"), pinned("z", created=3, repository="redis")]
    assert gone([*PULLED, *base], [release("m2", pin("a")), release("m1", pin("b"))]) == ["x", "c", "d"]
    named = "docker.io/library/redis"
    assert gone(base, [release("m2", pin("x", named)), release("m1", pin("y", named))]) == ["z"]


def test_a_plan_goes_by_the_releases_on_record_and_says_where_there_are_too_few() -> None:
    builder = host(images=1150 * MB)
    builder.probes["docker_store"]["images"] = PULLED
    wanted = desired(images=900 * MB)
    [step] = plan(builder, wanted).steps
    assert [change.target for change in step.changes] == ["image untagged sha256:a", "image untagged sha256:b"]
    assert step.undo.endswith("Fewer than 2 releases are on record there of shop/app: of these the newest 2 by age stay")
    builder.probes["docker_store"]["releases"] = [release("m2", pin("a")), release("m1", pin("b"))]
    [step] = plan(builder, wanted).steps
    assert [change.target for change in step.changes] == ["image untagged sha256:c", "image untagged sha256:d"]
    assert step.undo.endswith("that no other image shares")


_UNIT = {
    "load_state": "loaded",
    "active_state": "active",
    "sub_state": "waiting",
    "enabled": "enabled",
    "fragment": "/x",
    "exec_start": "",
    "drop_ins": [],
    "properties": {},
    "needs_reload": False,
}


def desired(*, timer: str | None = None, **limits: int) -> DesiredHost:
    docker = Docker(
        data_root="/mnt/data/docker", log=LogLimits(max_size=10 * MB, max_files=3), hygiene=Hygiene(keep=2, protect=("golden/*",), timer=timer)
    )  # type: ignore[arg-type]
    return desired_mint_data(docker=docker, thresholds=Limits(**limits))


def host(**usage: int) -> EvidenceBuilder:
    builder = EvidenceBuilder()
    builder.probes["docker_store"] = {"images": IMAGES, "cache": [record("a", last_used=86_400)], "logs": []}
    builder.probes["docker_usage"].update(usage)
    for unit in (HYGIENE_TIMER, HYGIENE_SERVICE):
        builder.probes["units"][unit] = {**_UNIT, "load_state": "not-found", "active_state": "inactive"}
    return builder


def plan(builder: EvidenceBuilder, wanted: DesiredHost, *, named: bool = True) -> Plan:
    return make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[wanted],
        evidence={"mint-data": builder.build().model_copy(update={"asked": what_to_ask(wanted)})},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(["docker.hygiene"] if named else []),
        retention=timedelta(days=7),
    )


def test_a_plan_names_each_deletion_by_id_size_and_last_use() -> None:
    [step] = plan(host(images=1150 * MB, build_cache=15 * MB), desired(images=1000 * MB, build_cache=10 * MB)).steps
    assert [(change.kind, change.target, change.before, change.destructive) for change in step.changes] == [
        ("delete", "image untagged sha256:none", "100.0 MB, last pulled, built or tagged on 1970-01-01", True),
        ("delete", "image shop/app:1 sha256:1", "100.0 MB, last pulled, built or tagged on 1970-01-01", True),
        ("delete", "build cache regular a", "10.0 MB, last used on 1970-01-02", True),
    ]
    assert [mend.surface for mend in step.mends] == ["budget.images", "budget.build_cache"]
    assert "It is 210.0 MB that no other image shares" in step.undo
    assert step.downtime.services == ()


def test_where_it_is_not_enough_the_budget_is_not_promised_and_told() -> None:
    made = plan(host(images=5000 * MB), desired(images=1000 * MB))
    assert [mend.surface for mend in made.steps[0].mends] == []
    assert "images: 3.7 GB over the budget stay" in made.refusals[0].reason


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tags": ["shop/app:1", "shop/app:keep"]}, True),
        ({"digests": ["shop/app@sha256:" + "a" * 64]}, True),
        ({"last_tagged": 9, "size": 99 * MB}, False),
    ],
)
def test_a_plan_that_deletes_images_is_bound_to_those_that_stay_as_well(change: dict[str, Any], told: bool) -> None:
    wanted, before, after = desired(images=1000 * MB), host(images=1050 * MB), host(images=1050 * MB)
    stays = len(IMAGES) - 1
    after.probes["docker_store"]["images"] = [*IMAGES[:stays], {**IMAGES[stays], **change}]
    found = differences(plan(before, wanted), plan(after, wanted))

    assert (any("its facts changed since the plan was made (images)" in one for one in found)) is told


def test_a_plan_that_deletes_no_image_is_not_bound_to_them() -> None:
    cache, timer = desired(build_cache=10 * MB), desired(timer="daily")
    for wanted, usage in ((cache, {"build_cache": 15 * MB}), (timer, {})):
        made = plan(host(**usage), wanted)
        assert made.steps
        assert "images" not in made.binds.fact_parts["mint-data"]


def test_it_runs_only_by_name_and_not_on_doubt() -> None:
    assert "docker.hygiene" not in {step.capability for step in plan(host(images=5000 * MB), desired(images=1000 * MB), named=False).steps}
    doubtful = host(images=5000 * MB)
    doubtful.probes["docker_store"]["images"] = [{**IMAGES[0], "unique": None}]
    assert "could not be observed" in plan(doubtful, desired(images=1000 * MB)).refusals[0].reason
    assert "could not be observed" in plan(host().fail("docker_store"), desired(images=1)).refusals[0].reason


def test_the_timer_is_a_step_of_its_own_and_judged_by_its_settings() -> None:
    wanted = desired(timer="daily")
    builder = host()
    builder.probes["units"][HYGIENE_TIMER] = _UNIT
    builder.probes["units"][HYGIENE_SERVICE] = {**_UNIT, "exec_start": "python3 tool hygiene timed --settings 0"}
    [step] = plan(builder, wanted).steps
    assert [change.kind for change in step.changes] == ["file", "unit"]
    assert step.variables["docker_hygiene_timer"]["settings"]["budgets"] == {"images": 15000 * MB, "build_cache": 10000 * MB, "log": 30 * MB}

    def verdict() -> str:
        found = judge_host(wanted, builder.build(), now=COLLECTED, max_age=timedelta(hours=1))
        return next(one.verdict.value for one in found if one.surface == "docker.hygiene_timer")

    assert verdict() == "DRIFTED"
    builder.probes["units"][HYGIENE_SERVICE]["exec_start"] = f"python3 tool hygiene timed --settings {settings_digest(wanted)}"
    assert verdict() == "MET"
    assert plan(builder, wanted).steps == ()
    del builder.probes["units"][HYGIENE_TIMER]
    assert verdict() == "UNKNOWN"


FAILED = (
    "the timer that clears Docker's store failed the last time (exit-code): the receipts in /var/lib/controlplane/hygiene/receipts on mint-data say "
    "why. Mend that, then run it there: systemctl start controlplane-hygiene.service"
)
ELSEWISE = "the machine does not clear Docker's store by itself, or not within these limits"


@pytest.mark.parametrize(
    ("timer", "digest", "told"),
    [
        ({}, None, FAILED),
        # What is set up anew is not judged any more by how it ended before.
        ({}, "0", f"{ELSEWISE}; its last run failed (exit-code), the receipts in /var/lib/controlplane/hygiene/receipts there say why"),
        ({"active_state": "inactive"}, None, f"{ELSEWISE}; its last run failed (exit-code), the receipts in /var/lib/controlplane/hygiene/receipts"),
    ],
    ids=["in place", "with other limits", "stopped"],
)
def test_a_timer_that_failed_is_told_so_and_planned_only_where_something_lacks_of_it(timer: dict[str, str], digest: str | None, told: str) -> None:
    wanted, builder = desired(timer="daily", images=1000 * MB), host(images=1050 * MB)
    builder.probes["units"][HYGIENE_TIMER] = {**_UNIT, **timer}
    exec_start = f"python3 tool hygiene timed --settings {digest or settings_digest(wanted)}"
    builder.probes["units"][HYGIENE_SERVICE] = {**_UNIT, "exec_start": exec_start, "properties": {"Result": "exit-code"}}

    found = judge_host(wanted, builder.build(), now=COLLECTED, max_age=timedelta(hours=1))
    [finding] = [one for one in found if one.surface == "docker.hygiene_timer"]
    assert (finding.verdict.value, finding.reason.startswith(told)) == ("DRIFTED", True), finding.reason
    made = plan(builder, wanted)
    kinds = [[change.kind for change in step.changes] for step in made.steps]
    # What it names to clear does not wait for it.
    assert kinds == [["delete"], *([] if told == FAILED else [["file", "unit"]])]
    assert [one.reason for one in made.refusals] == ([FAILED] if told == FAILED else [])


@pytest.mark.parametrize("choice", [{}, {"choice": 2}, {"choice": 3}], ids=["by age alone", "with patterns as they are written", "by the id alone"])
def test_a_timer_that_chose_otherwise_or_removed_otherwise_is_drift(choice: dict[str, int]) -> None:
    wanted = desired(timer="daily")
    before = digest_of({**timer_settings(wanted), "every": "daily", **choice}).removeprefix("sha256:")[:12]
    builder = host()
    builder.probes["units"][HYGIENE_TIMER] = _UNIT
    builder.probes["units"][HYGIENE_SERVICE] = {**_UNIT, "exec_start": f"python3 tool hygiene timed --settings {before}"}
    assert len(plan(builder, wanted).steps) == 1


def test_a_timer_that_the_policy_no_longer_wants_is_drift_and_taken_away() -> None:
    builder = host()
    assert plan(builder, desired()).steps == ()
    builder.probes["units"][HYGIENE_TIMER] = _UNIT
    [step] = plan(builder, desired()).steps
    assert [(change.kind, change.after) for change in step.changes] == [("unit", "disabled and removed")]
    assert step.variables["docker_hygiene_timer"]["every"] == "never"


def test_what_is_pinned_by_its_digest_is_protected_and_kept_as_well() -> None:
    golden = {**image("pinned", created=1, tags=[]), "digests": ["golden/x@sha256:1"]}
    assert hygiene.doomed_images([golden], over=10**12, keep=0, protect=["golden/*"], releases=[]) == []
    assert hygiene.doomed_images([golden], over=10**12, keep=1, protect=[], releases=[]) == []
    assert len(hygiene.doomed_images([golden], over=10**12, keep=0, protect=[], releases=[])) == 1
