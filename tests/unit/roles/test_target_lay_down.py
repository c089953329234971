"""A run's tools are laid down whole, whatever an earlier attempt left, and become what runs."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.loading import ROOT, action, file

PROGRAM = (ROOT / "roles/target_run/files/lay_down.py").read_text()
MAIN = "import sys, helper; print(helper.WORD, *sys.argv[1:]); sys.exit(3 if sys.argv[1:] == ['no'] else 0)"
lay_down = file("target_run", "lay_down")
tool = action("target_run", "target_run_tool")


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Return how to run the program as the action does, and how that ended."""

    def run(*words: str, folder: str = "run", keeps: bool = False, **texts: str) -> subprocess.CompletedProcess[str]:
        files = {"__main__.py": MAIN, "helper.py": "WORD = 'said'", **{f"{name}.py": text for name, text in texts.items()}}
        program = PROGRAM.replace('Path("/run")', f"Path({str(tmp_path / 'memory')!r})")
        (tmp_path / "memory").mkdir(exist_ok=True)
        told = {"program": program, "folder": str(tmp_path / folder), "files": files}
        command = [sys.executable, "-I", "-S", *([] if keeps else ["-B"]), "-c", tool._LAY_DOWN, *words]
        done = subprocess.run(command, input=zlib.compress(json.dumps(told).encode()), capture_output=True, check=False)
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "run/controlplane_target").iterdir()}


def test_the_tools_are_there_for_root_alone_and_what_they_say_is_the_answer(run: Any, tmp_path: Path) -> None:
    for _ in range(2):
        done = run("hello")
        assert (done.returncode, done.stdout, done.stderr) == (0, "said hello\n", "")
    assert (tmp_path / "run/controlplane_target/helper.py").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    assert run("no").returncode == 3


def test_the_tools_run_in_the_process_that_laid_them_down_as_if_it_had_been_started_with_their_folder(run: Any, tmp_path: Path) -> None:
    says = "import json, sys; print(json.dumps([__name__, __file__, sys.argv, sys.path[0], 'zlib' in sys.modules]))"
    done = run("a b", "--", "-c", __main__=says)
    package = str(tmp_path / "run/controlplane_target")
    # Whoever lays down unpacks; a Python that was started anew would not have imported what does.
    assert json.loads(done.stdout) == ["__main__", f"{package}/__main__.py", [package, "a b", "--", "-c"], package, True]


def test_what_a_killed_attempt_left_and_what_another_version_had_goes_away(run: Any, tmp_path: Path) -> None:
    run(old="X = 1")
    (tmp_path / "run/controlplane_target/.new-helper.py").write_text("WOR")
    (tmp_path / "run/controlplane_target/helper.py").write_text("half")
    assert run("hello").stdout == "said hello\n"
    assert names(tmp_path) == {"__main__.py", "helper.py", "__pycache__"}


def test_what_is_equal_is_not_written_again(run: Any, tmp_path: Path) -> None:
    def written() -> tuple[int, int, int]:
        seen = (tmp_path / "run/controlplane_target/helper.py").stat()
        return seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns

    run("hello")
    before = written()
    run("hello")
    assert written() == before


def test_what_is_compiled_lies_in_memory_for_this_user_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "home/R1/controlplane_target"
    package.mkdir(parents=True)
    monkeypatch.setattr(lay_down, "COMPILED", tmp_path / "run")
    (tmp_path / "run/of-an-older-version").mkdir(parents=True)
    (tmp_path / "run").chmod(0o700)
    for _ in range(2):
        lay_down.keep_compiled_in_memory(package, "v1")
        assert (package / "__pycache__").readlink() == tmp_path / "run/v1"
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("run", "run/v1")] == [0o700, 0o700]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["v1"]


def test_what_one_run_compiled_is_good_for_the_next_and_never_for_another_version(run: Any, tmp_path: Path) -> None:
    def compiled() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in (tmp_path / "memory").rglob("*.pyc")}

    assert run("hello", folder="R1", keeps=True).stdout == "said hello\n"
    first = compiled()
    assert first
    assert run("hello", folder="R2", keeps=True).stdout == "said hello\n"
    assert compiled() == first
    # As long as the one before: by its own content it is another.
    assert run("hello", folder="R3", keeps=True, helper="WORD = 'done'").stdout == "done hello\n"
    assert not set(compiled()) & set(first)


def test_a_changed_tool_runs_as_it_is_now_wherever_older_compiled_code_still_lies(run: Any, tmp_path: Path) -> None:
    package = tmp_path / "run/controlplane_target"
    assert run("hello", keeps=True).stdout == "said hello\n"
    # As in a dry run, or by an attempt that was killed before it linked its own: compiled code of another version beside the tools.
    stale = (package / "__pycache__").resolve()
    kept = {path.name: path.read_bytes() for path in stale.iterdir()}
    (package / "__pycache__").unlink()
    (package / "__pycache__").mkdir()
    for name, data in kept.items():
        (package / "__pycache__" / name).write_bytes(data)
    lay_down.lay_down(package, {"__main__.py": MAIN.encode(), "helper.py": b"WORD = 'done'"})
    done = subprocess.run([sys.executable, "-I", str(package), "hello"], capture_output=True, text=True, check=False)
    assert done.stdout == "done hello\n"


@pytest.mark.parametrize("trouble", ["writable by others", "a link", "no folder"])
def test_nothing_is_compiled_to_where_somebody_else_can_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trouble: str) -> None:
    package = tmp_path / "home/R1/controlplane_target"
    package.mkdir(parents=True)
    place = tmp_path / "run"
    monkeypatch.setattr(lay_down, "COMPILED", place)
    if trouble == "a link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    elif trouble == "no folder":
        place.write_text("")
    else:
        place.mkdir()
        place.chmod(0o777)
    lay_down.keep_compiled_in_memory(package, "v1")
    assert list(package.iterdir()) == []


def test_a_dry_run_lies_in_memory_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lay_down, "MEMORY", tmp_path)
    lay_down.keep_compiled_in_memory(tmp_path / "R1/controlplane_target", "v1")
    assert list(tmp_path.iterdir()) == []


def test_each_file_is_durable_before_any_takes_its_place_and_all_are_written_before_the_first_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    did: list[tuple[str, str]] = []

    def noted(what: str, path: Path) -> None:
        if path.name.startswith(lay_down.UNFINISHED):
            did.append((what, path.name.removeprefix(lay_down.UNFINISHED)))

    sync, replace = lay_down.sync, Path.replace
    monkeypatch.setattr(lay_down, "sync", lambda path: (noted("durable", path), sync(path)))
    monkeypatch.setattr(Path, "replace", lambda path, place: (noted("in place", path), replace(path, place))[1])
    monkeypatch.setattr(lay_down, "write", lambda path, _data, write=lay_down.write: (did.append(("written", path.name)), write(path, _data)))
    lay_down.lay_down(tmp_path / "run", {"a.py": b"A", "b.py": b"B"})
    assert did == [(what, name) for what in ("written", "durable", "in place") for name in ("a.py", "b.py")]
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == {"a.py": b"A", "b.py": b"B"}


def test_a_disk_that_is_full_takes_no_lease_and_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def full(*_: Path | bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lay_down, "write", full)
    assert lay_down.main({"folder": str(tmp_path / "run"), "files": {"__main__.py": MAIN}}) == 1
    assert "No space left on device. No lease was taken." in capsys.readouterr().err.replace("]", ".")


def test_pyyaml_lies_in_a_folder_of_its_own_and_reads_where_things_stand(run: Any, tmp_path: Path) -> None:
    files = {name.removesuffix(".py"): text for name, text in tool._yaml().items()}
    reads = "from controlplane_target.yaml import composer, nodes, parser, reader, resolver, scanner"
    assert run("hello", **files, other=reads).returncode == 0
    assert {path.name for path in (tmp_path / "run/controlplane_target/yaml").iterdir()} == {name.rpartition("/")[2] for name in tool._yaml()}
    argv = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'run')!r}); {reads}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # Laid down once more, and in a run that has no need of it.
    assert run("hello", **files, other=reads).returncode == 0
    assert run("hello").returncode == 0


@pytest.mark.parametrize("name", ["../other", "a/b/c", "..", "a/../b", "/tmp/x", "yaml/../../x", "a b", "-o"])
def test_a_file_outside_of_the_folder_is_refused(run: Any, tmp_path: Path, name: str) -> None:
    done = run("hello", **{name: "X = 1"})
    assert (done.returncode, done.stdout) == (4, "")
    assert "no plain name" in done.stderr
    assert not (tmp_path / "run").exists()
