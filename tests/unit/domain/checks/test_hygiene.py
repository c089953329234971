"""D238, D239, D243, D244 and waivers: what grows, what is retired, and what a person has accepted."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.checks import CHECKS
from controlplane.domain.desired import DesiredHost, Limits
from controlplane.domain.services import WriteSurface
from tests.fakes.evidence_builder import COLLECTED, GB, MINIO, POSTGRES, REDIS, EvidenceBuilder, bind, desired_mint_data, place, until, waiver
from tests.unit.domain.checks.conftest import Judge

Spoil = Callable[[EvidenceBuilder], Any]
SURFACE = WriteSurface(container=MINIO, path="/tmp/up", place="/mnt/data/up")


def _bound(source: str) -> Spoil:
    def spoil(builder: EvidenceBuilder) -> None:
        builder.container(MINIO)["mounts"].append(bind(source, "/tmp/up"))
        for path in {source, "/mnt/data/up"}:
            builder.probes["paths"][path] = place(path, "254:16", "/mnt/data")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (_bound("/mnt/data/up"), "MET", "/tmp/up is bound to /mnt/data/up"),
        (_bound("/mnt/data/elsewhere"), "DRIFTED", "/tmp/up lies in /mnt/data/elsewhere, declared is /mnt/data/up"),
        (lambda _: None, "DRIFTED", "/tmp/up lies in the writable layer, declared is /mnt/data/up"),
        (lambda b: b.container(MINIO).update(tmpfs=["/tmp"]), "DRIFTED", "/tmp/up lies in memory, declared is /mnt/data/up"),
        (lambda b: b.probes["docker_containers"].remove(b.container(MINIO)), "DRIFTED", f"there is no container {MINIO}"),
        (lambda b: b.fail("docker_containers"), "UNKNOWN", "docker_containers: failed: boom"),
        (lambda b: (_bound("/mnt/data/up")(b), b.probes["paths"].pop("/mnt/data/up")), "UNKNOWN", "/mnt/data/up was not looked at"),
    ],
)
def test_a_write_surface_is_bound_to_its_place(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str) -> None:
    spoil(healthy)
    finding = judge(healthy, desired_mint_data(write_surfaces=(SURFACE,)))["D238", f"write_surface:{MINIO}:/tmp/up"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


def test_a_large_file_in_tmp_drifts_by_its_name(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.probes["tmp"]["files"].insert(0, {"path": "/tmp/dump.sql", "size": 40_000_000})
    findings = judge(healthy)
    assert findings["D238", "tmp:/tmp/dump.sql"].reason == "40.0 MB, limit 10.0 MB"
    assert ("D238", "tmp:*") not in findings


def test_more_large_files_than_are_listed_are_told(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.probes["tmp"] = {"files": [{"path": "/tmp/a", "size": 40_000_000}], "truncated": True}
    assert judge(healthy)["D238", "tmp:*"].reason == "there are more files over 10.0 MB than the 1 that are listed"


def test_a_limit_below_what_is_listed_is_unknown(healthy: EvidenceBuilder, judge: Judge) -> None:
    finding = judge(healthy, desired_mint_data(thresholds=Limits(tmp_file=500_000)))["D238", "tmp:*"]
    assert (finding.verdict, finding.reason) == ("UNKNOWN", "files are listed from 1.0 MB on, the limit is 500.0 kB")


def test_a_large_writable_layer_drifts_and_one_without_a_size_is_unknown(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.container(MINIO)["writable_bytes"] = GB
    assert judge(healthy)["D238", f"writable_layer:{MINIO}"].reason == "its writable layer has 1.0 GB, limit 500.0 MB"
    for nothing in (None, -1):
        healthy.container(MINIO)["writable_bytes"] = nothing
        finding = judge(healthy)["D238", f"writable_layer:{MINIO}"]
        assert (finding.verdict, finding.reason) == ("UNKNOWN", "Docker did not tell the size of its writable layer")


def test_linkage_is_judged_only_when_asked_and_is_unknown_without_registers(healthy: EvidenceBuilder, judge: Judge) -> None:
    assert not [key for key in judge(healthy) if key[0] == "D239"]
    finding = judge(healthy, only={"D239"})["D239", "register:*"]
    assert (finding.verdict, finding.reason) == (
        "UNKNOWN",
        "no registers were read: the site has none: registers/gaps.yml, loops.yml and findings.yml",
    )


def _daemon(text: str | None) -> Spoil:
    return lambda b: b.probes["docker_config"].update(daemon_json=text)


OLD = "1 of 3 containers keep other options until they are recreated: mint-modules-minio "
UP = "docker compose --project-name mint-data --project-directory /opt/stacks/mint-data --file /opt/stacks/mint-data/compose.yml up"
ANEW = f"to recreate them, without what their own layers hold: {UP} --detach --no-deps --force-recreate {MINIO}"


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (lambda _: None, "MET", "json-file logs are rotated, also of all 3 containers"),
        (_daemon(None), "DRIFTED", "new containers: json-file without max-size"),
        (_daemon('{"log-opts": {"max-size": "100m"}}'), "DRIFTED", "new containers: json-file with max-size 100m x 1, declared 10.0 MB x 3"),
        (
            _daemon('{"log-opts": {"max-size": "10MB", "max-file": "5"}}'),
            "DRIFTED",
            "new containers: json-file with max-size 10MB x 5, declared 10.0 MB x 3",
        ),
        (
            _daemon('{"log-driver": "journald"}'),
            "DRIFTED",
            "Docker runs with the log driver json-file, configured is journald: it was not restarted since",
        ),
        (
            lambda b: (_daemon(None)(b), b.probes["docker_config"]["dockerd_flags"].extend(["--log-opt", "max-size=5m", "--log-opt=max-file=2"])),
            "MET",
            "json-file logs are rotated, also of all 3 containers",
        ),
        (lambda b: b.container(MINIO).update(log_options={}), "DRIFTED", f"{OLD}(json-file without max-size); {ANEW}"),
        (lambda b: b.container(MINIO).update(log_options={"max-size": "-1"}), "DRIFTED", f"{OLD}(json-file without max-size); {ANEW}"),
        (lambda b: b.container(MINIO).update(log_driver="journald", log_options={}), "MET", "json-file logs are rotated, also of all 3 containers"),
        (
            lambda b: b.container(MINIO).update(log_driver="local", log_options={}),
            "DRIFTED",
            f"{OLD}(local with max-size 20m x 5, declared 10.0 MB x 3); {ANEW}",
        ),
        (lambda b: b.container(MINIO).update(log_options={"max-size": "ten"}), "UNKNOWN", "max-size 'ten' is no size"),
        (_daemon("{"), "UNKNOWN", "daemon.json is no JSON"),
        (_daemon("[]"), "UNKNOWN", "daemon.json is no object"),
        (lambda b: b.without_docker(), "MET", "Docker is not installed"),
    ],
)
def test_logs_are_rotated_for_new_containers_and_for_those_that_are_there(
    healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str
) -> None:
    spoil(healthy)
    finding = judge(healthy)["D243", "docker.log"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


def test_the_commands_that_recreate_containers_start_none_that_does_not_run(healthy: EvidenceBuilder, judge: Judge) -> None:
    for one in (MINIO, REDIS):
        healthy.container(one).update(log_options={})
    healthy.container(REDIS).update(running=False, compose_service="import", compose_files=["/opt/a.yml", "/opt/our own.yml"], compose_dir="/opt")
    *_, first, second = judge(healthy)["D243", "docker.log"].reason.split("; ")
    assert first == ANEW
    stack = "docker compose --project-name mint-data --project-directory /opt --file /opt/a.yml --file '/opt/our own.yml'"
    assert second == f"{stack} up --no-start --no-deps --force-recreate import"


def test_services_of_one_stack_are_recreated_by_one_command_and_what_compose_did_not_make_by_hand(healthy: EvidenceBuilder, judge: Judge) -> None:
    for one in (MINIO, POSTGRES, REDIS):
        healthy.container(one).update(log_options={})
    assert judge(healthy)["D243", "docker.log"].reason.endswith(f": {UP} --detach --no-deps --force-recreate {MINIO} {POSTGRES} {REDIS}")
    healthy.container(REDIS).update(compose_oneoff=True)
    healthy.container(MINIO).update(compose_project=None, compose_service=None, compose_files=[], compose_dir=None)
    *_, first, second = judge(healthy)["D243", "docker.log"].reason.split("; ")
    assert first.endswith(f": {MINIO}, {REDIS} by hand with the same options, as no compose file makes it")
    assert second == f"{UP} --detach --no-deps --force-recreate {POSTGRES}"


def test_a_policy_that_says_nothing_of_logs_is_not_asked_about_them(healthy: EvidenceBuilder, judge: Judge) -> None:
    assert ("D243", "docker.log") not in judge(healthy, DesiredHost(host="h", tier="boot-only", data="boot"))


def _retired(**other: Any) -> Spoil:
    plain = {"path": "/var/lib/docker.old", "run": "CAP-1", "retired_at": "2025-12-30T12:00:00Z", "size": 34 * GB, "entries": 9, "exists": True}
    plain |= {"recorded": "sha256:a", "fingerprint": "sha256:a", "unreadable": None, "purging": None, "replaced_by": "/mnt/data/docker"}
    return lambda b: b.probes["target_state"].update(retired=[plain | other])


ASIDE = "/var/lib/.controlplane-purging-docker.old"
BEGUN = {"aside": ASIDE, "run": "CAP-9", "entries": 4, "size": 12 * GB}
LEFT = "12.0 GB in 4 entries are left"
AWAY = ", and move it away or remove it yourself"
AWAY_FROM_BOTH = ", and move the former away or remove it yourself"
FINISH = "to finish it: controlplane plan --host mint-data --capability storage.purge"
TOO_LARGE = "too large to be compared with what was retired in an audit's time, the purge itself does so first"
WHAT = "34.0 GB, retired 3 d ago by CAP-1, replaced by /mnt/data/docker"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_retired(), ("DRIFTED", "low", f"{WHAT}; to purge it: controlplane plan --host mint-data --capability storage.purge")),
        (_retired(fingerprint="sha256:b"), ("DRIFTED", "medium", f"{WHAT}; it has changed since, so a purge would refuse it")),
        (
            _retired(fingerprint=None),
            (
                "DRIFTED",
                "low",
                f"{WHAT}; {TOO_LARGE}; to purge it: controlplane plan --host mint-data --capability storage.purge",
            ),
        ),
        (
            _retired(fingerprint=None, unreadable="[Errno 5] Input/output error"),
            ("DRIFTED", "medium", f"{WHAT}; it can't be read, so a purge would refuse it: [Errno 5] Input/output error"),
        ),
        (
            _retired(exists=False, fingerprint=None, purging=BEGUN),
            ("DRIFTED", "medium", f"its purge was begun by CAP-9 and not finished: 12.0 GB in 4 entries are left in {ASIDE}; {FINISH}"),
        ),
        (
            _retired(exists=False, fingerprint=None, purging=BEGUN | {"entries": None, "size": None}),
            ("DRIFTED", "medium", f"its purge was begun by CAP-9 and not finished: an unknown rest is left in {ASIDE}; {FINISH}"),
        ),
        (
            _retired(exists=False, fingerprint=None, purging=BEGUN | {"run": None}),
            (
                "DRIFTED",
                "medium",
                f"{ASIDE} is there, and no journal on the host says that it is what CAP-1 retired: {LEFT}; look at it{AWAY}",
            ),
        ),
        (
            _retired(purging=BEGUN),
            (
                "DRIFTED",
                "medium",
                f"{ASIDE} is there with /var/lib/docker.old there as well, so a purge would refuse both: {LEFT}; look at both{AWAY_FROM_BOTH}",
            ),
        ),
        (_retired(retired_at="?"), ("UNKNOWN", "low", "when it was retired can't be read: '?'")),
    ],
)
def test_retired_data_drift_until_they_are_purged(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, expected: tuple[str, str, str]) -> None:
    spoil(healthy)
    finding = judge(healthy)["D244", "retired:/var/lib/docker.old"]
    assert (finding.verdict, finding.severity, finding.reason) == expected


def test_what_was_purged_drifts_no_more(healthy: EvidenceBuilder, judge: Judge) -> None:
    _retired(exists=False, fingerprint=None)(healthy)
    assert judge(healthy)["D244", "retired:*"].reason == "nothing that was retired is left"


def _over_budget(builder: EvidenceBuilder) -> EvidenceBuilder:
    builder.probes["docker_usage"]["images"] = 18 * GB
    return builder


def test_a_waiver_in_force_waives_its_drift_and_names_who_and_why(healthy: EvidenceBuilder, judge: Judge) -> None:
    finding = judge(_over_budget(healthy), desired_mint_data(waivers=(waiver("D237"),)))["D237", "budget.images"]
    assert finding.verdict == "WAIVED"
    assert finding.reason == "images: 18.0 GB, budget 15.0 GB; waived by ops until 2027-01-01 00:00 UTC: known"


def test_a_waiver_of_another_surface_or_check_does_not_count(healthy: EvidenceBuilder, judge: Judge) -> None:
    others = (waiver("D237", surface="budget.volumes"), waiver("D238"))
    assert judge(_over_budget(healthy), desired_mint_data(waivers=others))["D237", "budget.images"].verdict == "DRIFTED"


@pytest.mark.parametrize(("left", "verdict"), [(timedelta(seconds=1), "WAIVED"), (timedelta(0), "DRIFTED")])
def test_a_waiver_ends_with_its_last_day(healthy: EvidenceBuilder, judge: Judge, left: timedelta, verdict: str) -> None:
    now = COLLECTED + timedelta(minutes=1)
    finding = judge(_over_budget(healthy), desired_mint_data(waivers=(waiver("D237", ends_at=now + left),)), now=now)["D237", "budget.images"]
    assert finding.verdict == verdict


@pytest.mark.parametrize(
    ("values", "verdict", "why"),
    [
        ({"root_used": 60}, "WAIVED", "; waived by ops"),
        ({"root_used": 20}, "DRIFTED", "; its waiver by ops is void: root_used is 20.8%, it was given up to 20%"),
        ({"images": 18 * GB}, "WAIVED", "; waived by ops"),
        ({"images": 17 * GB}, "DRIFTED", "; its waiver by ops is void: images is 18.0 GB, it was given up to 17.0 GB"),
    ],
)
def test_a_waiver_holds_only_up_to_its_values(healthy: EvidenceBuilder, judge: Judge, values: dict[str, int], verdict: str, why: str) -> None:
    finding = judge(_over_budget(healthy), desired_mint_data(waivers=(waiver("D237", until=until(**values)),)))["D237", "budget.images"]
    assert finding.verdict == verdict
    assert why in finding.reason


def test_a_waiver_whose_values_cannot_be_checked_does_not_hold(healthy: EvidenceBuilder, judge: Judge) -> None:
    desired = desired_mint_data(waivers=(waiver("D237", until=until(root_used=60)),))
    finding = judge(_over_budget(healthy).fail("usage"), desired)["D237", "budget.images"]
    assert finding.verdict == "DRIFTED"
    assert finding.reason.endswith("its waiver by ops does not hold: root_used could not be checked (usage: failed: boom)")


def test_an_unknown_is_never_waived(healthy: EvidenceBuilder, judge: Judge) -> None:
    finding = judge(healthy.fail("docker_usage"), desired_mint_data(waivers=(waiver("D237"),)))["D237", "budget.images"]
    assert finding.verdict == "UNKNOWN"


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_every_check_says_what_drifts_what_is_unknown_and_why(check: Any) -> None:
    for section in ("Description: ", "Drift: ", "Unknown: ", "Rationale: "):
        assert f"\n{section}" in inspect.getdoc(check.questions)  # without the indent, which Python 3.13 drops by itself


def test_a_naive_clock_is_no_time_to_judge_by(healthy: EvidenceBuilder, judge: Judge) -> None:
    finding = judge(healthy, now=datetime(2026, 1, 2, 12, 1, tzinfo=UTC).replace(tzinfo=None))["D234", "boot.usage"]
    assert finding.verdict == "UNKNOWN"
