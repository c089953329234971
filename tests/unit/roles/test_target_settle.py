"""After a crash both configurations stand on one side, whatever the phase; and the units that see to it are ordered before Docker."""

from __future__ import annotations

import ast
import base64
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from controlplane_target import leg_verbs, settle_units, systemd
from controlplane_target.cancel import Cancel
from controlplane_target.docker_engine import Engine, inventory_difference
from controlplane_target.docker_root import DockerRoot
from controlplane_target.faults import CancelledFault, FailedFault, RefusedFault
from controlplane_target.phases import CRITICAL
from controlplane_target.state import Home, Run

PACKAGE = Path(__file__).resolve().parents[3] / "roles/target_run/files/controlplane_target"


def shot(path: Path, text: bytes) -> dict[str, object]:
    info = path.lstat()
    return {"path": str(path), "exists": True, "text": base64.b64encode(text).decode(), "mode": 0o644, "uid": info.st_uid, "gid": info.st_gid}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in an earlier boot whose two configuration files stand one on each side."""
    run = Home(tmp_path / "controlplane").run("R1")
    pairs = []
    for name, now in (("daemon.json", b"new"), ("config.toml", b"old")):
        path = tmp_path / name
        path.write_bytes(now)
        path.chmod(0o644)
        pairs.append({"before": shot(path, b"old"), "after": shot(path, b"new")})
    (tmp_path / "there").mkdir()
    (tmp_path / "there/data").write_bytes(b"")
    trees = [{"kind": "docker", "from": str(tmp_path / "from"), "to": str(tmp_path / "there"), "to_mount": ""}]
    run.write(configs=pairs, trees=trees, boot_id="an earlier one")
    return run


def settle(run: Run, phase: str) -> tuple[str, str, str]:
    run.write(phase=phase)
    side = DockerRoot(run.home, Engine("/nonexistent"), Cancel()).settle_configuration(run)
    base = run.home.base.parent
    return side, (base / "daemon.json").read_text(), (base / "config.toml").read_text()


@pytest.mark.parametrize("phase", CRITICAL)
def test_both_files_stand_on_one_side_after_a_boot(run: Run, phase: str) -> None:
    side, daemon, containerd = settle(run, phase)
    assert daemon == containerd == ("old" if side == "source" else "new")
    proven = {"compared": "starting", "switched": "starting"}
    assert run.phase == ("reverting" if side == "source" else proven.get(phase, phase))
    assert settle(run, run.phase) == ("untouched", daemon, containerd)


def test_with_the_destination_gone_and_maybe_newer_nothing_is_decided_and_docker_stays_down(run: Run) -> None:
    (run.home.base.parent / "there/data").unlink()
    with pytest.raises(FailedFault, match="Docker must not start"):
        settle(run, "starting")
    assert (run.home.base.parent / "daemon.json").read_text() == "new"
    assert settle(run, "compared") == ("source", "old", "old")


@pytest.mark.parametrize("phase", ["prepared", "precopied", "staging", "done", "reverted", "undone"])
def test_outside_of_the_critical_section_nothing_is_touched(run: Run, phase: str) -> None:
    assert settle(run, phase) == ("untouched", "new", "old")


def test_docker_requires_the_unit_that_settles_and_it_waits_for_the_destinations_mount() -> None:
    before = settle_units.texts(["/usr/bin/python3", "/x", "settle"], ["/mnt/my data"])[settle_units.BEFORE].splitlines()
    assert "Before=containerd.service docker.socket docker.service shutdown.target" in before
    assert "RequiredBy=containerd.service docker.socket docker.service" in before
    assert r"After=local-fs.target mnt-my\x20data.mount" in before
    assert "ExecStart=/usr/bin/python3 /x settle --stage=configuration" in before
    assert "DefaultDependencies=no" in before


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[tuple[str, ...]], dict[str, str]]:
    """Return the folder of units, what systemctl was told, and what it says of SubState."""
    (tmp_path / "units").mkdir()
    told: list[tuple[str, ...]] = []
    says = {"SubState": "dead"}

    def systemctl(*words: str, check: bool = True) -> str:
        told.append(words)
        assert check in (True, False)
        return says["SubState"] + "\n" if words[0] == "show" else ""

    monkeypatch.setattr(settle_units, "systemctl", systemctl)
    monkeypatch.setattr(settle_units, "FOLDER", tmp_path / "units")
    return tmp_path / "units", told, says


def test_what_could_not_be_settled_is_tried_again_and_not_for_ever(units: tuple[Path, list[tuple[str, ...]], dict[str, str]]) -> None:
    settle_units.install_after("R1", ["/usr/bin/python3", "/x", "settle"], [])
    [unit] = units[0].iterdir()
    head, _, service = unit.read_text().partition("[Service]\n")
    assert {"StartLimitIntervalSec=1d", "StartLimitBurst=30"} <= set(head.splitlines())
    assert {"Restart=on-failure", "RestartSec=10", "Type=exec"} <= set(service.splitlines())


def test_one_without_which_a_service_stays_down_is_tried_for_ever_and_starts_no_docker(
    units: tuple[Path, list[tuple[str, ...]], dict[str, str]],
) -> None:
    settle_units.install_after("R1", ["/x", "settle"], [], waits=True)
    [unit] = units[0].iterdir()
    head, _, service = unit.read_text().partition("[Service]\n")
    assert [line for line in head.splitlines() if line.startswith(("StartLimit", "Wants"))] == ["StartLimitIntervalSec=0"]
    assert any(line.startswith("After=") and "docker.service" in line for line in head.splitlines())
    assert {"Restart=on-failure", "RestartSec=10", "WantedBy=multi-user.target"} <= set(service.splitlines())


def test_it_can_be_started_in_this_boot_as_well_without_waiting_for_it(units: tuple[Path, list[tuple[str, ...]], dict[str, str]]) -> None:
    settle_units.install_after("R1", ["/x", "settle"], [])
    [unit] = units[0].iterdir()
    settle_units.start_after("R1")
    assert units[1][-1] == ("start", "--no-block", unit.name)


@pytest.mark.parametrize(("state", "stops"), [("auto-restart", True), ("running", False), ("dead", False)])
def test_once_it_is_settled_nothing_is_tried_again_and_no_attempt_ends_itself(
    units: tuple[Path, list[tuple[str, ...]], dict[str, str]], state: str, stops: bool
) -> None:
    settle_units.install_after("R1", ["/x", "settle"], [])
    [unit] = units[0].iterdir()
    units[2]["SubState"] = state
    settle_units.uninstall_after("R1")
    assert (("stop", unit.name) in units[1], list(units[0].iterdir())) == (stops, [])


@pytest.mark.parametrize(
    ("code", "installed", "told"),
    [(0, True, []), (1, True, ["start --no-block"]), (1, False, ["start --no-block"]), (4, True, ["start --no-block"])],
)
def test_where_a_unit_that_ended_can_not_be_settled_the_hosts_own_goes_on_with_it(
    tmp_path: Path, units: tuple[Path, list[tuple[str, ...]], dict[str, str]], code: int, installed: bool, told: list[str]
) -> None:
    name = settle_units._unit_of("R1")
    if installed:
        settle_units.install_after("R1", ["/x", "settle"], [])
        [name] = [unit.name for unit in units[0].iterdir()]
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\n')
    (tmp_path / "systemctl").chmod(0o755)
    settling = ["/bin/sh", "-c", f"echo 'it''s settled' > {tmp_path}/settled; exit {code}"]
    # As systemd splits the line that start_transient makes of it.
    argv = shlex.split(shlex.join(settle_units.or_later("R1", settling)))
    assert ";" not in " ".join(settle_units.or_later("R1", ["/x", "settle"]))
    done = subprocess.run(argv, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    said = (tmp_path / "told").read_text().splitlines() if (tmp_path / "told").exists() else []
    assert (done.returncode, said) == (1 if code else 0, [f"{word} {name}" for word in told])
    assert (tmp_path / "settled").exists()


def held_by_another(run: Run, lock: str, then: Callable[[], None]) -> threading.Thread:
    """Hold that lock as another process would, and do `then` before it is let go."""
    held = threading.Event()

    def hold() -> None:
        with run.home.lock(lock):
            held.set()
            time.sleep(0.2)
            then()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    return holder


@pytest.fixture
def verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerRoot:
    """Verbs whose lease is held, and which leave this process' signals alone."""
    monkeypatch.setattr(leg_verbs, "assert_leased", lambda _home, _run: None)
    monkeypatch.setattr(Cancel, "install", lambda _self: None)
    return DockerRoot(Home(tmp_path), Engine("/nonexistent"), Cancel())


def test_what_the_host_settles_after_its_start_ends_first_and_is_gone_on_with(verbs: DockerRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg_verbs, "_TWIN_S", 0.0)
    run = verbs.home.run("R1")
    run.write(phase="stopping")
    settling = {"verb": "settle", "rc": 1, "message": "interrupted while stopping"}
    holder = held_by_another(run, verbs.lock, lambda: verbs.home.run("R1").write(phase="reverted", outcome=settling))
    answer = leg_verbs.as_unit(verbs, run, "move", lambda: {"phase": verbs.home.run("R1").phase})
    holder.join()
    assert answer == {"phase": "reverted"}
    assert (run.state["outcome"]["verb"], run.state["outcome"]["rc"]) == ("move", 0)


def test_the_same_work_on_the_way_already_is_refused_and_how_it_ended_is_said(verbs: DockerRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg_verbs, "_TWIN_S", 0.0)
    run = verbs.home.run("R1")
    run.write(phase="prepared")
    holder = held_by_another(run, verbs.lock, lambda: None)
    with pytest.raises(RefusedFault, match="the same work runs already"):
        leg_verbs.as_unit(verbs, run, "move", dict)
    holder.join()
    assert (run.state["outcome"]["verb"], run.state["outcome"]["rc"]) == ("move", 4)


def test_what_can_not_be_cleaned_up_does_not_hide_why_it_failed(verbs: DockerRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise FailedFault("it can't be unmounted: target is busy")

    monkeypatch.setattr(DockerRoot, "clean_up", busy)
    run = verbs.home.run("R1")
    run.write(phase="reverted")

    def work() -> dict[str, object]:
        raise RefusedFault("the copy differs. Nothing was changed.")

    with pytest.raises(RefusedFault, match=r"^the copy differs"):
        leg_verbs.as_unit(verbs, run, "move", work)
    assert run.state["outcome"] == {"verb": "move", "rc": 4, "message": "the copy differs. Nothing was changed."}
    # Where it did not fail, it is all that there is to be told.
    with pytest.raises(FailedFault, match="target is busy"):
        leg_verbs.as_unit(verbs, run, "move", dict)
    assert run.state["outcome"]["rc"] == 1


@pytest.mark.parametrize(("ended_as", "begun"), [("settle", ["a.service"]), ("move", [])])
def test_a_killed_unit_is_settled_before_the_verb_begins_anew_and_one_at_its_end_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended_as: str, begun: list[str]
) -> None:
    states = iter(["deactivating", "deactivating", "inactive", "inactive"])
    run, started = Home(tmp_path).run("R1"), []

    def says(*_: str, check: bool = True) -> str:
        state = next(states)
        if state == "inactive" and not check:
            Home(tmp_path).run("R1").write(outcome={"verb": ended_as, "rc": 1, "message": "it ended so"})
        return state

    monkeypatch.setattr(systemd, "systemctl", says)
    monkeypatch.setattr(systemd.time, "sleep", lambda _s: None)
    monkeypatch.setattr(leg_verbs, "start_transient", lambda unit, _argv, **_: started.append(unit) or True)
    answer = leg_verbs.detach(DockerRoot(Home(tmp_path), Engine("/nonexistent"), Cancel()), run, "move", "a.service", [])
    assert (started, answer["attached"], run.state["outcome"] is None) == (begun, not begun, bool(begun))


def test_a_leg_that_is_begun_as_a_unit_is_settled_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Sequence[str]] = []
    monkeypatch.setattr(systemd, "systemctl", lambda *_words, **_how: "inactive")
    monkeypatch.setattr(leg_verbs, "start_transient", lambda _unit, _argv, *, after, gentle: bool(begun.append(after)) or not gentle)
    verbs, run = DockerRoot(Home(tmp_path), Engine("/nonexistent"), Cancel()), Home(tmp_path).run("R1")
    leg_verbs.detach(verbs, run, "move", "a.service", [])
    assert begun == [settle_units.or_later("R1", leg_verbs.command(verbs, run, "settle"))]


def test_a_cancellation_comes_at_once_where_it_is_possible_and_later_elsewhere() -> None:
    cancel = Cancel()
    with pytest.raises(CancelledFault), cancel.possible():
        cancel._handle(15, None)
    with pytest.raises(CancelledFault):
        cancel.check()
    cancel.close()
    cancel.check()


def test_an_inventory_difference_names_what_is_gone_new_and_other() -> None:
    before = {
        "containers": [{"id": "1", "name": "db"}, {"id": "2", "name": "app"}],
        "images": [{"id": "i", "tags": ["a:1"]}],
        "volumes": [],
        "networks": [],
    }
    after = {"containers": [{"id": "2", "name": "other"}], "images": [], "volumes": [{"name": "v"}], "networks": []}
    assert inventory_difference(before, after) == [
        "container db is gone",
        "container app was {'id': '2', 'name': 'app'}, is {'id': '2', 'name': 'other'}",
        "image a:1 is gone",
        "volume v is new",
    ]
    assert inventory_difference(before, before) == []


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_every_module_is_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    imports = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    imports |= {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imports & {"tomllib", "pydantic", "click", "yaml", "requests"}


def test_who_waited_for_the_lock_leaves_what_another_brought_to_an_end_and_what_that_said(tmp_path: Path) -> None:
    run = Home(tmp_path).run("R1")
    run.write(phase="restarting", outcome=None)
    late = Home(tmp_path).run("R1")
    run.write(phase="precopied", outcome={"verb": "precopy", "rc": 0})
    asked: list[str] = []
    verbs = SimpleNamespace(
        lock="x",
        is_open=lambda held: held.phase == "restarting",
        clean_up=lambda held: asked.append(held.phase),
        recover=lambda _held: asked.append("recover"),
        cancel=SimpleNamespace(close=lambda: None),
    )
    assert leg_verbs.settle(verbs, late, "services") == {"side": "untouched"}
    assert asked == ["precopied"]
    assert Home(tmp_path).run("R1").state["outcome"] == {"verb": "precopy", "rc": 0}
