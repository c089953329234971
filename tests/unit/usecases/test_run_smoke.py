"""release smoke: which manifest proved itself, what keeps a run from proving anything, and what is on record of it."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.errors import InputInvalidError, InterruptedRunError, RefusedError, RunFailedError
from controlplane.domain.readiness import void_because
from controlplane.domain.receipt import open_intents
from controlplane.domain.releases.smoke import SmokeReport, SmokeTest
from controlplane.domain.releases.values import EnvironmentName
from controlplane.domain.run_list import run_rows
from controlplane.render.junit import junit_of_smoke
from controlplane.usecases.apply_guards import open_of
from controlplane.usecases.judge_ready import judge_ready
from tests.fakes.releases import SECRET, STACK, ReleaseSite, deploy_plan, digest, env_text, manifest
from tests.fakes.site import OPERATOR


@pytest.fixture
def site() -> ReleaseSite:
    fake = ReleaseSite()
    fake.deploy(1)
    return fake


def test_a_run_that_passed_is_on_record_and_in_the_manifest(site: ReleaseSite) -> None:
    lines: list[str] = []
    report = site.smoke(progress=lines.append)
    assert (report.passed, report.doubt, report.why_not, report.exit_code()) == (True, None, None, 0)
    assert (report.stack, report.environment, report.manifest, report.manifest_name) == (STACK, "staging", manifest(1).digest, "r1")
    intent, result = site.receipts.chain[-2:]
    assert (intent.phase, intent.capability, intent.host, intent.step, intent.plan) == ("intent", "release.smoke", "*", "shop/staging", "")
    assert (result.key, result.outcome, result.reason, result.told) == (
        report.run, "done", None, report.model_dump(mode="json", exclude={"run"}),
    )  # fmt: skip
    assert SmokeReport.model_validate({"run": result.key, **(result.told or {})}) == report
    assert result.evidence is not None
    assert site.files.marks == [(STACK, "r1", report.run)]
    assert lines == [
        "shop in staging: what runs, by evidence",
        "shop in staging: the smoke tests of manifest r1",
        "  test_flow.py::test_it: passed",
    ]


def test_what_was_asked_is_on_record_file_by_file(site: ReleaseSite) -> None:
    report = site.smoke()
    assert (report.files, report.urls) == ({"shop/smoke/test_flow.py": "1" * 64}, {"intake": "http://10.0.0.1:8080"})


def test_tests_that_were_changed_while_they_ran_prove_nothing(site: ReleaseSite) -> None:
    site.tests.during = lambda: site.files.tests.update({"shop/smoke/test_flow.py": "2" * 64})
    report = site.smoke()
    assert (report.passed, report.exit_code(), site.files.marks) == (False, 5, [])
    assert report.doubt == "its tests were changed while they ran: shop/smoke/test_flow.py"
    assert report.files == {"shop/smoke/test_flow.py": "1" * 64}


def test_tests_are_told_what_is_deployed_and_what_they_may_not_say(site: ReleaseSite) -> None:
    site.smoke()
    given = site.tests.given
    assert given["release"] == {"stack": STACK, "environment": "staging", "manifest": "r1"}
    assert given["hosts"] == ["mint-apps", "mint-data"]
    assert given["smoke"].urls == {"intake": "http://10.0.0.1:8080"}
    assert SECRET in given["hidden"]


def test_a_run_in_production_is_in_no_manifest(site: ReleaseSite) -> None:
    site.deploy(2, "production")
    report = site.smoke("production")
    assert (report.passed, report.manifest_name, site.files.marks) == (True, "r2", [])
    assert site.receipts.chain[-1].step == "shop/production"


@pytest.mark.parametrize(("outcome", "code"), [("failed", 1), ("skipped", 5), ("error", 5)])
def test_a_test_that_did_not_pass_makes_the_run_fail_and_marks_nothing(site: ReleaseSite, outcome: Any, code: int) -> None:
    site.tests.tests += (SmokeTest(name="test_flow.py::test_other", outcome=outcome, reason="as it said", host="mint-data"),)
    report = site.smoke()
    assert (report.passed, report.exit_code(), site.files.marks) == (False, code, [])
    last = site.receipts.chain[-1]
    assert (last.outcome, last.reason) == ("failed", f"test_flow.py::test_other on mint-data: {outcome}: as it said")


def test_a_run_without_a_test_is_no_pass(site: ReleaseSite) -> None:
    site.tests.tests = ()
    report = site.smoke()
    assert (report.passed, report.exit_code(), report.why_not) == (False, 5, "no test was run")


STUB = "intake: shop-staging-intake-1 runs {}, not {}".format(digest(2, "intake"), digest(1, "intake"))


@pytest.mark.parametrize(("meanwhile", "where"), [(False, ""), (True, "after the tests ")])
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"image_digests": list(manifest(2).images.values())[:1]}, STUB),
        ({"state": "exited", "running": False}, "intake: shop-staging-intake-1 is exited, not running"),
        ({"health": "unhealthy"}, "intake: shop-staging-intake-1 is unhealthy, not healthy"),
        ({"compose_project": "other"}, "intake: no container of shop-staging runs it"),
    ],
)
def test_another_image_than_the_manifests_on_any_host_at_any_time_is_doubt(
    site: ReleaseSite, meanwhile: bool, where: str, changed: dict[str, Any], told: str
) -> None:
    def spoil() -> None:
        site.service("mint-data", "intake").update(changed)

    if meanwhile:
        site.tests.during = spoil
    else:
        spoil()
    report = site.smoke()
    assert (report.passed, report.exit_code(), report.doubt, site.files.marks) == (False, 5, f"mint-data: {where}{told}", [])
    assert (site.receipts.chain[-1].outcome, site.receipts.chain[-1].reason) == ("failed", report.doubt)


def test_what_was_mended_while_it_was_tested_is_doubt_all_the_same(site: ReleaseSite) -> None:
    site.service("mint-data", "intake")["health"] = "starting"
    site.tests.during = lambda: site.service("mint-data", "intake").update(health="healthy")
    assert site.smoke().doubt == "mint-data: before the tests intake: shop-staging-intake-1 is starting, not healthy"


def test_a_container_that_was_made_anew_meanwhile_is_doubt_and_one_that_was_restarted_is_not(site: ReleaseSite) -> None:
    site.tests.during = lambda: site.service("mint-apps", "seeds").update(started_at="2026-01-02T12:30:00Z")
    assert site.smoke().passed
    site.tests.during = lambda: site.service("mint-apps", "seeds").update(id="another")
    assert site.smoke().doubt == "mint-apps: seeds was made anew while it was tested"


def test_doubt_wins_over_a_test_that_failed(site: ReleaseSite) -> None:
    site.tests.tests = (SmokeTest(name="a", outcome="failed", reason="no"),)
    site.service("mint-data", "intake")["health"] = "unhealthy"
    assert site.smoke().exit_code() == 5


def test_what_could_not_be_observed_is_doubt(site: ReleaseSite) -> None:
    del site.service("mint-data", "seeds")["image_digests"]
    assert site.smoke().doubt == "mint-data: what runs was not observed: the digest of shop-staging-seeds-1's image was not collected"
    site.evidence.unreached = {"mint-data": "No route to host"}
    assert site.smoke().doubt == "mint-data: it was not reached: No route to host"
    assert site.files.marks == []


def test_only_what_is_needed_is_looked_at_twice(site: ReleaseSite) -> None:
    asked = site.evidence.asked
    site.smoke()
    assert site.evidence.asked == asked + 2


def test_what_nobody_can_say_is_refused_before_anything_is_run() -> None:
    site = ReleaseSite()
    with pytest.raises(
        RefusedError, match=r"nothing is deployed by a release on mint-apps, mint-data. Nothing was run. First: controlplane release stage"
    ):
        site.smoke()
    with pytest.raises(RefusedError, match="First: controlplane release promote shop --manifest NAME"):
        site.smoke("production")
    site.deploy(1, hosts=("mint-apps",))
    with pytest.raises(RefusedError, match=r"its hosts disagree: mint-apps runs r1, mint-data runs none. Nothing was run"):
        site.smoke()
    run = site.deploy(2, ends={"mint-data": "open"})
    with pytest.raises(RefusedError, match=r"a deployment has not ended: .* on mint-data, of r2"):
        site.smoke()
    site.take_back(run)
    assert [receipt for receipt in site.receipts.chain if receipt.capability == "release.smoke"] == []
    assert (site.evidence.asked, site.tests.given) == (0, {})


def test_a_manifest_that_says_something_else_by_now_is_refused_in_staging(site: ReleaseSite) -> None:
    site.deploy(1, "production")
    site.files.held[STACK, "r1"] = manifest(2)
    with pytest.raises(RefusedError, match=r"manifest r1 says something else than what CAP-.* deployed.* Nothing was run"):
        site.smoke()
    assert site.smoke("production").manifest == manifest(1).digest


@pytest.mark.parametrize(("stack", "environment"), [("other", "staging"), ("shop", "production")])
def test_what_there_is_not_is_invalid_before_anything_is_run(site: ReleaseSite, stack: str, environment: EnvironmentName) -> None:
    held = site.files.specs[STACK]
    site.files.specs[STACK] = held.model_copy(update={"environments": {"staging": held.environments["staging"]}})
    before = list(site.receipts.chain)
    with pytest.raises(InputInvalidError, match=f"releases/{stack}.yml: "):
        site.smoke(environment, stack=stack)
    assert (site.receipts.chain, site.tests.given) == (before, {})


def test_a_host_that_the_policy_does_not_govern_is_invalid(site: ReleaseSite) -> None:
    held = site.files.specs[STACK]
    staging = held.environments["staging"].model_copy(update={"hosts": ("mint-apps", "nobody")})
    site.files.specs[STACK] = held.model_copy(update={"environments": {"staging": staging}})
    with pytest.raises(InputInvalidError, match=r"releases/shop.yml: environments.staging.hosts: nobody is not governed by inventory/lab/policy.yml"):
        site.smoke()


def test_an_environment_file_that_can_not_be_read_is_invalid_and_another_environments_is_not(site: ReleaseSite) -> None:
    """Without it nobody knows what has to be hidden."""
    del site.files.env[STACK, "production"]
    assert site.smoke().passed
    del site.files.env[STACK, "staging"]
    with pytest.raises(InputInvalidError, match=r".env.staging: does not exist"):
        site.smoke()


def test_a_pass_that_can_not_be_put_into_the_manifest_says_so_and_is_on_record(site: ReleaseSite) -> None:
    site.files.refuses = RefusedError("r1.yml is locked by bob. Nothing was changed.")
    with pytest.raises(RunFailedError, match=r"The run passed and is on record as CAP-.*could not be put into manifest r1: r1.yml is locked by bob"):
        site.smoke()
    assert site.receipts.chain[-1].outcome == "done"


def test_a_run_that_is_cut_off_anywhere_proves_nothing_and_is_in_nobodys_way(site: ReleaseSite) -> None:
    site.arm(None)
    site.smoke()
    for at in range(1, site.world.count + 1):
        one = ReleaseSite()
        one.deploy(1)
        one.arm(at)
        with pytest.raises(KeyboardInterrupt):
            one.smoke()
        one.arm(None)
        assert open_intents(one.receipts.chain) == ()
        rows = [row for row in run_rows(one.receipts.chain) if row.capability == "release.smoke"]
        assert {row.next for row in rows} <= {"nothing", "prove it again: controlplane release smoke shop --env staging"}
        assert {row.state for row in rows} <= {"done", "interrupted"}
        plan = deploy_plan(2, "staging")
        assert open_of(plan, tuple(one.receipts.chain)) == ((), None)
        assert chain_faults(one.receipts.load()) == ()
        assert one.smoke().passed


def test_one_that_is_stopped_while_it_looks_is_on_record_as_interrupted(site: ReleaseSite) -> None:
    site.arm(3, InterruptedRunError)
    with pytest.raises(InterruptedRunError):
        site.smoke()
    assert (site.receipts.chain[-1].phase, site.receipts.chain[-1].outcome) == ("result", "interrupted")


def test_neither_run_voids_a_ready_receipt(site: ReleaseSite) -> None:
    answer, _ = judge_ready("mint-data", site.view, operator=OPERATOR, ports=site.ports)
    ready = site.receipts.chain[-1]
    assert answer.ready, answer.needs
    site.smoke()
    site.recert()
    site.arm(5)
    with pytest.raises(KeyboardInterrupt):
        site.smoke()
    why = void_because(ready, site.receipts.chain, policy=ready.policy, route=ready.route or "", now=site.clock.now())
    assert why is None
    assert judge_ready("mint-data", site.view, operator=OPERATOR, ports=site.ports)[0].ready


def test_two_hosts_that_are_one_machine_end_the_run_before_its_tests(site: ReleaseSite) -> None:
    site.hosts["mint-apps"].name = "mint-data"
    site.hosts["mint-apps"].probes["identity"]["machine_id"] = site.hosts["mint-data"].probes["identity"]["machine_id"]
    with pytest.raises(InputInvalidError, match="is the same machine as"):
        site.smoke()
    assert (site.receipts.chain[-1].outcome, site.tests.given) == ("failed", {})


def test_what_ends_a_run_is_on_record_without_secrets(site: ReleaseSite) -> None:
    def breaks() -> None:
        raise RunFailedError(f"no room for {SECRET}")

    site.tests.during = breaks
    with pytest.raises(RunFailedError):
        site.smoke()
    assert (site.receipts.chain[-1].outcome, site.receipts.chain[-1].reason) == ("failed", "no room for ***")


LEAKED = SmokeTest(name="test_flow.py::test_it", outcome="failed", reason="500: password authentication failed for Nachtigall-31")


@pytest.mark.parametrize("back", [False, True])
def test_no_message_of_a_test_is_kept_where_what_runs_was_given_another_environment_file(back: bool) -> None:
    """After a way back the former secret runs, and nobody here knows it any more; so it is before a new one was brought."""
    site = ReleaseSite()
    site.deploy(1)
    if back:
        site.files.env[STACK, "staging"] = env_text("staging").replace(SECRET, "a-newer-one")
    site.tests.tests = (LEAKED, SmokeTest(name="test_flow.py::test_other", outcome="passed"))
    report = site.smoke()
    told = "its message is not kept: what runs was given another environment file than the one that lies here, so its values are not known"
    assert [(test.outcome, test.reason) for test in report.tests] == [("failed", told if back else LEAKED.reason), ("passed", "")]
    for text in (str(site.receipts.chain[-1]), junit_of_smoke(report)):
        assert ("Nachtigall-31" in text) is not back
    assert report.exit_code() == 1
