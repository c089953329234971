"""Whether what runs could be brought back, before anything is changed; and what an undo would do, with nothing done."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command, stack_back, stack_images, stack_undo, stack_verbs
from controlplane_target.command import Said
from controlplane_target.faults import RefusedFault
from controlplane_target.stack_login import LoginUnknown
from controlplane_target.state import Run

from tests.unit.roles.stack_host import StackHost, ref


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackHost:
    return StackHost(tmp_path, monkeypatch)


def back(host: StackHost, run: str = "R2") -> dict[str, Any]:
    """Return what the refuse phase of release 2 tells of the way back."""
    return dict(host.verbs().refuse(host.home.run(run), host.request("2"))["told"]["back"])


def second(host: StackHost) -> Run:
    run = host.home.run("R2")
    host.deploy(run, host.request("2", env="WORD=canary-2\n"))
    return run


def test_where_nothing_runs_there_is_nothing_to_bring_back(host: StackHost) -> None:
    assert back(host) == {"services": {}, "against": [], "doubts": []}


def test_what_runs_can_come_back_as_long_as_its_images_are_here_or_in_their_registry(host: StackHost) -> None:
    host.deployed()
    assert back(host) == {"services": {"db": "here", "web": "here"}, "against": [], "doubts": []}
    del host.images[ref("web")]
    assert back(host) == {"services": {"db": "here", "web": "registry"}, "against": [], "doubts": []}
    assert ref("web") not in host.images
    host.registry.discard(ref("web"))
    told = f"{ref('web')}, which shop-web-1 ran, is not here any more and can't be pulled: its registry has no such image (manifest unknown)"
    assert back(host)["against"] == [told]


def test_an_image_that_was_asked_for_by_no_digest_can_not_be_pulled_again(host: StackHost) -> None:
    host.deployed()
    row = next(row for row in host.rows if row["Config"]["Image"] == ref("web"))
    row["Config"]["Image"] = "web:latest"
    del host.images[ref("web")]
    assert "can't be pulled: it was asked for by no digest" in back(host)["against"][0]


def test_a_name_that_means_another_image_by_now_is_no_way_back(host: StackHost) -> None:
    host.deployed()
    host.images[ref("web")] = {**host.images[ref("web")], "Id": "sha256:else"}
    row = next(row for row in host.rows if row["Config"]["Image"] == ref("web"))
    host.images["kept"] = {"Id": row["Image"]}
    # By a digest Docker tags nothing: a pull brings the name back.
    assert back(host)["against"] == [f"{ref('web')}, which shop-web-1 ran, does not name its image any more: docker pull {ref('web')}"]


def test_a_login_that_can_not_be_read_leaves_a_doubt(host: StackHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.deployed()
    del host.images[ref("web")]

    def unread(_engine: object, name: str) -> str | None:
        if name == ref("web", "2"):
            return None
        raise LoginUnknown("docker-credential-pass ended with 2")

    monkeypatch.setattr(stack_images, "why_not_given", unread)
    found = back(host)
    assert (found["against"], len(found["doubts"])) == ([], 1)
    assert "nobody can tell: docker-credential-pass ended with 2" in found["doubts"][0]


def test_a_file_that_is_gone_is_no_way_back(host: StackHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.deployed()
    (host.folder / "compose.yml").unlink()

    def strict(argv: Sequence[str], **given: Any) -> Said:
        gone = [argv[at + 1] for at, word in enumerate(argv) if word == "--file" and not Path(argv[at + 1]).exists()]
        return Said(14, "", f"open {gone[0]}: no such file or directory") if gone else host.run(argv, **given)

    monkeypatch.setattr(command, "run", strict)
    assert [one.partition(": ")[2] for one in back(host)["against"]] == [f"open {host.folder}/compose.yml: no such file or directory"]


def test_a_run_that_was_begun_is_asked_for_the_way_back_that_it_left(host: StackHost) -> None:
    host.deployed()
    run = second(host)
    assert back(host)["services"] == {"db": "here", "web": "here"}
    del host.images[ref("web")]
    assert back(host, run.key)["services"]["web"] == "registry"


def test_a_dry_run_of_an_undo_shows_what_would_come_back_and_changes_nothing(host: StackHost) -> None:
    host.deployed()
    second(host)
    before, ran = host.state(), list(host.ran)
    told = stack_undo.shown(host.verbs(), host.home.run("R9"), host.home.run("R2"), ())
    assert told["told"]["undo"] == {
        "files": [{"target": f"{host.folder}/.env", "after": "as it was"}, {"target": f"{host.folder}/compose.release.yml", "after": "as it was"}],
        "services": [{"target": "web", "before": ref("web", "2"), "after": ref("web")}],
        "pull": [],
    }
    assert "canary" not in json.dumps(told)
    assert (host.state(), host.ran, host.home.run("R9").phase) == (before, ran, "new")


def test_a_dry_run_names_what_would_be_pulled_and_pulls_nothing(host: StackHost) -> None:
    host.deployed()
    second(host)
    del host.images[ref("web")]
    ran = list(host.ran)
    assert stack_undo.shown(host.verbs(), host.home.run("R9"), host.home.run("R2"), ())["told"]["undo"]["pull"] == ["web"]
    assert (host.ran, ref("web") in host.images) == (ran, False)
    host.registry.discard(ref("web"))
    with pytest.raises(RefusedFault, match=r"undo of R2 refused: .* can't be pulled: its registry has no such image .*\. Nothing was changed"):
        stack_undo.shown(host.verbs(), host.home.run("R9"), host.home.run("R2"), ())


def test_a_dry_run_refuses_an_image_that_would_come_back_without_the_name_that_the_files_ask_for(host: StackHost) -> None:
    host.deployed()
    row = next(row for row in host.rows if row["Config"]["Image"] == ref("web"))
    row["Config"]["Image"] = "web:latest"
    host.images["web:latest"] = host.images[ref("web")]
    run = second(host)
    assert stack_back.before(run)["services"][1]["digests"] == [ref("web")]
    del host.images["web:latest"], host.images[ref("web")]
    with pytest.raises(RefusedFault, match="web:latest, which shop-web-1 ran, is not here any more and can't be pulled: it was asked for by no"):
        stack_undo.shown(host.verbs(), host.home.run("R9"), run, ())


def test_a_first_release_goes_back_to_nothing(host: StackHost) -> None:
    run = host.deployed()
    told = stack_undo.shown(host.verbs(), host.home.run("R9"), run, ())["told"]["undo"]
    assert {one["after"] for one in (*told["files"], *told["services"])} == {"absent"}


def test_a_release_beneath_another_is_shown_where_that_one_would_be_back_by_then(host: StackHost) -> None:
    first = host.deployed()
    second(host)
    with pytest.raises(RefusedFault, match="run R2 deployed shop since: take that back first"):
        stack_undo.shown(host.verbs(), host.home.run("R9"), first, ())
    assert stack_undo.shown(host.verbs(), host.home.run("R9"), first, ("R2",))["told"]["undo"]["services"][0]["after"] == "absent"


def test_a_file_that_somebody_changed_is_told_as_the_undo_itself_would(host: StackHost) -> None:
    host.deployed()
    run = second(host)
    (host.folder / "compose.yml").write_text("services: {}")
    with pytest.raises(RefusedFault, match=r"compose\.yml was changed by somebody since this run wrote it"):
        stack_undo.shown(host.verbs(), host.home.run("R9"), run, ())


def test_a_folder_that_was_renamed_since_takes_nothing_back(host: StackHost) -> None:
    host.deployed()
    run = second(host)
    host.deploy(run, host.request("2"))
    runs = host.runs()
    host.folder.rename(host.folder.with_name("renamed"))
    told = r"/\.env was changed by somebody since this run wrote it.* Nothing was changed"
    with pytest.raises(RefusedFault, match=told):
        stack_undo.shown(host.verbs(), host.home.run("R9"), run, ())
    with pytest.raises(RefusedFault, match=told):
        stack_undo.undo(host.verbs(), host.home.run("R9"), run)
    assert (host.runs(), host.folder.exists()) == (runs, False)


@pytest.mark.parametrize(
    ("take_away", "told"),
    [
        (
            lambda folder: folder.rename(folder.with_name("renamed")),
            r"project shop runs from /\S+/shop, which is not there, and Compose .*: move it back",
        ),
        (lambda folder: (folder / ".env").unlink(), r"Compose takes project shop down by files that are missing \(/\S+/\.env\): put them back"),
    ],
    ids=["folder", "file"],
)
def test_a_first_release_whose_files_are_gone_under_it_takes_nothing_back(host: StackHost, take_away: Callable[[Path], object], told: str) -> None:
    run = host.deployed()
    take_away(host.folder)
    before, ran = host.state(), list(host.ran)
    refusal = rf"^undo of R1 refused: {told}, or take shop down by hand: .*\. Nothing was changed\.$"
    with pytest.raises(RefusedFault, match=refusal):
        stack_undo.shown(host.verbs(), host.home.run("R9"), run, ())
    with pytest.raises(RefusedFault, match=refusal):
        stack_undo.undo(host.verbs(), host.home.run("R9"), run)
    assert (host.state(), host.ran, host.home.run("R9").phase, host.home.run("R1").phase) == (before, ran, "new", "done")


def test_a_first_release_that_a_person_took_down_beside_its_renamed_folder_goes_back_to_nothing(host: StackHost) -> None:
    run = host.deployed()
    renamed = host.folder.rename(host.folder.with_name("renamed"))
    host.rows, ran = [], list(host.ran)
    assert stack_undo.undo(host.verbs(), host.home.run("R9"), run)["changed"] is True
    assert (host.home.run("R1").phase, host.ran, host.folder.exists()) == ("undone", ran, False)
    assert (renamed / "compose.yml").exists()
    assert not (host.home.base / "releases/shop.json").exists()


def test_a_run_that_the_host_does_not_know_is_said(host: StackHost) -> None:
    with pytest.raises(RefusedFault, match=r"this host knows no run R5\. Nothing was changed"):
        stack_undo.shown(host.verbs(), host.home.run("R9"), host.home.run("R5"), ())


def test_the_verb_is_told_over_standard_input_what_would_be_back_by_then(host: StackHost, monkeypatch: pytest.MonkeyPatch) -> None:
    first = host.deployed()
    second(host)
    monkeypatch.setattr("sys.stdin", io.StringIO('{"passed": ["R2"]}'))
    options = argparse.Namespace(check=True, detach=False)
    assert stack_verbs.undo(host.verbs(), host.home.run("R9"), first, options)["told"]["undo"]["files"]
    assert host.runs() == {"db": ref("db"), "web": ref("web", "2")}


def test_a_dry_run_of_an_undo_says_that_docker_does_not_answer(host: StackHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.deployed()
    run, verbs = second(host), host.verbs()

    def silent() -> object:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    monkeypatch.setattr(verbs.engine, "containers", silent)
    with pytest.raises(RefusedFault, match=r"Docker's socket /var/run/docker\.sock does not answer \(refused\)\. Nothing was changed"):
        stack_verbs.undo(verbs, host.home.run("R9"), run, argparse.Namespace(check=True, detach=False))
