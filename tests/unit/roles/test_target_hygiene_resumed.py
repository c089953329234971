"""A cleaning that was cut off does the rest of what its plan named: nothing that came since, and nothing that may not go any more."""

from __future__ import annotations

import argparse
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import hygiene, hygiene_items, hygiene_store, hygiene_verbs
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.files import write_json
from controlplane_target.state import Run

from tests.unit.roles.test_target_hygiene_answers import CACHE, IMAGE, MB, NEW, OLD, Store, image, record

OTHER = "sha256:" + "3" * 64
SPARE = {"keep": 1, "protect": []}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.docker.close()


def cut_off(store: Store, **journal: Any) -> Run:
    """Return a run that was killed while it removed."""
    run = store.home.run("R1")
    before = {"images": 70 * MB, "build_cache": 6 * MB, "logs": 10}
    run.write(role=hygiene.ROLE, phase="cleaning", planned=33 * MB, before=before, removed=[], **journal)
    return run


def clean(store: Store, run: Run, *items: dict[str, Any], spare: dict[str, Any] | None = None) -> dict[str, Any]:
    return hygiene.clean(run, store.docker.engine(), list(items), SPARE if spare is None else spare)


def log_of(store: Store, **more: Any) -> dict[str, Any]:
    return {"kind": "log", "id": str(store.log), "name": "web", "size": 10, "container": "c1", **more}


def test_it_removes_the_rest_and_nothing_that_came_since(store: Store) -> None:
    run = cut_off(store)
    store.said["BuildCache"].append(record("came"))
    store.said["Images"].append(image(OTHER, "came:1", 0))
    store.docker.answers[f"GET /images/{OTHER}/json"] = {"Id": OTHER, "Metadata": {}}

    assert clean(store, run, IMAGE, CACHE)["changed"] is True
    assert (store.deleted, run.phase, run.state["removed"]) == (["image", "leaf"], "done", [f"image {OLD}", "cache leaf"])


def _used(store: Store) -> None:
    store.docker.answers["GET /containers/json?all=1"] = [{"Id": "c1"}, {"Id": "c2"}]
    store.docker.answers["GET /containers/c2/json"] = {**store.container, "Id": "c2", "Image": OLD}


def _retagged(store: Store) -> None:
    store.said["Images"][0]["RepoTags"] = ["shop:1", "keep:me"]


def _pulled_again(store: Store) -> None:
    store.docker.answers[f"GET /images/{OLD}/json"] = {"Id": OLD, "Metadata": {"LastTagTime": "2026-01-02T00:00:00Z"}}


def _the_newer_one_is_gone(store: Store) -> None:
    store.said["Images"] = store.said["Images"][:1]


def _released(store: Store) -> None:
    store.said["Images"][0]["RepoDigests"] = ["shop@sha256:1"]
    store.home.run("R9").write(role="compose_stack", phase="done", project="shop", manifest="m1", images={"web": "shop@sha256:1"}, finished_at=5.0)


def _unreadable(store: Store) -> None:
    store.said["Images"][0]["RepoDigests"] = ["shop@sha256:1"]
    store.home.run("R9").write(phase="done")
    (store.home.base / "R9/state.json").write_text("{")


@pytest.mark.parametrize(
    ("meanwhile", "spare", "why"),
    [
        (_used, SPARE, f"a container was made of image shop:1 ({OLD[:19]}) since"),
        (_retagged, {"keep": 0}, f"hygiene refused: image {OLD[:19]} is called keep:me shop:1 by now, not shop:1"),
        (_pulled_again, SPARE, f"image shop:1 ({OLD[:19]}) was pulled, built or tagged again since"),
        (_the_newer_one_is_gone, SPARE, f"image shop:1 ({OLD[:19]}) has to stay by now: it is among the newest 1 of its repository"),
        (lambda _: None, {"keep": 0, "protect": ["docker.io/library/sh*:1"]}, "has to stay by now: docker.io/library/sh*:1 protects it"),
        (_released, SPARE, "has to stay by now: it is of a release that is kept"),
        (_unreadable, {"keep": 0}, "has to stay by now: what was released here can't be told"),
    ],
)
def test_what_may_not_go_any_more_stays_and_is_told(store: Store, meanwhile: Callable[[Store], None], spare: dict[str, Any], why: str) -> None:
    planned = {**IMAGE, "last_used": 1_767_225_600}
    meanwhile(store)

    with pytest.raises(RefusedFault, match=r"Nothing was changed\. Make a new plan") as refused:
        clean(store, store.home.run("R0"), planned, CACHE, spare=spare)
    assert why in str(refused.value)
    assert store.deleted == []
    assert store.home.run("R0").phase == "new"

    run = cut_off(store)
    with pytest.raises(FailedFault, match=r"so it was left\. What was removed is in .*; make a new plan for the rest") as left:
        clean(store, run, planned, CACHE, spare=spare)
    assert why.removeprefix("hygiene refused: ") in str(left.value)
    assert (store.deleted, run.phase, run.state["removed"]) == (["leaf"], "cleaning", ["cache leaf"])


@pytest.mark.parametrize(("state", "why"), [({"InUse": True}, "is in use"), ({"Shared": True}, "is shared by now")])
def test_a_record_that_somebody_builds_with_stays(store: Store, state: dict[str, bool], why: str) -> None:
    store.said["BuildCache"][0] |= state
    with pytest.raises(RefusedFault, match=f"record leaf of the build cache {why}"):
        clean(store, store.home.run("R0"), CACHE)
    with pytest.raises(FailedFault, match=f"record leaf of the build cache {why}, so it was left"):
        clean(store, cut_off(store), IMAGE, CACHE)
    assert store.deleted == ["image"]


def test_what_an_attempt_had_removed_when_it_was_killed_is_on_record(store: Store) -> None:
    run = cut_off(store, removing=f"image {OLD}")
    store._delete()
    clean(store, run, IMAGE, CACHE)
    assert (run.state["removed"], run.state["removing"]) == ([f"image {OLD}", "cache leaf"], None)


def test_what_it_had_begun_to_remove_and_is_there_is_removed(store: Store) -> None:
    run = cut_off(store, removing=f"image {OLD}")
    clean(store, run, IMAGE)
    assert (store.deleted, run.state["removed"]) == (["image"], [f"image {OLD}"])


def act(store: Store, monkeypatch: pytest.MonkeyPatch, action: str, *items: dict[str, Any]) -> dict[str, Any]:
    """Call a verb as a play does."""
    monkeypatch.setattr(hygiene_verbs, "Engine", store.docker.engine)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"items": items, "timer": {}, "spare": SPARE})))
    return hygiene_verbs.act(store.home, argparse.Namespace(run="R1", of=None, action=action, check=False))


class _Killed(BaseException):
    """What no handler catches, as a SIGKILL."""


@pytest.mark.parametrize("at", ["removed", "after"])
def test_killed_after_the_last_removal_the_resumed_play_says_what_it_freed(store: Store, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    write = Run.write

    def killed(run: Run, **changes: Any) -> None:
        # Of each removal one word is written after it; of the last one that, or the end, never comes.
        if ("after" in changes) if at == "after" else changes.get("removed") == [f"image {OLD}", "cache leaf"]:
            raise _Killed
        write(run, **changes)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "write", killed)
        with pytest.raises(_Killed):
            act(store, patched, "clean", IMAGE, CACHE)
    run = store.home.run("R1")
    assert (store.deleted, run.phase, "freed" in run.state) == (["image", "leaf"], "cleaning", False)

    # The play skips what changes where nothing is left.
    assert act(store, monkeypatch, "refuse", IMAGE, CACHE) == {"present": [], "lacking": []}
    told = act(store, monkeypatch, "prove", IMAGE, CACHE)["told"]

    freed = {"images": 30 * MB, "build_cache": 3 * MB, "logs": 0}
    assert told == {"planned": 33 * MB, "freed": freed, "removed": [f"image {OLD}", "cache leaf"]}
    assert (store.home.run("R1").phase, store.home.run("R1").state["removing"]) == ("done", None)
    assert act(store, monkeypatch, "prove", IMAGE, CACHE)["told"] == told


def test_what_is_left_ends_no_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(store)
    with pytest.raises(FailedFault, match="not proven: shop:1 is still there"):
        act(store, monkeypatch, "prove", IMAGE)
    assert store.home.run("R1").phase == "cleaning"


def test_a_log_that_grew_is_cut_with_what_was_written_since(store: Store) -> None:
    store.log.write_bytes(b"x" * 5000)
    run = store.home.run("R1")
    clean(store, run, log_of(store))
    assert (store.log.read_bytes(), run.state["removed"], run.state["freed"]["logs"]) == (b"", [f"log {store.log}"], 5000)

    store.log.write_bytes(b"x" * 5000)
    assert clean(store, run, log_of(store))["changed"] is False
    assert store.log.stat().st_size == 5000


@pytest.mark.parametrize("more", [{"size": 11}, {"container": "c0"}])
def test_a_log_that_holds_less_than_the_plan_saw_or_is_another_container_s_is_left(store: Store, more: dict[str, Any]) -> None:
    for run in (store.home.run("R0"), cut_off(store)):
        assert clean(store, run, log_of(store, **more))["changed"] is False
        assert store.log.stat().st_size == 10


def test_a_log_is_told_with_its_container_and_when_it_was_written(store: Store) -> None:
    os.utime(store.log, (1_767_225_600, 1_767_225_600))
    [log] = hygiene_store.look(store.docker.engine())["logs"]
    assert (log["id"], log["written"], log["size"]) == ("c1", 1_767_225_600, 10)
    store.log.unlink()
    [log] = hygiene_store.look(store.docker.engine())["logs"]
    assert (log["written"], log["size"]) == (None, 0)


def test_the_timer_lists_what_it_removed_with_size_and_last_use(store: Store) -> None:
    store.said["BuildCache"] = [record("leaf", LastUsedAt="2026-01-01T00:00:00Z"), record("root", InUse=True)]
    store.log.write_bytes(b"x" * 2 * MB)
    os.utime(store.log, (1_767_225_600, 1_767_225_600))
    store.timed()
    found = json.loads(json.dumps(store.receipt()["removals"]))
    at = "2026-01-01T00:00:00Z"
    assert found == [
        {"kind": "image", "id": OLD, "name": "shop:1", "size": 30 * MB, "last_used": "1970-01-01T00:00:01Z", "container": ""},
        {"kind": "cache", "id": "leaf", "name": "regular", "size": 3 * MB, "last_used": at, "container": ""},
        {"kind": "log", "id": str(store.log), "name": "web", "size": 2 * MB, "last_used": at, "container": "c1"},
    ]


def test_an_image_that_nobody_names_and_is_the_newest_is_none_of_it(store: Store) -> None:
    assert hygiene_items.left(store.docker.engine(), [{**IMAGE, "id": NEW, "name": "shop:2"}], cut_off(store), SPARE)[0].against


@pytest.mark.parametrize("at", [1, 2])
def test_a_timer_that_is_killed_leaves_on_record_what_it_removed_and_what_it_had_begun_to(
    store: Store, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    remove, begun = hygiene.remove, [f"image {OLD} shop:1", "cache leaf regular"]
    left: list[dict[str, Any]] = []

    def seen(*told: Any) -> None:
        # A SIGKILL leaves what is on the disk when it comes, and no `finally`.
        left.append(store.receipt())
        if len(left) < at:
            remove(*told)

    monkeypatch.setattr(hygiene, "remove", seen)
    store.timed()
    receipt = left[at - 1]
    assert (receipt["removed"], receipt["removing"], receipt["ended"]) == (begun[: at - 1], begun[at - 1], False)
    assert (store.receipt()["removing"], store.receipt()["ended"]) == (None, True)


def test_a_disk_that_is_full_keeps_the_timer_from_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: Any) -> None:
        if not content["ended"]:
            raise OSError(28, "No space left on device")
        write_json(path, content)

    monkeypatch.setattr(hygiene, "write_json", full)
    store.timed()
    assert (store.deleted, len(store.receipt()["removed"])) == (["image", "leaf"], 2)
