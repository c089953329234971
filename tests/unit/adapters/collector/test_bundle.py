"""The collector travels as one command and runs where nothing but Python 3.9 is."""

from __future__ import annotations

import ast
import subprocess
import sys
from hashlib import sha256
from importlib.resources import files
from typing import Any

import pytest

from controlplane.adapters.collector import bundle
from controlplane.adapters.collector.main import PROBES
from controlplane.adapters.evidence import unpack
from controlplane.domain.evidence_shapes import SHAPES

NOTHING: dict[str, Any] = {"paths": [], "mounts": [], "services": {}, "write_surfaces": [], "limits": {}}
SOURCES = {name: files("controlplane.adapters.collector").joinpath(f"{name}.py").read_text() for name in bundle.MODULES}


def test_every_module_of_the_package_but_the_bundler_travels() -> None:
    names = {file.name.removesuffix(".py") for file in files("controlplane.adapters.collector").iterdir() if file.name.endswith(".py")}
    assert names - {"__init__", "bundle"} == set(bundle.MODULES)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_modules_are_python_3_9_and_import_only_its_library_and_modules_before_them(name: str) -> None:
    tree = ast.parse(SOURCES[name], feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.module in bundle.MODULES[: bundle.MODULES.index(name)]
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).split(".")[0] in sys.stdlib_module_names


def test_the_probes_are_those_of_the_contract() -> None:
    assert {probe.name for probe in PROBES} == set(SHAPES)


def test_the_command_answers_between_its_marks_whatever_else_is_printed() -> None:
    command = f"echo 'Welcome <<< to this host'; {bundle.command(NOTHING, sys.executable)} ; echo bye"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    probes = unpack(done.stdout.replace("\n", "\r\n"))
    assert set(probes) == set(SHAPES)
    assert probes["mounts"]["status"] == "ok"


def _imported(asked: dict[str, Any]) -> set[str]:
    """Return what the collector itself imported for that question, as `-X importtime` names it; what its children do is not among it."""
    command = bundle.command(asked, sys.executable).replace(" -I -S ", " -I -S -X importtime ", 1)
    told = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=True).stderr
    return {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}


def test_a_probe_is_imported_where_it_runs_and_what_most_of_them_stand_on_only_for_all() -> None:
    probes = set(bundle.MODULES) - {"main", "supervise", "tools"}
    whole, alone = _imported(NOTHING), _imported(NOTHING | {"only": ["target_state"]})
    assert "collector.supervise" in whole & alone
    # The two that bring these are imported by their names, of which Python keeps no time.
    assert {name for name in probes if f"collector.{name}" in whole} == {"engine", "fingerprint", "mounts", "redact"}
    assert not {name for name in probes if f"collector.{name}" in alone}
    # What a host without Docker, and one question, have no need of.
    assert not {"socket", "ctypes", "shutil", "calendar"} & whole
    assert not {"hashlib", "threading"} & alone


def test_a_probe_that_can_not_even_be_imported_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "_modules", lambda: [(name, "1 / 0" if name == "units" else SOURCES[name]) for name in bundle.MODULES])
    bundle.program.cache_clear()
    try:
        done = subprocess.run(["/bin/sh", "-c", bundle.command(NOTHING, sys.executable)], capture_output=True, text=True, timeout=60, check=False)
    finally:
        bundle.program.cache_clear()
    probes = unpack(done.stdout)
    assert (probes["units"]["status"], probes["units"]["error"]) == ("failed", "ZeroDivisionError: division by zero")
    assert probes["mounts"]["status"] == "ok"


def test_a_host_without_python_says_so() -> None:
    done = subprocess.run(["/bin/sh", "-c", bundle.command(NOTHING)], env={"PATH": "/nonexistent"}, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "no python3 on this host" or "platform-python" in done.stdout


def test_a_question_that_fits_no_command_line_is_refused() -> None:
    with pytest.raises(ValueError, match="too much was asked of one host"):
        bundle.arguments(NOTHING | {"paths": [f"/{sha256(str(number).encode()).hexdigest()}" for number in range(5000)]})


def test_nothing_of_the_question_can_leave_its_argument() -> None:
    python, question = bundle.arguments(NOTHING | {"paths": ["/a'; touch /tmp/x; '{{ 1 }}"]}, "/opt/my python")
    assert python == "exec '/opt/my python'"
    assert not set(question) & set("'\"{}$`; ")
    assert "{{" not in bundle.program()
