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
