"""Run the undo that another run left on this host."""

from __future__ import annotations

import argparse
import json
import socket
from typing import Any

from . import command
from .faults import FailedFault, RefusedFault
from .state import Home


def act(home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Return {changed, message} of the undo of the run `of`, which is told that the lease is held; with `check` it only tells what it would do.

    Raises `RefusedFault` where the run never came here, and what the undo itself says where it fails.
    """
    folder = home.run(options.of).folder
    if not folder.is_dir():
        raise RefusedFault(
            f"{socket.gethostname()} has no folder {folder}: the run never came here, or its folder was removed. Nothing was changed. "
            f"'controlplane runs show {options.of}' tells where it ran."
        )
    undo = folder / "undo"
    if not undo.exists():
        return {"changed": False, "message": "That run found everything done already, and left no undo. Nothing was changed."}
    code, out, err = command.run([str(undo), "--check" if options.check else "--leased"])
    if code != 0:
        raise (RefusedFault if code == RefusedFault.code else FailedFault)(err.strip() or f"{undo} ended with {code}")
    return {"changed": json.loads(out)["changed"], "message": err.strip()}
