"""audit: which hosts and checks are judged, on which evidence, and what the report says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from controlplane.domain.desired import DesiredHost, DesiredState
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.inventory import Inventory, InventoryHost
from controlplane.domain.site_view import SiteView
from controlplane.domain.target import target_host
from controlplane.usecases.audit import audit_evidence, audit_offline, audit_site, audit_target, refuse_one_machine_twice
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, desired_mint_data

HOUR = timedelta(hours=1)


class StoppedClock:
    def now(self) -> datetime:
        return COLLECTED + timedelta(minutes=1)


class KnownEvidence:
    """Gives what it was made with, and remembers whom it was asked about."""

    def __init__(self, seen: Mapping[str, Evidence | Unreached]) -> None:
        self.seen = seen
        self.asked: list[str] = []

    def collect(
        self, hosts: Sequence[InventoryHost], desired: Mapping[str, DesiredHost], *, only: Sequence[str] = ()
    ) -> Mapping[str, Evidence | Unreached]:
        assert not only
        assert set(desired) <= {host.name for host in hosts}
        self.asked += [host.name for host in hosts]
        return {host.name: self.seen[host.name] for host in hosts}


def site() -> SiteView:
    hosts = (DesiredHost(host="mint-apps", tier="boot-only", data="boot"), desired_mint_data())
    inventory = Inventory(hosts=tuple(InventoryHost(name=one.host) for one in hosts))
    return SiteView(
        name="lab",
        folder="inventory/lab",
        desired=DesiredState(hosts=hosts),
        inventory=inventory,
        policy_digest="sha256:p",
        approval="none",
        retention=timedelta(days=1),
        max_age=HOUR,
    )


def apps() -> Evidence:
    builder = EvidenceBuilder()
    builder.probes["identity"]["machine_id"] = "m2"
    return builder.build("mint-apps")


def both() -> dict[str, Evidence | Unreached]:
    return {"mint-data": EvidenceBuilder().build(), "mint-apps": apps()}


def test_the_report_names_site_policy_hosts_and_evidence() -> None:
    evidence = KnownEvidence(both())
    report = audit_site(site(), hosts=("mint-data",), checks=(), clock=StoppedClock(), evidence=evidence)
    assert evidence.asked == ["mint-data"]
    assert (report.site, report.policy_digest, report.judged_at) == ("lab", "sha256:p", "2026-01-02T12:01:00Z")
    (row,) = report.hosts
    assert row.evidence_digest == digest_of(EvidenceBuilder().build().model_dump(mode="json"))
    assert report.summary.model_dump() == {"met": len(report.findings), "drifted": 0, "waived": 0, "unknown": 0}
    assert report.exit_code() == 0


def test_offline_the_same_evidence_gives_the_same_findings_later() -> None:
    live = audit_site(site(), hosts=(), checks=(), clock=StoppedClock(), evidence=KnownEvidence(both()))

    class LaterClock:
        def now(self) -> datetime:
            return COLLECTED + timedelta(minutes=50)

    assert audit_offline(site(), hosts=(), checks=(), clock=LaterClock(), seen=both()).findings == live.findings


def test_a_host_that_was_not_reached_is_unknown_and_wins_over_drift() -> None:
    seen = both() | {"mint-data": Unreached(host="mint-data", reason="refused"), "mint-apps": _drifting()}
    report = audit_site(site(), hosts=(), checks=(), clock=StoppedClock(), evidence=KnownEvidence(seen))
    assert report.summary.unknown > 0
    assert report.summary.drifted > 0
    assert report.exit_code() == 5
    assert [(row.host, row.reached) for row in report.hosts] == [("mint-apps", True), ("mint-data", False)]


def _drifting() -> Evidence:
    builder = EvidenceBuilder()
    builder.probes["identity"]["machine_id"] = "m2"
    builder.probes["usage"]["/"]["available"] = 0
    return builder.build("mint-apps")


def test_drift_alone_is_exit_three() -> None:
    seen = both() | {"mint-apps": _drifting()}
    assert audit_offline(site(), hosts=(), checks=(), clock=StoppedClock(), seen=seen).exit_code() == 3


def test_only_the_checks_that_were_named_are_judged() -> None:
    report = audit_offline(site(), hosts=(), checks=("D234", "D239"), clock=StoppedClock(), seen=both())
    assert {finding.check for finding in report.findings} == {"D234", "D239"}


def test_an_unknown_check_is_refused_before_any_connection() -> None:
    evidence = KnownEvidence(both())
    with pytest.raises(InputInvalidError) as refusal:
        audit_site(site(), hosts=(), checks=("D999",), clock=StoppedClock(), evidence=evidence)
    assert str(refusal.value).startswith("--check: 'D999' is no check; there are D234, D235, ")
    assert evidence.asked == []


def test_a_named_host_that_the_file_lacks_is_unknown() -> None:
    report = audit_offline(site(), hosts=("mint-apps",), checks=(), clock=StoppedClock(), seen={"mint-data": EvidenceBuilder().build()})
    assert {finding.reason for finding in report.findings} == {"the host was not reached: there is no evidence of it"}


def test_a_file_without_a_governed_host_is_refused() -> None:
    with pytest.raises(InputInvalidError) as refusal:
        audit_offline(site(), hosts=(), checks=(), clock=StoppedClock(), seen={"x": EvidenceBuilder().build("x")})
    assert str(refusal.value) == "--evidence: holds no host of inventory/lab/policy.yml, only x"


def test_two_hosts_that_are_one_machine_are_refused() -> None:
    seen = {"mint-data": EvidenceBuilder().build(), "mint-apps": EvidenceBuilder().build("mint-apps")}
    with pytest.raises(InputInvalidError) as refusal:
        audit_offline(site(), hosts=(), checks=(), clock=StoppedClock(), seen=seen)
    assert "is the same machine as mint-apps (machine-id m1)" in str(refusal.value)


def test_a_target_is_judged_without_a_policy() -> None:
    report = audit_target(target_host("root@db1"), checks=(), clock=StoppedClock(), evidence=KnownEvidence({"db1": EvidenceBuilder().build("db1")}))
    assert (report.site, report.policy_digest) == (None, None)
    assert report.exit_code() == 0
    again = audit_evidence("db1", checks=(), clock=StoppedClock(), seen={"db1": EvidenceBuilder().build("db1")})
    assert again.findings == report.findings


def test_a_plan_for_one_machine_under_two_names_is_refused() -> None:
    seen = {"mint-data": EvidenceBuilder().build(), "mint-apps": EvidenceBuilder().build("mint-apps")}
    with pytest.raises(InputInvalidError, match="is the same machine as"):
        refuse_one_machine_twice(seen, ["mint-apps", "mint-data"])
