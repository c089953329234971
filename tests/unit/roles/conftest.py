"""The target's package lies in a role's files: make it importable here. And processes with mounts of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "roles/target_run/files"))

# What target_run lays down beside the tools, for those that change a compose file.
sys.modules["controlplane_target.yaml"] = yaml


@pytest.fixture
def inside() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process in a mount namespace of its own, after these commands there; it has what it opens open until the end."""
    if (tried := subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)).returncode != 0:
        pytest.skip(f"no mount namespace of its own here: {tried.stderr.strip()}")
    held: list[subprocess.Popen[str]] = []

    def start(script: str, opened: Path) -> subprocess.Popen[str]:
        program = f"import sys; f = open({str(opened)!r}); print('ready', flush=True); sys.stdin.read(); f.seek(0); print(f.read())"
        words = ["unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh", sys.executable, "-c", program]
        held.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert held[-1].stdout is not None
        assert held[-1].stdout.readline() == "ready\n"
        return held[-1]

    yield start
    for one in held:
        one.communicate()
