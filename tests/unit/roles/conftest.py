"""The target's package lies in a role's files: make it importable here."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "roles/target_run/files"))

# What target_run lays down beside the tools, for those that change a compose file.
sys.modules["controlplane_target.yaml"] = yaml
