"""The machine's timer chooses what to remove as a plan does, and knows of the same releases."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from controlplane_target import compose_stack, hygiene_judge, hygiene_releases, hygiene_store, stack_back, stack_files
from controlplane_target.stack_request import parse
from controlplane_target.state import Home
from pydantic import TypeAdapter

from controlplane.adapters.collector import store
from controlplane.adapters.collector.supervise import ProbeError
from controlplane.domain import hygiene
from controlplane.domain.evidence_shapes.docker import ContainerLog, DockerStore
from tests.counting import calls
from tests.unit.domain.test_hygiene import MB, image, pin, record, release

_PINS = [pin(name, repository) for repository in ("a", "b", "docker.io/library/a") for name in "123"]


def test_the_machines_timer_chooses_as_a_plan_does() -> None:
    dice = random.Random(7)  # noqa: S311 - cases, no secrets
    seen = {"by age": 0, "by release": 0}
    for _ in range(600):
        images = [
            {
                **image(
                    str(n),
                    created=dice.randrange(1000),
                    size=dice.choice([0, dice.randrange(1, 300)]) * MB,
                    containers=dice.choice([0, 0, 1]),
                    tags=dice.sample(["a:1", "a:2", "b:1", "golden/x:1", "c/d:5"], dice.randrange(3)),
                    tagged=dice.choice([None, dice.randrange(1000)]),
                ),
                "digests": dice.sample([pin(name, repository) for repository in "ab" for name in "123"], dice.randrange(3)),
            }
            for n in range(dice.randrange(8))
        ]
        releases = [
            release(f"m{dice.randrange(4)}", *dice.sample(_PINS, 2), project=dice.choice(["shop", "other"]), is_open=dice.random() < 0.2)
            for _ in range(dice.randrange(8))
        ]
        names = [str(n) for n in range(dice.randrange(8))]
        records = [
            record(
                name,
                last_used=dice.choice([None, dice.randrange(100)]),
                parents=dice.sample(names[:number], min(number, dice.randrange(3))),
                in_use=dice.choice([False, False, True]),
                shared=dice.choice([False, False, True]),
            )
            for number, name in enumerate(names)
        ]
        over, keep = dice.randrange(-100, 900) * MB, dice.randrange(3)
        protect = dice.sample(["golden/*", "docker.io/library/a:*", "docker.io/c/*", "docker.io/a@sha256:1", "x"], dice.randrange(1, 4))
        chosen = hygiene.doomed_images(images, over=over, keep=keep, protect=protect, releases=releases)
        assert chosen == hygiene_judge.doomed_images(images, over=over, keep=keep, protect=protect, releases=releases)
        spared = hygiene.spared_images(images, keep=keep, protect=protect, releases=releases)
        assert spared == hygiene_judge.spared_images(images, keep=keep, protect=protect, releases=releases)
        assert not spared.keys() & {one.id for one in chosen}
        assert hygiene.kept_by_age(images, releases, keep) == hygiene_judge.kept_by_age(images, releases, keep)
        assert hygiene.doomed_cache(records, over=over) == hygiene_judge.doomed_cache(records, over=over)
        without = hygiene.doomed_images(images, over=over, keep=keep, protect=protect, releases=[])
        seen["by age" if chosen == without else "by release"] += 1
    assert min(seen.values()) > 50


@pytest.mark.parametrize("judge", [hygiene, hygiene_judge], ids=["plan", "timer"])
def test_the_choice_costs_no_more_than_in_proportion_to_the_images_each_of_a_repository_of_its_own(judge: ModuleType) -> None:
    def choice(number: int) -> int:
        images = [image(str(n), created=n, tags=[f"r{n}:1"]) for n in range(number)]
        return calls(lambda: judge.doomed_images(images, over=1, keep=1, protect=[], releases=[]))

    assert choice(400) < 2.5 * choice(200)


@pytest.mark.parametrize("judge", [hygiene, hygiene_judge], ids=["plan", "timer"])
@pytest.mark.parametrize("is_chain", [True, False], ids=["each made from the one before", "none made from another"])
def test_the_choice_costs_no_more_than_in_proportion_to_the_records_of_the_build_cache(judge: ModuleType, is_chain: bool) -> None:
    def choice(number: int) -> int:
        records = [record(str(n), last_used=n, parents=[str(n - 1)] if n and is_chain else []) for n in range(number)]
        chosen: list[Any] = []
        cost = calls(lambda: chosen.extend(judge.doomed_cache(records, over=number * 10 * MB)))
        assert len(chosen) == number
        return cost

    assert choice(400) < 2.5 * choice(200)


@pytest.mark.parametrize("judge", [hygiene, hygiene_judge], ids=["plan", "timer"])
@pytest.mark.parametrize(
    ("name", "pattern", "is_protected"),
    [
        ("redis:7.0", "docker.io/library/redis:*", True),
        ("redis:7.0", "docker.io/redis:7.*", True),
        ("redis:7.0", "library/redis:*", True),
        ("redis:7.0", "index.docker.io/library/redis:7.0", True),
        ("redis:7.0", "redis:*", True),
        ("redis:7.0", "docker.io/*", True),
        ("redis:7.0", "registry.example/redis:*", False),
        ("redis:7.0", "docker.io/library/postgres:*", False),
        ("redis@sha256:1", "docker.io/library/redis@sha256:*", True),
        ("docker.io/library/redis:7.0", "redis:7.*", True),
        ("shop/app:1", "docker.io/shop/*", True),
        ("shop/app:1", "docker.io/library/shop/app:1", False),
        ("registry.example/redis:7.0", "docker.io/*", False),
        ("registry.example/redis:7.0", "docker.io/library/*", False),
        ("localhost/redis:7.0", "docker.io/*", False),
        ("registry:5000/redis:7.0", "docker.io/*", False),
        ("registry:5000/redis:7.0", "registry:5000/*", True),
    ],
)
def test_an_image_is_protected_however_its_registry_is_written(judge: ModuleType, name: str, pattern: str, is_protected: bool) -> None:
    known = {"tags": [], "digests": [name]} if "@" in name else {"tags": [name], "digests": []}
    images = [{**image("1", created=1), **known}]
    chosen = judge.doomed_images(images, over=1, keep=0, protect=[pattern], releases=[])
    assert (chosen == []) is is_protected


@pytest.mark.parametrize("judge", [hygiene, hygiene_judge], ids=["plan", "timer"])
def test_what_is_spared_is_told_with_its_reason(judge: ModuleType) -> None:
    images = [image("1", created=1, containers=1), image("2", created=2, tags=["golden/x:1"]), image("3", created=3), image("4", created=4)]
    images += [image("5", created=5), {**image("6", created=0, tags=[]), "digests": [pin("6", "c")]}]
    releases = [release("m1", pin("6", "c"), is_open=True)]
    assert judge.spared_images(images, keep=1, protect=["golden/*"], releases=releases) == {
        "sha256:1": "a container was made of it",
        "sha256:2": "golden/* protects it",
        "sha256:5": "it is among the newest 1 of its repository",
        "sha256:6": "it is of a release that is kept",
    }


@pytest.mark.parametrize("judge", [hygiene, hygiene_judge], ids=["plan", "timer"])
def test_a_log_is_told_with_its_container_and_when_it_was_written(judge: ModuleType) -> None:
    log = {"container": "web", "path": "/l", "size": 9, "rotates": False}
    assert judge.doomed_logs([log, {**log, "id": "c1", "written": 5}], limit=1) == [
        ("log", "/l", "web", 9, None, ""),
        ("log", "/l", "web", 9, 5, "c1"),
    ]


def test_evidence_and_the_timer_tell_the_same_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "c1-json.log"
    config = {"LogConfig": {"Type": "json-file", "Config": {}}}
    said = {"Id": "c1", "Name": "/web", "Image": "sha256:1", "LogPath": str(path), "HostConfig": config}
    for files, told in (({}, (0, None)), ({path: 5}, (3, 5)), ({path: 5, path.with_suffix(".log.1"): 9}, (6, 9))):
        for one, at in files.items():
            one.write_text("log")
            os.utime(one, (at, at))
        found = store.log_record(said)
        assert found == hygiene_store._log(said)
        assert found is not None
        assert (found["id"], found["container"], found["size"], found["written"]) == ("c1", "web", *told)
        assert TypeAdapter(ContainerLog).validate_python(found, strict=True) == found


# What the host has on record.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a host on which nothing was released."""
    monkeypatch.setattr(store, "BASE", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def pinned(letter: str, name: str = "web") -> str:
    return f"registry.example.org/shop/{name}@sha256:{letter * 64}"


def deployed(home: Home, key: str, letter: str, *, phase: str = "done", at: float | None = 1.0, project: str = "shop") -> None:
    """Leave what a run of compose_stack leaves: its journal, and the record of what was deployed last where it came to its end."""
    asked: dict[str, Any] = {name: name for name in ("stack", "environment", "manifest_name", "env_digest")}
    asked |= {
        "project": project,
        "manifest": f"sha256:{letter}",
        "dir": f"/opt/{project}",
        "files": [{"name": "compose.yml", "text": "x"}],
        "wait_s": 1,
    }
    asked |= {"images": {"web": pinned(letter), "job": pinned(letter), "db": pinned("f", "db")}}
    request, run = parse(asked | {"told": {"release": {"env": "A=canary\n", "digest": "env_digest"}}}), home.run(key)
    run.write(role=compose_stack.ROLE, phase=phase, **request.noted, **({} if at is None else {"finished_at": at}))
    if phase == "done":
        stack_back.note_deployed(run, {})


def recorded(home: Home) -> list[dict[str, Any]]:
    """Return what the timer and a plan know alike."""
    found, doubts = hygiene_releases.recorded(home)
    assert (store.recorded_releases(), doubts) == (found, [])
    told = {"images": [], "cache": [], "logs": [], "releases": found}
    assert TypeAdapter(DockerStore).validate_python(told, strict=True) == told
    return found


def test_a_host_on_which_nothing_was_released_has_none_on_record(home: Home) -> None:
    assert recorded(home) == []
    home.run("R1").write(role="docker_data_root", phase="done", images={"web": "x"})
    home.run("R2").write(role=compose_stack.ROLE, phase="pulled")
    assert recorded(home) == []


def test_releases_are_told_newest_first_with_the_digests_of_their_images_and_no_secret(home: Home) -> None:
    deployed(home, "R2", "a", at=50.7)
    deployed(home, "R1", "b", at=60.2)
    newest, oldest = recorded(home)
    assert newest == {"project": "shop", "manifest": "sha256:b", "images": [pinned("f", "db"), pinned("b")], "at": 60, "open": False}
    assert (oldest["manifest"], oldest["at"]) == ("sha256:a", 50)


@pytest.mark.parametrize(("phase", "told"), [("undone", []), ("prepared", []), ("failed", [True]), ("deploying", [True]), ("writing", [True])])
def test_what_was_taken_back_is_none_and_what_is_half_deployed_is_open(home: Home, phase: str, told: list[bool]) -> None:
    deployed(home, "R1", "a", phase=phase, at=None)
    assert [one["open"] for one in recorded(home)] == told


def test_what_was_deployed_last_is_known_also_where_its_run_is_gone(home: Home) -> None:
    deployed(home, "R1", "a")
    (home.run("R1").folder / "state.json").unlink()
    [one] = recorded(home)
    assert (one["manifest"], one["at"] > 1_700_000_000) == ("sha256:a", True)


def test_of_a_stack_s_history_the_newest_are_told_and_all_that_are_open(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((hygiene_releases, "_MOST"), (store, "_MOST_RELEASES")):
        monkeypatch.setattr(module, name, 2)
    for number, letter in enumerate("abc"):
        deployed(home, f"R{number}", letter, at=float(number))
    deployed(home, "R9", "d", phase="failed", at=None)
    deployed(home, "R8", "e", project="other", at=9.0)
    assert [one["manifest"][-1] for one in recorded(home)] == ["e", "c", "b", "d"]


def test_one_that_did_not_come_to_its_end_is_as_old_as_where_it_stands(home: Home) -> None:
    deployed(home, "R1", "a", phase="failed", at=None)
    home.run("R1").write(phase_at={"writing": 70.2, "deploying": 71.5, "failed": 75.9})
    assert [one["at"] for one in recorded(home)] == [75]


@pytest.mark.parametrize(("spoilt", "way_on"), [("R1/state.json", "move .*/R1 out of .*home"), ("releases/shop.json", "deploy shop anew")])
def test_what_can_not_be_read_is_no_release_left_out(home: Home, spoilt: str, way_on: str) -> None:
    deployed(home, "R1", "a")
    (home.base / spoilt).write_text("{")
    [doubt] = hygiene_releases.recorded(home).doubts
    assert re.search(f"{home.base}/{spoilt} can't be read .Expecting property name.* Bring it back from a backup of this host, or.* {way_on}", doubt)
    with pytest.raises(ProbeError, match=f"{spoilt} is no journal"):
        store.recorded_releases()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"R1"',
        '{"role": "compose_stack", "phase": "done", "images": {"web": "x"}}',
        '{"role": "compose_stack", "phase": "done", "images": 1}',
    ],
)
def test_a_journal_that_is_none_is_a_doubt_and_the_others_are_told(home: Home, text: str) -> None:
    deployed(home, "R1", "a")
    deployed(home, "R2", "b", project="other")
    (home.base / "R1/state.json").write_text(text)
    told = hygiene_releases.recorded(home)
    assert [one.split(" can't be read ")[0].rpartition(" ")[2] for one in told.doubts] == [f"{home.base}/R1/state.json"]
    # The one whose journal it was is known as its stack's last one all the same.
    assert [one["manifest"][-1] for one in sorted(told.releases, key=lambda one: str(one["project"]))] == ["b", "a"]


def test_a_folder_that_can_not_be_listed_is_a_doubt(home: Home) -> None:
    home.base.mkdir()
    (home.base / "releases").write_text("")
    assert [doubt.partition(": ")[0] for doubt in hygiene_releases.recorded(home).doubts] == ["what was released here can't be told"]


def test_the_record_of_a_deployment_is_where_a_release_s_role_leaves_it(home: Home) -> None:
    deployed(home, "R1", "a")
    assert stack_files.record_of(home, "shop") == home.base / "releases/shop.json"
