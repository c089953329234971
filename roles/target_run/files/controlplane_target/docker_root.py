"""The verbs `docker-root …`: refuse, precopy, move, settle, prove, undo.

Rules:
- `refuse` and `prove` read only. `precopy` changes nothing but the destination. `move` and `undo` are root_move.py's legs.
- A move whose roots are where they shall be, with nothing open, is done: nothing is stopped.
- Before a leg stops anything, the host's lease has to be its run's; which controller of the run holds it makes no difference to a unit.
- An open leg that was interrupted is brought to one side first (phases.py), whoever asks for what.
- The copy of an attempt that a power cut ended, or that this run did not begin, is read completely.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from . import configs, leg_verbs, open_files, phases, redis_guard, retired, root_owed, root_refusals, settle_units
from .cancel import Cancel
from .daemon_json import PATH as DAEMON_JSON
from .docker_engine import Engine, inventory_difference
from .faults import FailedFault, RefusedFault
from .files import read_json
from .mounts import mount_of, nearest_existing, read
from .root_move import RootMove
from .root_request import Request, as_json, parse
from .root_trees import swapped
from .state import Home, Run, boot_id
from .systemd import unit_name
from .tree_compare import clock_ns
from .tree_copy import sync_filesystem
from .tree_measure import is_empty
from .undo_text import write_undo

ROLE = "docker_data_root"


def unit_of(request: Request) -> str:
    """Return the transient unit's name for this request."""
    return unit_name(ROLE, request.moves[0].destination if request.moves else DAEMON_JSON)


class DockerRoot:
    """The verbs on one host."""

    lock = "docker-root"

    def __init__(self, home: Home, engine: Engine, cancel: Cancel) -> None:
        self.home, self.engine, self.cancel = home, engine, cancel

    def _move(self, run: Run) -> RootMove:
        return RootMove(run, self.engine, self.cancel, leg_verbs.command(self, run, "settle"))

    def _info(self) -> dict[str, Any]:
        try:
            return self.engine.info()
        except (OSError, ValueError) as fault:
            raise RefusedFault(
                f"Docker's socket {self.engine.path} does not answer ({fault}). Nothing was changed. Start Docker, or look why it is down."
            ) from fault

    def refuse(self, run: Run, request: Request) -> dict[str, Any]:
        """Return what is to be done and what for; refused with all reasons at once."""
        info = self._info() if run.phase not in phases.CRITICAL else {}
        if not info or root_owed.down(self.home, self.engine):
            return {"already": False, "open": True, "phase": run.phase, "changes": [], "planned": [], "needs": []}
        roots = root_refusals.roots_now(info)
        moves = root_refusals.still_to_move(request, roots)
        pairs = configs.pairs(request)
        if not moves and not pairs:
            return {"already": True, "open": False, "phase": run.phase, "changes": [], "planned": [], "needs": []}
        found = root_refusals.reasons(self.home, request, self.engine, info)
        if found:
            what = "moving Docker's root" if request.moves else f"changing {DAEMON_JSON}"
            raise RefusedFault(f"{what} refused: {'; '.join(found)}. Nothing was changed.")
        changes = [{"kind": "move", "target": f"{move.kind} root", "before": move.source, "after": move.destination} for move in moves]
        return {
            "already": False,
            "open": False,
            "phase": run.phase,
            "changes": changes,
            "planned": configs.planned(pairs),
            "needs": root_refusals.needs(moves),
        }

    def prepare(self, run: Run, request: Request) -> bool:  # noqa: ARG002 - as every leg's verbs have it
        """Leave the undo and its README; return whether anything is new."""
        return write_undo(run, ROLE, sys.executable)

    def precopy(self, run: Run, request: Request) -> dict[str, Any]:
        """Copy while Docker works, until a pass is short; returns {changed, passes}."""
        self.recover(run)
        root_owed.bring(run, self.engine)
        if self.refuse(run, request)["already"]:
            return {"changed": False, "passes": []}
        table = read()
        trees: list[dict[str, Any]] = []
        # Only a copy that this journal began, in this boot, and that no services lived on, is known well enough not to be read.
        own = run.phase in ("precopying", "precopied", "staging", "reverted") and run.state.get("leg") == "forward"
        known = {tree["to"]: tree for tree in run.state["trees"]} if own and run.state["copy_boot_id"] == boot_id() else {}
        for move in root_refusals.still_to_move(request, root_refusals.roots_now(self._info())):
            held = known.get(move.destination)
            fresh = is_empty(move.destination)
            since = clock_ns() if fresh else held["read_since_ns"] if held else 0
            trees.append(
                {
                    "kind": move.kind,
                    "from": move.source,
                    "to": move.destination,
                    "read_since_ns": since,
                    "to_mount": mount_of(nearest_existing(move.destination), table).mount,
                    "flags_set": not fresh,
                    "names": sorted(os.listdir(move.source)),
                }
            )
        retired.forget(self.home, [tree["to"] for tree in trees])
        run.write(
            phase="precopying",
            trees=trees,
            request=as_json(request),
            leg="forward",
            of=None,
            copy_boot_id=boot_id(),
            ends={"well": "done", "back": "reverted"},
            stop_timeout_s=request.stop_timeout_s,
            answer_timeout_s=request.answer_timeout_s,
        )
        mover = self._move(run)
        mover.trees.clear_flags()
        for tree in trees:
            sync_filesystem(tree["from"])
        passes = leg_verbs.copied_live(mover.trees)
        run.write(phase="precopied")
        return {"changed": bool(trees), "passes": passes}

    def move(self, run: Run, request: Request) -> dict[str, Any]:
        """Move the roots; returns {changed, downtime_s, …}."""
        self.recover(run)
        root_owed.bring(run, self.engine)
        if run.phase == "done" and self.refuse(run, request)["already"]:
            return self._told(run, changed=False)
        # Of a copy from before a power cut nobody knows whether all of it reached the disk.
        is_same = run.state.get("request") == as_json(request) and run.state.get("copy_boot_id") == boot_id()
        if run.phase not in ("precopied", "staging") or not is_same:
            self.precopy(run, request)
        if run.phase not in ("precopied", "staging"):
            return self._told(run, changed=False)
        leg_verbs.assert_leased(self.home, run)
        mover = self._move(run)
        mover.stage()
        mover.execute(configs.pairs(request))
        return self._told(run, changed=True)

    def undo(self, run: Run, of: Run, *, overwrite: bool = False) -> dict[str, Any]:
        """Move back what the run `of` moved, with everything newer; its journal says `undone` afterwards."""
        if of.phase == "new":
            raise RefusedFault(f"this host knows no run {of.key}. Nothing was changed. 'controlplane runs show {of.key}' tells where it ran.")
        self.recover(of)
        self.recover(run)
        root_owed.bring(run, self.engine)
        self._close_undone(of)
        if of.phase in ("undone", "reverted", "new", "prepared", "precopying", "precopied", "staging"):
            return self._told(run, changed=False)
        self._refuse_undo(of, overwrite=overwrite)
        leg_verbs.assert_leased(self.home, run)
        request = parse(of.state["request"])
        forward, pairs, last = of.state["forward"]["trees"], of.state["forward"]["configs"], of.state
        table = read()
        trees = [swapped(tree, read_since_ns=0, to_mount=mount_of(nearest_existing(tree["from"]), table).mount) for tree in forward]
        retired.forget(self.home, [tree["to"] for tree in trees])
        kept = {key: last[key] for key in ("request", "stop_timeout_s", "answer_timeout_s")}
        cost = run.state.get("downtime_s", {})
        # What an earlier attempt of this undo cost counts with it, and what the move cost does not.
        kept["downtime_s"] = cost if run.state.get("leg") == "undo" else {}
        run.write(
            phase="staging", trees=trees, leg="undo", of=of.key, ends={"well": "undone", "back": "done" if run.key == of.key else "reverted"}, **kept
        )
        try:
            mover = self._move(run)
            mover.stage()
            mover.execute(configs.pairs_back(pairs, request))
        except BaseException:
            if run.phase == "staging":
                # Nothing was stopped; the old root is in part newer than it was, and no longer what was recorded.
                retired.retire(self.home, of.key, forward, now=time.time())
                run.write(phase=run.state["ends"]["back"], leg="forward", trees=forward, of=None, downtime_s=cost)
            raise
        if run.key != of.key:
            of.write(phase="undone", undone_by=run.key)
        return self._told(run, changed=True)

    def _close_undone(self, of: Run) -> None:
        """Mark a run as undone whose undo ended, and was killed before it could say so."""
        for run in self.home.runs():
            ended = run.phase == "undone" and run.key != of.key and run.state.get("of") == of.key
            if ended and of.phase == "done" and run.state["finished_at"] > of.state["finished_at"]:
                of.write(phase="undone", undone_by=run.key)

    def _refuse_undo(self, of: Run, *, overwrite: bool) -> None:
        roots = root_refusals.roots_now(self._info())
        records = {held["path"]: held for held in self.home.retired() if held["run"] == of.key}
        found = []
        for tree in of.state["forward"]["trees"]:
            if roots[tree["kind"]] != tree["to"]:
                found.append(f"{tree['kind']}'s root is {roots[tree['kind']]}, not {tree['to']} where {of.key} put it: undo the later move first")
            elif tree["from"] not in records or not os.path.isdir(tree["from"]):
                found.append(f"{tree['from']} was purged, so there is nothing to go back to: plan a move to it as a new one")
            elif not overwrite and retired.differs(records[tree["from"]]):
                found.append(
                    f"{tree['from']} changed since it was retired, and going back would overwrite that: look at it, then 'undo --overwrite-old-root'"
                )
        found += root_refusals.space_back([(tree["to"], tree["from"]) for tree in of.state["forward"]["trees"]])
        found += root_refusals.of_the_running(self.engine.containers()) + redis_guard.keeping(self.home, lambda _run: True)
        if found:
            raise RefusedFault(f"undo of {of.key} refused: {'; '.join(found)}. Nothing was changed.")

    def recover(self, run: Run) -> str:
        """Bring an interrupted leg to one side, with its services; return the side."""
        run.reload()
        if run.phase not in phases.CRITICAL:
            return "untouched"
        side = phases.side(run.phase, destination_there=self.destination_there(run))
        if side == "blocked":
            missing = ", ".join(tree["to"] for tree in run.state["trees"])
            raise FailedFault(
                f"{missing} is not there, and it alone holds the newest data: Docker stays down. Bring its disk back and mount it, then run this again."
            )
        mover = self._move(run)
        if side == "source":
            mover.go_back(run.state.get("reason") or f"interrupted while {run.phase}")
        elif run.phase == "answered":
            mover.conclude_again()
        else:
            mover.switch_and_conclude()
        if run.phase == "undone" and run.state["of"] != run.key:
            self.home.run(run.state["of"]).write(phase="undone", undone_by=run.key)
        return side

    def settle_configuration(self, run: Run) -> str:
        """Early in a boot: set the configuration to one side, start nothing. In the boot that the leg itself runs in: nothing."""
        if run.phase not in phases.CRITICAL or run.state.get("boot_id") == boot_id():
            return "untouched"
        side = phases.side(run.phase, destination_there=self.destination_there(run))
        if side == "blocked":
            raise FailedFault(
                f"the disk of {', '.join(tree['to'] for tree in run.state['trees'])} is missing, and it alone holds the newest data: Docker must not start"
            )
        configs.switch(run.state["configs"], "before" if side == "source" else "after")
        if side == "source":
            run.write(phase="reverting", boot_id=boot_id(), reason=f"the host went down while {run.phase}")
        else:
            # Docker starts there next, and containers with it.
            run.write(boot_id=boot_id(), phase="starting" if run.phase in phases.DESTINATION_IS_PROVEN else run.phase)
        return side

    @staticmethod
    def destination_there(run: Run) -> bool:
        """Return whether each tree's destination is there, on the mount that it was copied to."""
        table = read()
        for tree in run.state["trees"]:
            if is_empty(tree["to"]) or (tree["to_mount"] and mount_of(tree["to"], table).mount != tree["to_mount"]):
                return False
        return True

    def prove(self, run: Run, request: Request) -> dict[str, Any]:
        """Say that the roots are where they shall be, the old ones unused and the inventory whole; a fault otherwise."""
        roots = root_refusals.roots_now(self._info())
        found = [
            f"{move.kind}'s root is {roots[move.kind]}, not {move.destination}" for move in request.moves if roots[move.kind] != move.destination
        ]
        found += [f"{pair['after']['path']} is not as the run leaves it" for pair in configs.pairs(request)]
        for move in request.moves:
            if os.path.isdir(move.source) and roots[move.kind] == move.destination:
                found += [f"{move.source} is still in use: {user}" for user in open_files.users_of(move.source, writers_only=True)[:5]]
        before = read_json(run.folder / "inventory-before.json")
        if before and run.phase == "done":
            gone = [line for line in inventory_difference(before, self.engine.inventory()) if line.endswith("is gone")]
            run.write(gone_since=gone)
        found += root_owed.down(self.home, self.engine)
        if found:
            raise FailedFault(f"not proven: {'; '.join(found)}. Run this again; if it stays so, run {run.folder}/undo.")
        root_owed.settle(self.home)
        return {"changed": False, "roots": roots, "phase": run.phase, "downtime_s": run.state.get("downtime_s", {})}

    def is_open(self, run: Run) -> bool:
        """Say whether the run's leg was begun and not ended."""
        return run.phase in phases.CRITICAL

    def clean_up(self, run: Run) -> None:
        """Remove what only an open leg needs, once the leg is closed."""
        if run.phase in phases.TERMINAL:
            settle_units.uninstall()

    @staticmethod
    def _told(run: Run, *, changed: bool) -> dict[str, Any]:
        kept = ("downtime_s", "compared", "killed", "complaint", "brought")
        return {"changed": changed, "phase": run.phase, **{key: run.state[key] for key in kept if key in run.state}}
