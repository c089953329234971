"""Import what a role ships for its targets, under the names that it has there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[3]


def module_util(role: str, name: str) -> ModuleType:
    """Return roles/<role>/module_utils/<name>.py as ansible.module_utils.<name>."""
    return _load(ROOT / "roles" / role / "module_utils" / f"{name}.py", f"ansible.module_utils.{name}")


def library(role: str, name: str) -> ModuleType:
    """Return the module roles/<role>/library/<name>.py."""
    return _load(ROOT / "roles" / role / "library" / f"{name}.py", f"{role}_{name}")


def file(role: str, name: str) -> ModuleType:
    """Return roles/<role>/files/<name>.py."""
    return _load(ROOT / "roles" / role / "files" / f"{name}.py", f"{role}_{name}")


def action(role: str, name: str) -> ModuleType:
    """Return roles/<role>/action_plugins/<name>.py, which runs on the controller."""
    return _load(ROOT / "roles" / role / "action_plugins" / f"{name}.py", f"{role}_{name}")


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # The role's modules import one another from the package, as they do on a target.
    import ansible.module_utils

    if name.startswith("ansible.module_utils."):
        setattr(ansible.module_utils, name.rpartition(".")[2], module)
    spec.loader.exec_module(module)
    return module
