"""What a step deleted, or what a purge took of it, is final; the timer that a deleting capability sets up is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.plan import Change, Plan, Step, seal
from controlplane.domain.policy import Hygiene
from controlplane.domain.receipt import Outcome
from controlplane.domain.run_key import make_run_key
from controlplane.usecases.record_run import WHOLE, Ledger, with_status
from controlplane.usecases.step_outcome import what_next
from tests.fakes.evidence_builder import desired_mint_data
from tests.fakes.machine_builder import unit
from tests.fakes.site import OPERATOR, FakeSite

IMAGE = Change(kind="delete", target="image intake:1 sha256:1", before="1 GB", after=None, destructive=True)
VOLUMES = ("/var/lib/docker/volumes/shop/_data", "/var/lib/docker/volumes/up/_data")


def cleaning(**more: Any) -> Step:
    made = {"id": "mint-data/010", "host": "mint-data", "capability": "docker.hygiene", "role": "docker_hygiene", "mends": (), "changes": (IMAGE,)}
    return Step.model_validate({**made, "downtime": {"services": (), "estimate_s": 0}, "undo": "none", "variables": {}, **more})


def move() -> Step:
    """Return a step that moves two volumes of one container, as `storage.persistent_paths` records them."""
    retired = [Change(kind="retire", target=f"volume {name} of shop", before="in use", after="kept") for name in ("shop", "up")]
    changes = (Change(kind="move", target="/data of shop", before="volume shop", after="/mnt/data/shop"), *retired)
    return cleaning(capability="storage.persistent_paths", role="persistent_paths", changes=changes)


def purge_of(run: str, paths: Sequence[str]) -> Step:
    changes = tuple(Change(kind="delete", target=path, before="retired", after=None, destructive=True) for path in paths)
    items = [{"path": path, "run": run, "recorded": "sha256:ab"} for path in paths]
    return cleaning(capability="storage.purge", role="purge_retired", changes=changes, variables={"purge_retired_items": items})


def timer_step() -> Step:
    """Return the step that the capability proposes for its timer alone."""
    docker = desired_mint_data().docker.model_copy(update={"hygiene": Hygiene(timer="daily", keep=2)})
    fake = FakeSite(docker=docker)
    for name in ("controlplane-hygiene.timer", "controlplane-hygiene.service"):
        fake.host.probes["units"][name] = unit(load_state="not-found", active_state="inactive", enabled="")
    [step] = fake.plan("docker.hygiene").steps
    return step.model_copy(update={"id": "mint-data/020"})


def ran(site: FakeSite, *steps: Step, outcome: Outcome | None = "done", done: Sequence[Change] | None = None) -> tuple[str, list[str]]:
    """Put a run of these steps on record, and what lets its host go back; return its key and theirs. Without an outcome the last one stays open."""
    empty = site.plan()
    plan: Plan = seal(site="lab", made_at="", binds=empty.binds, bounds=(), steps=steps, refusals=())
    site.ports.plans.keep(plan)
    run = make_run_key(WHOLE, site.clock.now(), site.ports.entropy.four_hex())
    ledger = Ledger(site.receipts, site.clock, run=run, site="lab", plan=plan.plan, policy="sha256:policy", operator=OPERATOR)
    ledger.intend(run, host="*", capability=WHOLE, step="*")
    keys = []
    for step in steps:
        key = make_run_key(step.capability, site.clock.now(), site.ports.entropy.four_hex())
        about: dict[str, Any] = {"host": step.host, "capability": step.capability, "step": step.id}
        ledger.intend(key, **about)
        keys.append(key)
        if outcome is None:
            return run, keys
        whole = step if done is None else step.model_copy(update={"changes": tuple(done)})
        left = step.model_copy(update={"changes": tuple(one for one in step.changes if one not in whole.changes)})
        ledger.close(key, **about, outcome=outcome, changes=(*with_status(whole, "done"), *with_status(left, "not-done")))
    ledger.close(run, host="*", capability=WHOLE, step="*", outcome=outcome or "done")
    return run, keys


def refused(site: FakeSite, key: str) -> str:
    plays, links = list(site.runner.plays), len(site.receipts.chain)
    with pytest.raises(RefusedError) as refusal:
        site.rollback(key)
    assert (site.runner.plays, len(site.receipts.chain)) == (plays, links)
    return str(refusal.value)


def test_the_timer_of_a_capability_that_deletes_goes_back_by_its_key() -> None:
    site = FakeSite()
    run, [key] = ran(site, timer_step())
    assert site.rollback(key).outcome == "rolled-back"
    assert site.runner.plays == ["mint-data/020 docker.hygiene | roll back"]
    assert [r.undoes for r in site.receipts.chain if r.outcome == "rolled-back"] == [key]
    assert refused(site, run) == f"{run} was rolled back already. Nothing was changed."


def test_of_a_run_that_deleted_and_set_up_the_timer_the_latter_alone_goes_back_and_is_named() -> None:
    site = FakeSite()
    run, [cleaned, timed] = ran(site, cleaning(), timer_step())
    told = f"{cleaned} deleted data by an approved plan: what is purged can't come back. Nothing was changed."
    assert refused(site, run) == f"{told} What else {run} did can, by itself: controlplane rollback {timed}"
    assert refused(site, cleaned) == told
    assert site.rollback(timed).outcome == "rolled-back"


def test_a_deletion_whose_end_is_not_known_is_as_final() -> None:
    site = FakeSite()
    _, [key] = ran(site, cleaning(), outcome=None)
    assert "what is purged can't come back" in refused(site, key)


def test_neither_a_timer_nor_a_deletion_stands_on_anything_but_an_earlier_timer() -> None:
    site = FakeSite()
    _, [moved] = ran(site, move())
    _, [first] = ran(site, timer_step())
    ran(site, cleaning())
    _, [second] = ran(site, timer_step().model_copy(update={"undo": "another timer"}))
    assert f"later steps stand on it: {second}." in refused(site, first)
    assert site.rollback(moved).outcome == "rolled-back"
    assert site.rollback(second).outcome == "rolled-back"
    assert site.rollback(first).outcome == "rolled-back"


@pytest.mark.parametrize("purged", [VOLUMES, VOLUMES[:1]], ids=["all of it", "a part"])
def test_a_move_of_paths_does_not_go_back_once_what_it_retired_was_purged(purged: Sequence[str]) -> None:
    site = FakeSite()
    run, [moved] = ran(site, move())
    _, [purge] = ran(site, purge_of(moved, purged))
    for key in (run, moved):
        assert refused(site, key) == (
            f"{moved} can't go back: {purge} purged what it had retired, and with it the way back. Nothing was changed. "
            "Restore from a backup, or move the data by a new policy and plan."
        )


def test_a_purge_that_was_begun_and_whose_end_is_not_known_is_as_final_for_paths() -> None:
    site = FakeSite()
    _, [moved] = ran(site, move())
    ran(site, purge_of(moved, VOLUMES), outcome=None)
    assert "purged what it had retired" in refused(site, moved)


@pytest.mark.parametrize("of", ["another run", "nothing of it"])
def test_a_purge_of_others_and_one_that_deleted_nothing_keep_no_move_from_going_back(of: str) -> None:
    site = FakeSite()
    _, [moved] = ran(site, move())
    if of == "another run":
        # Open: it may have deleted whatever its plan names, and that is nothing of this.
        ran(site, purge_of("CAP-20260101-000000__storage.persistent_paths__R0001", VOLUMES), outcome=None)
    else:
        ran(site, purge_of(moved, VOLUMES), outcome="failed", done=())
    assert site.rollback(moved).outcome == "rolled-back"


def test_after_a_failure_the_timer_may_be_taken_back_and_what_deletes_is_gone_on_with() -> None:
    left = "The other steps of mint-data were left out."
    rest = "controlplane plan --host mint-data --capability docker.hygiene"
    assert what_next(cleaning(), "K") == f"{left} Go on with what is left by a new plan: {rest}"
    assert what_next(timer_step(), "K") == f"{left} See what is left with '{rest}'; take the step back with 'controlplane rollback K'."
    # What it destroys is a blank disk.
    blank = cleaning(capability="storage.data_disk", changes=(IMAGE.model_copy(update={"kind": "mkfs"}),))
    assert what_next(blank, "K").endswith("'controlplane plan --host mint-data'; take the step back with 'controlplane rollback K'.")
