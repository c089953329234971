"""Whether a host is without Docker: absence is what nothing contradicts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.capabilities import coming_docker
from controlplane.domain.checks import judge_host
from controlplane.domain.docker_presence import is_without_docker
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.finding import Finding
from controlplane.domain.policy import Docker
from controlplane.domain.suggest import suggest_policy
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, desired_mint_data
from tests.fakes.machine_builder import brought_up

ADVICE = "an engine may lie at another path; see what that starts, or remove it"
# What D235, D237 and D243 call MET on a stateless host without Docker.
RESTS_ON_IT = [("D235", "docker.data_root"), ("D237", "budget.images"), ("D237", "budget.volumes"), ("D243", "docker.log")]


def _absent(**units: Any) -> EvidenceBuilder:
    builder = EvidenceBuilder().without_docker()
    for name, unit in units.items():
        builder.probes["units"][f"docker.{name}"] |= unit
    return builder


def _findings(builder: EvidenceBuilder) -> dict[tuple[str, str], Finding]:
    log = desired_mint_data().docker.log
    desired = desired_mint_data(tier="boot-only", data="boot", disks=(), services={}, docker=Docker(log=log))
    judged = judge_host(desired, builder.build(), now=COLLECTED + timedelta(minutes=1), max_age=timedelta(hours=1))
    return {(finding.check, finding.surface): finding for finding in judged}


def test_a_host_on_which_nothing_of_docker_is_found_is_met_where_nothing_is_asked_of_it() -> None:
    findings = _findings(_absent())
    assert {findings[key].reason for key in RESTS_ON_IT} == {"Docker is not installed"}
    assert {findings[key].verdict for key in RESTS_ON_IT} == {"MET"}


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        (
            _absent(service={"load_state": "loaded", "fragment": "/opt/docker/docker.service"}),
            f"no Docker engine was found, but docker.service is loaded from /opt/docker/docker.service: {ADVICE}",
        ),
        (_absent(socket={"load_state": "loaded"}), f"no Docker engine was found, but docker.socket is loaded: {ADVICE}"),
        (_absent(service={"load_state": "masked"}), f"no Docker engine was found, but docker.service is masked: {ADVICE}"),
        (_absent(service={"load_state": ""}), f"no Docker engine was found, but docker.service is in no known state: {ADVICE}"),
        (_absent().fail("units"), "units: failed: boom"),
    ],
    ids=["a unit from elsewhere", "its socket", "a masked unit", "no state", "no look at the units"],
)
def test_an_absence_that_systemd_contradicts_is_unknown(builder: EvidenceBuilder, told: str) -> None:
    findings = _findings(builder)
    assert {findings[key].verdict for key in RESTS_ON_IT} == {"UNKNOWN"}
    assert {findings[key].reason for key in RESTS_ON_IT} == {told}
    assert "could not be seen" in suggest_policy([builder.build()])


def test_a_unit_that_nobody_looked_at_is_no_proof_of_absence() -> None:
    builder = _absent()
    del builder.probes["units"]["docker.service"]
    with pytest.raises(Unobserved, match=r"docker\.service was not looked at"):
        is_without_docker(Reader(builder.build()))


def test_no_second_docker_is_brought_to_where_one_may_be() -> None:
    builder = _absent(service={"load_state": "loaded"})
    builder.probes["packages"] = {name: {"status": "", "version": None} for name in brought_up().profile.baseline.all_packages()}
    with pytest.raises(Unobserved, match=r"docker\.service is loaded"):
        coming_docker.comes(desired_mint_data(machine=brought_up()), Reader(builder.build()))
