"""What Docker does not say of its store, or says otherwise, is unknown: nothing is counted as nothing, none is done, and the receipt says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import hygiene, hygiene_items, hygiene_remove, hygiene_store
from controlplane_target.faults import FailedFault
from controlplane_target.state import Home

from tests.unit.roles.docker_socket import DockerSocket

MB = 1_000_000
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
DF, ALL = "GET /system/df?type=image&type=build-cache", "GET /containers/json?all=1"
SETTINGS = {"budgets": {"images": 50 * MB, "build_cache": 5 * MB, "log": MB}, "keep": 1, "protect": []}
IMAGE = {"kind": "image", "id": OLD, "name": "shop:1", "size": 30 * MB}
CACHE = {"kind": "cache", "id": "leaf", "name": "regular", "size": 3 * MB}


def image(name: str, tag: str, created: int, **more: Any) -> dict[str, Any]:
    plain = {"Id": name, "RepoTags": [tag], "RepoDigests": None, "Created": created, "Size": 40 * MB, "SharedSize": 10 * MB}
    return plain | more


def record(name: str, **more: Any) -> dict[str, Any]:
    return {"ID": name, "Size": 3 * MB, "InUse": False, "Shared": False, "LastUsedAt": None, "Type": "regular"} | more


def told() -> dict[str, Any]:
    return {"LayersSize": 70 * MB, "Images": [image(OLD, "shop:1", 1), image(NEW, "shop:2", 2)], "BuildCache": [record("leaf"), record("root")]}


class Store:
    """A store over its budgets of images and build cache; what is removed of it is gone."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.said = folder, folder / "c1.log", told()
        self.log.write_bytes(b"x" * 10)
        self.container: dict[str, Any] = {
            "Id": "c1",
            "Name": "/web",
            "Image": NEW,
            "LogPath": str(self.log),
            "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}},
        }
        self.docker = DockerSocket(folder, {ALL: [{"Id": "c1"}], "GET /containers/c1/json": lambda: self._http(self.container), DF: self._df})
        for name in (OLD, NEW):
            self.docker.answers[f"GET /images/{name}/json"] = lambda name=name: self._inspect(name)
        self.docker.answers[f"DELETE /images/{OLD}?noprune=1"] = self._delete
        for name in ("leaf", "root"):
            self.docker.answers[f"POST /build/prune?all=1&filters=%7B%22id%22%3A%20%7B%22{name}%22%3A%20true%7D%7D"] = lambda name=name: self._prune(
                name
            )
        self.home = Home(folder / "home")
        self.deleted: list[str] = []

    def _http(self, said: Any) -> bytes:
        return self.docker._http(200, said)

    def _df(self) -> bytes | None:
        return None if self.said is None else self._http(self.said)

    def _inspect(self, name: str) -> bytes:
        listed = (self.said.get("Images") or []) if isinstance(self.said, dict) else []
        found = next((one for one in listed if one.get("Id") == name), None)
        if found is None:
            return self.docker._http(404, {"message": "no such image"})
        names = {key: found.get(key) for key in ("RepoTags", "RepoDigests")}
        return self._http({"Id": name, "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"}, **names})

    def _delete(self) -> bytes:
        self.deleted.append("image")
        self.said["Images"] = self.said["Images"][1:]
        self.said["LayersSize"] -= 30 * MB
        return self._http([{"Deleted": OLD}])

    def _prune(self, name: str) -> bytes:
        self.deleted.append(name)
        self.said["BuildCache"] = [one for one in self.said["BuildCache"] if one["ID"] != name]
        return self._http({"CachesDeleted": [name]})

    def timed(self) -> dict[str, Any]:
        return hygiene.timed(self.home, SETTINGS, self.docker.engine(), 1_767_225_600.0)

    def receipt(self) -> dict[str, Any]:
        [path] = (self.home.base / "hygiene/receipts").glob("*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.docker.close()


def without(said: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name != key}


def lacking(kind: str, row: dict[str, Any], key: str) -> tuple[Callable[[], Any], str]:
    """Return an answer with one row that lacks a key, and what names that."""
    return lambda: told() | {kind: [without(row, key)]}, f"has no '{key}'"


def test_what_is_told_whole_is_brought_back_to_the_budgets(store: Store) -> None:
    receipt = store.timed()
    assert (receipt["faults"], receipt["planned"], store.deleted) == ([], 33 * MB, ["image", "leaf"])
    assert receipt["freed"] == {"images": 30 * MB, "build_cache": 3 * MB, "logs": 0}
    assert store.receipt() == receipt
    assert {path.split("/")[1] for path in (one.split(" ")[1] for one in store.docker.asked)} == {"_ping", "v1.44"}


def test_what_a_plan_names_goes(store: Store) -> None:
    run = store.home.run("R1")
    assert hygiene.clean(run, store.docker.engine(), [IMAGE, CACHE], {})["changed"] is True
    assert (run.phase, store.deleted) == ("done", ["image", "leaf"])


# Of answers to /system/df, each way to lack something, with the key that is named.
_NOT_TOLD: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (dict, "has no 'Images'"),
    "a list": (list, r"is \[\], not an object"),
    "what API 1.53 tells": (lambda: {"ImageUsage": {"TotalSize": 70 * MB}, "BuildCacheUsage": {"TotalSize": 6 * MB}}, "has no 'Images'"),
    "no images": (lambda: without(told(), "Images"), "has no 'Images'"),
    "no cache": (lambda: without(told(), "BuildCache"), "has no 'BuildCache'"),
    "no size of images": (lambda: without(told(), "LayersSize"), "has no 'LayersSize'"),
    "no size, images null": (lambda: {"Images": None, "BuildCache": None}, "has no 'LayersSize'"),
    "a size for people": (lambda: told() | {"LayersSize": "3.6GB"}, "has '3.6GB' as 'LayersSize', which is not a number"),
    "a null size": (lambda: told() | {"LayersSize": None}, "has None as 'LayersSize'"),
    "a size that it can't tell": (lambda: told() | {"LayersSize": -1}, "has -1 as 'LayersSize'"),
    "images that are no list": (lambda: told() | {"Images": {}}, r"has \{\} as 'Images', which is not a list"),
    "a cache that is no list": (lambda: told() | {"BuildCache": "none"}, "has 'none' as 'BuildCache'"),
    **{f"a record without {key}": lacking("BuildCache", record("leaf"), key) for key in record("leaf") if key != "Type"},
    "a record with a size for people": (lambda: told() | {"BuildCache": [record("leaf", Size="3MB")]}, "has '3MB' as 'Size'"),
    "a record with a use for people": (
        lambda: told() | {"BuildCache": [record("leaf", LastUsedAt="2 days ago")]},
        "has '2 days ago' as 'LastUsedAt'",
    ),
    "a record whose use is a word": (lambda: told() | {"BuildCache": [record("leaf", InUse="no")]}, "has 'no' as 'InUse'"),
}
_NOT_TOLD_OF_AN_IMAGE: dict[str, tuple[Callable[[], Any], str]] = {
    **{f"an image without {key}": lacking("Images", image(OLD, "shop:1", 1), key) for key in image(OLD, "shop:1", 1) if key != "SharedSize"},
    "an image by its name": (lambda: told() | {"Images": [image("shop:1", "shop:1", 1)]}, "otherwise than by its digest"),
    "a size of an image for people": (lambda: told() | {"Images": [image(OLD, "shop:1", 1, Size="40MB")]}, "has '40MB' as 'Size'"),
    "a shared size for people": (lambda: told() | {"Images": [image(OLD, "shop:1", 1, SharedSize="0B")]}, "has '0B' as 'SharedSize'"),
    "tags that are no list": (lambda: told() | {"Images": [image(OLD, "shop:1", 1, RepoTags="shop:1")]}, "has 'shop:1' as 'RepoTags'"),
}
_ALL = _NOT_TOLD | _NOT_TOLD_OF_AN_IMAGE


@pytest.mark.parametrize("way", _NOT_TOLD)
def test_an_account_that_docker_does_not_give_is_not_zero(store: Store, way: str) -> None:
    said, why = _NOT_TOLD[way]
    store.said = said()
    with pytest.raises(FailedFault, match=why):
        hygiene.accounts(store.docker.engine())


@pytest.mark.parametrize("way", _ALL)
def test_a_store_that_docker_does_not_tell_is_not_empty(store: Store, way: str) -> None:
    said, why = _ALL[way]
    store.said = said()
    with pytest.raises(FailedFault, match=why):
        hygiene_store.look(store.docker.engine())


@pytest.mark.parametrize("way", _ALL)
def test_the_timer_removes_nothing_by_such_an_answer_and_its_receipt_carries_the_fault(store: Store, way: str) -> None:
    said, why = _ALL[way]
    store.said = said()
    with pytest.raises(FailedFault, match=why):
        store.timed()
    receipt = store.receipt()
    assert (len(receipt["faults"]), receipt["removed"], receipt["freed"], receipt["left_out"]) == (1, [], {}, "")
    assert "GET /system/df" in receipt["faults"][0]
    assert store.deleted == []


@pytest.mark.parametrize("way", _ALL)
def test_a_plan_is_not_done_by_such_an_answer(store: Store, way: str) -> None:
    said, why = _ALL[way]
    store.said = said()
    run = store.home.run("R1")
    with pytest.raises(FailedFault, match=why):
        hygiene.clean(run, store.docker.engine(), [IMAGE, CACHE], {})
    assert (run.phase, store.deleted) == ("new", [])
    with pytest.raises(FailedFault, match=why):
        hygiene_items.left(store.docker.engine(), [IMAGE, CACHE], run, {})


def test_an_account_that_is_lost_after_the_removal_leaves_the_run_open_and_what_went_on_record(store: Store) -> None:
    delete = store._delete

    def lost() -> bytes:
        said = delete()
        store.said = {}
        return said

    store.docker.answers[f"DELETE /images/{OLD}?noprune=1"] = lost
    run = store.home.run("R1")
    with pytest.raises(FailedFault, match="has no 'Images'"):
        hygiene.clean(run, store.docker.engine(), [IMAGE], {})
    assert (run.phase, run.state["removed"]) == ("cleaning", [f"image {OLD}"])


def test_lists_that_come_as_null_are_empty(store: Store) -> None:
    store.said = {"LayersSize": 0, "Images": None, "BuildCache": None}
    assert hygiene.accounts(store.docker.engine()) == {"images": 0, "build_cache": 0, "logs": 10}
    assert hygiene_store.look(store.docker.engine())["images"] == []
    assert store.timed()["faults"] == []


def test_a_size_that_is_left_out_is_nothing_where_there_is_no_image(store: Store) -> None:
    store.said = {"Images": [], "BuildCache": []}
    assert hygiene.accounts(store.docker.engine())["images"] == 0


@pytest.mark.parametrize("more", [{"SharedSize": -1}, {"Size": -1}])
def test_of_images_whose_share_docker_can_not_tell_none_goes(store: Store, more: dict[str, int]) -> None:
    store.said["Images"][0] |= more
    with pytest.raises(FailedFault, match="shares with others"):
        store.timed()
    assert store.deleted == ["leaf"]


@pytest.mark.parametrize("key", ["Parents", " Parents", "Parent"])
def test_a_record_goes_after_those_made_from_it_however_docker_writes_the_key(store: Store, key: str) -> None:
    """From API 1.42 on Docker writes it with a blank before it."""
    parents = {key: "root" if key == "Parent" else ["root"]}
    # By its use alone the root would go first.
    store.said["BuildCache"] = [record("root"), record("leaf", LastUsedAt="2026-01-01T00:00:00.5Z", **parents)]
    store.timed()
    assert store.deleted == ["image", "leaf"]


def test_an_image_that_is_gone_since_it_was_listed_is_gone_and_one_that_can_not_be_read_a_fault(store: Store) -> None:
    del store.docker.answers[f"GET /images/{OLD}/json"]
    assert [one["id"] for one in hygiene_store.look(store.docker.engine())["images"]] == [NEW]
    for said, why in [((500, {"message": "broken"}), "500 .*broken"), ({"Id": OLD}, "has no 'Metadata'"), ((200, None), "is None, not an object")]:
        store.docker.answers[f"GET /images/{OLD}/json"] = said
        with pytest.raises(FailedFault, match=why):
            hygiene_store.look(store.docker.engine())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: one.pop("Image"), "has no 'Image'"),
        (lambda one: one.pop("LogPath"), "has no 'LogPath'"),
        (lambda one: one.pop("HostConfig"), "has no 'HostConfig'"),
        (lambda one: one["HostConfig"].pop("LogConfig"), "has no 'LogConfig'"),
        (lambda one: one["HostConfig"]["LogConfig"].pop("Type"), "has no 'Type'"),
        (lambda one: one["HostConfig"]["LogConfig"].pop("Config"), "has no 'Config'"),
    ],
)
def test_a_container_that_docker_does_not_tell_whole_keeps_everything(store: Store, change: Callable[[dict[str, Any]], Any], why: str) -> None:
    change(store.container)
    with pytest.raises(FailedFault, match=why):
        store.timed()
    assert (len(store.receipt()["faults"]), store.deleted) == (1, [])


def test_a_log_without_options_has_no_limit_of_its_own(store: Store) -> None:
    store.container["HostConfig"]["LogConfig"]["Config"] = None
    store.log.write_bytes(b"x" * 2 * MB)
    assert store.timed()["freed"]["logs"] == 2 * MB


def test_a_docker_that_runs_into_the_limit_is_a_fault_in_the_receipt(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hygiene_store, "LIMIT_S", 0.2)
    store.docker.answers[DF] = None
    with pytest.raises(FailedFault, match="timed out"):
        store.timed()
    assert ["timed out" in fault for fault in store.receipt()["faults"]] == [True]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((500, {"message": "disk usage: broken"}), "disk usage: broken"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\nnot json", "as it should"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{}", "cut off"),
        (b"HTTP/1.0 200 OK\r\n\r\n", "is None, not an object"),
    ],
    ids=["failed", "no json", "cut off", "empty"],
)
def test_a_docker_that_fails_is_a_fault_in_the_receipt(store: Store, said: Any, why: str) -> None:
    store.docker.answers[DF] = said
    with pytest.raises(FailedFault, match=why):
        store.timed()
    assert len(store.receipt()["faults"]) == 1


def test_whatever_ends_the_timer_s_work_is_in_its_receipt(store: Store) -> None:
    with pytest.raises(KeyError):
        hygiene.timed(store.home, {"keep": 1}, store.docker.engine(), 1_767_225_600.0)
    assert store.receipt()["faults"] == ["KeyError: 'budgets'"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "has no 'CachesDeleted'"),
        ({"CachesDeleted": None}, "in use by now"),
        ({"CachesDeleted": "leaf"}, "not a list"),
        ((500, None), "removed: 500"),
    ],
)
def test_a_record_of_which_docker_does_not_say_that_it_went_is_not_on_record(store: Store, said: Any, why: str) -> None:
    [prune] = [key for key in store.docker.answers if "leaf" in key]
    store.docker.answers[prune] = said
    run = store.home.run("R1")
    with pytest.raises(FailedFault, match=why):
        hygiene.clean(run, store.docker.engine(), [CACHE], {})
    assert (run.phase, run.state.get("removed", [])) == ("cleaning", [])


def test_a_log_that_can_not_be_cut_is_a_fault_of_its_own(store: Store) -> None:
    store.log.write_bytes(b"x" * 2 * MB)
    with pytest.raises(FailedFault, match="log of web can't be cut"):
        hygiene_remove.remove(store.docker.engine(), {"kind": "log", "id": str(store.folder), "name": "web"})


def test_the_timer_keeps_what_was_released_last_and_its_receipt_says_what_went_by_age(store: Store) -> None:
    store.said["Images"][0]["RepoDigests"] = ["shop@sha256:1"]
    assert store.timed()["kept_by_age"] == ["shop"]
    assert store.deleted == ["image", "leaf"]


def test_the_timer_keeps_an_older_image_that_was_released_since_the_younger_one(store: Store) -> None:
    store.said["Images"][0]["RepoDigests"] = ["shop@sha256:1"]
    store.home.run("R1").write(role="compose_stack", phase="done", project="shop", manifest="m1", images={"web": "shop@sha256:1"}, finished_at=5.0)
    receipt = store.timed()
    assert (receipt["kept_by_age"], store.deleted) == ([], ["leaf"])


def test_where_a_journal_can_not_be_read_no_image_goes_that_a_release_may_have(store: Store) -> None:
    store.said["Images"][0]["RepoDigests"] = ["shop@sha256:1"]
    store.home.run("R1").write(phase="done")
    (store.home.base / "R1/state.json").write_text("{")
    with pytest.raises(FailedFault, match=r"/R1/state.json can't be read .* no image that has a registry's digest is removed"):
        store.timed()
    assert store.deleted == ["leaf"]


def test_where_a_journal_can_not_be_read_an_image_goes_that_no_registry_has_beyond_the_newest_of_its_repository(store: Store) -> None:
    # By what can be read, two releases tell of its repository, and neither that image nor the newer one is of them.
    for number in "12":
        store.home.run(f"R{number}").write(role="compose_stack", phase="done", project="p", manifest=number, images={"web": f"shop@sha256:{number}"})
    (store.home.run("R3").folder).mkdir()
    (store.home.base / "R3/state.json").write_text("{")
    store.container["Image"] = "sha256:" + "9" * 64
    with pytest.raises(FailedFault, match=r"R3/state\.json can't be read"):
        store.timed()
    receipt = store.receipt()
    assert (receipt["removed"][0], receipt["kept_by_age"], len(receipt["faults"])) == (f"image {OLD} shop:1", ["shop"], 1)
    assert store.deleted == ["image", "leaf"]
