"""D249: what runs is what the manifest pins, healthy, from the files that were deployed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.finding import Verdict
from controlplane.domain.releases.wanted import ComposeText
from controlplane.domain.witness import questions_for
from tests.fakes.evidence_builder import EvidenceBuilder, desired_mint_data
from tests.fakes.release_builder import NEW, OLD, of_service, release_wanted, running
from tests.unit.domain.checks.conftest import Judge

WANTED = release_wanted()
DESIRED = desired_mint_data(releases=(WANTED,))
IMAGE = WANTED.images["web"]
KEY = ("D249", "release:shop")


def again(builder: EvidenceBuilder, service: str, **other: Any) -> EvidenceBuilder:
    """Let a second container of a service run, otherwise as the first."""
    builder.probes["docker_containers"].append(of_service(builder, service) | other)
    return builder


Change = Callable[[EvidenceBuilder], object]


def test_a_stack_that_runs_its_manifest_is_met(judge: Judge, healthy: EvidenceBuilder) -> None:
    found = judge(running(healthy, WANTED).build(), desired=DESIRED)[KEY]
    assert (found.verdict, found.reason) == (Verdict.MET, "2 services run, healthy, by manifest v1")


def test_a_host_to_which_no_release_is_brought_is_not_asked(judge: Judge, healthy: EvidenceBuilder) -> None:
    assert not [check for check, _ in judge(running(healthy, WANTED).build()) if check == "D249"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda b: of_service(b, "web").update(image_digests=[f"registry.example.org/shop/web@{NEW}"]), f"web: shop-web-1 runs {NEW}, not {OLD}"),
        (
            lambda b: of_service(b, "web").update(image_digests=[]),
            f"web: shop-web-1 runs {IMAGE}, which came from no registry, not {OLD}",
        ),
        (lambda b: of_service(b, "web").update(state="exited", running=False), "web: shop-web-1 is exited, not running"),
        (lambda b: of_service(b, "web").update(health="starting"), "web: shop-web-1 is starting, not healthy"),
        (lambda b: of_service(b, "web").update(health=None), "web: shop-web-1 is without a health check, not healthy"),
        (lambda b: of_service(b, "db").update(compose_project="other"), "db: no container of shop runs it"),
        (lambda b: b.probes["releases"]["shop"].update(record=None), "no release of shop is on record on the host"),
        (lambda b: b.probes["releases"]["shop"].update(changed=[".env"]), "/opt/stacks/shop/.env is not what was deployed"),
        (
            lambda b: b.probes["releases"]["shop"]["record"].update(manifest="sha256:0", manifest_name="v0"),
            "what was deployed is manifest v0, not v1",
        ),
        (lambda b: b.probes["releases"]["shop"]["record"].update(env_digest="hmac-sha256:0"), "the environment file is another one"),
        (lambda b: b.probes["releases"]["shop"]["record"]["files"].update({"compose.yml": "0"}), "compose.yml is another one"),
        (lambda b: b.probes["releases"]["shop"]["record"]["files"].pop("compose.yml"), "compose.yml is new"),
        (lambda b: b.probes["releases"]["shop"]["record"]["files"].update({"more.yml": "0"}), "more.yml is no part of it any more"),
        (lambda b: of_service(b, "web").update(id="other"), "web: shop-web-1 is not what its deployment made"),
        (lambda b: again(b, "web", id="other", name="shop-web-2"), "web: shop-web-2 is not what its deployment made"),
        (lambda b: again(b, "web", id="other", compose_service="extra"), "extra: shop-web-1 is not what its deployment made"),
        (lambda b: b.probes["releases"]["shop"]["record"]["containers"]["web"].append("gone"), "web: 1 of its containers are gone"),
        (lambda b: b.probes["releases"]["shop"]["record"].update(dir="/srv/shop"), "it was deployed to /srv/shop, not /opt/stacks/shop"),
    ],
)
def test_whatever_else_runs_is_drift_and_named(judge: Judge, healthy: EvidenceBuilder, change: Change, reason: str) -> None:
    change(running(healthy, WANTED))
    found = judge(healthy.build(), desired=DESIRED)[KEY]
    assert (found.verdict, found.severity, found.reason) == (Verdict.DRIFTED, "high", reason)


def test_the_order_of_the_files_decides_what_compose_makes_of_them(judge: Judge, healthy: EvidenceBuilder) -> None:
    files = tuple(ComposeText(name=name, text=f"name: shop # {name}\n") for name in ("a.yml", "b.yml"))
    running(healthy, release_wanted(compose=files))
    turned = desired_mint_data(releases=(release_wanted(compose=files[::-1]),))
    found = judge(healthy.build(), desired=turned)[KEY]
    assert (found.verdict, found.reason) == (Verdict.DRIFTED, "its files were read in the order a.yml, b.yml, not b.yml, a.yml")


def test_what_somebody_ran_once_beside_it_is_no_part_of_it(judge: Judge, healthy: EvidenceBuilder) -> None:
    again(running(healthy, WANTED), "web", id="other", name="shop-web-run-0123", state="exited", running=False, compose_oneoff=True)
    assert judge(healthy.build(), desired=DESIRED)[KEY].verdict is Verdict.MET


def test_a_record_that_is_older_than_order_and_containers_is_judged_without_them(judge: Judge, healthy: EvidenceBuilder) -> None:
    record = running(healthy, WANTED).probes["releases"]["shop"]["record"]
    del record["order"], record["containers"]
    of_service(healthy, "web")["id"] = "other"
    assert judge(healthy.build(), desired=DESIRED)[KEY].verdict is Verdict.MET


def test_a_digest_that_was_not_collected_is_doubt(judge: Judge, healthy: EvidenceBuilder) -> None:
    del of_service(running(healthy, WANTED), "web")["image_digests"]
    found = judge(healthy.build(), desired=DESIRED)[KEY]
    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "the digest of shop-web-1's image was not collected")


def test_a_record_that_was_not_looked_at_is_doubt(judge: Judge, healthy: EvidenceBuilder) -> None:
    del running(healthy, WANTED).probes["releases"]["shop"]
    assert judge(healthy.build(), desired=DESIRED)[KEY].verdict is Verdict.UNKNOWN


def test_the_second_witness_is_asked_for_image_and_health_of_each_container(judge: Judge, healthy: EvidenceBuilder) -> None:
    evidence = running(healthy, WANTED).build()
    found = judge(evidence, desired=DESIRED)[KEY]
    asked = questions_for(DESIRED, evidence, [found])
    assert [(question.argv[-1], question.expect) for question in asked] == [
        ("shop-web-1", "sha256:id-web healthy"),
        ("shop-db-1", "sha256:id-db healthy"),
    ]
