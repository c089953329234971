"""apply runs exactly its plan, or refuses before anything is changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.approval import Approval, approve
from controlplane.domain.errors import RefusedError, RunFailedError, UnknownError
from controlplane.domain.plan import Plan, seal
from controlplane.domain.receipt import ChainFault
from controlplane.ports.plays import StepResult
from tests.fakes.evidence_builder import DATA, GB
from tests.fakes.site import FakeSite

INTERFACE_FIELDS = ["run", "receipts", "plan", "outcome", "changed", "verify", "remaining"]


def _resealed(plan: Plan, **other: Any) -> Plan:
    parts: dict[str, Any] = {name: getattr(plan, name) for name in ("site", "made_at", "binds", "bounds", "steps", "refusals")}
    return seal(**(parts | other))


def _refused(site: FakeSite, plan: Plan, operator: str = "ann@desk") -> str:
    """Return why the apply was refused, and hold that nothing was changed by it."""
    plays, links = list(site.runner.plays), len(site.receipts.chain)
    before = copy.deepcopy({name: host.probes for name, host in site.hosts.items()})
    with pytest.raises(RefusedError) as refusal:
        site.apply(plan, operator)
    assert refusal.value.exit_code == 4
    assert site.runner.plays == plays
    assert len(site.receipts.chain) == links
    assert {name: host.probes for name, host in site.hosts.items()} == before
    assert site.locks.held_by == {}
    assert "Nothing was changed" in str(refusal.value)
    return str(refusal.value)


def test_a_done_apply_reports_exactly_the_plans_change_records_and_the_fields_of_the_interface() -> None:
    site = FakeSite()
    plan = site.plan()

    result = site.apply(plan)

    data = result.model_dump(mode="json")
    assert list(data)[: len(INTERFACE_FIELDS)] == INTERFACE_FIELDS
    assert set(data) - set(INTERFACE_FIELDS) == {"downtime_s", "messages"}
    assert data["outcome"] == "done"
    records = [change.model_dump(mode="json") | {"status": "done"} for step in plan.steps for change in step.changes]
    assert data["changed"] == records
    # Three steps stopped it, each for so long.
    assert data["downtime_s"] == {"engine": 4.5}
    assert data["receipts"] == [*(r.key for r in site.receipts.chain[1:] if r.phase == "intent"), data["run"]]
    assert {(f["check"], f["surface"]) for f in data["remaining"]} == {("D244", "retired:/var/lib/docker"), ("D244", "retired:/var/lib/containerd")}
    assert data["verify"]["summary"]["unknown"] == 0


def test_receipts_lie_around_each_step_in_order() -> None:
    site = FakeSite()

    site.apply(site.plan())

    assert [(r.phase, r.capability, r.step) for r in site.receipts.chain] == [
        ("intent", "plan.apply", "*"),
        ("intent", "storage.data_disk", "mint-data/010"),
        ("result", "storage.data_disk", "mint-data/010"),
        ("intent", "storage.fstab", "mint-data/020"),
        ("result", "storage.fstab", "mint-data/020"),
        ("intent", "docker.data_root", "mint-data/030"),
        ("result", "docker.data_root", "mint-data/030"),
        ("result", "plan.apply", "*"),
    ]


def test_a_plan_without_steps_starts_nothing_and_looks_at_nothing() -> None:
    site = FakeSite()
    site.apply(site.plan())
    empty = site.plan()
    plays, links, asked = list(site.runner.plays), len(site.receipts.chain), site.evidence.asked

    result = site.apply(empty)

    assert (result.outcome, result.run, result.changed) == ("done", None, ())
    assert result.messages == ("the plan has no steps: nothing to do",)
    assert (site.runner.plays, len(site.receipts.chain), site.evidence.asked) == (plays, links, asked)


def test_a_second_apply_of_a_done_plan_changes_nothing_though_its_approval_is_used() -> None:
    site = FakeSite(approval="self")
    plan = site.plan()
    site.approvals.add(approve(plan.plan, approver="ann@desk", requester="ann@desk", now=site.clock.now()))
    site.apply(plan)
    plays = list(site.runner.plays)

    result = site.apply(plan)

    assert result.exit_code() == 0
    assert result.messages == ("this plan was applied before and nothing is left of it: nothing was changed",)
    assert site.runner.plays == plays


def test_what_drifts_after_a_done_plan_is_mended_in_place_and_then_nothing_is_left_to_do() -> None:
    site = FakeSite()
    site.apply(site.plan())
    config = site.host.probes["docker_config"]
    config["daemon_json"] = json.dumps({key: value for key, value in json.loads(config["daemon_json"]).items() if key != "log-opts"})
    site.host.probes["beneath"]["/mnt/data"]["immutable"] = False
    plan = site.plan()
    assert [step.capability for step in plan.steps] == ["storage.fstab", "docker.data_root"]
    assert [(mend.check, mend.surface) for step in plan.steps for mend in step.mends] == [("D241", "boot.guard"), ("D243", "docker.log")]

    result = site.apply(plan)

    assert result.outcome == "done"
    assert site.plan().steps == ()


def test_a_done_plan_whose_promise_drifts_again_is_not_called_done() -> None:
    site = FakeSite()
    plan = site.plan()
    site.apply(plan)
    for one in site.host.probes["mounts"]:
        if one["mount"] == "/mnt/data":
            one["options"] = ["rw"]

    result = site.apply(plan)

    assert result.outcome == "failed"
    assert result.exit_code() == 1
    assert "was promised and is DRIFTED" in result.messages[1]


def test_ansible_saying_done_is_not_enough_when_the_finding_is_not_met() -> None:
    site = FakeSite()
    plan = site.plan()

    def lazy(role: str, variables: dict[str, Any], touch: Callable[[str], None]) -> None:  # noqa: ARG001 - a role's signature
        site.host.ran.append((role, variables[f"{role}_run"]))

    site.host.play = lazy  # type: ignore[method-assign]  # a role that does nothing and says that all is well

    result = site.apply(plan)

    assert result.outcome == "failed"
    assert [role for role, _ in site.host.ran] == ["data_disk"]
    assert {change.status for change in result.changed} == {"not-done"}
    key = site.receipts.chain[1].key
    assert result.messages[0].startswith("mint-data/010 storage.data_disk failed: D240 mount:/mnt/data is still DRIFTED")
    assert result.messages[0].endswith(f"take the step back with 'controlplane rollback {key}'.")


def test_a_host_that_fails_is_left_alone_and_the_other_hosts_go_on() -> None:
    site = FakeSite(hosts=("mint-apps", "mint-data"))
    plan = site.plan()
    site.runner.ends = [StepResult(status="failed", message="disk full", told={})]

    result = site.apply(plan)

    assert result.outcome == "failed"
    assert [role for role, _ in site.hosts["mint-apps"].ran] == ["data_disk"]
    assert [role for role, _ in site.hosts["mint-data"].ran] == ["data_disk", "fstab", "docker_data_root"]


def test_a_second_witness_that_disagrees_fails_the_run() -> None:
    site = FakeSite()
    plan = site.plan()
    site.witness.doubts = {"docker.data_root": "/var/lib/docker"}

    result = site.apply(plan)

    assert result.outcome == "failed"
    assert result.messages[0].startswith("D235 docker.data_root on mint-data was promised and is UNKNOWN: two witnesses disagree")


def test_a_step_after_which_docker_cannot_be_observed_has_nothing_done() -> None:
    site = FakeSite()
    plan = site.plan()
    site.runner.ends = [StepResult(status="done", message="", told={})] * 2 + [StepResult(status="failed", message="docker is down", told={})]
    real = site.host.evidence

    def blind(collected_at: str) -> Any:
        seen = real(collected_at)
        if len(site.host.ran) < 3:
            return seen
        probes = seen.probes | {"docker_info": seen.probes["docker_info"].model_copy(update={"status": "failed", "data": None, "error": "down"})}
        return seen.model_copy(update={"probes": probes})

    site.host.evidence = blind  # type: ignore[method-assign]  # a host whose engine is down after the third play

    result = site.apply(plan)

    assert result.outcome == "failed"
    assert {c.status for c in result.changed[-6:]} == {"not-done"}


def test_an_unreached_host_is_unknown_and_nothing_is_started() -> None:
    site = FakeSite()
    plan = site.plan()
    site.evidence.unreached = {"mint-data": "No route to host"}

    with pytest.raises(UnknownError) as unknown:
        site.apply(plan)

    assert unknown.value.exit_code == 5
    assert "1 of 1 hosts could not be observed: mint-data: No route to host. Nothing was changed." in str(unknown.value)
    assert site.runner.plays == []
    assert site.receipts.chain == []


def _policy(site: FakeSite) -> None:
    site.view = site.view.model_copy(update={"policy_digest": "sha256:other"})


def _inventory(site: FakeSite) -> None:
    host = site.view.inventory.hosts[0].model_copy(update={"variables": {"ansible_host": "10.9.9.9"}})
    site.view = site.view.model_copy(update={"inventory": site.view.inventory.model_copy(update={"hosts": (host,)})})


def _roles(site: FakeSite) -> None:
    site.roles.content = site.roles.content | {"fstab/tasks/main.yml": b"[] # changed\n"}


def _name(site: FakeSite) -> None:
    site.view = site.view.model_copy(update={"name": "other"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_policy, "the policy changed since it was made"),
        (_inventory, "the inventory changed since it was made"),
        (_roles, "the roles of this program changed since it was made"),
        (_name, "it was made for site lab, this is other"),
    ],
)
def test_what_the_plan_is_bound_to_must_not_have_changed(change: Callable[[FakeSite], None], told: str) -> None:
    site = FakeSite()
    plan = site.plan()
    change(site)

    assert told in _refused(site, plan)


def test_changed_facts_refuse_the_plan() -> None:
    site = FakeSite()
    plan = site.plan()
    site.host.probes["identity"]["machine_id"] = "m2"

    assert "mint-data: its facts changed since the plan was made (identity)" in _refused(site, plan)


def test_a_disk_that_got_a_signature_since_is_never_formatted() -> None:
    site = FakeSite()
    plan = site.plan()
    site.host.probes["signatures"][DATA]["wipefs"] = ["xfs@0x0"]

    assert "mint-data/010: is no longer to be done" in _refused(site, plan)
    assert site.host.formatted == 0


def test_counters_that_moved_leave_the_plan_good() -> None:
    site = FakeSite()
    plan = site.plan()
    site.host.probes["usage"]["/"]["available"] -= 10**9
    site.host.probes["docker_usage"]["images"] += 10**6
    site.host.probes["docker_containers"][0]["pid"] = 7
    site.host.probes["identity"]["clock_epoch"] += 60

    assert site.apply(plan).outcome == "done"


def test_a_broken_bound_refuses_the_plan_with_both_numbers() -> None:
    site = FakeSite()
    plan = site.plan()
    disk = next(bound for bound in plan.bounds if bound.what.startswith("free bytes"))
    bounds = tuple(b.model_copy(update={"at_least": 10**15}) if b == disk else b for b in plan.bounds)

    assert f"serial DATA0001: {100 * GB}, at least {10**15} needed" in _refused(site, _resealed(plan, bounds=bounds))


def test_data_that_grew_past_the_disk_since_refuses_the_plan_although_its_own_bound_holds() -> None:
    site = FakeSite()
    plan = site.plan()
    site.host.probes["docker_usage"]["volumes"] = 150 * GB

    told = _refused(site, plan)

    assert f"mint-data/030: is no longer to be done, it would be refused: free bytes on serial DATA0001: {100 * GB}, at least " in told
    # The new plan that the message asks for says the same, and ends there.
    assert "docker.data_root" not in [step.capability for step in site.plan().steps]


@pytest.mark.parametrize("field", ["data_disk_format", "data_disk_identity", "data_disk_uuid"])
def test_a_plan_whose_variables_say_something_else_than_its_records_is_refused(field: str) -> None:
    site = FakeSite()
    plan = site.plan()
    forged = plan.steps[0].model_copy(update={"variables": plan.steps[0].variables | {field: "forged"}})

    told = _refused(site, _resealed(plan, steps=(forged, *plan.steps[1:])))

    assert "mint-data/010: its role would be told something else now" in told


def test_a_plan_that_names_another_role_is_refused() -> None:
    site = FakeSite()
    plan = site.plan()
    forged = plan.steps[0].model_copy(update={"role": "fstab"})

    assert "its role would be told something else now" in _refused(site, _resealed(plan, steps=(forged, *plan.steps[1:])))


def test_a_plan_with_fewer_steps_than_are_to_be_done_is_refused() -> None:
    site = FakeSite()
    plan = site.plan()

    assert "mint-data/030: would have to be done too" in _refused(site, _resealed(plan, steps=plan.steps[:2], refusals=_mentioning(plan)))


def _mentioning(plan: Plan) -> Any:
    from controlplane.domain.plan import Refusal

    return (Refusal(host="mint-data", capability=plan.steps[2].capability, reason="left out"),)


def _approval(site: FakeSite, made_for: Plan, **other: Any) -> Approval:
    made = approve(made_for.plan, approver="bob@desk", requester=None, now=site.clock.now())
    return made.model_copy(update=other)


@pytest.mark.parametrize(
    ("demanded", "other", "told"),
    [
        ("self", None, "site.yml demands an approval and this plan has none"),
        ("self", {"used_by": "CAP-20260101-000000__plan.apply__R0000"}, "its approval was used by CAP-20260101-000000__plan.apply__R0000"),
        ("self", {"expires_at": "2026-01-02T12:00:00Z"}, "its approval expired at 2026-01-02T12:00:00Z"),
        ("self", {"expires_at": "2036-01-02T12:00:00Z"}, "longer than any that this program gives"),
        ("self", {"expires_at": "soon"}, "when its approval expires can't be read (soon)"),
        ("self", {"plan": "sha256:other"}, "this plan has none"),
        ("other", {"approver": "ann@desk"}, "site.yml demands another person's approval, and ann@desk approved it alone"),
    ],
)
def test_an_approval_that_does_not_fit_refuses_the_plan(demanded: str, other: dict[str, str] | None, told: str) -> None:
    site = FakeSite(approval=demanded)
    plan = site.plan()
    if other is not None:
        site.approvals.held[plan.plan] = _approval(site, plan, **other)

    assert told in _refused(site, plan)


def test_the_operators_own_key_is_no_other_person() -> None:
    site = FakeSite(approval="other")
    plan = site.plan()
    site.approvals.me = "ann@example.org"
    site.approvals.held[plan.plan] = _approval(site, plan, approver="ann@example.org")

    assert "ann@example.org approved it alone" in _refused(site, plan)


@pytest.mark.parametrize("demanded", ["self", "other"])
def test_another_persons_approval_allows_one_run(demanded: str) -> None:
    site = FakeSite(approval=demanded)
    plan = site.plan()
    site.approvals.held[plan.plan] = _approval(site, plan)

    result = site.apply(plan)

    assert result.outcome == "done"
    assert site.approvals.held[plan.plan].used_by == result.run


def test_an_expired_approval_still_covers_the_run_that_took_it() -> None:
    site = FakeSite(approval="self")
    plan = site.plan()
    site.approvals.held[plan.plan] = _approval(site, plan)
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    site.apply(plan)
    site.clock.time += timedelta(days=2)

    assert site.apply(plan).outcome == "done"


def test_a_plan_that_was_rolled_back_needs_a_new_approval() -> None:
    site = FakeSite(approval="self")
    plan = site.plan()
    site.approvals.held[plan.plan] = _approval(site, plan)
    run = str(site.apply(plan).run)
    site.rollback(run)

    assert f"its approval was used by {run}" in _refused(site, plan)


def test_a_broken_chain_stops_every_run() -> None:
    site = FakeSite()
    plan = site.plan()
    site.receipts.faults = (ChainFault(file="000001-x.intent.json", reason="has no signature"),)

    with pytest.raises(RunFailedError) as broken:
        site.apply(plan)

    assert "000001-x.intent.json has no signature" in str(broken.value)
    assert site.runner.plays == []


def test_an_open_run_of_another_plan_is_in_the_way_by_name() -> None:
    site = FakeSite()
    first = site.plan()
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    run = site.apply(first).run
    second = site.plan()

    told = _refused(site, second)

    assert "an earlier run is still open" in told
    assert f"or take it back: controlplane rollback {run}. A machine is gone for good? controlplane runs abandon {run} --reason" in told


def test_an_open_rollback_is_in_the_way_of_its_own_plan() -> None:
    site = FakeSite()
    plan = site.plan()
    run = str(site.apply(plan).run)
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    site.rollback(run)
    undone = next(r.undoes for r in site.receipts.chain if r.undoes)

    told = _refused(site, plan)

    assert "a rollback is still open" in told
    assert f"controlplane rollback {undone}. A machine is gone for good? controlplane runs abandon {run} --reason" in told


def test_a_step_that_was_taken_back_is_done_again_by_the_resumed_run() -> None:
    site = FakeSite()
    plan = site.plan()
    done = StepResult(status="done", message="", told={})
    site.runner.ends = [done, done, StepResult(status="interrupted", message="interrupted", told={})]
    site.apply(plan)
    for receipt in [r for r in site.receipts.chain if r.phase == "intent" and r.step in ("mint-data/030", "mint-data/020")][::-1]:
        assert site.rollback(receipt.key).outcome == "rolled-back"

    result = site.apply(plan)

    assert result.outcome == "done"
    assert [role for role, _ in site.host.ran][-2:] == ["fstab", "docker_data_root"]


def test_a_resumed_run_does_nothing_beyond_its_plan() -> None:
    site = FakeSite()
    plan = site.plan()
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    run = site.apply(plan).run
    site.host.probes["docker_info"]["root"] = "/srv/elsewhere"

    told = _refused(site, plan)

    assert f"run {run} can't be resumed, there is more to do now than its plan says" in told
    assert "mint-data/020: move docker root" in told


def test_a_host_that_another_run_changes_is_refused_by_name_and_since_when() -> None:
    site = FakeSite()
    plan = site.plan()
    site.locks.held_by = {"mint-data": "bob@desk, process 7, since 2026-01-02T12:00:00+00:00"}

    with pytest.raises(RefusedError, match=r"mint-data is being changed by bob@desk, process 7, since 2026-01-02"):
        site.apply(plan)

    assert site.runner.plays == []


def test_a_failed_plan_is_not_run_again_but_replaced() -> None:
    site = FakeSite()
    plan = site.plan()
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="failed", message="fstab is odd", told={})]
    failed = site.apply(plan)
    assert failed.outcome == "failed"

    told = _refused(site, plan)

    assert "no longer fits" in told
    assert told.endswith("Make a new one: controlplane plan --out FILE")
    assert site.apply(site.plan()).outcome == "done"
