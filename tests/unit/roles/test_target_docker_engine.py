"""How Docker is spoken to: in which version of its API, and what becomes of an answer that lacks what it has to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane_target.docker_engine import NEWEST, Engine, field, rows, size
from controlplane_target.faults import FailedFault

from controlplane.adapters.collector import engine as collector
from tests.unit.roles.docker_socket import DockerSocket

Serve = Callable[..., DockerSocket]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[DockerSocket] = []

    def start(answers: dict[str, Any], **options: Any) -> DockerSocket:
        started.append(DockerSocket(tmp_path, answers, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_both_sides_read_the_same_version_of_the_api() -> None:
    assert NEWEST == collector.NEWEST


@pytest.mark.parametrize(("offers", "spoken"), [("1.41", "1.41"), ("1.44", "1.44"), ("1.53", "1.44"), ("1.100", "1.44"), ("2.0", "1.44")])
def test_a_newer_daemon_is_spoken_to_in_the_version_that_is_read_and_an_older_one_in_its_own(serve: Serve, offers: str, spoken: str) -> None:
    docker = serve({"GET /networks": []}, offers=offers)
    engine = docker.engine()
    assert [engine.get("/networks"), engine.get("/networks")] == [[], []]
    assert engine.call("DELETE", "/volumes/v")[0] == 404
    assert docker.asked == ["GET /_ping", f"GET /v{spoken}/networks", f"GET /v{spoken}/networks", f"DELETE /v{spoken}/volumes/v"]


@pytest.mark.parametrize(("offers", "spoken"), [("1.41", "1.41"), ("1.53", "1.46")])
def test_info_is_asked_in_the_version_that_tells_of_containerd(serve: Serve, offers: str, spoken: str) -> None:
    docker = serve({"GET /info": {"Containerd": {"Address": "/run/x"}}}, offers=offers)
    assert docker.engine().info() == {"Containerd": {"Address": "/run/x"}}
    assert docker.asked[-1] == f"GET /v{spoken}/info"


def test_a_daemon_that_was_started_anew_as_another_one_is_spoken_to_in_its_own_version(serve: Serve) -> None:
    docker = serve({"GET /networks": []}, offers="1.44")
    engine = docker.engine()
    engine.get("/networks")
    docker.offers = "1.41"
    assert engine.wait(5)
    engine.get("/networks")
    assert docker.asked[-2:] == ["GET /_ping", "GET /v1.41/networks"]


def test_a_ping_asks_nothing_else_and_in_no_version(serve: Serve) -> None:
    docker = serve({})
    assert docker.engine().answers()
    assert docker.asked == ["GET /_ping"]
    assert not Engine("/nonexistent").answers()


@pytest.mark.parametrize("offers", [None, "", "new", "1.x"])
def test_what_names_no_version_is_not_docker(serve: Serve, offers: str | None) -> None:
    docker = serve({"GET /networks": []}, offers=offers)
    with pytest.raises(OSError, match="names no version"):
        docker.engine().get("/networks")
    assert docker.asked == ["GET /_ping"]


def test_a_container_that_vanished_is_left_out_and_one_that_can_not_be_read_is_a_fault(serve: Serve) -> None:
    answers: dict[str, Any] = {"GET /containers/json?all=1": [{"Id": "a"}, {"Id": "b"}], "GET /containers/b/json": {"Id": "b"}}
    docker = serve(answers)
    assert docker.engine().containers() == [{"Id": "b"}]
    docker.answers["GET /containers/a/json"] = (500, {"message": "broken"})
    with pytest.raises(FailedFault, match="500 to GET /containers/a/json: broken"):
        docker.engine().containers()


@pytest.mark.parametrize("listed", [(200, None), {}, ["a"], [{}], [{"Id": 1}]])
def test_a_listing_of_containers_that_is_none_is_a_fault(serve: Serve, listed: Any) -> None:
    docker = serve({"GET /containers/json?all=1": listed})
    with pytest.raises(FailedFault, match="GET /containers/json"):
        docker.engine().containers()


def test_volumes_that_are_not_told_are_not_none(serve: Serve) -> None:
    answers = {"GET /containers/json?all=1": [], "GET /images/json": [], "GET /volumes": {"Volumes": None}, "GET /networks": []}
    docker = serve(answers)
    assert docker.engine().inventory()["volumes"] == []
    docker.answers["GET /volumes"] = {}
    with pytest.raises(FailedFault, match="GET /volumes has no 'Volumes'"):
        docker.engine().inventory()


def test_what_is_told_is_read_and_an_empty_list_may_come_as_null() -> None:
    said = {"a": 0, "b": "", "c": False, "d": ["x"], "e": None, "f": []}
    assert (field(said, "a", int, "X"), field(said, "b", str, "X"), field(said, "c", bool, "X"), size(said, "a", "X")) == (0, "", False, 0)
    assert [rows(said, key, str, "X") for key in "def"] == [["x"], [], []]


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda: field({}, "a", int, "GET /x"), "GET /x has no 'a'"),
        (lambda: field(None, "a", int, "GET /x"), "GET /x is None, not an object with 'a'"),
        (lambda: field({"a": "3.6GB"}, "a", int, "GET /x"), "GET /x has '3.6GB' as 'a', which is not a number"),
        (lambda: field({"a": True}, "a", int, "GET /x"), "GET /x has True as 'a', which is not a number"),
        (lambda: field({"a": None}, "a", int, "GET /x"), "GET /x has None as 'a', which is not a number"),
        (lambda: field({"a": 0}, "a", bool, "GET /x"), "GET /x has 0 as 'a', which is not true or false"),
        (lambda: size({"a": -1}, "a", "GET /x"), "GET /x has -1 as 'a': it could not tell"),
        (lambda: rows({}, "a", str, "GET /x"), "GET /x has no 'a'"),
        (lambda: rows({"a": {}}, "a", str, "GET /x"), r"GET /x has \{\} as 'a', which is not a list"),
        (lambda: rows({"a": [1]}, "a", str, "GET /x"), "GET /x lists 1, which is not a text"),
    ],
)
def test_what_is_not_told_as_it_should_be_is_a_fault_that_says_what_and_where(read: Callable[[], object], told: str) -> None:
    with pytest.raises(FailedFault, match=f"Docker's answer to {told}.* That is unknown, not nothing.* look at 'docker version'"):
        read()
