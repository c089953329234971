"""The downtime that a move of the engine's root declares holds for every container that it stops."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities, differences, make_plan
from tests.fakes.evidence_builder import COLLECTED, GB, POSTGRES, REDIS, EvidenceBuilder
from tests.fakes.site import desired_host


def _moving(**redis: Any) -> EvidenceBuilder:
    """Return a host with Docker on the boot disk; 4 GB and some bytes are to be moved."""
    builder = EvidenceBuilder()
    builder.probes["docker_info"]["root"] = "/var/lib/docker"
    builder.container(REDIS).update(redis)
    return builder


def _plan(builder: EvidenceBuilder) -> Plan:
    return make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[desired_host("mint-data")],
        evidence={"mint-data": builder.build()},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(["docker.data_root"]),
        retention=timedelta(days=7),
    )


def _estimate(builder: EvidenceBuilder) -> int:
    [step] = _plan(builder).steps
    return step.downtime.estimate_s


def test_the_estimate_grows_with_what_is_to_be_compared() -> None:
    larger = _moving()
    larger.probes["docker_usage"]["volumes"] += 10 * GB

    assert _estimate(_moving()) == 60 + 30 + 41
    assert _estimate(larger) == 60 + 30 + 141


@pytest.mark.parametrize(("timeout", "stop"), [(None, 60), (10, 60), (0, 60), (-1, 60), (60, 60), (61, 61), (300, 300)])
def test_the_estimate_covers_the_longest_stop_timeout(timeout: int | None, stop: int) -> None:
    builder = _moving(stop_timeout_s=timeout)
    builder.container(POSTGRES)["stop_timeout_s"] = 5

    assert _estimate(builder) == stop + 30 + 41


def test_what_does_not_run_is_not_waited_for() -> None:
    assert _estimate(_moving(stop_timeout_s=300, running=False, state="exited")) == 60 + 30 + 41


def test_a_restart_for_log_limits_covers_it_too() -> None:
    builder = EvidenceBuilder()
    builder.probes["docker_config"]["daemon_json"] = '{"data-root": "/mnt/data/docker"}'
    builder.container(REDIS)["stop_timeout_s"] = 300

    assert _estimate(builder) == 300 + 30


def test_evidence_from_before_it_was_collected_is_doubt_and_promises_no_downtime() -> None:
    builder = _moving()
    del builder.container(REDIS)["stop_timeout_s"]

    plan = _plan(builder)

    assert plan.steps == ()
    assert [refusal.reason for refusal in plan.refusals] == [f"could not be observed: the stop timeout of {REDIS} was not collected"]


def test_a_stop_timeout_that_changed_voids_the_plan_whose_downtime_it_was_part_of() -> None:
    told = differences(_plan(_moving()), _plan(_moving(stop_timeout_s=300)))

    assert told == ("mint-data: its facts changed since the plan was made (containers)",)
