"""Which stack a container is of, and what speaks against making it anew: other files, other readings, other containers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command, compose
from controlplane_target.faults import RefusedFault

Answers = Callable[[list[str]], tuple[int, str, str]]


def inspection(**labels: str) -> dict[str, Any]:
    told = {"project": "shop", "service": "cache", "project.working_dir": "/opt/shop", "project.config_files": "/opt/shop/a.yml", "config-hash": "h1"}
    named = {f"com.docker.compose.{name}": value for name, value in (told | labels).items() if value}
    return {
        "Id": "c1",
        "Name": "/cache",
        "Image": "sha256:1",
        "Config": {"Labels": named, "Image": "redis:7"},
        "HostConfig": {"NetworkMode": "shop_default"},
    }


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], list[list[str]]]:
    """Let Compose answer by a function; return what it was asked."""

    def answer(by: Answers) -> list[list[str]]:
        asked: list[list[str]] = []

        def run(argv: list[str], **_: Any) -> command.Said:
            asked.append(list(argv))
            return command.Said(*by(list(argv)))

        monkeypatch.setattr(command, "run", run)
        return asked

    return answer


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where texts are read from that lie nowhere yet."""
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(compose, "MEMORY", str(tmp_path / "run"))
    return tmp_path / "run"


def stack(**labels: str) -> compose.Stack:
    found = compose.stack_of(inspection(**labels))
    assert found is not None
    return found


def test_a_stack_is_what_the_labels_say_and_survives_a_journal() -> None:
    found = stack(**{"project.config_files": "/opt/a.yml,/opt/b.yml", "project.environment_file": "/opt/x.env"})
    assert found.argv("up", "cache") == [
        *("docker", "compose", "--project-name", "shop", "--project-directory", "/opt/shop"),
        *("--file", "/opt/a.yml", "--file", "/opt/b.yml", "--env-file", "/opt/x.env", "up", "cache"),
    ]
    assert compose.stack_from(json.loads(json.dumps(vars(found)))) == found


@pytest.mark.parametrize("label", ["project", "service", "project.working_dir", "project.config_files", "config-hash"])
def test_a_container_without_one_of_the_labels_was_not_made_by_compose(label: str) -> None:
    assert compose.stack_of(inspection(**{label: ""})) is None


def test_a_container_of_other_files_or_variables_is_refused_with_the_command_that_brings_it_up(saying: Callable[[Answers], list[list[str]]]) -> None:
    saying(lambda _: (0, "cache h1\n", ""))
    compose.assert_made_from(stack(), "cache")
    saying(lambda _: (0, "cache h2\n", ""))
    with pytest.raises(
        RefusedFault, match=r"Nothing was changed\. Bring it up to its files yourself \(docker compose .* up --detach --no-deps cache\)"
    ):
        compose.assert_made_from(stack(), "cache")
    saying(lambda _: (1, "", "no such file"))
    with pytest.raises(RefusedFault, match=r"Compose can't read /opt/shop/a\.yml: no such file"):
        compose.assert_made_from(stack(), "cache")


READ = {"services": {"cache": {"image": "redis:7", "command": ["redis-server"]}}, "networks": {}}


@pytest.mark.parametrize(
    ("after", "fits"),
    [
        ({**READ, "services": {"cache": {"image": "redis:7", "command": ["redis-server", "--appendonly", "yes"]}}}, True),
        ({**READ, "services": {"cache": {"image": "redis:8", "command": ["redis-server", "--appendonly", "yes"]}}}, False),
        ({**READ, "services": {"cache": {"image": "redis:7", "command": ["redis-server", "--appendonly", "no"]}}}, False),
        ({**READ, "services": {"cache": {"image": "redis:7"}}}, False),
        (READ, False),
    ],
)
def test_a_new_text_has_to_mean_the_change_and_nothing_else(
    saying: Callable[[Answers], list[list[str]]], tmp_path: Path, memory: Path, after: dict[str, Any], fits: bool
) -> None:
    path = str(tmp_path / "a.yml")
    saying(lambda argv: (0, json.dumps(after if any("draft" in word for word in argv) else READ), ""))
    told = lambda words: [*words, "--appendonly", "yes"]  # noqa: E731 - as its caller gives it
    found = stack(**{"project.config_files": path})
    if fits:
        compose.assert_only_command_differs(found, path, "new", told)
    else:
        with pytest.raises(RefusedFault, match=r"Nothing was changed\. Write it there yourself"):
            compose.assert_only_command_differs(found, path, "new", told)
    assert list(tmp_path.iterdir()) == [memory]


def test_compose_reads_a_new_text_from_memory_and_nothing_is_written_beside_the_files(
    saying: Callable[[Answers], list[list[str]]], tmp_path: Path, memory: Path
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "a.yml").write_text("old")
    found = stack(**{"project.config_files": f"{folder}/a.yml,{folder}/b.yml", "project.working_dir": str(folder)})
    seen: list[Any] = []

    def answer(argv: list[str]) -> tuple[int, str, str]:
        named = [argv[at + 1] for at, word in enumerate(argv) if word == "--file"]
        draft = Path(next(path for path in named if path.startswith(str(memory))))
        seen.append((named[0], argv[argv.index("--project-directory") + 1], draft.read_bytes(), draft.parent.stat().st_mode & 0o777))
        seen.append([path.name for path in folder.iterdir()])
        return (1, "", f"{draft}: line 3") if len(seen) > 2 else (0, "{}", "")

    saying(answer)
    compose.reading_of(found, {f"{folder}/b.yml": "new\r\n"})
    assert seen == [(f"{folder}/a.yml", str(folder), b"new\r\n", 0o700), ["a.yml"]]
    with pytest.raises(RefusedFault, match=rf"Compose can't read {folder}/a\.yml, {folder}/b\.yml: {folder}/b\.yml: line 3\. Nothing was changed"):
        compose.reading_of(found, {f"{folder}/b.yml": "worse"})
    assert ([path.name for path in folder.iterdir()], list(memory.iterdir())) == (["a.yml"], [])


class _Engine:
    def __init__(self, others: list[dict[str, Any]], image: str = "sha256:1", status: int = 200) -> None:
        self._others, self._image, self._status = others, image, status

    def containers(self) -> list[dict[str, Any]]:
        return [inspection(), *self._others]

    def call(self, _method: str, target: str) -> tuple[int, Any]:
        assert target == "/images/redis:7/json"
        return self._status, {"Id": self._image} if self._status == 200 else {"message": "no such image"}


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (
            _Engine([{**inspection(service="other"), "Id": "c2", "Name": "/side", "HostConfig": {"NetworkMode": "container:c1"}}]),
            "side lives in the namesp",
        ),
        (_Engine([{**inspection(), "Id": "c2", "Name": "/cache-2"}]), "cache-2 is another container of the service cache"),
        (_Engine([], image="sha256:2"), "redis:7 names another image by now than the one that cache was made from"),
        (
            _Engine([], status=404),
            r"the image redis:7 of cache is not found on this host any more .*docker tag sha256:1 redis:7.* Nothing was changed\.",
        ),
        (_Engine([], status=500), r"Docker says 500"),
    ],
)
def test_what_would_be_touched_besides_is_refused(engine: Any, reason: str) -> None:
    compose.assert_alone(inspection(), stack(), _Engine([{**inspection(service="other"), "Id": "c2", "Name": "/other"}]))  # type: ignore[arg-type]
    with pytest.raises(RefusedFault, match=reason):
        compose.assert_alone(inspection(), stack(), engine)


@pytest.mark.parametrize("status", ["created", "running"])
def test_what_a_compose_that_was_cut_off_left_beside_is_no_reason_as_the_next_one_removes_it(status: str) -> None:
    left = {**inspection(), "Id": "c2", "Name": "/c1" + "0" * 10 + "_cache", "State": {"Status": status}}
    left["Config"] = {**left["Config"], "Labels": {**left["Config"]["Labels"], "com.docker.compose.replace": "c1"}}
    engine: Any = _Engine([left, {**inspection(service="other"), "Id": "c1" + "0" * 10 + "f" * 52, "Name": "/old"}])
    if status == "created":
        compose.assert_alone(inspection(), stack(), engine)
        return
    with pytest.raises(RefusedFault, match=r"remove it if nobody needs it \('docker rm c10000000000_cache'\), then plan again"):
        compose.assert_alone(inspection(), stack(), engine)


def test_what_compose_reads_is_known_by_its_digests(tmp_path: Path) -> None:
    for name in ("a.yml", ".env"):
        (tmp_path / name).write_text(name)
    found = stack(**{"project.config_files": str(tmp_path / "a.yml"), "project.working_dir": str(tmp_path)})
    before = compose.digests(found)
    assert set(before) == {str(tmp_path / "a.yml"), str(tmp_path / ".env")}
    (tmp_path / ".env").write_text("other")
    assert compose.digests(found) != before
