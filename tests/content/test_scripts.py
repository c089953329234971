"""The README's commands, where the lab can't run: one line says what can't, why, and what to do instead."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from controlplane.adapters.lab import requirements

ROOT = Path(__file__).resolve().parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "script" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("vm", "what"), [(False, "The lab"), (True, "Virtual machines")])
def test_one_line_says_what_cannot_run_here_and_what_to_do_instead(monkeypatch: pytest.MonkeyPatch, vm: bool, what: str) -> None:
    monkeypatch.setattr(requirements, "missing_reason", lambda **_: "it needs root")
    assert requirements.why_not(vm=vm) == (
        f"{what} can't run here: it needs root. Point the program at a host of your own instead: controlplane audit --target root@your-host"
    )


FIRST_TIER = re.compile(r'pytest (-q -n 2 -m "[^"]+" tests/unit tests/content tests/contract)$', re.MULTILINE)


def test_the_newest_end_passes_the_whole_first_tier_before_its_lab_run_and_what_is_quick_of_it_where_that_is_asked() -> None:
    oldest, newest = ((ROOT / f"script/{name}").read_text() for name in ("test", "newest"))
    quick, longer = FIRST_TIER.findall(newest)
    assert [quick, longer] == FIRST_TIER.findall(oldest)
    assert "plays or slow" in longer
    places = [newest.index(words) for words in (quick, '[ "$how" = --fast ]', longer, "tests/lab/test_main_job.py")]
    assert places == sorted(places)


def test_the_demo_says_it_and_starts_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    demo = script("demo")
    monkeypatch.setattr(requirements, "missing_reason", lambda **_: "it needs root")
    monkeypatch.setattr(demo, "run", lambda *_, **__: pytest.fail("it started something"))
    assert demo.main() == 4
    assert capfd.readouterr().err == f"demo: {requirements.why_not()}\n"


def test_the_tests_say_it_for_each_tier_that_they_leave_out() -> None:
    text = (ROOT / "script/test").read_text()
    for tier, asked in (("second", "why_not()"), ("third", "why_not(vm=True)")):
        assert f'say "{tier} tier left out. $line"' in text
        assert f'import why_not; print({asked} or "")' in text
