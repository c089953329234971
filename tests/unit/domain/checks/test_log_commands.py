"""D243's commands make containers anew as they are: with their own environment files, and none whose keys a stop would cost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.evidence_builder import MINIO, POSTGRES, REDIS, EvidenceBuilder
from tests.unit.domain.checks.conftest import Judge

STACK = "docker compose --project-name mint-data --project-directory /opt/stacks/mint-data --file /opt/stacks/mint-data/compose.yml"
ANEW = "up --detach --no-deps --force-recreate"
AOF = (
    "AOF is on while it runs and off at its next start, which would load its last dump: turn it on while it serves, and persist it "
    "(controlplane plan --capability redis.durability), or set both alike by hand"
)


@pytest.fixture
def old(healthy: EvidenceBuilder) -> EvidenceBuilder:
    """Return evidence of three containers with old log options."""
    for one in (MINIO, POSTGRES, REDIS):
        healthy.container(one).update(log_options={})
    return healthy


def _told(judge: Judge, builder: EvidenceBuilder) -> list[str]:
    finding = judge(builder)["D243", "docker.log"]
    assert finding.verdict == "DRIFTED"
    return finding.reason.partition("to recreate them, without what their own layers hold: ")[2].split("; ")


def test_environment_files_are_told_to_compose_in_their_order_and_those_with_others_apart(old: EvidenceBuilder, judge: Judge) -> None:
    for one in (MINIO, POSTGRES):
        old.container(one).update(compose_env_files=["/opt/prod.env", "/opt/our own.env"])
    assert _told(judge, old) == [
        f"{STACK} --env-file /opt/prod.env --env-file '/opt/our own.env' {ANEW} {MINIO} {POSTGRES}",
        f"{STACK} {ANEW} {REDIS}",
    ]


def test_evidence_that_does_not_name_them_gives_no_command(old: EvidenceBuilder, judge: Judge) -> None:
    for one in (MINIO, REDIS):
        del old.container(one)["compose_env_files"]
    assert _told(judge, old) == [
        f"{MINIO}, {REDIS} by hand with the same --env-file, which this evidence is too old to name",
        f"{STACK} {ANEW} {POSTGRES}",
    ]


def test_a_file_that_is_named_from_a_folder_that_nobody_knows_gives_no_command(old: EvidenceBuilder, judge: Judge) -> None:
    old.container(REDIS).update(compose_env_files=["/opt/prod.env", "mine.env"])
    assert _told(judge, old) == [
        f"{REDIS} by hand with the same --env-file, which its label names by no whole path",
        f"{STACK} {ANEW} {MINIO} {POSTGRES}",
    ]


def test_a_redis_that_would_come_up_without_its_keys_is_not_among_them_until_it_is_durable(old: EvidenceBuilder, judge: Judge) -> None:
    old.probes["redis"][REDIS]["persisted"].update(appendonly="no", save="")
    assert _told(judge, old) == [f"{REDIS} not yet: {AOF}", f"{STACK} {ANEW} {MINIO} {POSTGRES}"]
    # Nor is it told to be made anew by hand.
    old.container(REDIS).update(compose_project=None)
    assert _told(judge, old)[0] == f"{REDIS} not yet: {AOF}"


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"reachable": False, "error": "NOAUTH"}, f"whether {REDIS} would keep its keys over a restart (NOAUTH)"),
        ({"persisted_from": None}, f"whether {REDIS} would keep its keys over a restart: where Redis reads its settings from is not known"),
    ],
)
def test_of_a_redis_it_has_to_be_known(old: EvidenceBuilder, judge: Judge, state: dict[str, Any], why: str) -> None:
    old.probes["redis"][REDIS].update(state)
    first, *others = _told(judge, old)
    assert first.startswith(f"{REDIS} not before it could be observed what a stop would cost: {why}")
    assert others == [f"{STACK} {ANEW} {MINIO} {POSTGRES}"]


def test_where_no_redis_could_be_looked_for_only_what_does_not_run_has_a_command(old: EvidenceBuilder, judge: Judge) -> None:
    old.fail("redis")
    old.container(MINIO).update(running=False, state="exited")
    assert _told(judge, old) == [
        f"{POSTGRES}, {REDIS} not before it could be observed what a stop would cost: redis: failed: boom",
        f"{STACK} up --no-start --no-deps --force-recreate {MINIO}",
    ]
