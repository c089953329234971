"""A refusal that is born of doubt says so in the words by which `plan` tells UNKNOWN (exit code 5) from refused (4)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.cli.plan import exit_code_of
from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.plan import Plan
from controlplane.domain.planning import make_plan
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, desired_mint_data
from tests.fakes.host import drifting_probes

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = ROOT / "controlplane" / "domain"
WORDS = "could not be observed"
RETIRED = {"path": "/var/lib/docker", "run": "r", "retired_at": "2026-01-02T00:00:00Z", "size": 9, "entries": 3, "exists": True} | {
    "recorded": "sha256:a", "fingerprint": None, "unreadable": "[Errno 5] Input/output error", "purging": None, "replaced_by": "/mnt/data/docker",
}  # fmt: skip


def told_doubts() -> Iterator[tuple[str, list[ast.expr]]]:
    """Yield every place that catches `Unobserved` under a name, with the texts that it makes of it."""
    for path in [*sorted((DOMAIN / "capabilities").glob("*.py")), DOMAIN / "planning.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler) or node.type is None or node.name is None or "Unobserved" not in ast.unparse(node.type):
                continue
            name = node.name
            texts = [one for one in ast.walk(node) if isinstance(one, ast.JoinedStr) and any(_is(part, name) for part in ast.walk(one))]
            yield f"{path.name}:{node.lineno}", list(texts)


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


@pytest.mark.parametrize(("place", "texts"), [pytest.param(*one, id=one[0]) for one in told_doubts()])
def test_whoever_refuses_in_doubt_says_that_it_could_not_be_observed(place: str, texts: list[ast.expr]) -> None:
    assert texts, f"{place} says nothing of what was not observed"
    assert [ast.unparse(text) for text in texts if WORDS not in ast.unparse(text)] == []


def _plan(builder: EvidenceBuilder) -> Plan:
    return make_plan(
        site="lab",
        now=COLLECTED + timedelta(days=30),
        hosts=[desired_mint_data()],
        evidence={"mint-data": builder.build()},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=tuple(CAPABILITIES.values()),
        retention=timedelta(days=7),
    )


@pytest.mark.parametrize("probe", sorted(drifting_probes()))
def test_what_is_refused_because_of_a_probe_that_failed_is_unknown(probe: str) -> None:
    builder = EvidenceBuilder().fail(probe)
    builder.probes = drifting_probes()
    made = _plan(builder)
    doubts = [refusal.reason for refusal in made.refusals if f"{probe}: failed" in refusal.reason]
    assert [reason for reason in doubts if WORDS not in reason] == []
    assert not doubts or exit_code_of(made) == 5


def test_retired_data_that_can_not_be_read_is_unknown() -> None:
    builder = EvidenceBuilder()
    builder.probes["target_state"]["retired"] = [RETIRED]
    assert exit_code_of(_plan(builder)) == 5
