"""A deployment and its way back on a host: what is written, what runs, and to which side each kill leads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from controlplane_target import leg_verbs, stack_orphans, stack_undo, stack_verbs, stack_watch
from controlplane_target.cancel import Cancel
from controlplane_target.faults import FailedFault, RefusedFault

from tests.unit.roles.stack_host import CHECKED, StackHost, ref


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackHost:
    return StackHost(tmp_path, monkeypatch)


def test_a_first_release_writes_its_files_pulls_by_digest_and_runs(host: StackHost) -> None:
    run = host.deployed()
    assert host.runs() == {"web": ref("web"), "db": ref("db")}
    assert {name: mode for name, (_, mode) in host.state()["files"].items()} == {".env": 0o600, "compose.yml": 0o644, "compose.release.yml": 0o644}
    assert [argv[-1] for argv in host.ran if argv[1] == "pull"] == [ref("db"), ref("web")]
    [up] = [argv for argv in host.ran if "up" in argv]
    assert up[up.index("up") :] == [*("up", "--detach", "--wait", "--no-build", "--pull", "never", "--remove-orphans"), "--wait-timeout", "5"]
    assert up[up.index("--env-file") + 1] == f"{host.folder}/.env"
    assert [up[at + 1].rpartition("/")[2] for at, word in enumerate(up) if word == "--file"] == ["compose.yml", "compose.release.yml"]
    assert (run.phase, run.state["downtime_s"], host.settling) == ("done", {}, set())


def test_neither_the_journal_nor_the_record_has_a_byte_of_the_environment_file(host: StackHost) -> None:
    host.deployed()
    held = [path for path in host.home.base.rglob("*") if path.is_file()]
    assert {path.name for path in held} >= {"state.json", "before.json", "shop.json", "undo", "README"}
    assert [path for path in held if b"canary" in path.read_bytes()] == []


def test_what_is_there_is_left_also_by_another_run(host: StackHost) -> None:
    host.deployed()
    before, ran = host.state(), len(host.ran)
    for key in ("R1", "R2"):
        assert host.deploy(host.home.run(key), host.request()) == {"changed": False}
    assert (host.state(), len(host.ran)) == (before, ran)


def test_a_container_that_somebody_made_anew_is_none_of_the_release(host: StackHost) -> None:
    host.deployed()
    host.rows[0] = {**host.rows[0], "Id": "somebody's"}
    with pytest.raises(FailedFault, match="its containers are not those that were deployed"):
        host.verbs().prove(host.home.run("R1"), host.request())
    assert host.verbs().refuse(host.home.run("R1"), host.request())["already"] is False


def test_another_digest_than_the_manifest_s_is_no_proof(host: StackHost) -> None:
    host.deployed()
    host.images[ref("web")]["RepoDigests"] = [ref("web", "2")]
    with pytest.raises(FailedFault, match=f"shop-web-1 runs {ref('web', '2')}, not {ref('web')}"):
        host.verbs().prove(host.home.run("R1"), host.request())


def test_the_next_release_changes_what_differs_and_goes_back_byte_for_byte(host: StackHost) -> None:
    host.deployed()
    (host.folder / "compose.yml").chmod(0o640)
    before, record = host.state(), json.loads((host.home.base / "releases/shop.json").read_text())
    run = host.home.run("R2")
    done = host.deploy(run, host.request("2"))
    assert (host.runs(), set(done["downtime_s"])) == ({"web": ref("web", "2"), "db": ref("db")}, {"web"})
    back = host.home.run("R3")
    assert stack_undo.undo(host.verbs(), back, run)["changed"] is True
    assert host.state() == before
    assert {**json.loads((host.home.base / "releases/shop.json").read_text()), "containers": 0} == {**record, "containers": 0}
    assert (back.phase, host.home.run("R2").phase, host.settling) == ("undone", "undone", {"R3"})
    assert set(back.state["downtime_s"]) == {"web"}
    assert stack_undo.undo(host.verbs(), host.home.run("R4"), host.home.run("R2"))["changed"] is False
    # Nothing removes a volume, and nothing answers a question of Compose's with yes.
    assert not {"-v", "--volumes", "-y", "--yes", "--renew-anon-volumes"} & {word for argv in host.ran for word in argv}


def test_after_a_first_release_is_taken_back_nothing_of_it_is_left(host: StackHost) -> None:
    run = host.deployed()
    assert stack_undo.undo(host.verbs(), run, run)["changed"] is True
    assert (host.runs(), host.folder.exists(), host.folder.parent.exists()) == ({}, False, False)
    assert not (host.home.base / "releases/shop.json").exists()
    assert next(argv for argv in host.ran if "down" in argv)[-2:] == ["down", "--remove-orphans"]


def test_an_image_that_is_gone_is_pulled_before_anything_stops(host: StackHost) -> None:
    host.deployed()
    run = host.home.run("R2")
    host.deploy(run, host.request("2"))
    del host.images[ref("web")]
    host.registry.remove(ref("web"))
    before = host.state()
    with pytest.raises(RefusedFault, match=f"{ref('web')} could not be pulled: .*Nothing was changed"):
        stack_undo.undo(host.verbs(), host.home.run("R3"), run)
    assert (host.state(), run.phase) == (before, "done")
    host.registry.add(ref("web"))
    stack_undo.undo(host.verbs(), host.home.run("R4"), run)
    assert host.runs()["web"] == ref("web")


def test_an_image_that_is_known_by_two_names_comes_back_under_the_one_that_the_files_ask_for(host: StackHost) -> None:
    host.deployed()
    other = ref("web").replace("registry.example.org", "a.example.org")
    host.images[ref("web")]["RepoDigests"] = [other, ref("web")]
    host.registry.add(other)
    run = host.home.run("R2")
    host.deploy(run, host.request("2"))
    del host.images[ref("web")]
    host.ran.clear()
    stack_undo.undo(host.verbs(), host.home.run("R3"), run)
    assert [argv[-1] for argv in host.ran if argv[1] == "pull"] == [ref("web")]
    assert host.runs()["web"] == ref("web")


def test_what_a_person_ran_once_stays_while_what_the_stack_has_no_longer_goes(host: StackHost) -> None:
    """Compose's --remove-orphans deletes it once it has ended, and nobody was told."""
    host.deployed()
    once = host.ran_once("db")
    one = {"web": {"image": "x", "restart": "always", "healthcheck": CHECKED}}
    run = host.home.run("R2")
    files = [{"name": "compose.yml", "text": json.dumps({"name": "shop", "services": one})}]
    host.ran.clear()
    host.deploy(run, host.request("2", files=files, images={"web": ref("web", "2")}))
    assert (host.runs(), once in host.rows) == ({"web": ref("web", "2")}, True)
    assert [argv for argv in host.ran if argv[0] in ("POST", "DELETE")] == [["POST", "/containers/c2/stop"], ["DELETE", "/containers/c2"]]
    stack_undo.undo(host.verbs(), host.home.run("R3"), run)
    assert (host.runs(), once in host.rows) == ({"web": ref("web"), "db": ref("db")}, True)
    stack_undo.undo(host.verbs(), host.home.run("R4"), host.home.run("R1"))
    assert (host.runs(), host.rows) == ({}, [once])
    assert not [argv for argv in host.ran if "--remove-orphans" in argv]


def test_what_bears_the_projects_name_alone_is_left_as_compose_would(host: StackHost) -> None:
    """No plan lists it: it is of no service."""
    host.deployed()
    stray = host.ran_once("db")
    host.ran_once("db")
    stray["Config"]["Labels"] = {"com.docker.compose.project": "shop"}
    host.ran.clear()
    assert stack_orphans.take_away(host, "shop", ["web", "db"]) == []  # type: ignore[arg-type] # as much of an engine as it asks
    assert (host.ran, stray in host.rows) == ([], True)


def test_what_can_not_be_taken_away_leaves_the_run_for_somebody_to_go_on_with(host: StackHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.deployed()
    host.ran_once("db")
    one = {"web": {"image": "x", "restart": "always", "healthcheck": CHECKED}}
    files = [{"name": "compose.yml", "text": json.dumps({"name": "shop", "services": one})}]
    answers = host.call
    monkeypatch.setattr(
        host, "call", lambda method, *words, **more: (500, {"message": "boom"}) if method == "POST" else answers(method, *words, **more)
    )
    run = host.home.run("R2")
    with pytest.raises(FailedFault, match=r"shop-db-1, which the stack has no longer, could not be taken away: boom\. Run this again, or go back: "):
        host.deploy(run, host.request("2", files=files, images={"web": ref("web", "2")}))
    assert run.phase == "failed"


def test_a_way_back_is_refused_beneath_a_later_release_and_over_somebodys_hand(host: StackHost) -> None:
    first = host.deployed()
    run = host.home.run("R2")
    host.deploy(run, host.request("2"))
    with pytest.raises(RefusedFault, match=r"undo of R1 refused: run R2 deployed shop since: take that back first\. Nothing was changed"):
        stack_undo.undo(host.verbs(), host.home.run("R3"), first)
    (host.folder / "compose.yml").write_text("name: mine\n")
    with pytest.raises(RefusedFault, match=r"compose\.yml was changed by somebody since this run wrote it"):
        stack_undo.undo(host.verbs(), host.home.run("R3"), run)


def test_a_tag_that_moved_is_no_way_back(host: StackHost) -> None:
    """Somebody ran it by a tag before, and the tag names another image by now."""
    text = '{"name": "shop", "services": {"web": {"image": "shop/web:old", "restart": "always"}}}'
    host.folder.mkdir(parents=True)
    (host.folder / "compose.yml").write_text(text)
    host.images["shop/web:old"] = host.image("shop/web:old")
    argv = ["docker", "compose", "--project-name", "shop", "--project-directory", str(host.folder), "--file", str(host.folder / "compose.yml"), "up"]
    host.compose(argv, stack_watch.Watch(host, host.home.run("R0"), "shop"))  # type: ignore[arg-type]
    run = host.deployed()
    old = host.images["shop/web:old"]
    host.images["shop/web:old"], host.images["aside"] = host.image("other"), old
    with pytest.raises(RefusedFault, match=f"does not name its image any more: docker tag {old['Id']} shop/web:old"):
        stack_undo.undo(host.verbs(), run, run)
    host.images["shop/web:old"] = old
    stack_undo.undo(host.verbs(), run, run)
    assert (host.runs(), (host.folder / "compose.yml").read_text(), (host.folder / ".env").exists()) == ({"web": "shop/web:old"}, text, False)


def test_a_pull_that_fails_is_a_refusal_that_names_what_came(host: StackHost) -> None:
    host.deployed()
    before, run = host.state(), host.home.run("R2")
    images = {"web": ref("web", "2"), "db": ref("db", "2")}

    def full(what: str) -> None:
        if what == "pull" and ref("db", "2") in host.images:
            host.registry.discard(ref("web", "2"))

    host.at = full
    with pytest.raises(RefusedFault) as told:
        host.deploy(run, host.request("2", images=images))
    assert f"{ref('web', '2')} could not be pulled: write /var/lib/docker/tmp/x: no space left on device. / has " in str(told.value)
    assert f"Pulled before that, and left: {ref('db', '2')}. What runs was not touched. Nothing was changed." in str(told.value)
    assert (host.state(), run.phase) == (before, "prepared")


def test_a_build_that_gets_never_healthy_fails_names_it_and_goes_back(host: StackHost) -> None:
    host.deployed()
    before, run = host.state(), host.home.run("R2")
    host.bad = {ref("web", "2")}
    with pytest.raises(FailedFault) as told:
        host.deploy(run, host.request("2"))
    assert "dependency failed to start: ***; web is unhealthy (docker logs shop-web-1). Go back: " in str(told.value)
    assert (run.phase, "web" in run.state["stopped"], run.state["downtime_s"]) == ("failed", True, {})
    # Another run does not take what failed for what was before.
    again = host.home.run("R2")
    host.verbs().prepare(again, host.request("2"))
    back = host.home.run("R3")
    stack_undo.undo(host.verbs(), back, again)
    assert host.state() == before
    assert back.state["downtime_s"]["web"] >= back.state["phase_at"]["undoing"] - run.state["stopped"]["web"] - 0.01


def test_a_place_that_goes_away_once_the_files_are_written_puts_them_back(host: StackHost, tmp_path: Path) -> None:
    host.deployed()
    before, run = host.state(), host.home.run("R2")
    place = tmp_path / "place"
    place.mkdir()

    def gone(_what: str) -> None:
        if host.home.run("R2").phase == "writing":
            place.rmdir()

    host.at = gone
    with pytest.raises(
        RefusedFault, match=r"is not there, and Docker would make it.*\. Its files were put back as they were\. Nothing was changed\."
    ):
        host.deploy(run, host.request("2", places=[str(place)]))
    assert (host.state(), run.phase) == (before, "pulled")


def test_what_compose_would_bind_elsewhere_than_the_plan_says_is_refused(host: StackHost, tmp_path: Path) -> None:
    volumes = [{"type": "bind", "source": str(tmp_path), "target": "/data"}]
    text = json.dumps({"name": "shop", "services": {"web": {"image": "x", "restart": "always", "healthcheck": CHECKED, "volumes": volumes}}})
    asked = {"files": [{"name": "compose.yml", "text": text}], "images": {"web": ref("web")}}
    with pytest.raises(RefusedFault, match=f"{tmp_path}, which web binds and may write to, is no place that the plan names.*Nothing was changed"):
        host.deploy(host.home.run("R1"), host.request(**asked))
    assert host.deploy(host.home.run("R1"), host.request(**asked, places=[str(tmp_path)]))["changed"] is True


def test_a_dry_run_shows_files_and_services_and_no_byte_of_the_environment_file(host: StackHost) -> None:
    host.deployed()
    shown = stack_verbs._shown(host.verbs().refuse(host.home.run("R2"), host.request("2", env="WORD=canary-2\n"))["changes"])
    assert [(one["before_header"].rpartition("/")[2], one["after"][:40]) for one in shown["diff"]] == [
        (".env", "the one of staging, for root alone\n"),
        ("compose.release.yml", "# Images of manifest v2 (sha256:22222222"),
        ("web", ref("web", "2")[:40]),
    ]
    assert "canary" not in json.dumps(shown)


def test_a_cancel_before_anything_is_written_changes_nothing(host: StackHost) -> None:
    host.deployed()
    before, verbs = host.state(), host.verbs()
    verbs.cancel = Cancel()
    verbs.prepare(host.home.run("R2"), host.request("2"))

    def cancelled(what: str) -> None:
        if what == "pull":
            verbs.cancel._handle(15, None)

    host.at = cancelled
    with pytest.raises(Exception, match="cancelled"):
        verbs.deploy(host.home.run("R2"), host.request("2"))
    assert host.state() == before


def test_who_waits_for_the_unit_hears_how_long_each_service_was_down(host: StackHost) -> None:
    run = host.home.run("R1")
    run.write(outcome={"verb": "undo", "rc": 0, "message": "", "answer": {"changed": True, "downtime_s": {"web": 3.0}}})
    answer = leg_verbs.wait(run, 0, None)
    assert (answer["changed"], answer["downtime_s"]) == (True, {"web": 3.0})


def test_the_way_back_is_how_things_are_when_the_first_file_is_written(host: StackHost) -> None:
    host.deployed()
    run = host.home.run("R2")
    verbs = host.verbs()
    verbs.prepare(run, host.request("2"))
    (host.folder / "compose.yml").write_text("# by hand, while it pulled\n" + (host.folder / "compose.yml").read_text())
    verbs.deploy(run, host.request("2"))
    stack_undo.undo(host.verbs(), host.home.run("R3"), run)
    assert (host.folder / "compose.yml").read_text().startswith("# by hand")
