"""docker.hygiene: what of a plan may vary until it is applied, and what of it is left to do."""

from __future__ import annotations

from typing import Any

from controlplane.domain.asking import HYGIENE_SERVICE, HYGIENE_TIMER
from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.checks.hygiene_timer import settings_digest
from controlplane.domain.evidence import Reader
from controlplane.domain.plan import Plan
from controlplane.domain.planning import differences
from tests.fakes.evidence_builder import EvidenceBuilder
from tests.unit.domain.test_hygiene import _UNIT, IMAGES, MB, desired, host, image, plan, record


def log(name: str, size: int, **more: Any) -> Any:
    return {"container": name, "path": f"/{name}.log", "size": size, "rotates": False, "id": f"{name}-0123456789abcdef", "written": 90_061, **more}


def logging(*logs: Any) -> EvidenceBuilder:
    builder = host()
    builder.probes["docker_store"]["logs"] = list(logs)
    return builder


def test_a_log_is_named_with_its_container_its_size_and_when_it_was_written() -> None:
    made = plan(logging(log("talks", 40 * MB)), desired())
    [step] = made.steps
    assert [(change.target, change.before) for change in step.changes] == [
        (
            "log of talks (container talks-012345), with what is written to it until it is cut",
            "40.0 MB, last written at 1970-01-02T01:01:01Z, no limit of its own",
        )
    ]
    assert step.variables["docker_hygiene_items"] == [
        {"kind": "log", "id": "/talks.log", "name": "talks", "size": 40 * MB, "container": "talks-0123456789abcdef"}
    ]
    [bound] = made.bounds
    assert (bound.what, bound.measure, bound.of, bound.at_least) == ("what is in the log of talks", "log_bytes", "/talks.log", 40 * MB)


def test_evidence_that_tells_neither_container_nor_age_of_a_log_is_read_as_before() -> None:
    old = {key: value for key, value in log("talks", 40 * MB).items() if key not in ("id", "written")}
    [step] = plan(logging(old), desired()).steps
    assert [(change.target, change.before) for change in step.changes] == [
        ("log of talks, with what is written to it until it is cut", "40.0 MB, no limit of its own")
    ]
    assert step.variables["docker_hygiene_items"] == [{"kind": "log", "id": "/talks.log", "name": "talks", "size": 40 * MB}]


def test_a_log_that_grew_is_the_same_order_and_nothing_else_is_that_a_role_would_do_otherwise() -> None:
    made = plan(logging(log("talks", 40 * MB)), desired())
    assert differences(made, plan(logging(log("talks", 41 * MB, written=99_999)), desired())) == ()
    for other in (log("talks", 40 * MB, id="another"), log("talks", 40 * MB, path="/other.log")):
        assert differences(made, plan(logging(other), desired()))
    more = plan(logging(log("talks", 40 * MB), log("more", 40 * MB)), desired())
    assert "mint-data/010: would change something else now" in differences(made, more)


def test_a_plan_whose_role_is_told_something_that_is_not_made_here_differs() -> None:
    made = plan(logging(log("talks", 40 * MB)), desired())
    for items in (None, [1], [{"kind": "log"}]):
        step = made.steps[0].model_copy(update={"variables": {"docker_hygiene_items": items}})
        assert differences(made.model_copy(update={"steps": (step,)}), made)
    without = made.steps[0].model_copy(update={"variables": {}})
    assert differences(made.model_copy(update={"steps": (without,)}), made)


def test_who_removes_images_is_told_by_what_they_were_chosen_and_how_old_each_was() -> None:
    [step] = plan(host(images=1150 * MB), desired(images=1000 * MB)).steps
    assert step.variables["docker_hygiene_spare"] == {"keep": 2, "protect": ["golden/*"]}
    assert [(item["name"], item["last_used"]) for item in step.variables["docker_hygiene_items"]] == [("untagged", 900), ("shop/app:1", 100)]


def left(made: Plan, builder: EvidenceBuilder) -> list[str]:
    """Return what of the plan's steps is not done by evidence, whatever another plan would choose."""
    look = CAPABILITIES["docker.hygiene"].left_of
    assert look is not None
    found = [look(step, Reader(builder.build())) for step in made.steps]
    return sorted(target.split(" ")[2] if target.startswith("log") else target.split(" ")[-1] for each in found for target in each)


def test_what_is_left_of_a_plan_is_what_of_it_is_still_there() -> None:
    builder = host(images=1150 * MB, build_cache=15 * MB)
    builder.probes["docker_store"]["logs"] = [log("talks", 40 * MB)]
    made = plan(builder, desired(images=1000 * MB, build_cache=10 * MB))
    assert left(made, builder) == ["a", "sha256:1", "sha256:none", "talks"]
    store = builder.probes["docker_store"]
    store["logs"] = [log("talks", 39 * MB)]
    # Used by now, it is in no plan any more, and not gone.
    store["images"] = [{**IMAGES[1], "containers": 1}, image("came", created=1)]
    assert left(made, builder) == ["a", "sha256:1"]
    store["cache"], store["images"] = [record("came", last_used=1)], []
    assert left(made, builder) == []


def test_a_timer_is_left_to_do_as_long_as_it_does_not_run_by_its_settings() -> None:
    wanted, builder = desired(timer="daily"), host()
    made = plan(builder, wanted)
    assert len(left(made, builder)) == 2
    builder.probes["units"][HYGIENE_TIMER] = _UNIT
    builder.probes["units"][HYGIENE_SERVICE] = {**_UNIT, "exec_start": f"python3 tool hygiene timed --settings {settings_digest(wanted)}"}
    assert left(made, builder) == []
    away = plan(builder, desired())
    assert len(left(away, builder)) == 1
    assert left(away, host()) == []
