"""storage.persistent_paths: a PostgreSQL that keeps data outside of what moves is refused by the plan, as its role would."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.evidence_builder import POSTGRES, EvidenceBuilder
from tests.unit.domain.test_persistent_paths import COMPOSED, plan, volume

DATA = "/var/lib/postgresql/data"
SPACES = f"tablespaces lie outside {DATA}: cold at /mnt/cold, far at {DATA}-far. Give each a mount of its own, or move its tables to pg_default"
ELSEWHERE = f"PostgreSQL keeps its data in /var/lib/postgresql/18/docker, not in {DATA}: name that in the policy (services.{POSTGRES}.data)"


def database(**seen: Any) -> EvidenceBuilder:
    """Return a host whose PostgreSQL is to move, and told this of itself."""
    builder = EvidenceBuilder()
    builder.container(POSTGRES).update(COMPOSED, mounts=[volume("pg", destination=DATA)])
    builder.boot_path("/var/lib/docker/volumes/pg/_data")
    builder.probes["postgres"][POSTGRES].update(seen)
    return builder


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"data_directory": "/var/lib/postgresql/18/docker"}, ELSEWHERE),
        ({"tablespaces": {"far": f"{DATA}-far", "near": f"{DATA}/near", "cold": "/mnt/cold"}}, SPACES),
        ({"data_directory": "/var/lib/postgresql/18/docker", "tablespaces": {"far": f"{DATA}-far", "cold": "/mnt/cold"}}, f"{ELSEWHERE}; {SPACES}"),
    ],
)
def test_a_database_that_keeps_data_outside_of_what_moves_is_refused_by_the_plan_in_the_roles_words(seen: dict[str, Any], reason: str) -> None:
    made = plan(database(**seen))
    assert (made.steps, [refusal.reason for refusal in made.refusals]) == ((), [f"{POSTGRES}: {reason}"])


@pytest.mark.parametrize(
    "seen",
    [
        {"data_directory": f"{DATA}/18/docker", "tablespaces": {"near": f"{DATA}/near"}},
        {"tablespaces": {}},
        # What it did not tell the role asks it.
        {"data_directory": None},
        {"reachable": False, "error": "no PostgreSQL socket in the container", "data_directory": None},
    ],
)
def test_a_database_whose_data_lie_in_what_moves_or_that_did_not_tell_is_planned(seen: dict[str, Any]) -> None:
    assert [step.downtime.services for step in plan(database(**seen)).steps] == [(POSTGRES,)]


def test_a_database_that_lies_where_it_shall_be_is_no_plans_to_refuse() -> None:
    builder = EvidenceBuilder()
    builder.probes["postgres"][POSTGRES].update(tablespaces={"far": "/mnt/cold"})
    assert plan(builder).refusals == ()
