"""`state`: what this host knows of its runs."""

from __future__ import annotations

import argparse
from typing import Any

from . import lease
from .state import Home


def act(home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Return one run's journal, or all that lies here at a glance."""
    if options.run:
        return home.run(options.run).state
    return {"lease": lease.show(home), "retired": home.retired(), "runs": [{"run": run.key, "phase": run.phase} for run in home.runs()]}
