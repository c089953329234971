"""What a stack's files lead to is known by what Compose makes of them: changed meanwhile, nothing is made anew for a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import compose, compose_note, path_edit, path_stack, redis_aof, redis_command, redis_persist, text_change
from controlplane_target.compose import Stack
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.path_leg import plain
from controlplane_target.path_request import Request, parse
from controlplane_target.state import Home, Run

from tests.unit.roles import compose_stand_in

CANARY = "c4nary-Zx9"
OWN = """name: shop
include: [inc/more.yml]
services:
  cache:
    extends: {file: base.yml, service: base}
    env_file: [app.env]
    command: [redis-server]
    volumes: ["/srv/old:/data"]
"""
NEW = OWN.replace("[redis-server]", "[redis-server, --appendonly, 'yes']")
FILES = {
    "compose.yml": OWN,
    "inc/more.yml": "services:\n  web: {image: x}\nvolumes:\n  data: {name: live}\n",
    "base.yml": "services:\n  base: {image: 'redis:${TAG}'}\n",
    "app.env": f"PASSWORD={CANARY}\n",
    ".env": "TAG=7\n",
}
# The file of the stack's that changes, and how.
BESIDE = {
    "what an included file calls a volume": ("inc/more.yml", "live", "other"),
    "an extended file": ("base.yml", "redis:", "valkey:"),
    "an env_file": ("app.env", CANARY, "other"),
    "a variable": (".env", "7", "8"),
}
MEANS = (
    r"compose\.yml means something else to Compose than when this run began, and not by what stands there itself: a file that is included or extended"
)
NEXT = r"so that was not done\. Bring it up to its files yourself \(docker compose .* up --detach --no-deps cache\), then make a new plan$"


@pytest.fixture(autouse=True)
def reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let Compose read, and drafts lie in this test's own folder."""
    (tmp_path / "run").mkdir()
    compose_stand_in.install(monkeypatch, tmp_path / "run")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Return a stack whose file leads to others."""
    folder = tmp_path / "shop"
    (folder / "inc").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return Stack("shop", str(folder), "cache", (str(folder / "compose.yml"),), (), "h1")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run with its folder."""
    made = Home(tmp_path / "home").run("R1")
    made.folder.mkdir(parents=True)
    return made


def spoil(stack: Stack, beside: str) -> None:
    name, was, now = BESIDE[beside]
    path = Path(stack.directory) / name
    path.write_text(path.read_text().replace(was, now))


def write(stack: Stack) -> None:
    Path(stack.files[0]).write_text(NEW)


def asked(place: str = "/mnt/data/cache", **more: Any) -> Request:
    return parse({"container": "cache", "answer_s": 1, "paths": [{"kind": "files", "data": "/data", "place": place}], **more})


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("beside", BESIDE)
def test_what_changes_beside_the_stacks_own_files_is_seen_whether_the_runs_own_change_is_written_or_not(
    stack: Stack, beside: str, is_written: bool
) -> None:
    changes = {stack.files[0]: text_change.change_of(OWN, NEW)}
    note = compose_note.noted(stack, {})
    if is_written:
        write(stack)
    compose_note.assert_as_noted(note, stack, changes)
    spoil(stack, beside)
    with pytest.raises(FailedFault, match=f"{MEANS}.*{NEXT}"):
        compose_note.assert_as_noted(note, stack, changes)


def test_a_stack_that_compose_can_not_read_any_more_or_that_was_not_noted_is_a_doubt(stack: Stack) -> None:
    note = compose_note.noted(stack, {})
    with pytest.raises(FailedFault, match=NEXT):
        compose_note.assert_as_noted(None, stack, {})
    (Path(stack.directory) / "app.env").unlink()
    with pytest.raises(FailedFault, match=rf"^Compose can't read .*app\.env not found\. To make cache anew .*{NEXT}") as failed:
        compose_note.assert_as_noted(note, stack, {})
    assert "Nothing was changed" not in str(failed.value)


def test_a_note_says_nothing_of_the_passwords_in_a_reading_and_is_another_one_for_each_run(stack: Stack) -> None:
    first, second = compose_note.noted(stack, {}), compose_note.noted(stack, {})
    assert first["digest"] != second["digest"]
    assert (set(first), len(first["salt"])) == ({"salt", "digest"}, 64)
    assert compose_note.noted(stack, {}, salt=first["salt"]) == first


# A move of paths.


def test_the_same_is_recorded_once_and_holds_no_secret(stack: Stack, run: Run) -> None:
    made = path_edit.edit(stack, asked())
    assert [path_stack.record(run, made), path_stack.record(run, made)] == [True, False]
    assert CANARY not in (run.folder / "compose.json").read_text()
    spoil(stack, "an env_file")
    assert path_stack.record(run, made) is True


@pytest.mark.parametrize("more", [{}, {"override": True}], ids=["in its own file", "in an override file"])
@pytest.mark.parametrize("beside", BESIDE)
def test_nothing_is_written_for_a_move_where_something_else_would_come_into_effect(stack: Stack, run: Run, beside: str, more: dict[str, Any]) -> None:
    made = path_edit.edit(stack, asked(**more))
    path_stack.record(run, made)
    path_stack.assert_known(run, made.stack)
    spoil(stack, beside)
    before = {path: path.read_bytes() for path in Path(stack.directory).rglob("*") if path.is_file()}
    for ask in (
        lambda: path_stack.assert_known(run, made.stack),
        lambda: path_stack.write(run, made.stack, asked(**more), strict=True),
    ):
        with pytest.raises(FailedFault, match=r"\.env was changed by somebody" if beside == "a variable" else MEANS):
            ask()
    assert {path: path.read_bytes() for path in Path(stack.directory).rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("more", [{}, {"override": True}], ids=["in its own file", "in an override file"])
def test_a_move_that_was_written_is_known_still(stack: Stack, run: Run, more: dict[str, Any]) -> None:
    made = path_edit.edit(stack, asked(**more))
    path_stack.record(run, made)
    path_stack.write(run, made.stack, asked(**more), strict=True)
    path_stack.assert_known(run, made.stack)


# Redis' settings in its command.


class Server:
    """A server whose container was made from the stack's files as they are, `words` being its command."""

    name = "cache"

    def __init__(self, stack: Stack, *words: str) -> None:
        said = compose.reading(stack)
        told = {"project": "shop", "service": "cache", "project.working_dir": stack.directory, "project.config_files": stack.files[0]}
        labels = {f"com.docker.compose.{name}": value for name, value in told.items()}
        labels["com.docker.compose.config-hash"] = compose_stand_in.config_hash(said, "cache")
        self.inspection: Any = {"Config": {"Cmd": list(words), "Labels": labels}}
        self.redis = self

    @staticmethod
    def settings(_names: list[str]) -> dict[str, str]:
        return {"dir": "/data"}

    @staticmethod
    def place_of(_path: str) -> str:
        return "/data"


PERSISTED = {"container": "cache", "settings": {"appendonly": "yes"}, "persist": ["appendonly"], "route": "compose", "file": "", "port": 6379}


@pytest.fixture
def prepare(stack: Stack) -> Callable[[Run], Any]:
    """Return what leaves the way back of a run, of a container that was made from the files as they are; its server is returned."""

    def prepared(run: Run) -> Any:
        server: Any = Server(stack, "redis-server")
        redis_persist.prepare(run, server, redis_aof.parse(PERSISTED), "/usr/bin/python3")
        return server

    return prepared


@pytest.mark.parametrize("beside", BESIDE)
def test_a_redis_is_not_made_anew_where_something_else_would_come_into_effect(
    stack: Stack, run: Run, prepare: Callable[[Run], Any], beside: str
) -> None:
    server = prepare(run)
    assert CANARY not in "".join(path.read_text() for path in run.folder.iterdir() if path.is_file())
    assert redis_persist.write(run, server, redis_aof.parse(PERSISTED)) is True
    run.write(container="cache")
    redis_persist.assert_as_written(run)
    spoil(stack, beside)
    with pytest.raises(FailedFault, match="changed while this ran, and to make" if beside == "a variable" else MEANS):
        redis_persist.assert_as_written(run)


def test_a_run_that_goes_on_with_a_change_of_another_one_goes_by_what_that_one_noted(stack: Stack, run: Run, prepare: Callable[[Run], Any]) -> None:
    server = prepare(run)
    redis_persist.write(run, server, redis_aof.parse(PERSISTED))
    later = run.home.run("R2")
    later.folder.mkdir()
    server = Server(stack, "redis-server")
    redis_persist.prepare(later, server, redis_aof.parse(PERSISTED), "/usr/bin/python3")
    redis_persist.assert_as_written(later)
    spoil(stack, "an env_file")
    last = run.home.run("R3")
    last.folder.mkdir()
    redis_persist.prepare(last, server, redis_aof.parse(PERSISTED), "/usr/bin/python3")
    with pytest.raises(FailedFault, match=MEANS):
        redis_persist.assert_as_written(last)


def test_a_change_of_another_run_from_before_that_was_noted_is_noted_without_it(stack: Stack, run: Run) -> None:
    write(stack)
    change = redis_command.noted(stack, stack.files[0], text_change.change_of(OWN, NEW))
    run.write(stack=plain(stack), path=stack.files[0], asked=PERSISTED)
    redis_command.assert_as_written(run, change)
    Path(stack.files[0]).write_text(OWN)
    assert compose_note.noted(stack, {}, salt=change["read"]["salt"]) == change["read"]


@pytest.mark.parametrize("beside", ["an extended file", "an env_file", "a variable"])
def test_a_redis_is_not_taken_back_where_something_else_would_come_into_effect_with_that(
    stack: Stack, run: Run, prepare: Callable[[Run], Any], beside: str
) -> None:
    server = prepare(run)
    redis_persist.write(run, server, redis_aof.parse(PERSISTED))
    made: Any = Server(stack, "redis-server", "--appendonly", "yes")
    spoil(stack, beside)
    written = Path(stack.files[0]).read_text()
    with pytest.raises(RefusedFault, match=r"cache was not made from .*compose\.yml as they are"):
        redis_persist.put_back(run, made, redis_aof.parse(PERSISTED))
    assert Path(stack.files[0]).read_text() == written
    # One that was never made from it has nothing that would come into effect.
    assert redis_persist.put_back(run, server, redis_aof.parse(PERSISTED)) is True
    assert Path(stack.files[0]).read_text() == OWN
    # Put back before, by an attempt that was cut off: that is no other hand's change.
    assert redis_persist.put_back(run, made, redis_aof.parse(PERSISTED)) is False


def test_a_redis_is_taken_back_where_nothing_else_changed(stack: Stack, run: Run, prepare: Callable[[Run], Any]) -> None:
    redis_persist.write(run, prepare(run), redis_aof.parse(PERSISTED))
    made: Any = Server(stack, "redis-server", "--appendonly", "yes")
    assert redis_persist.put_back(run, made, redis_aof.parse(PERSISTED)) is True
    assert Path(stack.files[0]).read_text() == OWN
    assert json.loads((run.folder / "settings.json").read_text())["read"]["salt"]
