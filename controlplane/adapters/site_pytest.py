"""Run pytest files of a site in a process of their own, and say of each test how it ended, also where the whole did not.

Rules:
- Of pytest's settings only the files' own count: no configuration, no conftest.py above the root, no option and no plugin of the operator's shell;
  and no variable of that shell makes a failure pass.
- Nothing is left: no cache and no bytecode in the site, no temporary folder, no process, whoever started it.
- A file of the site is code of the site: it runs as the operator, in the site's folder, like a script of its inventory.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from controlplane.adapters.process_tree import ProcessTree, marked_with
from controlplane.adapters.site_checks_plugin import FOLDER, GIVEN, OUTCOMES
from controlplane.domain.plain_json import load_plain

_TICK = 0.2
_PLUGIN = "controlplane.adapters.site_checks_plugin"
# Nothing of a configuration above the site, and no cache left in it.
_OPTIONS = ("--no-header", "--tb=line", "-c", os.devnull, "-p", "no:cacheprovider", "-p", _PLUGIN)
# What an operator's shell says must neither leave tests out nor turn a failure into a pass: nothing of pytest's own; and of Python's not what
# compiles asserts away in modules beside a test, silences warnings, or has other bytecode stand for a module. A plugin that a file needs, it names
# itself. Where Python finds this program and what a file imports (PYTHONPATH, PYTHONHOME) stays: by that the program itself runs as well.
_OF_PYTEST = "PYTEST_"
_OF_PYTHON = ("PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONPYCACHEPREFIX")
_QUIET = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


class Ended(NamedTuple):
    """One test, by its file below the root. `outcome` is passed, failed, skipped or error; empty where it did not end, or `begun` is False.

    `reason` is what it said, in all of its lines; `fault` names the exception, `phase` is where it was raised, and `reached` is False where that
    was ssh, which did not reach the machine.
    """

    file: str
    name: str
    host: str
    begun: bool = False
    outcome: str = ""
    reason: str = ""
    fault: str = ""
    phase: str = ""
    reached: bool = True
    seconds: float = 0.0


class Broken(NamedTuple):
    """A file that can't be read (`error`), or that skips itself."""

    file: str
    outcome: str
    reason: str


class Ran(NamedTuple):
    """How it ended: pytest's exit code, None at the time limit; `whole` says whether it came to its end and said so; `said` is what it said last."""

    code: int | None
    whole: bool
    tests: tuple[Ended, ...]
    broken: tuple[Broken, ...]
    said: str


def run_pytest(
    site: Path,
    files: Sequence[str],
    *,
    root: Path,
    given: Mapping[str, Any],
    limit_s: float,
    options: Sequence[str] = ("-q",),
    stop: Event | None = None,
    hear: Callable[[Ended], None] = lambda _test: None,
) -> Ran:
    """Run these files below `root`, together within `limit_s`.

    `given` is what the plugin finds in its folder; `stop` ends it from another thread; `hear` is told the end of each test.
    """
    with tempfile.TemporaryDirectory(prefix="controlplane-checks-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        (folder / GIVEN).write_text(json.dumps(given))
        argv = [sys.executable, "-m", "pytest", *_OPTIONS, *options, "--rootdir", str(root), "--confcutdir", str(root)]
        tree = ProcessTree([], strays=lambda: marked_with(f"{FOLDER}={scratch}"))
        with (
            (folder / "output").open("wb") as output,
            subprocess.Popen(
                [*argv, "--basetemp", str(folder / "tmp"), *(str(root / file) for file in files)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=site,
                env={**_kept(os.environ), **_QUIET, FOLDER: scratch},
                start_new_session=True,
            ) as process,
        ):
            try:
                in_time = _wait(process, tree, _Listener(folder / OUTCOMES, hear), time.monotonic() + limit_s, stop)
            finally:
                tree.end(grace=0)
        tests, broken, whole = _read(folder / OUTCOMES)
        code = process.returncode if in_time else None
        return Ran(code, whole and in_time, tuple(tests.values()), tuple(broken), _tail(folder / "output"))


def _kept(shell: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in shell.items() if not name.startswith(_OF_PYTEST) and name not in _OF_PYTHON}


class _Listener:
    """Tells the end of each test once."""

    def __init__(self, path: Path, hear: Callable[[Ended], None]) -> None:
        self._path, self._hear = path, hear
        self._told: set[str] = set()

    def listen(self) -> None:
        for name, test in _read(self._path)[0].items():
            if test.outcome and name not in self._told:
                self._told.add(name)
                self._hear(test)


def _wait(process: subprocess.Popen[bytes], tree: ProcessTree, listener: _Listener, ends: float, stop: Event | None) -> bool:
    """Return whether it ended by itself, within its time."""
    tree.search()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(min(_TICK, ends - time.monotonic()), 0.01))
            listener.listen()
            return True
        tree.follow()
        listener.listen()
        if time.monotonic() > ends or (stop is not None and stop.is_set()):
            return False


def _tail(output: Path) -> str:
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 3000))
        return " ".join(file.read().decode(errors="replace").split())


def _read(path: Path) -> tuple[dict[str, Ended], list[Broken], bool]:
    """Return the tests by id, the broken files, and whether it came to its end; nothing where the file is not what the plugin writes."""
    tests: dict[str, Ended] = {}
    broken: list[Broken] = []
    whole = False
    try:
        # A line that is still being written has no end.
        for line in path.read_bytes().split(b"\n")[:-1]:
            entry = load_plain(line)
            kind = entry.pop("is")
            if kind == "test":
                tests[entry["id"]] = Ended(entry["file"], entry["test"], entry["host"])
            elif kind == "broken":
                broken.append(Broken(**entry))
            elif kind in ("begun", "ended"):
                name = entry.pop("id")
                tests[name] = tests[name]._replace(begun=True, **entry)
            whole = kind == "end"
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}, [], False
    return tests, broken, whole
