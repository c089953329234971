"""The way back of one container's paths, all in one: the service on its old places again, with what it wrote on the new ones.

Rules:
- On the way back `returning` means that the new places are the truth, and `restarting` that the old ones are.
- Compose makes the container from the old files, without starting it, and what is newest is copied into whatever it then mounts, and compared.
- For an anonymous volume Compose would give it what the container before had at that path, which is the new place itself: so its anonymous volumes are
  made anew, and the others of that container are copied as well.
- What writes can't be held of is not stopped, but for what a failed leg left without an answer.
- Started is only what the data are back in: what somebody made anew since, by the same name, has none of them.
- Where that does not work before the service starts there, it is brought up on its new places again, which hold what is newest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from . import compose, path_downtime, path_kept, path_layer, path_stack, path_top, phases, retired
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .path_layer import Layer
from .path_leg import NEVER, RESTARTING, RETURNING, PathLeg, remembered
from .path_listing import Sides
from .path_refuse import seen
from .path_source import Source, assert_no_link_so_far, source_of
from .root_trees import make_directory


class PathReturn(PathLeg):
    """The leg back: an undo, or what a failed leg carries back."""

    def come_back(self, reason: str, *, ends: str = "") -> None:
        """Bring the service back to where its files said before, with what it wrote since. Safe to repeat, from each of its phases."""
        self.cancel.close()
        self._await_compose()
        if self.run.phase != RESTARTING:
            self._assert_places()
            self._assert_possible(reason)
            self._install_settle()
            told = {"reason": reason, "ends_back": ends or self.run.state.get("ends_back") or "undone"}
            if self.run.phase == RETURNING:
                self._assert_not_theirs()
            elif ends:
                self.run.write(leg="carry")
            self._stop_for_return(told)
            try:
                self._make_old()
            except Exception as fault:
                self._stay(str(fault))
                raise
            self.enter(RESTARTING)
        held = self._brought()
        if path_kept.has_lived(held):
            # An attempt before this one started it: clients may have worked in that life of it.
            self.proof.is_first_life = False
        status, answer = self.engine.call("POST", f"/containers/{held['Id']}/start", timeout=120)
        if status not in (204, 304):
            raise FailedFault(f"{self.name} does not start on its old place: {(answer or {}).get('message', status)}")
        faults = self._answered()
        proof, more = ({}, []) if faults else self._judged()
        faults += more
        self.run.write(proof=proof, complaint="; ".join(faults))
        if self.run.state["ends_back"] == "undone":
            self._retire_places()
        self._close(self.run.state["ends_back"])
        if faults:
            raise FailedFault(f"{'; '.join(faults)}. {self.name} runs on its old place again; {self._told_places()} is kept as it was")

    def _sides(self, data: str) -> Sides | None:
        held = self.inspection()
        path, landed = next(((path, source) for path, source in self._landed() if path["data"] == data), (None, None))
        if held is None or path is None or landed is None or not os.path.isdir(path["to"]):
            return None
        return Sides(path["to"], seen(landed, held).path)

    def _started_ns(self) -> int:
        return int(self.run.state["phase_at"][RESTARTING] * 1e9)

    def _retire_places(self) -> None:
        """Record the new places as retired. A copy that a failed attempt leaves is not: the next one goes on with it."""
        back = [
            {"from": path["to"], "to": str(path["landed"]), "volume": self.request.at(path["data"]).volume}
            for path in self.paths
            if os.path.isdir(path["to"])
        ]
        back += [{**tree, "volume": os.path.basename(os.path.dirname(tree["from"]))} for tree in self.trees.held if tree["kind"] == "anonymous"]
        retired.retire(self.run.home, self.origin.key, back, now=time.time())

    def _assert_possible(self, reason: str) -> None:
        """Raise `FailedFault` where its files or old places would not take it back: nothing is stopped for that, and what was stopped is started."""
        try:
            against = [*path_stack.refuse_back(self.origin), *path_top.without_their_mount(self.paths)]
        except RefusedFault as fault:
            against = [str(fault).removesuffix(" Nothing was changed.")]
        if not against:
            return
        told = "; ".join([*filter(None, [reason]), *against])
        if self.run.phase == RETURNING:
            self._assert_not_theirs()
            # An attempt before this one stopped it, or was killed while it did.
            self._let_told_end()
            self._stay(told)
        raise self._left(told)

    def _left(self, told: str) -> FailedFault:
        return FailedFault(
            f"{told}. It was not taken back: {self.name} was left on {self._told_places()}, where its newest data are. Mend that, then run this again"
        )

    def _assert_not_theirs(self) -> None:
        """Raise `FailedFault` where somebody started what this had made on the old places, half copied: it may hold what is newest by now."""
        held = self.inspection()
        if held is None or str(held["State"]["StartedAt"]).startswith("0001-"):
            return
        if not self._is_on_new_places():
            raise FailedFault(
                f"somebody started {self.name} on its old place before the data were back there; they are in {self._told_places()}. Nothing was "
                f"copied over it. If what it wrote since may go, 'docker rm -f {self.name}', then run this again"
            )

    def _stop_for_return(self, told: dict[str, Any]) -> None:
        held = self._as_stopped() if self.run.phase == RETURNING else self.inspection()
        if held is None:
            self._note_standing(held)
            self.enter(RETURNING, **told, stopped_at=self.run.state.get("stopped_at") or time.time())
            return
        # What an attempt before this one found is kept: by now its policy is off, and its volumes may be new ones.
        found = self.run.state.get("old") if self.run.phase == RETURNING else None
        old = {**remembered(held), **({"restart": found["restart"]} if found else {})}
        others = self.run.state.get("others") or other_anonymous(self.engine, held, self.paths)
        if not held["State"]["Running"]:
            self._note_standing(held)
            self.enter(RETURNING, **told, old=old, others=others, stopped_at=self.run.state.get("stopped_at") or time.time())
            return
        mark, life = path_kept.new_mark(), path_kept.life_of(remembered(held))
        told, is_carried = {**told, "old": old, "others": others, "stop": mark}, self.run.state["leg"] == "carry"
        if is_carried:
            self.enter(RETURNING, **told, stopped_at=self.run.state.get("stopped_at") or time.time())
        try:
            # Without it a Redis would stop without its dump: then it does not stop.
            with self._held():
                if not is_carried:
                    self.enter(RETURNING, **told, stopped_at=time.time())
                self._keep_taken(life)
                self._halt(held)
        except (FailedFault, RefusedFault, OSError) as fault:
            self._go_on_without_hold(fault, old, is_carried=is_carried)

    def _go_on_without_hold(self, fault: Exception, old: dict[str, Any], *, is_carried: bool) -> None:
        """Stop what could not be held only where nothing is lost with it; raise `FailedFault` and leave it on its new places else."""
        now = self.inspection()
        if now is None or not now["State"]["Running"]:
            if is_carried:
                return
            raise fault
        # It ran on with its data: what they were is no measure for another stop.
        self.proof.take(None)
        self.run.write(stop=None)
        if is_carried and not (self.is_redis and self.proof.answers()):
            # It came up without answering: what it holds is on its disk, or nowhere.
            self._halt(now)
            return
        with suppress(FailedFault, OSError):
            self._update(now["Id"], old["restart"])
        self._end_downtime()
        raise self._left(str(fault).removesuffix(" Nothing was changed.").rstrip(".")) from fault

    def _note_standing(self, held: dict[str, Any] | None) -> None:
        """Note that the service was found to stand still: what its data were is known only where an attempt before this one stopped this very life of it."""
        path_downtime.begin(self.run)
        is_still = held is not None and (not path_kept.has_lived(held) or path_kept.is_of(self.run, path_kept.life_of(remembered(held))))
        if self.run.phase != RETURNING or not is_still:
            self.proof.take(None)
            self.run.write(stop=None)

    def _halt(self, held: dict[str, Any]) -> None:
        self._update(held["Id"], NEVER)
        self._stop(held["Id"])

    def _make_old(self) -> None:
        self._assert_made_from()
        path_stack.put_back(self.origin)
        self._ungovern()
        for path in self.paths:
            if path["source"]["kind"] == "bind":
                # Purged meanwhile; Compose must not make it as root's.
                make_directory(path["source"]["path"])
        self._compose(compose.make_still, fresh=is_fresh(self.paths), after=False)
        self._copy_back(self._landed())

    def _assert_made_from(self) -> None:
        """Raise `FailedFault` where an undo would make the container anew with more changed than was looked at before it stopped."""
        held = self.inspection()
        stack = compose.stack_of(held) if held is not None else None
        # Of an attempt before this one the files may be back, and the container another one.
        if self.run.state["leg"] != "undo" or stack is None or not path_stack.is_written(self.origin):
            return
        try:
            compose.assert_made_from(stack, self.name)
        except RefusedFault as fault:
            raise self._left(str(fault).removesuffix(" Nothing was changed.").rstrip(".")) from fault

    def _stay(self, reason: str) -> None:
        """Bring the service up on its new places again, which alone hold the newest data: the way back did not work.

        An undo is over with that. What a failed leg carries back stays open, and is tried again.
        """
        path_layer.off(self.run.key)
        # It runs on with its data: what they were is no measure for another stop.
        self.run.write(reason=reason, stop=None)
        there = self.run.state.get("trees_there") or self.run.state["trees"]
        path_stack.put_forward(self.origin)
        self._govern()
        held = self.inspection()
        if held is None or not self._is_on_new_places():
            self._compose(compose.make_still, fresh=False)
            self._assert_landed()
            held = self.inspection() or {}
            # Its other anonymous volumes may be new ones by now, and hold nothing, or a half of what they did.
            self._copy_all(self._other_trees(held))
            # From here on it is these that the service writes to.
            self.run.write(others=other_anonymous(self.engine, held, self.paths))
        self._update(held["Id"], self.run.state["old"]["restart"])
        status, answer = self.engine.call("POST", f"/containers/{held['Id']}/start", timeout=120)
        if status not in (204, 304):
            raise FailedFault(f"{reason}; and {self.name} does not start on its new place: {(answer or {}).get('message', status)}")
        # The way there is what is in force again.
        self.run.write(trees=self.origin.state["trees"] if self.origin.key != self.run.key else there)
        if self.run.state["leg"] == "carry":
            return
        self._answered()
        self._close("done" if self.origin.key == self.run.key else phases.GIVEN_UP)

    def _copy_back(self, landed: Sequence[tuple[dict[str, Any], Source]]) -> None:
        held, layered = self.inspection() or {}, any(source.kind == "layer" for _, source in landed)
        layer = Layer(self.run, held) if layered else None
        if layer is not None:
            layer.writable()
        trees = []
        for path, source in landed:
            above = layer.place if layer is not None and source.kind == "layer" else ""
            to = above + source.path
            if to == path["to"]:
                raise FailedFault(f"Compose gave {self.name} the same {to} again: look at its compose file, then run this again")
            assert_no_link_so_far(above or source.base, to)
            trees.append(_back(path["to"], to, "data", path["data"]))
        self._assert_places()
        for path, source in landed:
            if layer is not None and source.kind == "layer":
                layer.make_above(path.get("above") or [])
        there = self.run.state.get("trees_there") or self.run.state["trees"]
        told = [{**path, "landed": f"the layer of {self.name}" if source.kind == "layer" else source.path} for path, source in landed]
        self.run.write(trees_there=there, paths=told)
        self._copy_all(self._other_trees(held), trees)
        self.run.write(paths=path_top.brought(self.paths, landed, held["Id"]))
        path_layer.off(self.run.key)

    def _other_trees(self, held: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the trees of the other anonymous volumes, from where they were to where the container has them now."""
        found = {at: (path, source_of(self.engine, held, at).path) for at, path in (self.run.state.get("others") or {}).items()}
        return [_back(path, now, "anonymous", at) for at, (path, now) in found.items() if now != path]

    def _copy_all(self, *rounds: list[dict[str, Any]]) -> None:
        """Copy and compare; a path that lies within another anonymous volume is in a later round than that one, whose copy of it is an old one."""
        retired.forget(self.run.home, [tree["to"] for trees in rounds for tree in trees])
        compared: list[dict[str, Any]] = []
        for trees in filter(None, rounds):
            for tree in trees:
                make_directory(tree["to"])
            self.run.write(trees=trees)
            self.trees.proven = {}
            self.trees.clear_flags()
            self.trees.assert_unused()
            self.trees.copy_last()
            compared += self.trees.prove()
        if compared:
            self.run.write(trees=[tree for trees in rounds for tree in trees], compared=compared)


def is_fresh(paths: Sequence[dict[str, Any]]) -> bool:
    """Say whether the container's anonymous volumes become new ones on the way back, because one of the paths came from one."""
    return any(path["source"]["kind"] == "anonymous" for path in paths)


def other_anonymous(engine: Engine, held: dict[str, Any], paths: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return {path in the container: path here} of its other anonymous volumes, which become new ones with those that its data go back to."""
    if not is_fresh(paths):
        return {}
    own = {path["data"] for path in paths}
    at = [mount["Destination"] for mount in held["Mounts"] if mount["Destination"] not in own and mount["Type"] == "volume"]
    found = {path: source_of(engine, held, path) for path in at}
    return {path: source.path for path, source in found.items() if source.kind == "anonymous"}


def _back(source: str, to: str, kind: str, path: str) -> dict[str, Any]:
    return {"kind": kind, "path": path, "from": source, "to": to, "read_since_ns": 0, "to_mount": "", "flags_set": True}
