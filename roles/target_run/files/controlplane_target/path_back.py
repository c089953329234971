"""Back, where nothing has left the old places yet: the container that was stopped is started again, or what somebody made of it meanwhile is left to them.

Rules:
- The container that was stopped is known by its id and its start. Where it ran since, its old place may hold what is newest: whatever the phase, before
  Compose made another one of it, it goes back.
- What nobody but the copy has any more is never given up: a container that somebody made without it is left, and so is the copy, for a person.
- Nothing is started on an old place that is not on its mount, nor on one that went with its container, or that somebody made anew by its name since
  (path_top.py): it would begin empty, and the next attempt would copy that over what the copy has. Where somebody started it there, it is left, and told.
- One that somebody started is away no longer than until that start, whenever this comes to see it.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from typing import Any

from . import compose, path_downtime, path_layer, path_stack, path_top, phases, starting
from .faults import FailedFault, RefusedFault
from .path_leg import PathLeg
from .path_listing import Sides
from .path_source import Source
from .tree_compare import CLOCK_LAG_NS


class PathBack(PathLeg):
    """What the leg there does to go back."""

    def go_back(self, reason: str) -> None:
        """Start the service on its old places again, which nothing has left yet. Safe to repeat."""
        self._await_compose()
        self._begin_back(reason)
        old = self.run.state["old"]
        self._let_end(old["id"])
        status, held = self.engine.call("GET", f"/containers/{old['id']}/json")
        if status == 200 and not held["State"]["Running"]:
            self._assert_old_disks(reason)
            self._assert_old_places(f"{reason}. Going back, {self.name} was not started")
        ran_s = self._ran_s()
        status, answer = self.engine.call("POST", f"/containers/{old['id']}/start", timeout=120)
        if status == 404:
            self._without_old(reason, ran_s)
        elif status not in (204, 304):
            raise FailedFault(
                f"{reason}. Going back, {old['name']} does not start: {(answer or {}).get('message', status)}. Look at it, then run this again"
            )
        else:
            # The service first: what somebody wrote into the file meanwhile is no reason to leave it down.
            self._update(old["id"], old["restart"])
            self._put_back()
            self._assert_not_without(f"{reason}. {self.name} runs where it lay before, and was left as it is", ran_s)
        faults = self._answered(ran_s)
        if faults:
            self.run.write(complaint="; ".join(faults))
            if ran_s:
                # It serves since then, whatever it is called.
                self._end_downtime(self._ran_s() or ran_s)
        self._close(self.run.state["ends"]["back"])

    def _begin_back(self, reason: str) -> None:
        """Write that it goes back, and unmount the layer. What fails here is no reason to leave the service down: both are done again at the end."""
        # Started without that word the old container is known by its start (`overtaken`): a phase that would go on goes back all the same.
        with suppress(OSError):
            # It runs on with its data: what they were is no measure for another stop.
            self.enter("reverting", reason=reason, stop=None)
        with suppress(OSError, FailedFault):
            path_layer.off(self.run.key)

    def _assert_old_disks(self, reason: str) -> None:
        """Raise `FailedFault` where an old place is not on its mount: Docker would make an empty folder of it, and the next attempt would copy that."""
        off = [path for path in self.paths if path_top.off_mount(path)]
        if not off:
            return
        copied = [path for path in off if not path_top.is_cleared(path)]
        told = [path_top.told(copied)] if copied else path_top.without_their_mount(off)
        raise FailedFault(
            f"{reason}. Going back, {self.name} was not started: {'; '.join(told)}. Or bring it up by hand on what is there now, then run this again"
        )

    def _assert_old_places(self, said: str) -> None:
        """Raise `FailedFault` where an old place is another one by now, gone, or off its mount, and its copy may be the only one."""
        if lacking := [path for path in path_top.elsewhere(self.paths) if path_top.is_gone(path) or not path_top.is_cleared(path)]:
            raise FailedFault(f"{said}: {path_top.told(lacking)}")

    def _assert_not_without(self, said: str, ran_s: float) -> None:
        """Raise `FailedFault` where somebody started it on what there is instead: it is theirs, and so is the copy."""
        try:
            self._assert_old_places(said)
        except FailedFault:
            # The leg stays open, and it serves.
            self._end_downtime(ran_s)
            raise

    def _ran_s(self) -> float:
        """Return for how long the container has run in a life that somebody else began, 0.0 where it does not."""
        held = self.inspection()
        if held is None or str(held["State"]["StartedAt"]) == self.run.state["old"]["started_at"]:
            return 0.0
        return path_downtime.ran_s(held["State"])

    def _without_old(self, reason: str, ran_s: float) -> None:
        """Go back where somebody removed the old container."""
        if self.inspection() is not None:
            self._leave_to_them(reason, ran_s)
            return
        only_its = [path for path in self.paths if _has_but_the_copy(path)]
        if only_its:
            # Made anew it would start empty, and what is there next would be copied over the one copy.
            raise FailedFault(
                f"{reason}; and somebody removed {self.name}, whose data lay in {_lay(only_its)}: nothing was made anew. They may be in "
                f"{', '.join(path['source']['path'] for path in only_its)} still; a copy from before it was removed is in "
                f"{path_top.copies(only_its)}. Look at both, and bring the service up by hand"
            )
        self._assert_old_disks(reason)
        self._assert_old_places(f"{reason}; and somebody removed {self.name}, of which nothing was made anew")
        self._put_back(strict=True)
        self._make_anew(after=False)

    def _make_anew(self, *, after: bool = True) -> str:
        """Let Compose make the container anew and start it; return what it said of one that it gave up on, and that still starts. Raises `FailedFault`."""
        old = self.run.state["old"]
        # A journal of older tools does not tell how long its health check takes.
        wait_s = max(self.request.answer_s, math.ceil(old.get("health_s") or 0))
        return starting.brought_up(lambda: self._compose(compose.make_anew, wait_s=wait_s, after=after), self.inspection, old["id"])

    def _leave_to_them(self, reason: str, ran_s: float) -> None:
        """Leave the container that is there by its name, and its files, to whoever made it; raise `FailedFault` where it lacks what only the copy has."""
        said = f"{reason}; somebody made {self.name} anew since, and it was left as it is"
        if not self._is_theirs_on_new_places():
            # It was made from the file as it was before: the next 'up' would put it on a copy that nobody works with.
            self.run.write(complaint="")
            self._put_back()
            landed = self._where_it_lies()
            lacking = [path for path in self.paths if _is_lacking(path, landed.get(path["data"])) and not path_top.is_cleared(path)]
            if lacking:
                if ran_s:
                    # The leg stays open, and it serves.
                    self._end_downtime(ran_s)
                # The next attempt would copy what it has now over the one copy.
                now = ", which is another one by now" if path_top.replaced(lacking) else ""
                way_on = path_top.way_on(lacking)
                raise FailedFault(
                    f"{said}. It does not have what lay in {_lay(lacking)}{now}: a copy from before is in {path_top.copies(lacking)}. {way_on}"
                )
            said = "; ".join(filter(None, [said, self.run.state.get("complaint")]))
        self.run.write(complaint=said)

    def _put_back(self, *, strict: bool = False) -> None:
        self._ungovern()
        try:
            path_stack.put_back(self.origin)
        except FailedFault as fault:
            if strict:
                raise
            self.run.write(complaint=str(fault))

    # What somebody did meanwhile.

    def overtaken(self) -> str:
        """Return what somebody did to the container since this stopped it, so that its old place may hold what is newest; empty where it goes on.

        From `starting` on the old one may be gone because Compose made another one of it. Before, one that lies on the new places was made from the
        files that this wrote, and what it has is the proven copy. Raises `FailedFault`.
        """
        old = self.run.state["old"]
        status, answer = self.engine.call("GET", f"/containers/{old['id']}/json")
        if status == 200:
            return "" if str(answer["State"]["StartedAt"]) == old["started_at"] else f"somebody started {self.name} on its old place again"
        if status != 404:
            raise FailedFault(f"Docker does not say how {self.name} is: {(answer or {}).get('message', status)}. Nothing was started. Run this again")
        if self.run.phase not in phases.DESTINATION_IS_PROVEN:
            return ""
        if self.inspection() is not None:
            return "" if self._is_theirs_on_new_places() else f"somebody made {self.name} anew"
        # Nothing but the copy may have what only that container led to, or what lay where there is another one by now.
        is_needed = (any(map(_has_but_the_copy, self.paths)) or path_top.replaced(self.paths)) and not self._written_behind()
        return "" if is_needed else f"somebody removed {self.name}"

    def _is_theirs_on_new_places(self) -> bool:
        try:
            return self._is_on_new_places()
        except RefusedFault:
            # In memory, or on a mount of another kind.
            return False

    def _where_it_lies(self) -> dict[str, dict[str, Any]]:
        """Return by path where it lands in the container that is there now, as the journal has a source; of a layer, which is another one by now, nothing."""
        try:
            return {path["data"]: source._asdict() for path, source in self._landed() if source.kind != "layer"}
        except RefusedFault:
            return {}

    def _sides(self, data: str) -> Sides | None:
        """Return the old place of a path and the new one, None where that is gone, or another one by now. Of a layer it is what is kept of it."""
        tree = next((tree for tree in self.trees.held if tree["path"] == data), None)
        path = next((path for path in self.paths if path["data"] == data), None)
        if tree is None or path is None:
            return None
        if path["source"]["kind"] == "layer":
            kept = self.run.state.get("kept")
            return Sides(os.path.join(kept, data.lstrip("/")) if kept else "", tree["to"], is_kept=True)
        is_other = path_top.replaced([path]) or path_top.without_their_mount([path])
        return Sides(tree["from"], tree["to"]) if os.path.isdir(tree["from"]) and not is_other else None

    def _written_behind(self) -> list[dict[str, Any]]:
        """Return the paths to whose old place somebody wrote after it was compared."""
        compared_ns = self.run.state.get("compared_at_ns")
        if not compared_ns:
            return []
        sides = [(path, self._sides(path["data"])) for path in self.paths]
        return [path for path, held in sides if held is not None and held.is_written_behind(compared_ns + CLOCK_LAG_NS)]


def _has_but_the_copy(path: dict[str, Any]) -> bool:
    """Say whether a path, whose container is gone, has nothing but its copy: only that container led to where it lay, or that is gone as well."""
    kind, place = path["source"]["kind"], path["source"]["path"]
    return kind in ("anonymous", "layer") or (kind != "absent" and not os.path.isdir(place))


def _is_lacking(path: dict[str, Any], landed: dict[str, Any] | None) -> bool:
    """Say whether a container that somebody made, in which a path lands there, does not have what the copy has: not by the same name either."""
    return bool(path_top.elsewhere([path])) or (_has_but_the_copy(path) and landed != path["source"])


def _lay(paths: list[dict[str, Any]]) -> str:
    return " and ".join(dict.fromkeys(Source(**path["source"]).told for path in paths))
