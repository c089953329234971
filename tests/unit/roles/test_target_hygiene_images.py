"""Which references keep an image: Docker refuses to remove one by its id that several repositories name, or that has several tags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import hygiene
from controlplane_target.faults import FailedFault

from tests.unit.roles.test_target_hygiene_answers import IMAGE, MB, NEW, OLD, SETTINGS, Store

SEVERAL = "conflict: unable to delete 111111111111 (must be forced) - image is referenced in multiple repositories"


def repository(name: str) -> str:
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]


class Referenced(Store):
    """A store that removes its older image as moby does (image_delete.go, isSingleReference), by its id or by one of these names."""

    def __init__(self, folder: Path, *names: str) -> None:
        super().__init__(folder)
        self.names = list(names)
        for name in names:
            self.docker.answers[f"GET /images/{name}/json"] = lambda name=name: self._inspect(OLD if name in self.names else name)
            self.docker.answers[f"DELETE /images/{name}?noprune=1"] = lambda name=name: self._untag(name)
        self.docker.answers[f"DELETE /images/{OLD}?noprune=1"] = self._by_id
        self._list()

    def _list(self) -> None:
        tags, digests = ([name for name in self.names if ("@" in name) is is_digest] for is_digest in (False, True))
        self.said["Images"][0] |= {"RepoTags": tags, "RepoDigests": digests}

    def _by_id(self) -> bytes:
        if len([name for name in self.names if "@" not in name]) > 1 or len({repository(name) for name in self.names}) > 1:
            return self.docker._http(409, {"message": SEVERAL})
        self.names = []
        return self._delete()

    def _untag(self, name: str) -> bytes:
        self.deleted.append(name)
        self.names.remove(name)
        if "@" not in name and not any("@" not in one and repository(one) == repository(name) for one in self.names):
            self.names = [one for one in self.names if repository(one) != repository(name)]
        if not self.names:
            return self._delete()
        self._list()
        return self._http([{"Untagged": name}])


def digest(name: str) -> str:
    return f"{name}@sha256:{'a' * 64}"


@pytest.fixture
def made() -> Iterator[list[Store]]:
    held: list[Store] = []
    yield held
    for one in held:
        one.docker.close()


def planned(*names: str) -> dict[str, Any]:
    return {**IMAGE, "name": " ".join(sorted(name for name in names if "@" not in name)) or "untagged"}


@pytest.mark.parametrize(
    ("names", "deleted"),
    [
        (["app:prod"], []),
        ([digest("app")], []),
        (["app:prod", digest("app")], []),
        (["app:prod", digest("registry:5000/app")], ["app:prod", digest("registry:5000/app")]),
        ([digest("mirror/app"), digest("registry:5000/app")], [digest("mirror/app"), digest("registry:5000/app")]),
        # The last tag of its own repository takes the digest there along.
        (["app:1", "app:2", digest("app"), digest("mirror/app")], ["app:1", "app:2", digest("mirror/app")]),
        (["app:1", "other:1"], ["app:1", "other:1"]),
    ],
)
def test_an_image_goes_by_each_of_its_references_where_its_id_alone_is_refused(
    tmp_path: Path, made: list[Store], names: list[str], deleted: list[str]
) -> None:
    store = Referenced(tmp_path, *names)
    made.append(store)
    run = store.home.run("R1")
    assert hygiene.clean(run, store.docker.engine(), [planned(*names)], {})["changed"] is True
    assert (run.phase, run.state["removed"], store.deleted) == ("done", [f"image {OLD}"], [*deleted, "image"])
    assert [one["Id"] for one in store.said["Images"]] == [NEW]


def test_so_it_does_by_the_timer(tmp_path: Path, made: list[Store]) -> None:
    store = Referenced(tmp_path, digest("mirror/app"), digest("registry:5000/app"))
    made.append(store)
    receipt = hygiene.timed(store.home, {**SETTINGS, "keep": 0}, store.docker.engine(), 1_767_225_600.0)
    assert ([one["id"] for one in receipt["removals"] if one["kind"] == "image"], receipt["faults"]) == ([OLD], [])


def test_one_that_was_cut_off_between_two_of_its_references_goes_all_the_same(tmp_path: Path, made: list[Store]) -> None:
    names = ["app:prod", digest("mirror/app"), digest("registry:5000/app")]
    store = Referenced(tmp_path, *names)
    made.append(store)
    run = store.home.run("R1")
    run.write(role=hygiene.ROLE, phase="cleaning", planned=30 * MB, before={"images": 70 * MB, "build_cache": 6 * MB, "logs": 10}, removed=[])
    store._untag("app:prod")
    hygiene.clean(run, store.docker.engine(), [planned(*names)], {})
    assert (run.phase, run.state["removed"]) == ("done", [f"image {OLD}"])


def test_a_reference_that_names_another_image_by_now_stays_and_one_that_came_keeps_it(tmp_path: Path, made: list[Store]) -> None:
    names = ["app:prod", digest("mirror/app"), digest("registry:5000/app")]
    store = Referenced(tmp_path, *names)
    made.append(store)
    # Between the look and the removal somebody names it, or names another one so.
    store.docker.answers["GET /images/app:prod/json"] = lambda: store._inspect(NEW)
    run = store.home.run("R1")
    with pytest.raises(FailedFault, match=r"image app:prod \(sha256:1{12}\) can't be removed: it is there still, as app:prod\. What was removed"):
        hygiene.clean(run, store.docker.engine(), [planned(*names)], {})
    assert (run.phase, run.state["removed"], "app:prod" in store.deleted) == ("cleaning", [], False)


def test_a_tag_that_came_between_the_look_and_the_removal_keeps_it(tmp_path: Path, made: list[Store]) -> None:
    store = Referenced(tmp_path, "app:prod")
    made.append(store)
    listed = store.docker.answers[f"GET /images/{OLD}/json"]
    asked = iter(range(9))
    store.docker.answers[f"GET /images/{OLD}/json"] = lambda: (
        listed() if next(asked) == 0 else store._http({"Id": OLD, "RepoTags": ["app:prod", "keep:me"], "RepoDigests": []})
    )
    with pytest.raises(FailedFault, match=r"image sha256:1{12} is called app:prod keep:me by now, not app:prod, so it was left"):
        hygiene.clean(store.home.run("R1"), store.docker.engine(), [planned("app:prod")], {})
    assert store.deleted == []


@pytest.mark.parametrize("said", [{}, {"RepoTags": []}, {"RepoTags": "app", "RepoDigests": []}])
def test_what_docker_does_not_tell_of_its_names_is_not_none(tmp_path: Path, made: list[Store], said: dict[str, Any]) -> None:
    store = Referenced(tmp_path, "app:prod")
    made.append(store)
    store.docker.answers[f"GET /images/{OLD}/json"] = {"Id": OLD, "Metadata": {}, **said}
    with pytest.raises(FailedFault, match=r"'RepoTags'|'RepoDigests'"):
        hygiene.clean(store.home.run("R1"), store.docker.engine(), [planned("app:prod")], {})
    assert store.deleted == []
