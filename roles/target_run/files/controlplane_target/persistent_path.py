"""The verbs `persistent-path …`: refuse, prepare, precopy, move, settle, prove; its undo is path_undo.py's.

Rules:
- `refuse` and `prepare` read only. `precopy` changes nothing but the destinations. `move` is path_move.py's leg, of all paths of the request at once.
- Paths that have their place, with nothing open, are done: nothing is stopped. Of such a place only owner and mode are set, alone or with the leg of the others.
- Before a leg stops anything, the host's lease has to be its run's.
- An open leg that was interrupted is brought to one side first, whoever asks for what.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

from . import compose, leg_verbs, path_edit, path_kept, path_layer, path_leg, path_place, path_stack, phases, settle_units, way_back
from .cancel import Cancel
from .docker_engine import Engine
from .faults import FailedFault
from .path_leg import OPEN, RESTARTING, RETURNING, PathLeg
from .path_move import PathMove
from .path_precopy import Look, precopy
from .path_proof import Proof
from .path_refuse import Refuse, inspected, since_begun, sources_of, still_to_move
from .path_request import Request, as_json, parse
from .path_return import PathReturn
from .path_source import Source
from .state import Home, Run, boot_id
from .systemd import unit_name

ROLE = "persistent_paths"
_UNDO = """#!/bin/sh
# Bring back what run {key} moved, with everything that is newer. Needs no controller; safe to run again.
exec {python} -B {folder}/controlplane_target undo --run {key} "$@"
"""
_README = """Run {key}, role persistent_paths, container {container}

It moves, all at once:
{moves}
What ran here is in state.json (key "phase"): "done" means that the service runs on the new places, "reverted" and "undone" on the old ones. How its
compose files changed stands in compose.json: "edits" are [start, end, what stood there before], in characters of the text as it is now.

See how things are:   {python} -B {folder}/controlplane_target state --run {key}
Go back:              {folder}/undo
After an interruption the host brings itself to one side, also after a power cut; if it could not, {folder}/undo goes on from there.

Going back by hand, should Python be broken:
  1. docker stop {container}
  2. put the compose files back as compose.json says, then: docker compose up --no-start SERVICE (with the files under "stack" in state.json)
  3. copy the newer data back: rsync -aHAXSx --numeric-ids --delete NEW/ OLD/   (for each of "paths" in state.json: "to" is NEW, OLD is what
     'docker inspect {container}' mounts at "data" now)
  4. docker start {container}
  5. remove the controlplane-settle-*.service of this run from /etc/systemd/system, if it is there
"""
_MOST_NAMED = 50
_Leg = TypeVar("_Leg", bound=PathLeg)


def unit_of(request: Request) -> str:
    """Return the transient unit's name: one a container."""
    return unit_name(ROLE, request.container)


class PersistentPath:
    """The verbs on one host. `password` is one that only the controller knows."""

    lock = "persistent-path"

    def __init__(self, home: Home, engine: Engine, cancel: Cancel, password: str | None = None) -> None:
        self.home, self.engine, self.cancel, self.password = home, engine, cancel, password

    def leg(self, kind: type[_Leg], run: Run, request: Request) -> _Leg:
        """Return the leg there or back of a run."""
        return kind(run, self.cancel, leg_verbs.command(self, run, "settle"), self._proof(request))

    def _proof(self, request: Request) -> Proof:
        return Proof(self.engine, request, self.password)

    def _looked(self, request: Request) -> Look:
        inspection = inspected(self.engine, request.container)
        sources = sources_of(self.engine, inspection, request)
        return Look(inspection, sources, still_to_move(request, sources))

    def refuse(self, run: Run, request: Request) -> dict[str, Any]:
        """Return what is to be done; refused with all reasons at once."""
        return Refuse(self.home, self.engine, run, self._proof(request)).answer()

    def prepare(self, run: Run, request: Request) -> bool:
        """Leave the way back: how the files change, the undo and its README; return whether anything is new."""
        moves = "".join(f"  {wanted.data} to {wanted.destination}\n" for wanted in request.paths)
        values = {"key": run.key, "folder": run.folder, "python": sys.executable, "container": request.container, "moves": moves}
        changed = bool(way_back.leave(run, {}, undo=_UNDO.format(**values), readme=_README.format(**values)))
        if run.phase not in OPEN:
            inspection, _, moving = self._looked(request)
            stack = compose.stack_of(inspection)
            if not moving.paths:
                run.write(role=ROLE, asked=as_json(request))
            elif stack is not None and run.phase not in ("done", "undone"):
                made = path_edit.edit(stack, moving)
                changed = path_stack.record(run, made) or changed
                run.write(role=ROLE, stack=path_leg.plain(stack), stack_after=path_leg.plain(made.stack), asked=as_json(request))
        return changed

    def precopy(self, run: Run, request: Request) -> dict[str, Any]:
        """Copy while the service runs, until a pass is short; returns {changed, passes}."""
        self.recover(run)
        look = self._looked(request)
        # Only owner and mode of places may be left to do: those are live, and nothing may be copied onto them.
        if not look.moving.paths or self.refuse(run, request)["already"]:
            return {"changed": False, "passes": []}
        return precopy(self, run, request, look)

    def move(self, run: Run, request: Request) -> dict[str, Any]:
        """Move the paths; returns {changed, downtime_s, …}."""
        self.recover(run)
        if run.phase == "done" and self.refuse(run, request)["already"]:
            return self.told(run, changed=False)
        look = self._looked(request)
        if not look.moving.paths:
            return self._governed(run, request)
        if not self._is_begun(run, request, look):
            self.precopy(run, request)
        if run.phase not in ("precopied", "staging"):
            return self.told(run, changed=False)
        leg_verbs.assert_leased(self.home, run)
        mover = self.leg(PathMove, run, request)
        mover.stage()
        # To copy took its time: who shares the data by now, what a stop would lose, and which image it is are asked once more.
        self.refuse(run, request)
        mover.execute()
        return self.told(run, changed=True)

    def _is_begun(self, run: Run, request: Request, look: Look) -> bool:
        """Say whether the run's copy is one of what is asked for, from where it lies now, and all of it reached the disk: after a power cut nobody knows."""
        is_copied = run.phase in ("precopied", "staging") and run.state.get("request") == as_json(request)
        return is_copied and run.state.get("copy_boot_id") == boot_id() and not since_begun(self.engine, look.inspection, run)

    def _governed(self, run: Run, request: Request) -> dict[str, Any]:
        """Give places that are mounted already their owner and mode; what they had is in the journal."""
        leg_verbs.assert_leased(self.home, run)
        # What an attempt before this one found is how it was; and what this run itself moved is not given back.
        held, moved = run.state.get("governed") or [], run.state.get("paths") or []
        known = {path["data"] for path in (*held, *moved)}
        fresh = [wanted for wanted in request.paths if wanted.data not in known and path_place.ungoverned(wanted)]
        had = [{"data": wanted.data, "to": wanted.place, **path_place.had(wanted.place)} for wanted in fresh]
        run.write(request=as_json(request), governed=[*held, *had], paths=moved)
        changed = [path_place.govern(wanted.place, wanted.owner, wanted.mode) for wanted in request.paths if wanted.place]
        # One that moved data stays a move, whose way back is another.
        run.write(phase="done", leg=run.state.get("leg") or "governed")
        return self.told(run, changed=any(changed))

    def recover(self, run: Run) -> str:
        """Bring an interrupted leg to one side, with its service; return the side."""
        run.reload()
        if run.phase not in OPEN:
            return "untouched"
        request = parse(run.state["request"])
        if run.phase in (RETURNING, RESTARTING):
            self.leg(PathReturn, run, request).come_back(run.state.get("reason") or "")
            return "source"
        mover = self.leg(PathMove, run, request)
        side = phases.side(run.phase, destination_there=path_leg.are_in_place(run.state["paths"]))
        if side == "blocked":
            gone = ", ".join(path["to"] for path in run.state["paths"] if not path_leg.is_in_place(path))
            raise FailedFault(
                f"{gone} is not there, and it alone holds the newest data: {request.container} stays down. Bring its disk back and mount it, then run this again."
            )
        if side == "source":
            mover.go_back(run.state.get("reason") or f"interrupted while {run.phase}")
        elif run.phase == "answered":
            mover.finish()
        elif reason := mover.overtaken():
            mover.go_back(f"interrupted while {run.phase}, and {reason}")
            return "source"
        else:
            mover.switch_and_conclude()
        return side

    def prove(self, run: Run, request: Request) -> dict[str, Any]:
        """Say that every path lies where it shall be and how its data fared; a fault otherwise."""
        _, sources, moving = self._looked(request)
        if moving.paths:
            lie = "; ".join(
                f"{wanted.data} of {request.container} lies in {sources[wanted.data].told}, not in {wanted.destination}" for wanted in moving.paths
            )
            raise FailedFault(f"not proven: {lie}. Run this again.")
        state = run.state
        if run.phase == "done" and state.get("complaint"):
            raise FailedFault(f"{state['complaint']}. {run.folder}/state.json names what differs; where it lay before is as it was")
        moved = {path["data"]: Source(**path["source"]).told for path in state.get("paths") or []}
        paths = [
            {
                "data": wanted.data,
                "from": moved.get(wanted.data),
                "to": wanted.destination,
                "proof": counted((state.get("proof") or {}).get(wanted.data), run.folder / "state.json"),
            }
            for wanted in request.paths
        ]
        told = {
            "container": request.container,
            "paths": paths,
            **{key: state[key] for key in ("compared", "killed", "complaint", "notes") if state.get(key)},
        }
        return {"changed": False, "phase": run.phase, "downtime_s": state.get("downtime_s") or {}, "told": told}

    def settle_configuration(self, run: Run) -> str:  # noqa: ARG002 - as every leg's verbs have it
        """Do nothing before Docker starts: the engine's own configuration is no part of this."""
        return "untouched"

    def is_open(self, run: Run) -> bool:
        """Say whether the run's leg was begun and not ended."""
        return run.phase in OPEN

    def clean_up(self, run: Run) -> None:
        """Remove what only an open leg needs, once the leg is closed."""
        if run.phase in phases.TERMINAL:
            settle_units.uninstall_after(run.key)
            path_kept.forget(run)
        if run.phase not in OPEN:
            path_layer.off(run.key)

    @staticmethod
    def told(run: Run, *, changed: bool) -> dict[str, Any]:
        """Return what a verb says of how its leg went."""
        kept = ("downtime_s", "compared", "killed", "complaint")
        return {"changed": changed, "phase": run.phase, **{key: run.state[key] for key in kept if run.state.get(key)}}


def counted(proof: dict[str, Any] | None, journal: Path) -> dict[str, Any] | None:
    """Return a proof without names of what is lost: those stay on this host. What was not proven is named, as far as it is few."""
    if not proof:
        return None
    told: dict[str, Any] = {key: len(value) if key == "lost" else value for key, value in proof.items() if key != "not_proven" or value}
    named = told.get("not_proven") or []
    if len(named) > _MOST_NAMED:
        told["not_proven"] = [*named[:_MOST_NAMED], f"and {len(named) - _MOST_NAMED} more, named in {journal}"]
    return told
