"""What Docker, a registry and Compose say of a release, before anything of it lies on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command, stack_images, stack_view
from controlplane_target.command import Said
from controlplane_target.faults import RefusedFault
from controlplane_target.stack_login import LoginUnknown

from tests.unit.roles.stack_host import StackHost, ref

NO_LOGIN = "its registry asks for a login, and root has none there on this host: docker login registry.example.org"
BAD_LOGIN = "its registry asks for a login, and root's is not good for it: docker login registry.example.org"


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (200, "", None),
        (404, "manifest unknown", "its registry has no such image (manifest unknown)"),
        (500, "dial tcp: connection refused", "its registry does not answer (dial tcp: connection refused)"),
        (401, "unauthorized", NO_LOGIN),
        (403, "denied", NO_LOGIN),
        (500, "no basic auth credentials", NO_LOGIN),
    ],
)
def test_a_registry_s_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, message: str, said: str | None) -> None:
    host = StackHost(tmp_path, monkeypatch)
    monkeypatch.setattr(host, "call", lambda *_, **__: (status, {"message": message}))
    monkeypatch.setattr(stack_images, "header_for", lambda _: None)
    assert stack_images.why_not_given(host, ref("web")) == said  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "said"), [(200, None), (404, "its registry has no such image (404)"), (401, BAD_LOGIN)])
def test_a_login_is_sent_only_where_the_registry_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, said: str | None) -> None:
    host, asked = StackHost(tmp_path, monkeypatch), list[object]()

    def call(*_: object, more: dict[str, str] | None = None) -> tuple[int, Any]:
        asked.append(more)
        return (401, {"message": "unauthorized"}) if more is None else (status, {})

    monkeypatch.setattr(host, "call", call)
    monkeypatch.setattr(stack_images, "header_for", lambda image: f"login for {image}")
    assert stack_images.why_not_given(host, ref("web")) == said  # type: ignore[arg-type]
    assert asked == [None, {"X-Registry-Auth": f"login for {ref('web')}"}]


def test_a_login_that_can_t_be_read_is_a_doubt_and_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = StackHost(tmp_path, monkeypatch)
    monkeypatch.setattr(host, "call", lambda *_, **__: (401, {"message": "unauthorized"}))
    monkeypatch.setattr(stack_images, "local", lambda _engine, name: {} if name == "here" else None)

    def unread(_image: str) -> str:
        raise LoginUnknown("docker-credential-pass ended with 2")

    monkeypatch.setattr(stack_images, "header_for", unread)
    found, doubts = stack_images.asked_of_registries(host, ["here", "away"])  # type: ignore[arg-type]
    assert (found, doubts) == ([], ["whether the registry gives away only its pull will tell: docker-credential-pass ended with 2"])


def test_a_registry_that_never_answers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = StackHost(tmp_path, monkeypatch)

    def never(*_: object, **__: object) -> tuple[int, Any]:
        raise TimeoutError("timed out")

    monkeypatch.setattr(host, "call", never)
    assert stack_images.why_not_given(host, ref("web")) == "its registry does not answer (timed out)"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("digest", "pinned", "same"),
    [
        ("postgres@sha256:1", "docker.io/library/postgres@sha256:1", True),
        ("shop/web@sha256:1", "docker.io/shop/web@sha256:1", True),
        ("registry.example.org/web@sha256:1", "registry.example.org/web@sha256:1", True),
        ("registry.example.org/web@sha256:1", "registry.example.org/web@sha256:2", False),
        ("mirror.example.org/web@sha256:1", "registry.example.org/web@sha256:1", False),
    ],
)
def test_a_digest_is_compared_by_the_name_that_docker_gives_it(digest: str, pinned: str, same: bool) -> None:
    assert stack_images.is_digest({"RepoDigests": [digest]}, pinned) is same


def test_compose_reads_the_drafts_with_the_folder_s_other_files_and_tells_its_own_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, seen = tmp_path / "shop", dict[str, str]()
    folder.mkdir()
    (folder / "compose.yml").write_text("old")
    (folder / "more.env").write_text("more")

    def run(argv: list[str], **_: Any) -> Said:
        place = Path(argv[argv.index("--project-directory") + 1])
        seen.update({path.name: path.read_text() for path in place.iterdir()})
        assert "--project-name" not in argv
        assert [Path(path).parent for path in (argv[argv.index("--file") + 1], argv[argv.index("--env-file") + 1])] == [place, place]
        warning = 'time="x" level=warning msg="The \\"TAG\\" variable is not set. Defaulting to a blank string."\n'
        return Said(0, json.dumps({"services": {"web": {"volumes": [{"source": f"{place}/files"}, {"source": f"{place}s"}]}}}), warning * 2)

    held = StackHost(tmp_path, monkeypatch).request(dir=str(folder))
    monkeypatch.setattr(command, "run", run)
    view = stack_view.reading(held.as_told, held.contents, "R1")
    assert (seen["compose.yml"], seen["more.env"], seen[".env"]) == (held.files[0][1], "more", "WORD=canary-1\n")
    assert [one["source"] for one in view.config["services"]["web"]["volumes"]] == [f"{folder}/files", f"{tmp_path}/run/R1.drafts"]
    assert view.unset == ("TAG",)
    assert ((folder / "compose.yml").read_text(), list((tmp_path / "run").iterdir())) == ("old", [])


def test_what_compose_can_not_read_is_refused_in_its_words_without_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = StackHost(tmp_path, monkeypatch).request(dir="/opt/stacks/shop")
    monkeypatch.setattr(command, "run", lambda *_, **__: Said(1, "", "invalid hostPort: 80canary-1"))
    with pytest.raises(
        RefusedFault, match=r"Compose can't read /opt/stacks/shop/compose\.yml, .*: invalid hostPort: 80\*\*\*\. Nothing was changed\."
    ):
        stack_view.reading(held.as_told, held.contents, "R1")
    assert list((tmp_path / "run").iterdir()) == []
