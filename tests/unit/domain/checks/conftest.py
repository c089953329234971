"""How every test of a check asks: judge a host, and look up one finding."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.checks import judge_host
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence
from controlplane.domain.finding import Finding
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, desired_mint_data

Judge = Callable[..., dict[tuple[str, str], Finding]]


@pytest.fixture
def healthy() -> EvidenceBuilder:
    """Return evidence on which nothing drifts, to be spoilt."""
    return EvidenceBuilder()


@pytest.fixture
def judge() -> Judge:
    """Return a function that judges a host and gives its findings by check and surface."""

    def run(
        builder: EvidenceBuilder | Evidence | str,
        desired: DesiredHost | None = None,
        *,
        now: datetime = COLLECTED + timedelta(minutes=1),
        **other: Any,
    ) -> dict[tuple[str, str], Finding]:
        evidence = builder.build() if isinstance(builder, EvidenceBuilder) else builder
        findings = judge_host(desired or desired_mint_data(), evidence, now=now, max_age=timedelta(hours=1), **other)
        assert len({(one.check, one.surface) for one in findings}) == len(findings), "one verdict a surface"
        return {(one.check, one.surface): one for one in findings}

    return run
