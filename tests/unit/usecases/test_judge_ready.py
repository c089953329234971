"""ready: what is in the way is named with what mends it, and a ready receipt is void as soon as anything changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.desired import HostWaiver
from controlplane.domain.errors import InputInvalidError, RefusedError
from controlplane.domain.inventory import Inventory, InventoryHost
from controlplane.domain.plan import Plan
from controlplane.domain.policy import Hygiene
from controlplane.domain.readiness import Readiness, void_because
from controlplane.domain.ready_needs import Need
from controlplane.domain.services import WriteSurface
from controlplane.usecases.judge_ready import judge_ready, standing_of
from controlplane.usecases.record_run import Ledger
from tests.fakes.evidence_builder import DATA, MINIO, bind, container, desired_mint_data, healthy_probes, place
from tests.fakes.host import FakeHost
from tests.fakes.machine_builder import born, declared_machine, unit
from tests.fakes.site import OPERATOR, FakeSite


def site(probes: dict[str, Any] | None = None, **wanted: Any) -> FakeSite:
    fake = FakeSite(**wanted)
    fake.hosts["mint-data"] = FakeHost("mint-data", probes if probes is not None else healthy_probes())
    return fake


def ask(fake: FakeSite) -> tuple[Readiness, Plan]:
    return judge_ready("mint-data", fake.view, operator=OPERATOR, ports=fake.ports)


def standing(fake: FakeSite) -> str | None:
    return standing_of("mint-data", fake.view, clock=fake.clock, receipts=fake.receipts)[1]


def need(answer: Readiness, what: str) -> Need:
    return next(one for one in answer.needs if one.what == what)


def test_a_healthy_host_is_ready_and_its_receipt_names_evidence_policy_and_end() -> None:
    fake = site()
    answer, _ = ask(fake)
    assert (answer.ready, answer.needs, answer.exit_code()) == (True, (), 0)
    receipt = fake.receipts.chain[-1]
    assert (receipt.key, receipt.outcome, receipt.evidence, receipt.policy) == (answer.receipt, "done", answer.evidence_digest, "sha256:policy")
    assert receipt.expires_at == answer.expires_at == "2026-01-03T12:00:04Z"
    assert chain_faults(fake.receipts.load()) == ()
    assert standing(fake) is None


def test_a_drifting_host_is_not_ready_and_each_no_names_the_capability_that_mends_it() -> None:
    fake = FakeSite()
    answer, plan = ask(fake)
    assert (answer.ready, answer.exit_code(), answer.receipt, answer.expires_at) == (False, 3, None, None)
    assert need(answer, "D240 mount:/mnt/data").capability == "storage.data_disk"
    assert need(answer, "D240 fstab:/mnt/data").capability == "storage.fstab"
    assert need(answer, "D235 docker.data_root").capability == "docker.data_root"
    assert need(answer, "D242 reboot.proof").next == "controlplane ready mint-data --after-reboot"
    assert {step.capability for step in plan.steps} == {"storage.data_disk", "storage.fstab", "docker.data_root"}
    assert "D240 mount:/mnt/data" in (fake.receipts.chain[-1].reason or "")
    assert standing(fake) == f"{fake.receipts.chain[-1].key} does not say that mint-data is ready"


def test_the_plan_of_a_host_that_is_not_ready_is_the_one_that_apply_takes() -> None:
    fake = FakeSite()
    assert fake.apply(ask(fake)[1]).outcome == "done"


@pytest.mark.parametrize("probe", ["mounts", "docker_containers", "target_state", "units"])
def test_anything_unknown_is_not_ready(probe: str) -> None:
    fake = site()
    del fake.host.probes[probe]
    answer, _ = ask(fake)
    assert (answer.ready, answer.exit_code()) == (False, 5)


def test_a_host_that_was_not_reached_is_not_ready() -> None:
    fake = site()
    fake.evidence.unreached["mint-data"] = "no route"
    answer, _ = ask(fake)
    assert (answer.ready, answer.exit_code(), answer.needs[0].what, answer.needs[0].reason) == (
        False, 5, "reachability", "the host was not reached: no route",
    )  # fmt: skip


def test_a_host_of_which_only_its_hypervisor_speaks_was_not_reached_and_its_machine_s_own_trouble_is_told() -> None:
    fake = site({"machine": born(state="shut off")}, machine=declared_machine())
    answer, _ = ask(fake)
    assert (answer.ready, answer.exit_code(), answer.needs[0].what, answer.needs[0].verdict.value) == (False, 5, "reachability", "UNKNOWN")
    assert need(answer, "D246 machine").next == "no plan mends it: mint-data is shut off: see why, and start it on kvm1 yourself"


def test_what_hangs_on_a_mount_that_the_plan_brings_is_not_left_to_a_person_and_other_things_are() -> None:
    fake = FakeSite()
    fake.host.probes["docker_containers"][0]["writable_bytes"] = 2_000_000_000
    answer, plan = ask(fake)
    assert "storage.data_disk" in {step.capability for step in plan.steps}
    assert need(answer, "D245 disk.usage:/mnt/data").next == (
        "see whether it goes with the mount that storage.data_disk brings: controlplane ready mint-data --plan FILE, approve and apply it, ask again"
    )
    layer = next(one for one in answer.needs if one.what.startswith("D238 writable_layer:"))
    assert (layer.capability, layer.next) == (None, "no capability mends it: by hand")


def large(path: str, *, days: int) -> dict[str, Any]:
    """Return a large file that nobody wrote to for so long."""
    written = int((datetime(2026, 1, 2, 12, tzinfo=UTC) - timedelta(days=days)).timestamp())
    return {"path": path, "size": 20_000_000, "owner": 0, "mtime": written, "mark": "2:3:4"}


def assert_deletes_nothing(plan: Plan) -> None:
    by_name = {"storage.tmp_files", "docker.hygiene", "storage.purge"}
    assert not by_name & {one.capability for one in (*plan.steps, *plan.refusals)}
    assert not [change for step in plan.steps for change in step.changes if change.kind == "delete"]


def test_what_only_a_capability_that_deletes_mends_is_told_with_its_command_and_is_in_no_plan_that_ready_gives() -> None:
    fake = site()
    fake.host.probes["tmp"]["files"] = [large("/tmp/dump", days=3), large("/tmp/fresh", days=0)]
    answer, plan = ask(fake)
    left = need(answer, "D238 tmp:/tmp/dump")
    assert (left.capability, left.next) == (
        "storage.tmp_files",
        "controlplane plan --host mint-data --capability storage.tmp_files --out FILE, then approve and apply it: what deletes has a plan of its own",
    )
    fresh = need(answer, "D238 tmp:/tmp/fresh")
    assert fresh.capability is None
    assert fresh.next.startswith("no plan mends it: /tmp/fresh: was written ")
    assert "/tmp/dump" not in fresh.next
    assert_deletes_nothing(plan)


def test_more_large_files_than_are_listed_are_mended_by_turns() -> None:
    fake = site()
    fake.host.probes["tmp"] |= {"files": [large("/tmp/dump", days=3)], "truncated": True}
    assert need(ask(fake)[0], "D238 tmp:*").next == (
        "controlplane plan --host mint-data --capability storage.tmp_files --out FILE mends what is listed: approve and apply it, then ask again"
    )


def with_hygiene(**wanted: Any) -> FakeSite:
    docker = desired_mint_data().docker.model_copy(update={"hygiene": Hygiene(timer="daily", keep=2)})
    fake = site(docker=docker, **wanted)
    for name in ("controlplane-hygiene.timer", "controlplane-hygiene.service"):
        fake.host.probes["units"][name] = unit(load_state="not-found", active_state="inactive", enabled="")
    return fake


def test_a_missing_timer_of_hygiene_is_what_docker_hygiene_mends() -> None:
    answer, plan = ask(with_hygiene())
    timer = need(answer, "D237 docker.hygiene_timer")
    assert timer.capability == "docker.hygiene"
    assert timer.next.startswith("controlplane plan --host mint-data --capability docker.hygiene --out FILE")
    assert_deletes_nothing(plan)


def test_a_budget_that_no_cleaning_can_hold_is_told_by_what_stays_and_one_without_hygiene_by_what_it_takes() -> None:
    over: dict[str, Any] = {"thresholds": desired_mint_data().thresholds.model_copy(update={"images": 1})}
    refused = need(ask(with_hygiene(**over))[0], "D237 budget.images")
    assert refused.capability is None
    assert refused.next.startswith("no plan mends it: images: ")
    assert need(ask(site(**over))[0], "D237 budget.images").next == (
        "no plan mends it: docker.hygiene would, once policy.yml has docker.hygiene for mint-data; else by hand"
    )


def test_what_the_second_witness_does_not_confirm_is_not_ready() -> None:
    fake = site()
    fake.witness.doubts["mount:/mnt/data"] = "another-uuid"
    answer, _ = ask(fake)
    assert (answer.ready, answer.exit_code()) == (False, 5)
    assert "two witnesses disagree" in need(answer, "D240 mount:/mnt/data").reason


@pytest.mark.parametrize(("running", "state"), [(False, "exited"), (True, "restarting"), (True, "paused")])
def test_a_declared_container_that_does_not_run_is_in_the_way(running: bool, state: str) -> None:
    fake = site(services={MINIO: desired_mint_data().services[MINIO]})
    for one in fake.host.probes["docker_containers"]:
        if one["name"] == MINIO:
            one.update(running=running, state=state)
    answer, _ = ask(fake)
    assert need(answer, f"services {MINIO}").reason == f"container {MINIO} is not running, but {state}"


def test_a_container_of_which_only_a_write_surface_is_declared_has_to_run_too() -> None:
    surface = WriteSurface(container="quote-page", path="/tmp/uploads", place="/mnt/data/uploads")
    fake = site(write_surfaces=(surface,))
    probes = fake.host.probes
    probes["docker_containers"].append(container("quote-page", [bind("/mnt/data/uploads", "/tmp/uploads")]))
    probes["paths"]["/mnt/data/uploads"] = place("/mnt/data/uploads", DATA, "/mnt/data")
    assert ask(fake)[0].ready
    probes["docker_containers"][-1].update(running=False, state="exited")
    answer, _ = ask(fake)
    assert [(one.what, one.reason) for one in answer.needs] == [("services quote-page", "container quote-page is not running, but exited")]


def test_a_host_on_its_boot_disk_that_was_not_rebooted_since_a_run_changed_its_storage_is_not_ready() -> None:
    docker = desired_mint_data().docker.model_copy(update={"data_root": None, "containerd_root": None})
    fake = site(docker=docker, disks=(), tier="boot-only", data="boot")
    assert ask(fake)[0].ready
    fake.host.probes["target_state"]["last_change"]["boot_id"] = fake.host.probes["identity"]["boot_id"]
    answer, _ = ask(fake)
    assert [(one.what, one.next) for one in answer.needs] == [("D242 reboot.proof", "controlplane ready mint-data --after-reboot")]


def test_an_engine_of_which_nobody_knows_whether_it_runs_is_doubt() -> None:
    without = desired_mint_data().docker.model_copy(update={"data_root": None, "containerd_root": None})
    fake = site(docker=without, disks=())
    units = fake.host.probes["units"]
    docker = units["docker.service"]
    docker.update(load_state="not-found", active_state="inactive")
    assert ask(fake)[0].ready
    answers = fake.host.probes.pop("docker_info")
    assert "services" in [one.what for one in ask(fake)[0].needs]
    fake.host.probes["docker_info"] = answers
    del units["docker.service"]
    answer, _ = ask(fake)
    assert (answer.ready, need(answer, "services").reason) == (False, "docker.service was not looked at")


def test_a_run_that_is_still_open_on_the_host_is_in_the_way() -> None:
    fake = FakeSite()
    plan = fake.plan()
    fake.arm(9)
    assert fake.apply(plan).outcome == "interrupted"
    fake.arm(None)
    assert any(one.what == "runs" and "has not ended here" in one.reason for one in ask(fake)[0].needs)


def test_a_whole_run_that_has_not_ended_is_in_the_way_even_where_every_step_of_it_has() -> None:
    fake = FakeSite()
    plan = fake.plan()
    assert fake.apply(plan).outcome == "done"
    whole = fake.receipts.chain.pop()
    assert (whole.capability, whole.phase) == ("plan.apply", "result")
    open_runs = [one for one in ask(fake)[0].needs if one.what == "runs"]
    assert [one.next for one in open_runs] == [f"controlplane runs show {whole.run}"]


@pytest.mark.parametrize("ended", [False, True])
def test_what_is_done_to_the_host_while_it_is_judged_is_in_the_way(ended: bool) -> None:
    fake = site()
    key = "CAP-20260102-120001__storage.fstab__R00bb"
    ledger = Ledger(fake.receipts, fake.clock, run=key, site="lab", plan="sha256:other", policy="sha256:policy", operator="bob@desk")
    look = fake.evidence.collect

    def collect(*asked: Any) -> Any:
        seen = look(*asked)
        ledger.intend(key, host="mint-data", capability="storage.fstab", step="mint-data/010")
        if ended:
            ledger.close(key, host="mint-data", capability="storage.fstab", step="mint-data/010", outcome="done")
        return seen

    fake.evidence.collect = collect  # type: ignore[method-assign,assignment]  # the other run comes between two contacts
    answer, _ = ask(fake)
    assert (answer.ready, answer.exit_code(), answer.receipt) == (False, 5, None)
    assert f"{key} worked on the host while it was judged" in [one.reason for one in answer.needs]


def test_what_is_recorded_between_the_last_look_and_the_result_voids_the_receipt() -> None:
    fake = site()
    ask(fake)
    chain = fake.receipts.chain
    key = "CAP-20260102-120001__storage.fstab__R00bb"
    other = chain[0].model_copy(update={"key": key, "run": key, "capability": "storage.fstab", "seq": 2, "plan": "sha256:other"})
    chain[1:] = [other, chain[1].model_copy(update={"seq": 3})]
    why = void_because(chain[2], chain, policy="sha256:policy", route=chain[2].route or "", now=fake.clock.now())
    assert why == f"{key} came after it ({other.at})"


def test_another_judgement_at_the_same_time_does_not_void_a_receipt() -> None:
    fake = site()
    ask(fake)
    chain = fake.receipts.chain
    other = chain[0].model_copy(update={"key": "CAP-20260102-120001__infra.vm.ready.status__R00bb", "seq": 2})
    chain[1:] = [other, chain[1].model_copy(update={"seq": 3})]
    assert void_because(chain[2], chain, policy="sha256:policy", route=chain[2].route or "", now=fake.clock.now()) is None


@pytest.mark.parametrize(("until", "ready"), [("2026-01-02T13:00:00Z", False), ("2026-01-02T11:59:59Z", True)])
def test_a_host_that_a_run_from_elsewhere_holds_is_not_ready(until: str, ready: bool) -> None:
    fake = site()
    run = "CAP-20260102-113000__docker.data_root__R0001"
    lease = {"token": 7, "holder": "bob@elsewhere", "run": run, "taken_at": "2026-01-02T11:30:00Z", "expires_at": until}
    fake.host.probes["target_state"]["lease"] = lease
    answer, _ = ask(fake)
    assert (answer.ready, answer.exit_code()) == (ready, 0 if ready else 3)
    told = [f"it is leased to run {run} by bob@elsewhere since 2026-01-02T11:30:00Z, until {until}"]
    assert [one.reason for one in answer.needs] == ([] if ready else told)


@pytest.mark.parametrize(("check", "end"), [("D234", "2026-01-02T18:00:00Z"), ("D245", "2026-01-03T12:00:04Z")])
def test_a_ready_receipt_ends_with_the_first_waiver_that_it_rests_on(check: str, end: str) -> None:
    waivers = (
        *(HostWaiver(check=one, reason="grows", approved_by="ops", ends_at=datetime(2026, 1, 4, tzinfo=UTC)) for one in ("D234", "D237")),
        HostWaiver(check=check, reason="till tonight", approved_by="ops", ends_at=datetime(2026, 1, 2, 20, tzinfo=timezone(timedelta(hours=2)))),
    )
    fake = site(waivers=waivers)
    root = fake.host.probes["usage"]["/"]
    root["free"] = root["available"] = 0
    answer, _ = ask(fake)
    assert (answer.ready, [one.what for one in answer.noted], answer.expires_at) == (True, ["D234 boot.usage", "D237 boot.usage"], end)


def test_old_data_that_awaits_its_purge_is_noted_and_not_in_the_way() -> None:
    fake = site()
    retired = {"path": "/var/lib/docker.old", "run": "CAP-20260102-100000__docker.data_root__R0001", "retired_at": "2026-01-02T10:00:00Z"}
    retired |= {
        "size": 9,
        "entries": 3,
        "exists": True,
        "recorded": "sha256:ab",
        "fingerprint": "sha256:ab",
        "unreadable": None,
        "purging": None,
        "replaced_by": "/mnt/data/docker",
    }
    fake.host.probes["target_state"]["retired"] = [retired]
    answer, _ = ask(fake)
    assert (answer.ready, [(one.what, one.capability) for one in answer.noted]) == (True, [("D244 retired:/var/lib/docker.old", "storage.purge")])


def test_old_data_that_its_purge_would_refuse_is_in_the_way_and_told_by_why() -> None:
    fake = site()
    retired = {"path": "/var/lib/docker.old", "run": "CAP-20260102-100000__docker.data_root__R0001", "retired_at": "2025-12-02T10:00:00Z"}
    retired |= {"size": 9, "entries": 3, "exists": True, "recorded": "sha256:ab", "fingerprint": "sha256:cd", "unreadable": None, "purging": None}
    fake.host.probes["target_state"]["retired"] = [{**retired, "replaced_by": "/mnt/data/docker"}]
    told = need(ask(fake)[0], "D244 retired:/var/lib/docker.old")
    assert told.capability is None
    assert told.next == (
        "no plan mends it: /var/lib/docker.old: differs from what was retired: something has written there since, so look at it first"
    )


def test_a_ready_receipt_ends_by_itself() -> None:
    fake = site()
    ask(fake)
    fake.clock.time += timedelta(hours=23)
    assert standing(fake) is None
    fake.clock.time += timedelta(hours=1)
    assert standing(fake) == "it ended at 2026-01-03T12:00:04Z"


def test_a_clock_that_went_back_does_not_make_a_ready_receipt_last() -> None:
    fake = site()
    ask(fake)
    fake.clock.time -= timedelta(days=300)
    with pytest.raises(RefusedError, match="Set this controller's clock"):
        standing(fake)


def test_a_change_of_the_policy_voids_a_ready_receipt() -> None:
    fake = site()
    ask(fake)
    fake.view = fake.view.model_copy(update={"policy_digest": "sha256:other"})
    assert standing(fake) == "the policy changed since"


def test_whatever_is_done_to_the_host_later_voids_a_ready_receipt() -> None:
    fake = site()
    ask(fake)
    fake.hosts["mint-data"] = FakeHost("mint-data")
    fake.evidence.hosts = fake.hosts
    fake.runner.hosts = fake.hosts
    assert fake.apply(fake.plan()).outcome == "done"
    assert "came after it" in (standing(fake) or "")


def test_a_later_no_voids_an_earlier_yes() -> None:
    fake = site()
    ask(fake)
    fake.evidence.unreached["mint-data"] = "no route"
    ask(fake)
    assert "does not say that mint-data is ready" in (standing(fake) or "")


def test_a_host_that_was_never_judged_has_no_standing() -> None:
    with pytest.raises(InputInvalidError, match="mint-data was never judged: run 'controlplane ready mint-data'"):
        standing(site())


def test_an_unknown_host_is_refused_before_anything_is_asked() -> None:
    fake = site()
    with pytest.raises(InputInvalidError, match="nowhere is not governed"):
        judge_ready("nowhere", fake.view, operator=OPERATOR, ports=fake.ports)
    assert fake.evidence.asked == 0


def test_another_way_to_the_host_voids_a_ready_receipt_since_it_may_lead_to_another_machine() -> None:
    fake = site()
    ask(fake)
    elsewhere = Inventory(hosts=(InventoryHost(name="mint-data", variables={"ansible_host": "10.9.9.9"}),))
    fake.view = fake.view.model_copy(update={"inventory": elsewhere})
    assert standing(fake) == "the inventory leads to it by another way since, so it may be another machine"
