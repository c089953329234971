"""rollback goes back in reverse order, and refuses what can't."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from controlplane.domain.errors import InputInvalidError, RefusedError, UnknownError
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.receipt import open_intents
from controlplane.ports.plays import StepResult
from controlplane.usecases.reboot_hosts import reboot_hosts
from tests.fakes.site import OPERATOR, FakeSite


def _applied() -> tuple[FakeSite, str, list[str]]:
    site = FakeSite()
    run = str(site.apply(site.plan()).run)
    return site, run, [r.key for r in site.receipts.chain if r.phase == "intent" and r.step != "*"]


def _refused(site: FakeSite, key: str) -> str:
    plays, links = list(site.runner.plays), len(site.receipts.chain)
    with pytest.raises(RefusedError) as refusal:
        site.rollback(key)
    assert (site.runner.plays, len(site.receipts.chain)) == (plays, links)
    assert "Nothing was changed" in str(refusal.value)
    return str(refusal.value)


def test_a_run_goes_back_last_step_first_and_its_drift_is_shown_as_what_remains() -> None:
    site, run, _ = _applied()

    result = site.rollback(run)

    assert result.outcome == "rolled-back"
    assert result.exit_code() == 0
    assert [name for name in site.runner.plays if "roll back" in name] == [
        "mint-data/030 docker.data_root | roll back",
        "mint-data/020 storage.fstab | roll back",
        "mint-data/010 storage.data_disk | roll back",
    ]
    assert ("D235", "docker.data_root") in {(finding.check, finding.surface) for finding in result.remaining}
    assert result.verify is not None


def test_a_step_goes_back_alone_when_nothing_stands_on_it() -> None:
    site, _, keys = _applied()

    assert site.rollback(keys[2]).outcome == "rolled-back"
    assert site.host.probes["docker_info"]["root"] == "/var/lib/docker"


def test_a_step_on_which_others_stand_is_refused_with_the_one_to_begin_with() -> None:
    site, _, keys = _applied()

    told = _refused(site, keys[0])

    assert f"later steps stand on it: {keys[1]}, {keys[2]}" in told
    assert told.endswith(f"controlplane rollback {keys[2]}")


def test_an_open_later_step_stands_on_it_too() -> None:
    site = FakeSite()
    done = StepResult(status="done", message="", told={})
    site.runner.ends = [done, StepResult(status="interrupted", message="interrupted", told={})]
    site.apply(site.plan())
    keys = [r.key for r in site.receipts.chain if r.phase == "intent" and r.step != "*"]

    assert f"later steps stand on it: {keys[1]}" in _refused(site, keys[0])


def test_what_went_back_does_not_go_back_twice() -> None:
    site, run, _ = _applied()
    site.rollback(run)

    assert _refused(site, run) == f"{run} was rolled back already. Nothing was changed."


def test_after_a_purge_the_run_that_retired_the_data_is_refused() -> None:
    site, run, keys = _applied()
    site.clock.time += timedelta(days=8)
    purge = site.apply(site.plan("storage.purge"))
    assert purge.outcome == "done"
    purge_key = purge.receipts[0]

    assert f"{keys[2]} can't go back: {purge_key} purged what it had retired" in _refused(site, run)
    assert f"{purge_key} deleted data by an approved plan: what is purged can't come back" in _refused(site, purge_key)


def test_a_purge_that_was_begun_and_not_ended_is_as_final() -> None:
    site, run, _ = _applied()
    site.clock.time += timedelta(days=8)
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    site.apply(site.plan("storage.purge"))

    assert "purged what it had retired" in _refused(site, run)


def test_a_reboot_in_between_is_in_nobodys_way() -> None:
    site, run, _ = _applied()
    reboot = _reboot(site)

    assert site.rollback(run).outcome == "rolled-back"
    with pytest.raises(InputInvalidError, match=r"no run .* that could go back"):
        site.rollback(reboot[0])


def test_a_reboot_that_was_cut_short_blocks_no_later_run() -> None:
    site = FakeSite()
    site.arm(4)
    with pytest.raises(KeyboardInterrupt):
        _reboot(site)
    site.arm(None)

    assert site.apply(site.plan()).outcome == "done"


def test_a_host_with_an_open_run_is_not_rebooted() -> None:
    site = FakeSite()
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    site.apply(site.plan())
    plays = list(site.runner.plays)

    with pytest.raises(RefusedError, match=r"a run is still open: .* Nothing was rebooted"):
        _reboot(site)

    assert site.runner.plays == plays


def _reboot(site: FakeSite) -> tuple[str, ...]:
    return reboot_hosts(site.view, hosts=(), operator=OPERATOR, ports=site.ports, progress=lambda _: None)


def _lease_on(site: FakeSite, **other: object) -> None:
    lease = {"token": 9, "holder": "bob@desk", "run": "CAP-20260102-110000__docker.data_root__R00bb"}
    site.host.probes["target_state"]["lease"] = lease | {"taken_at": "2026-01-02T11:00:00Z", "expires_at": "2126-01-02T11:30:00Z"} | other


def test_a_host_that_another_run_holds_is_refused_before_the_rollback_is_begun() -> None:
    site, run, _ = _applied()
    _lease_on(site)

    assert _refused(site, run) == (
        "mint-data is leased to run CAP-20260102-110000__docker.data_root__R00bb by bob@desk since 2026-01-02T11:00:00Z, until 2126-01-02T11:30:00Z. "
        "Nothing was changed. Wait for it, or let it expire; if its controller is dead: controlplane lease take HOST"
    )

    site.host.probes["target_state"]["lease"] = None
    assert site.rollback(run).outcome == "rolled-back"


def test_an_expired_lease_is_in_the_way_only_while_its_unit_works() -> None:
    site, run, _ = _applied()
    _lease_on(site, expires_at="2020-01-01T00:00:00Z")
    state = site.host.probes["target_state"]
    working = {"run": state["lease"]["run"], "role": "docker_data_root", "phase": "precopy", "unit": "controlplane-x.service", "unit_active": True}
    state["runs"] = [working]

    assert "mint-data is leased to run CAP-20260102-110000__docker.data_root__R00bb by bob@desk" in _refused(site, run)

    working["unit_active"] = False
    assert site.rollback(run).outcome == "rolled-back"


def test_the_lease_of_the_run_that_goes_back_or_of_its_own_open_rollback_is_in_nobodys_way() -> None:
    site, run, keys = _applied()
    _lease_on(site, run=keys[2])
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    assert site.rollback(run).outcome == "interrupted"
    begun = next(r.key for r in site.receipts.chain if r.undoes == keys[2])
    _lease_on(site, run=begun)

    assert site.rollback(run).outcome == "rolled-back"


def _unseen(site: FakeSite, key: str) -> str:
    plays, links = list(site.runner.plays), len(site.receipts.chain)
    with pytest.raises(UnknownError) as unknown:
        site.rollback(key)
    assert unknown.value.exit_code == 5
    assert (site.runner.plays, len(site.receipts.chain)) == (plays, links)
    return str(unknown.value)


def test_a_host_that_can_not_be_observed_is_unknown_before_the_rollback_is_begun() -> None:
    site, run, _ = _applied()
    site.evidence.unreached = {"mint-data": "no route to host"}

    assert _unseen(site, run) == (
        f"{run} does not go back, 1 of 1 hosts could not be observed: mint-data: no route to host. Nothing was changed. "
        "Restore the connection, then run this again."
    )
    site.evidence.unreached, site.evidence.by_hypervisor = {}, {"mint-data": "no route to host"}
    assert "mint-data: its hypervisor answers, it does not" in _unseen(site, run)


def test_a_begun_rollback_of_a_host_that_can_not_be_observed_stays_open() -> None:
    site, run, keys = _applied()
    site.runner.ends = [StepResult(status="unreachable", message="no route to host", told={})]
    assert site.rollback(run).outcome == "interrupted"
    site.evidence.unreached = {"mint-data": "no route to host"}

    assert _unseen(site, run).endswith(f'run this again. A machine is gone for good? controlplane runs abandon {run} --reason "..."')

    assert [r.undoes for r in open_intents(site.receipts.chain)] == [keys[2]]
    site.evidence.unreached = {}
    assert site.rollback(run).outcome == "rolled-back"


def test_a_step_that_goes_back_through_the_hypervisor_needs_no_more_than_its_answer() -> None:
    site, run, _ = _applied()
    digest = site.receipts.chain[0].plan
    plan = site.ports.plans.get(digest)
    through = tuple(step.model_copy(update={"runs_on": "kvm1"}) for step in plan.steps)
    site.ports.plans.held[digest] = plan.model_copy(update={"steps": through})  # type: ignore[attr-defined]
    hypervisor = InventoryHost(name="kvm1", variables={})
    inventory = site.view.inventory.model_copy(update={"hosts": (*site.view.inventory.hosts, hypervisor)})
    site.view = site.view.model_copy(update={"inventory": inventory})
    site.evidence.unreached = {"mint-data": "no route to host; the hypervisor kvm1 was not reached"}
    assert "mint-data: no route to host; the hypervisor" in _unseen(site, run)

    site.evidence.unreached, site.evidence.by_hypervisor = {}, {"mint-data": "no route to host"}
    site.runner.run = lambda *_args, **_more: StepResult(status="done", message="", told={})  # type: ignore[method-assign]
    assert site.rollback(run).outcome == "rolled-back"


def test_a_failed_rollback_names_the_undo_on_the_host_and_can_be_asked_for_again() -> None:
    site, run, keys = _applied()
    site.runner.ends = [StepResult(status="failed", message="open files", told={})]

    result = site.rollback(run)

    assert result.outcome == "failed"
    assert f"/var/lib/controlplane/{keys[2]}/undo" in result.messages[0]
    assert result.messages[-1].endswith(f"controlplane rollback {run}")
    assert len(result.changed) == 14
    assert site.rollback(run).outcome == "rolled-back"


@pytest.mark.parametrize("key", ["../../etc/passwd", "CAP-x", ""])
def test_what_is_no_run_key_is_a_usage_error(key: str) -> None:
    with pytest.raises(InputInvalidError, match=r"is no run key"):
        FakeSite().rollback(key)


def test_an_unknown_run_is_a_usage_error() -> None:
    with pytest.raises(InputInvalidError, match=r"no run CAP-20260101-000000__plan.apply__R0000 that could go back"):
        FakeSite().rollback("CAP-20260101-000000__plan.apply__R0000")


def test_a_run_that_never_came_to_the_host_goes_back_without_a_play() -> None:
    site = next(one for one in map(_killed_at, range(1, 40)) if one.receipts.chain and one.receipts.chain[-1].step == "mint-data/010")
    key = site.receipts.chain[-1].run

    result = site.rollback(key)

    assert (result.outcome, site.runner.plays) == ("rolled-back", [])
    reasons = [r.reason for r in site.receipts.chain if r.outcome == "rolled-back" and r.undoes is not None]
    assert reasons == ["nothing of the run is on the host: there was nothing to undo"]
    assert site.apply(site.plan()).outcome == "done"


def _killed_at(contact: int) -> FakeSite:
    """Return a site whose apply was killed at the n-th contact with the world."""
    site = FakeSite()
    plan = site.plan()
    site.arm(contact, SystemExit)
    with contextlib.suppress(SystemExit):
        site.apply(plan)
    site.arm(None)
    return site
