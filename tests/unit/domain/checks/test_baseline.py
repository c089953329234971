"""D247 and D248: a host has its baseline, or it is told what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.finding import Verdict
from controlplane.domain.witness import questions_for
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, desired_mint_data
from tests.fakes.machine_builder import brought_up, settle, unit
from tests.unit.domain.checks.conftest import Judge

DESIRED = desired_mint_data(machine=brought_up())


@pytest.fixture
def settled(healthy: EvidenceBuilder) -> EvidenceBuilder:
    return settle(healthy)


def told(judge: Judge, builder: EvidenceBuilder) -> dict[str, tuple[str, str, str]]:
    """Return verdict, severity and reason of each surface of the two checks."""
    found = judge(builder.build(), desired=DESIRED)
    return {surface: (f.verdict.value, f.severity, f.reason) for (check, surface), f in found.items() if check in ("D247", "D248")}


def test_a_host_that_has_everything_is_met(judge: Judge, settled: EvidenceBuilder) -> None:
    assert {surface: reason for surface, (verdict, _, reason) in told(judge, settled).items() if verdict == "MET"} == {
        "baseline.packages": "1 packages are installed",
        "baseline.unit:ssh.service": "enabled and active",
        "baseline.unit:cron.service": "enabled and active",
        "baseline.time": "the clock is right, systemd-timesyncd.service keeps it",
        "baseline.network": "as declared",
        "baseline.docker": "installed from the named packages, enabled and active",
        "hook.backup": "borg.timer is enabled and active",
        "hook.monitoring": "node-exporter.service is enabled and active",
    }


def test_a_host_without_a_declared_machine_is_not_asked(judge: Judge, healthy: EvidenceBuilder) -> None:
    assert not [check for check, _ in judge(healthy.build()) if check in ("D247", "D248")]


@pytest.mark.parametrize(
    ("probe", "name", "value", "surface", "severity", "reason"),
    [
        ("packages", "rsync", {"status": "", "version": None}, "baseline.packages", "medium", "not installed: rsync"),
        ("packages", "rsync", {"status": "rc", "version": "1"}, "baseline.packages", "medium", "not installed: rsync"),
        ("packages", "rsync", {"status": "iU", "version": "1"}, "baseline.packages", "medium", "not installed: rsync (half done: dpkg says iU)"),
        ("packages", "docker.io", {"status": "", "version": None}, "baseline.docker", "high", "not installed: docker.io, though a Docker is there"),
        ("packages", "borgbackup", {"status": "un", "version": None}, "hook.backup", "medium", "not installed: borgbackup"),
        ("units", "cron.service", unit(enabled="disabled"), "baseline.unit:cron.service", "medium", "cron.service is not enabled (disabled)"),
        ("units", "cron.service", unit(active_state="failed"), "baseline.unit:cron.service", "medium", "cron.service is not active (failed)"),
        ("units", "cron.service", unit(load_state="masked"), "baseline.unit:cron.service", "medium", "cron.service is masked"),
        ("units", "cron.service", unit(load_state="not-found"), "baseline.unit:cron.service", "medium", "cron.service is not there"),
        ("units", "docker.service", unit(enabled="disabled"), "baseline.docker", "high", "docker.service is not enabled (disabled)"),
        ("units", "borg.timer", unit(active_state="inactive"), "hook.backup", "medium", "borg.timer is not active (inactive)"),
    ],
)
def test_what_is_missing_is_named(
    judge: Judge, settled: EvidenceBuilder, probe: str, name: str, value: dict[str, Any], surface: str, severity: str, reason: str
) -> None:
    settled.probes[probe][name] = value
    assert told(judge, settled)[surface] == ("DRIFTED", severity, reason)


def test_what_was_not_looked_at_is_unknown(judge: Judge, settled: EvidenceBuilder) -> None:
    del settled.probes["packages"]["rsync"]
    del settled.probes["units"]["cron.service"]
    seen = told(judge, settled)
    assert seen["baseline.packages"] == ("UNKNOWN", "medium", "rsync was not looked at")
    assert seen["baseline.unit:cron.service"] == ("UNKNOWN", "medium", "cron.service was not looked at")


@pytest.mark.parametrize(
    ("behind", "slowest", "verdict", "words"),
    [
        (29, 0.1, "MET", "the clock is right"),
        (31, 0.1, "DRIFTED", "the clock is 31 s behind the controller's, limit 30 s"),
        (31, 20.0, "MET", "the clock is right"),
        (-31, 20.0, "DRIFTED", "the clock is 31 s ahead of the controller's, limit 30 s"),
    ],
)
def test_a_clock_may_be_off_by_no_more_than_what_the_collection_took(
    judge: Judge, settled: EvidenceBuilder, behind: float, slowest: float, verdict: str, words: str
) -> None:
    settled.probes["identity"]["clock_epoch"] = COLLECTED.timestamp() - behind
    evidence = settled.build()
    record = evidence.probes["tmp"].model_copy(update={"seconds": slowest})
    found = judge(evidence.model_copy(update={"probes": evidence.probes | {"tmp": record}}), desired=DESIRED)["D247", "baseline.time"]
    assert found.verdict.value == verdict
    assert words in found.reason


def test_an_address_that_is_not_the_host_s_own_and_another_gateway_are_drift(judge: Judge, settled: EvidenceBuilder) -> None:
    settled.probes["network"] = {"addresses": ["192.0.2.77/24"], "gateways": []}
    assert told(judge, settled)["baseline.network"] == (
        "DRIFTED",
        "medium",
        "the address 192.0.2.10/24 is not the host's: it has 192.0.2.77/24; the default gateway is none, declared is 192.0.2.1",
    )


NAMED = desired_mint_data(machine=brought_up().model_copy(update={"nameservers": ("192.0.2.53", "2001:db8::53")}))


def named(judge: Judge, builder: EvidenceBuilder, *servers: str, **other: Any) -> tuple[str, str]:
    """Return verdict and reason of the nameservers of a host that asks these."""
    builder.probes["network"]["resolver"] = {"servers": list(servers), "files": ["/etc/resolv.conf"], "error": None, **other}
    finding = judge(builder.build(), desired=NAMED)["D247", "baseline.nameservers"]
    return finding.verdict.value, finding.reason


def test_declared_nameservers_are_among_those_that_the_host_asks(judge: Judge, settled: EvidenceBuilder) -> None:
    assert named(judge, settled, "192.0.2.53", "2001:DB8:0::53", "192.0.2.99") == ("MET", "as declared")
    assert named(judge, settled, "127.0.0.53", "192.0.2.53", "2001:db8::53") == ("MET", "as declared")
    assert named(judge, settled) == ("DRIFTED", "the host asks no nameserver, declared is also 192.0.2.53, 2001:db8::53")
    assert named(judge, settled, "127.0.0.53", "192.0.2.53") == (
        "DRIFTED",
        "the host asks 127.0.0.53, 192.0.2.53, declared is also 2001:db8::53",
    )


def test_nameservers_that_could_not_be_observed_are_unknown(judge: Judge, settled: EvidenceBuilder) -> None:
    assert named(judge, settled, "127.0.0.1", "192.0.2.53") == (
        "UNKNOWN",
        "the host asks 127.0.0.1, a resolver of its own, and whether that asks 2001:db8::53 can't be seen",
    )
    assert named(judge, settled, error="Permission denied") == (
        "UNKNOWN",
        "which nameservers the host asks could not be read: Permission denied",
    )
    del settled.probes["network"]["resolver"]
    older = judge(settled.build(), desired=NAMED)
    assert older["D247", "baseline.nameservers"].reason == "which nameservers the host asks was not looked at"
    assert older["D247", "baseline.network"].verdict is Verdict.MET


@pytest.mark.parametrize(
    ("servers", "verdict", "expect"),
    [(("2001:DB8:0::53", "192.0.2.53", "192.0.2.99"), Verdict.MET, "192.0.2.53 2001:DB8:0::53"), (("192.0.2.99",), Verdict.DRIFTED, "192.0.2.99")],
)
def test_the_second_witness_reads_nameservers_where_they_were_seen(
    judge: Judge, settled: EvidenceBuilder, servers: tuple[str, ...], verdict: Verdict, expect: str
) -> None:
    named(judge, settled, *servers)
    evidence = settled.build()
    finding = judge(evidence, desired=NAMED)["D247", "baseline.nameservers"]
    [question] = questions_for(NAMED, evidence, [finding])
    assert (finding.verdict, question.argv, question.expect, question.how) == (verdict, ("cat", "--", "/etc/resolv.conf"), expect, "words")


def test_the_second_witness_asks_dpkg_and_systemd_themselves(judge: Judge, settled: EvidenceBuilder) -> None:
    evidence = settled.build()
    findings = [f for (check, _), f in judge(evidence, desired=DESIRED).items() if check in ("D247", "D248") and f.verdict is Verdict.MET]
    asked = {(q.surface, *q.argv[:1], q.argv[-1]): q.expect for q in questions_for(DESIRED, evidence, findings)}
    assert asked["baseline.packages", "dpkg-query", "rsync"] == "installed"
    assert asked["baseline.docker", "dpkg-query", "docker.io"] == "installed"
    assert asked["baseline.unit:ssh.service", "systemctl", "ssh.service"] == "active"
    assert asked["baseline.time", "systemctl", "systemd-timesyncd.service"] == "active"
    assert asked["hook.backup", "dpkg-query", "borgbackup"] == "installed"
    assert asked["hook.monitoring", "systemctl", "node-exporter.service"] == "active"
