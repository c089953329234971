"""Who may approve for whom, where a site demands another person."""

from __future__ import annotations

import pytest

from controlplane.domain.approval import Approval, approve, objection
from tests.fakes.evidence_builder import COLLECTED

OTHER = "site.yml demands another person's approval"


def _objection(made: Approval, *, signs_as: str | None) -> str | None:
    return objection(made, demanded="other", plan="sha256:aa", operator="ops@bastion", run=None, now=COLLECTED, signs_as=signs_as)


def _approval(**other: object) -> Approval:
    made = approve("sha256:aa", approver="ben@example.org", requester=None, now=COLLECTED)
    return made.model_copy(update=other)


@pytest.mark.parametrize(
    ("other", "signs_as", "told"),
    [
        ({}, "ann@example.org", None),
        ({}, "ben@example.org", f"{OTHER}, and ben@example.org approved it alone"),
        ({"requester": "ben@example.org"}, "ann@example.org", f"{OTHER}, and ben@example.org asked for it"),
        ({"requester": "ann@example.org"}, "ann@example.org", None),
        (
            {},
            None,
            f"{OTHER}, and whose key yours is can't be told: name a signing_key in site.yml that the allowed signers name",
        ),
    ],
)
def test_another_person_is_another_key_than_the_operators_and_the_requesters(other: dict[str, str], signs_as: str | None, told: str | None) -> None:
    assert _objection(_approval(**other), signs_as=signs_as) == told


def test_a_run_that_took_the_approval_is_covered_whoever_resumes_it() -> None:
    made = _approval(used_by="RUN", expired=True, expires_at="2025-01-01T00:00:00Z")

    assert objection(made, demanded="other", plan="sha256:aa", operator="x", run="RUN", now=COLLECTED) is None
