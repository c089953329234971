"""Names of machines, and what two labs on one host share: nothing."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controlplane.adapters.lab.home import DEFAULT_HOME, LabHome, of_live_test
from controlplane.domain.errors import InputInvalidError


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONTROLPLANE_LAB", str(tmp_path))
    assert LabHome.from_environment().path == tmp_path
    monkeypatch.setenv("CONTROLPLANE_LAB", "")
    assert LabHome.from_environment().path == DEFAULT_HOME


def test_two_labs_give_one_machine_two_namespaces() -> None:
    one, other = (LabHome(Path(path)).machine("db").namespace for path in ("/a", "/b"))
    assert one != other
    assert one.endswith("-db")


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "..", "a b", "a\n", "a" * 42, "ä", "a.b", "*"])
def test_a_name_that_is_none_is_an_input_error_and_makes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputInvalidError) as refusal:
        LabHome(tmp_path).machine(name)
    assert str(refusal.value) == f"command line: {name!r}: a lab machine's name is [a-z0-9][a-z0-9-]*, at most 41 characters"
    assert list(tmp_path.iterdir()) == []


def test_machines_of_a_running_test_are_known_by_its_process() -> None:
    names = [f"t-{os.getpid()}-1", "t-999999999-1", "mint-data", f"x-t-{os.getpid()}-1"]
    assert [of_live_test(name) for name in names] == [True, False, False, False]


def test_a_lock_that_was_thrown_away_while_somebody_waited_for_it_still_keeps_two_apart(tmp_path: Path) -> None:
    home = LabHome(tmp_path)
    inside: list[str] = []

    def enter(name: str) -> None:
        with home.locked("machine-a"):
            inside.append(name)
            assert inside == [name]
            time.sleep(0.02)
            inside.remove(name)
            home.forget_lock("machine-a")

    with ThreadPoolExecutor(6) as pool:
        # Those of the second half come when it was thrown away, and the others of the first still wait.
        list(pool.map(enter, "abcdefghijkl"))
    assert list((tmp_path / "locks").iterdir()) == []
