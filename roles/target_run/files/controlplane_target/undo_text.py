"""The two files that a run leaves beside its journal: the undo that needs no controller, and what a person must know."""

from __future__ import annotations

from .files import write_atomic
from .state import Run

_UNDO = """#!/bin/sh
# Bring back what run {key} moved, with everything that is newer. Needs no controller; safe to run again.
exec {python} -B {folder}/controlplane_target undo --run {key} "$@"
"""

_README = """Run {key}, role {role}

What ran here is in state.json (key "phase"); "done" means that the services run on the new place, "reverted" and "undone" on the old one.

See how things are:   {python} -B {folder}/controlplane_target state --run {key}
Go back:              {folder}/undo
After an interruption the host brings itself to one side, also after a power cut; if it could not, {folder}/undo goes on from there.

Going back by hand, should Python be broken:
  1. systemctl stop docker.socket docker containerd
  2. copy the newer data back: rsync -aHAXSx --numeric-ids --delete NEW/ OLD/   (for each pair under "trees" in state.json: "to" is NEW, "from" is OLD)
  3. restore the files under "configs" in state.json: "before" holds each one's text in base64, or that it was absent
  4. systemctl start containerd docker.socket docker; then docker start each name under "services"
  5. systemctl disable controlplane-settle.service controlplane-settle-services.service, if they are there
"""


def write_undo(run: Run, role: str, python: str) -> bool:
    """Write undo and README into the run's folder; return whether anything changed."""
    values = {"key": run.key, "folder": run.folder, "role": role, "python": python}
    changed = False
    for name, text, mode in (("undo", _UNDO, 0o700), ("README", _README, 0o600)):
        path, data = run.folder / name, text.format(**values).encode()
        if not path.exists() or path.read_bytes() != data:
            write_atomic(path, data, mode=mode)
            changed = True
    return changed
