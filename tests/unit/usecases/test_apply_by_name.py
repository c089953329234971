"""A run that deletes what its plan names goes on with that plan whatever came since, deletes nothing else, and says of each what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import pytest

from controlplane.domain.asking import HYGIENE_SERVICE, HYGIENE_TIMER
from controlplane.domain.checks.hygiene_timer import settings_digest
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.plan import Plan
from controlplane.domain.policy import Hygiene, Limits, LogLimits
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.run_result import RunResult
from controlplane.ports.plays import StepResult
from tests.fakes import host as fake_host
from tests.fakes.evidence_builder import desired_mint_data
from tests.fakes.machine_builder import unit
from tests.fakes.site import FakeSite
from tests.unit.domain.test_hygiene import IMAGES, MB, image

LOST = StepResult(status="unreachable", message="no route to host", told={})
FAILED = StepResult(status="failed", message="image shop/app:1 has to stay by now, so it was left", told={})
DAY = 86_400
HYGIENE, TMP = "docker.hygiene", "storage.tmp_files"


def log(name: str, size: int) -> dict[str, Any]:
    path = f"/var/lib/docker/containers/{name}/{name}-json.log"
    return {"container": name, "path": path, "size": size, "rotates": False, "id": f"{name}0123456789abcdef", "written": 1_767_225_600}


def _clears(host: fake_host.FakeHost, told: dict[str, Any]) -> Iterator[Callable[[], None]]:
    store = host.probes["docker_store"]

    def remove(item: dict[str, Any]) -> None:
        store["images"] = [one for one in store["images"] if one["id"] != item["id"]]
        store["cache"] = [one for one in store["cache"] if one["id"] != item["id"]]
        for one in store["logs"]:
            if one["path"] == item["id"]:
                one["size"] = 0

    for item in told["docker_hygiene_items"]:
        yield partial(remove, item)


def _removes(host: fake_host.FakeHost, told: dict[str, Any]) -> Iterator[Callable[[], None]]:
    def remove(path: str) -> None:
        host.probes["tmp"]["files"] = [one for one in host.probes["tmp"]["files"] if one["path"] != path]

    for item in told["tmp_files_items"]:
        yield partial(remove, item["path"])


def play_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake hosts know the roles that delete by name."""
    monkeypatch.setitem(fake_host._ROLES, "docker_hygiene", _clears)
    monkeypatch.setitem(fake_host._ROLES, "tmp_files", _removes)


_played = pytest.fixture(autouse=True)(play_them)


def over_budget(timer: Literal["daily"] | None = None) -> FakeSite:
    """Return a site whose host's images are over their budget by more than all that may go, and one of whose logs has no limit.

    A timer that is wanted is in place there.
    """
    wanted = Hygiene(keep=2, protect=("golden/*",), timer=timer)
    docker = desired_mint_data().docker.model_copy(update={"hygiene": wanted, "log": LogLimits(max_size=10 * MB, max_files=3)})
    site = FakeSite(docker=docker, thresholds=Limits(images=MB))
    probes = site.host.probes
    probes["docker_store"] = {"images": [dict(one) for one in IMAGES], "cache": [], "logs": [log("quiet", MB), log("talks", 40 * MB)]}
    probes["docker_usage"].update(images=900 * MB, build_cache=0)
    for name in (HYGIENE_TIMER, HYGIENE_SERVICE):
        probes["units"][name] = unit(load_state="not-found", active_state="inactive", enabled="")
    if timer is not None:
        by = f"python3 tool hygiene timed --settings {settings_digest(site.view.desired.by_name()['mint-data'])}"
        probes["units"] |= {HYGIENE_TIMER: unit(), HYGIENE_SERVICE: unit(exec_start=by)}
    return site


def cut_off(site: FakeSite, plan: Plan, parts: int = 1, end: StepResult = LOST) -> RunResult:
    site.host.breaks_after, site.runner.ends = parts, [end]
    result = site.apply(plan)
    site.host.breaks_after = None
    return result


def grown(site: FakeSite, name: str, size: int) -> None:
    next(one for one in site.host.probes["docker_store"]["logs"] if one["container"] == name)["size"] = size


def images_of(site: FakeSite) -> set[str]:
    return {one["id"].removeprefix("sha256:") for one in site.host.probes["docker_store"]["images"]}


def _a_log_grows(site: FakeSite) -> None:
    grown(site, "quiet", 50 * MB)
    grown(site, "talks", 41 * MB)


def _an_image_is_pulled(site: FakeSite) -> None:
    # The newest of its repository: what was one of the newest two may go by now.
    site.host.probes["docker_store"]["images"].append(image("5", created=500))
    site.host.probes["docker_usage"]["images"] += 100 * MB


def _a_sibling_goes(site: FakeSite) -> None:
    for one in site.host.probes["docker_store"]["images"]:
        one["unique"] += MB


def _the_timer_fails(site: FakeSite) -> None:
    site.host.probes["units"][HYGIENE_SERVICE]["properties"] = {"Result": "exit-code"}


def _the_timer_is_stopped(site: FakeSite) -> None:
    site.host.probes["units"][HYGIENE_TIMER]["active_state"] = "inactive"


@pytest.mark.parametrize("meanwhile", [_the_timer_fails, _the_timer_is_stopped])
@pytest.mark.parametrize("parts", [0, 1])
def test_a_timer_that_is_to_be_set_up_by_now_is_for_the_next_plan(parts: int, meanwhile: Callable[[FakeSite], None]) -> None:
    site = over_budget("daily")
    plan = site.plan(HYGIENE)
    assert {change.kind for step in plan.steps for change in step.changes} == {"delete"}
    assert cut_off(site, plan, parts).outcome == "interrupted"
    meanwhile(site)

    done = site.apply(plan)

    assert (done.outcome, {change.status for change in done.changed}) == ("done", {"done"}), done.messages
    assert open_intents(site.receipts.chain) == ()
    assert "docker.hygiene_timer" in [one.surface for one in done.remaining]
    after = site.plan(HYGIENE)
    assert ([step.capability for step in after.steps], "failed the last time (exit-code)" in after.refusals[-1].reason) == (
        ([], True) if meanwhile is _the_timer_fails else ([HYGIENE], False)
    )


@pytest.mark.parametrize("meanwhile", [_a_log_grows, _an_image_is_pulled, _a_sibling_goes, lambda _: None])
@pytest.mark.parametrize("parts", [0, 1, 3])
def test_the_same_plan_does_what_is_left_of_it_and_leaves_what_came_since(parts: int, meanwhile: Callable[[FakeSite], None]) -> None:
    site = over_budget()
    plan = site.plan(HYGIENE)
    assert [item["name"] for item in plan.steps[0].variables["docker_hygiene_items"]] == ["untagged", "shop/app:1", "shop/app:2", "talks"]
    cut = cut_off(site, plan, parts)
    # What it deleted does not come back: no way back is named, which would be refused.
    assert (cut.outcome, cut.messages[-1]) == ("interrupted", f"Run {cut.run} is open. Go on: 'controlplane apply' with the same plan file")
    meanwhile(site)
    stays = images_of(site) - {"none", "1", "2"}
    quiet = dict(site.host.probes["docker_store"]["logs"][0])

    done = site.apply(plan)

    assert (done.outcome, {change.status for change in done.changed}) == ("done", {"done"}), done.messages
    assert [change.target for change in done.changed] == [change.target for change in plan.steps[0].changes]
    assert images_of(site) == stays
    assert site.host.probes["docker_store"]["logs"][0] == quiet
    assert open_intents(site.receipts.chain) == ()
    # What came since is for the next plan.
    came = {_a_log_grows: ["quiet"], _an_image_is_pulled: ["shop/app:3"]}.get(meanwhile, [])
    assert [item["name"] for step in site.plan(HYGIENE).steps for item in step.variables["docker_hygiene_items"]] == came
    plays = list(site.runner.plays)
    if came:
        with pytest.raises(RefusedError, match=r"(?s)no longer fits.*Make a new one: controlplane plan --capability docker\.hygiene --out FILE"):
            site.apply(plan)
    else:
        assert site.apply(plan).outcome == "done"
    assert site.runner.plays == plays


def test_what_was_left_because_it_is_used_by_now_is_not_told_to_be_done() -> None:
    site = over_budget()
    plan = site.plan(HYGIENE)
    cut_off(site, plan)
    for one in site.host.probes["docker_store"]["images"]:
        one["containers"] += one["id"] == "sha256:1"

    ended = cut_off(site, plan, 1, FAILED)

    assert ended.outcome == "failed"
    assert {change.target.split(" ")[-1]: change.status for change in ended.changed if change.target.startswith("image")} == {
        "sha256:none": "done",
        "sha256:1": "not-done",
        "sha256:2": "not-done",
    }
    assert open_intents(site.receipts.chain) == ()
    assert "by a new plan: controlplane plan --host mint-data --capability docker.hygiene" in ended.messages[0]


def test_after_a_removal_the_amount_that_stays_over_the_budget_makes_nothing_of_it_undone() -> None:
    site = over_budget()
    plan = site.plan(HYGIENE)
    assert "over the budget stay" in plan.refusals[0].reason
    play = site.host.play

    def freed(*told: Any) -> None:
        play(*told)
        site.host.probes["docker_usage"]["images"] = 470 * MB

    site.host.play = freed  # type: ignore[method-assign]
    result = site.apply(plan)
    assert (result.outcome, {change.status for change in result.changed}) == ("done", {"done"}), result.messages
    assert site.apply(plan).changed == ()


def test_a_deleting_run_that_can_not_go_on_names_no_way_back_either(monkeypatch: pytest.MonkeyPatch) -> None:
    site = over_budget()
    close = site.receipts.append

    def full(receipt: Receipt) -> object:
        if receipt.phase == "result":
            raise RunFailedError("no room for the receipt")
        return close(receipt)

    monkeypatch.setattr(site.receipts, "append", full)
    with pytest.raises(RunFailedError, match=r"no room for the receipt\nRun \S+ is open\. Go on: 'controlplane apply' with the same plan file$"):
        site.apply(site.plan(HYGIENE))


def test_a_log_that_somebody_writes_to_is_cut_by_the_plan_that_saw_it_smaller() -> None:
    site = over_budget()
    plan = site.plan(HYGIENE)
    grown(site, "talks", 60 * MB)
    assert site.apply(plan).outcome == "done"
    assert site.host.probes["docker_store"]["logs"][1]["size"] == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 39 * MB}, "what is in the log of talks: 39000000, at least 40000000 needed"),
        ({"id": "another"}, "its role would be told something else now"),
        ({"path": "/elsewhere"}, "what is in the log of talks: could not be measured"),
    ],
)
def test_a_log_that_was_cut_or_is_another_one_by_now_is_not(change: dict[str, Any], told: str) -> None:
    site = over_budget()
    plan = site.plan(HYGIENE)
    site.host.probes["docker_store"]["logs"][1].update(change)
    with pytest.raises(RefusedError) as refusal:
        site.apply(plan)
    assert told in str(refusal.value)
    assert site.receipts.chain == []


def test_no_other_log_and_no_other_image_goes_with_it_at_the_first_attempt() -> None:
    for meanwhile in (_a_log_grows, _an_image_is_pulled, _a_sibling_goes):
        site = over_budget()
        plan = site.plan(HYGIENE)
        meanwhile(site)
        with pytest.raises(RefusedError, match="no longer fits"):
            site.apply(plan)
        assert site.receipts.chain == []


def file(site: FakeSite, name: str, size: int = 50 * MB) -> dict[str, Any]:
    made = int(site.clock.time.timestamp()) - 3 * DAY
    return {"path": f"/tmp/{name}", "size": size, "owner": 1000, "mtime": made, "mark": f"2:{size}:3"}


def test_files_that_come_into_the_list_once_others_are_gone_are_for_the_next_plan() -> None:
    site = FakeSite()
    site.host.probes["tmp"] = {"files": [file(site, "a"), file(site, "b")], "truncated": True}
    plan = site.plan(TMP)
    assert cut_off(site, plan).outcome == "interrupted"
    site.host.probes["tmp"]["files"] += [file(site, "c"), {**file(site, "young"), "mtime": int(site.clock.time.timestamp())}]

    done = site.apply(plan)

    assert (done.outcome, [change.status for change in done.changed]) == ("done", ["done", "done"]), done.messages
    assert [one["path"] for one in site.host.probes["tmp"]["files"]] == ["/tmp/c", "/tmp/young"]
    assert [change.target for step in site.plan(TMP).steps for change in step.changes] == ["/tmp/c"]


def test_a_file_that_may_stand_behind_the_last_one_that_is_listed_is_not_told_to_be_gone() -> None:
    site = FakeSite()
    site.host.probes["tmp"] = {"files": [file(site, "a", 60 * MB), file(site, "b", 50 * MB)], "truncated": False}
    plan = site.plan(TMP)
    play = site.host.play

    def pushed_out(*told: Any) -> None:
        play(*told)
        site.host.probes["tmp"] = {"files": [file(site, "c", 55 * MB)], "truncated": True}

    site.host.play = pushed_out  # type: ignore[method-assign]
    assert [change.status for change in site.apply(plan).changed] == ["done", "not-done"]
