"""The way there of one container's paths, all in one: from the service on its old places to the service on its new ones.

Rules:
- The journal names the phase before its step begins (phases.py says what each means after a crash).
- Copied while the service runs; it alone stops, once, for the last difference of all paths and a full comparison. Nothing is switched before that is synced to disk.
- While it stands still Docker must not start it: its restart policy is off until the leg is over, and a unit brings it to one side after a power cut.
- Compose makes the container anew from its changed files, once; what it writes on a new place is carried back (path_return.py).
- Right before that the container that was stopped has to stand as it was stopped, or the leg goes back (path_back.py). What was written to an old place
  all the same is told at the end.
- No source is ever changed or deleted (path_end.py says what becomes of it).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

from . import path_kept, path_layer, path_return, path_stack, path_top, path_touched, phases
from .faults import FailedFault, RefusedFault
from .path_end import PathEnd
from .path_layer import Layer
from .path_layer_dirs import is_known
from .path_leg import NEVER, remembered
from .path_refuse import since_begun
from .path_source import Source, assert_no_link
from .state import boot_id
from .tree_compare import clock_ns


class PathMove(PathEnd):
    """The leg there."""

    def stage(self) -> None:
        """Copy and compare while the service runs."""
        self.enter("staging")
        self._show("live")
        # Before the copy: to read a table may write to its file, and what is written after the comparison waits for the stop.
        self.proof.read_ahead(self.cancel.check)
        self.note_names()
        self.trees.stage()
        self.note_names()

    def _show(self, how: str) -> None:
        """Let each source be seen under the name that its tree has, be what the copy is of, and no link lead away from it."""
        held = self.inspection()
        layered = [path["data"] for path in self.paths if path["source"]["kind"] == "layer"]
        for path in self.paths:
            if path["source"]["kind"] not in ("layer", "absent"):
                assert_no_link(Source(**path["source"]), self.name)
        self._assert_same_places()
        if not layered:
            return
        if held is None:
            raise FailedFault(f"{self.name} is gone")
        layer = Layer(self.run, held)
        (layer.live if how == "live" else layer.still)()
        for data in layered:
            assert_no_link(Source("layer", layer.place + data, layer.place, ""), self.name)
        self.run.write(paths=[{**path, "above": layer.above(path["data"])} if path["data"] in layered else path for path in self.paths])

    def _assert_same_places(self) -> None:
        if others := path_top.elsewhere(self.paths):
            raise FailedFault(path_top.told(others))

    def note_names(self) -> None:
        """Note what is copied: what the service made and removed meanwhile stays in the copies until the next pass, and is nobody else's.

        Before a pass as well as after it: one that a power cut ends leaves names there that a service may have removed by its next start.
        """
        there = {tree["to"]: {*_names(tree["from"]), *_names(tree["to"])} for tree in self.trees.held}
        self.run.write(trees=[{**tree, "names": sorted({*(tree.get("names") or []), *there[tree["to"]]})} for tree in self.trees.held])

    def execute(self) -> None:
        """Stop, copy the last difference, compare, switch, start, prove; on any fault go back and raise it."""
        held = self.inspection()
        if held is None:
            raise RefusedFault(f"{self.name} is gone. Nothing was changed. Make a new plan.")
        self._assert_same(held)
        self.cancel.check()
        path_stack.assert_known(self.origin, self._stack(after=True))
        self._install_settle()
        others = path_return.other_anonymous(self.engine, held, self.paths)
        self.enter("stopping", old=remembered(held), others=others, stopped_at=None, killed=[], stop=path_kept.new_mark())
        try:
            self._stop_and_copy()
        except BaseException as fault:
            self.go_back(str(fault) or type(fault).__name__)
            raise
        self.switch_and_conclude()

    def _assert_same(self, held: dict[str, Any]) -> None:
        """Raise `RefusedFault` where the copy is not one of what would stop now: somebody made the container anew, and its data may lie elsewhere."""
        if found := since_begun(self.engine, held, self.run):
            others = path_top.elsewhere(self.paths)
            # No run writes over a copy of what is gone.
            way_on = path_top.told(others) if others else "Run this again: it copies from where they lie now"
            raise RefusedFault(f"{' and '.join(found)} since the copy of {self.name} began. Nothing was changed. {way_on}.")

    def _stop_and_copy(self) -> None:
        old = self.run.state["old"]
        with self._held():
            self._keep_taken(path_kept.life_of(old))
            self.run.write(stopped_at=time.time())
            self._update(old["id"], NEVER)
            killed = self._stop(old["id"])
        self.enter("stopped", killed=[self.name] if killed else [])
        # As long as it is this container it mounts what was looked at before the stop.
        if (self.inspection() or {}).get("Id") != old["id"]:
            raise FailedFault(f"somebody removed {self.name}, or made it anew, while it was stopped")
        self._show("still")
        self.trees.assert_unused()
        self.note_names()
        self.trees.copy_last()
        self.enter("copied")
        began = clock_ns()
        reports = self.trees.prove()
        self.trees.assert_unused()
        self._assert_same_places()
        self.cancel.check()
        self.enter("compared", compared=reports, compared_at_ns=began)

    def switch_and_conclude(self) -> None:
        """Write the files, let Compose make the container anew, and prove that it has its data; a fault goes back and is raised."""
        self.cancel.close()
        try:
            self._await_compose()
            self._note_life()
            changed = self._written()
            late = "" if changed else self._make()
            self._assert_landed()
        except Exception as fault:
            self._leave(str(fault))
            raise
        self._note_touched()
        faults = self._answered()
        if faults:
            self._carry_back("; ".join(filter(None, [*faults, late])))
        told, faults = self._judged()
        # In one: what was found must not be forgotten by a kill, and be judged anew without what it was compared with.
        self.enter("answered", proof=told, complaint="; ".join([*changed, *faults]), late=late)
        self.finish()

    def _note_life(self) -> None:
        """Tell the proof where an attempt before this one, or somebody else, started a new container already: clients may have worked in that life of it."""
        held = self.inspection()
        if held is not None and held["Id"] != self.run.state["old"]["id"] and path_kept.has_lived(held):
            self.proof.is_first_life = False

    def _written(self) -> list[str]:
        """Write the files; return what keeps them from being as they shall be where the container was made from them before, which goes on then."""
        try:
            # Once the new container may run, what somebody wrote elsewhere in the stack is no reason to take it down.
            path_stack.write(self.origin, self._stack(after=True), self.moving, strict=self.run.phase in phases.DESTINATION_IS_PROVEN)
        except (FailedFault, RefusedFault) as fault:
            if self.run.phase != "starting" or not self._is_on_new_places():
                raise
            # Taken down for that it could not be made anew on its old places either: the same file would keep it from that.
            self._start_made()
            return [str(fault).removesuffix(" Nothing was changed.").rstrip(".")]
        return []

    def _start_made(self) -> None:
        status, answer = self.engine.call("POST", f"/containers/{(self.inspection() or {}).get('Id')}/start", timeout=120)
        if status not in (204, 304):
            raise FailedFault(f"{self.name} does not start on its new place: {(answer or {}).get('message', status)}")

    def _make(self) -> str:
        """Let Compose make the container anew on its new places; return what it said of one that still starts."""
        if self.run.phase == "compared":
            self.enter("switched")
        self._keep()
        path_layer.off(self.run.key)
        self._govern()
        if self.run.phase == "switched":
            if reason := self.overtaken():
                raise FailedFault(f"{reason} while it was stopped for its data to move. It was left on what it has there. Run this again")
            self.enter("starting")
        return self._make_anew()

    def _keep(self) -> None:
        held = self.inspection()
        if held is not None and held["Id"] == self.run.state["old"]["id"] and is_known(held):
            began = {"at": time.time(), "boot_id": boot_id()}
            kept = Layer(self.run, held).keep([path["data"] for path in self.paths if path["source"]["kind"] == "layer"])
            self.run.write(kept=kept, kept_since=began)

    def _note_touched(self) -> None:
        """Note what somebody did to the old container since its layer was kept, where data lay in that: what it wrote then went with it."""
        began, known = self.run.state.get("kept_since"), (self.run.state.get("touched") or {}).get("did")
        # What was seen once is so: after a boot, or Docker's own restart, Docker can't tell it again.
        if began and known is None and any(path["source"]["kind"] == "layer" for path in self.paths):
            did = path_touched.since(self.run.state["old"]["id"], began["at"]) if began["boot_id"] == boot_id() else None
            self.run.write(touched={"did": did})

    def _leave(self, reason: str) -> None:
        """Give up the new places, without losing what the service may have written there."""
        self._await_compose()
        old = self.run.state["old"]
        status, answer = self.engine.call("GET", f"/containers/{old['id']}/json")
        if self.run.phase in phases.DESTINATION_IS_PROVEN or (status == 200 and answer["Name"].lstrip("/") == old["name"]):
            self.go_back(reason)
            return
        self._carry_back(reason)

    def _carry_back(self, reason: str) -> None:
        self.run.write(complaint=reason)
        path_return.PathReturn(self.run, self.cancel, self.command, self.proof).come_back(reason, ends="reverted")
        raise FailedFault(
            f"{reason}. Went back: {self.name} runs on its old place again, with what it wrote meanwhile. Mend the cause, then run this again."
        )


def _names(top: str) -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(top)
    return []
