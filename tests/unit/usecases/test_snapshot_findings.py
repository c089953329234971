"""snapshot: a STOR finding's verdict is that of every check that it names, or UNKNOWN."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.checks import CHECKS
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.finding import Verdict
from controlplane.domain.governance import Governance
from controlplane.domain.registers import Registers
from controlplane.usecases.snapshot_findings import FindingNow, Snapshot, take_snapshot
from tests.fakes.evidence_builder import healthy_probes
from tests.fakes.waves import FakeWaveSite

OWN = {"checks": {"D204": {"title": "secrets are there", "file": "checks/test_d204.py"}}, "packs": {"mint": {"checks": ["D235", "D204"]}}}


def world(*checks: str, **more: Any) -> FakeWaveSite:
    """Return two healthy hosts, and a finding that names these checks."""
    finding = {"title": "secrets and data", "severity": "high", "gaps": ["GAP-OP-1"], "checks": list(checks), **more}
    registers = Registers.model_validate(
        {
            "findings": {"STOR-001": finding},
            "gaps": {"GAP-OP-1": {"title": "g", "loops": ["LOOP-A"]}},
            "loops": {"LOOP-A": {"title": "l"}},
        },
        strict=False,
    )
    site = FakeWaveSite(hosts=("mint-apps", "mint-data"), gates=OWN, registers=registers)
    for host in site.hosts.values():
        host.probes = healthy_probes()
    return site


def taken(site: FakeWaveSite, *hosts: str) -> tuple[Snapshot, FindingNow]:
    made = take_snapshot(site.view, site.governance, hosts=hosts, clock=site.clock, evidence=site.evidence, site_checks=site.site_checks)
    [one] = made.stor
    return made, one


def test_a_check_of_the_site_s_own_that_drifts_is_no_finding_that_is_met() -> None:
    site = world("D235", "D204")
    made, one = taken(site)
    assert (one.verdict, one.unsaid, made.exit_code()) == (Verdict.MET, (), 0)
    assert {found.check for found in one.findings} == {"D235", "D204"}
    site.site_checks.says = {"D204": "DRIFTED"}
    made, one = taken(site)
    assert (one.verdict, one.unsaid) == (Verdict.DRIFTED, ())


def test_a_check_that_is_not_judged_by_default_is_judged_where_a_finding_names_it() -> None:
    site = world("D235", "D239")
    assert not CHECKS["D239"].by_default(site.view.desired.hosts[0])
    assert {one.check for one in taken(site)[1].findings} == {"D235", "D239"}


def test_a_named_check_that_says_nothing_or_can_not_observe_all_of_it_is_doubt() -> None:
    site = world("D235", "D204")
    site.site_checks.says = {"D204": "UNKNOWN"}
    made, one = taken(site)
    assert (one.verdict, one.unsaid, made.exit_code()) == (Verdict.UNKNOWN, ("D204 on site: so",), 5)
    # What is said of the site is said of every host, whether the finding is of hosts alone or not.
    site = world("D235", "D204", hosts=["mint-data"])
    site.site_checks.says = {"D204": "UNKNOWN"}
    assert taken(site)[1].verdict is Verdict.UNKNOWN
    site = world("D235", "D204")
    site.view = site.view.model_copy(update={"gates": site.view.gates.model_copy(update={"checks": {}})})
    made, one = taken(site)
    assert (one.verdict, one.unsaid, made.exit_code()) == (Verdict.UNKNOWN, ("D204: nothing was judged of it",), 5)
    site = world("D236", surfaces=["service:*"])
    del site.host.probes["docker_containers"]
    assert taken(site)[1].verdict is Verdict.UNKNOWN


def test_a_finding_of_hosts_that_were_not_looked_at_has_no_verdict() -> None:
    site = world("D235", hosts=["mint-data"])
    assert taken(site, "mint-apps")[1].verdict is None
    assert taken(site, "mint-data")[1].verdict is Verdict.MET


def test_a_site_without_registers_has_no_snapshot_and_nobody_is_asked() -> None:
    site = world("D235")
    site.governance = Governance(gates=site.governance.gates)
    with pytest.raises(InputInvalidError, match="the site has none: write registers"):
        taken(site)
    assert site.evidence.asked == 0
