"""One leg of a move of one container's data: from the service on its old place to the service on its new one, or back again.

Rules:
- The journal names the phase before its step begins. Those of the way there mean what phases.py says; on the way back `returning` means that the new place is
  the truth, and `restarting` that the old one is.
- Copied while the service runs; it alone stops, for the last difference and a full comparison. Nothing is switched before that is synced to disk.
- While it stands still Docker must not start it: its restart policy is off until the leg is over, and a unit brings it to one side after a power cut.
- Compose makes the container anew from its changed file, and the way back is made the same way: what it writes on the new place is carried back.
- The source is never changed and never deleted: it is recorded as retired.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from . import compose, path_layer, path_stack, phases, retired, services, settle_units
from .cancel import Cancel
from .faults import FailedFault, RefusedFault
from .mounts import mount_of, nearest_existing, read
from .path_layer import Layer
from .path_listing import listed
from .path_proof import Proof
from .path_request import Request
from .path_source import Source, assert_no_link, assert_no_link_so_far, source_of
from .root_trees import Trees, make_directory
from .state import Run, boot_id
from .systemd import unit_name
from .tree_compare import clock_ns

RETURNING, RESTARTING = "returning", "restarting"
OPEN = (*phases.CRITICAL, RETURNING, RESTARTING)
_NEVER = {"Name": "no", "MaximumRetryCount": 0}


class PathMove:
    """The leg that `run`'s journal describes; `command` is what settles it after a power cut, without the stage's name."""

    def __init__(self, run: Run, cancel: Cancel, command: list[str], proof: Proof) -> None:
        self.run, self.cancel, self.command, self.proof = run, cancel, command, proof
        self.engine, self.request = proof.engine, proof.request
        self.trees = Trees(run, cancel)

    @property
    def origin(self) -> Run:
        """The run whose change of the files this leg goes by."""
        of = self.run.state.get("of")
        return self.run.home.run(of) if of else self.run

    def enter(self, phase: str, **changes: Any) -> None:
        """Write the phase that begins now, and when."""
        times = {} if phase == "staging" else self.run.state.get("phase_at", {})
        self.run.write(phase=phase, boot_id=boot_id(), phase_at={**times, phase: round(time.time(), 3)}, **changes)

    def inspection(self) -> dict[str, Any] | None:
        """Return the container as it is now, None where there is none of its name."""
        status, answer = self.engine.call("GET", f"/containers/{quote(self.request.container, safe='')}/json")
        return dict(answer) if status == 200 else None

    # There.

    def stage(self) -> None:
        """Copy and compare while the service runs."""
        self.enter("staging")
        self._show("live")
        self.trees.stage()

    def execute(self) -> None:
        """Stop, copy the last difference, compare, switch, start, prove; on any fault go back and raise it."""
        held = self.inspection()
        if held is None:
            raise RefusedFault(f"{self.request.container} is gone. Nothing was changed. Make a new plan.")
        self.cancel.check()
        path_stack.assert_known(self.origin, self._stack(after=True))
        self._install_settle()
        self.enter("stopping", old=_remembered(held), others=self._other_anonymous(held), downtime_s={}, killed=[])
        try:
            self._stop_and_copy()
        except BaseException as fault:
            self.go_back(str(fault) or type(fault).__name__)
            raise
        self.switch_and_conclude()

    def _stop_and_copy(self) -> None:
        old = self.run.state["old"]
        with self.proof.held(self.request.answer_s):
            # From here on clients wait: that is when the service is down for them.
            self.run.write(stopped_at=time.time())
            self._update(old["id"], _NEVER)
            killed = self._stop(old["id"])
        self.enter("stopped", killed=[self.request.container] if killed else [])
        self._show("still")
        self.trees.assert_unused()
        self.trees.copy_last()
        self.enter("copied")
        began = clock_ns()
        reports = self.trees.prove()
        self.trees.assert_unused()
        self.cancel.check()
        self.enter("compared", compared=reports, compared_at_ns=began)

    def switch_and_conclude(self) -> None:
        """Write the files, let Compose make the container anew, and prove that it has its data; a fault goes back and is raised."""
        self.cancel.close()
        try:
            # Once the new container may run, what somebody wrote elsewhere in the stack is no reason to take it down.
            path_stack.write(self.origin, self._stack(after=True), self.request, strict=self.run.phase in phases.DESTINATION_IS_PROVEN)
            if self.run.phase == "compared":
                self.enter("switched")
            compose.await_unit(self._unit)
            self._keep()
            path_layer.off(self.run.key)
            govern(self.run.state["to"], self.request)
            if self.run.phase == "switched":
                self.enter("starting")
            self._compose(compose.make_anew, wait_s=self.request.answer_s)
            self._assert_landed()
        except Exception as fault:
            self._leave(str(fault))
            raise
        faults = self._answered()
        if faults:
            self._carry_back("; ".join(faults))
        told, faults = self._judged()
        # In one: what was found must not be forgotten by a kill, and be judged anew without what it was compared with.
        self.enter("answered", proof=told, complaint="; ".join(faults))
        self.finish()

    def finish(self) -> None:
        """Retire the source and close the journal; what is not as it was is raised, and nothing is taken back: the old place is as it was."""
        if self.run.phase != "answered":
            self.enter("answered")
        listing = self._listed()
        if listing is not None:
            self.run.write(proof=listing)
            if listing["lost"]:
                self.run.write(complaint=f"{len(listing['lost'])} files of {self.request.container} are not as they were")
        self._retire()
        self._close(self.run.state["ends"]["well"])
        if self.run.state.get("complaint"):
            raise FailedFault(
                f"{self.run.state['complaint']}. {self.request.container} runs on its new place, and nothing was taken back: {self._told_old()} is as it was. "
                f"Look at both before anything else; {self.run.folder}/state.json names what differs"
            )

    def _retire(self) -> None:
        kept = self.run.state.get("kept")
        found = (
            []
            if self.run.state["source"]["kind"] == "layer"
            else [{**tree, "volume": self.run.state["source"]["volume"]} for tree in self.trees.held]
        )
        # With its container gone nothing else leads to what lay in the layer.
        found += [{"from": kept, "to": self.run.state["to"]}] if kept and os.path.isdir(kept) else []
        retired.retire(self.run.home, self.run.key, found, now=time.time())

    def _told_old(self) -> str:
        return self.run.state.get("kept") or str(self.run.state["source"]["path"])

    def go_back(self, reason: str) -> None:
        """Start the service on its old place again, which nothing has left yet. Safe to repeat."""
        compose.await_unit(self._unit)
        self.enter("reverting", reason=reason)
        path_layer.off(self.run.key)
        old = self.run.state["old"]
        status, answer = self.engine.call("POST", f"/containers/{old['id']}/start", timeout=120)
        if status == 404:
            self._without_old(reason)
        elif status not in (204, 304):
            raise FailedFault(
                f"{reason}. Going back, {old['name']} does not start: {(answer or {}).get('message', status)}. Look at it, then run this again"
            )
        else:
            # The service first: what somebody wrote into the file meanwhile is no reason to leave it down.
            self._update(old["id"], old["restart"])
            self._put_back()
        faults = self._answered()
        if faults:
            self.run.write(complaint="; ".join(faults))
        self._close(self.run.state["ends"]["back"])

    def _without_old(self, reason: str) -> None:
        """Go back where somebody removed the old container: one that is there by its name is theirs, and so are its files."""
        if self.inspection() is not None:
            self.run.write(complaint=f"{reason}; somebody made {self.request.container} anew since, and it was left as it is")
            return
        source = self.run.state["source"]
        if source["kind"] in ("anonymous", "layer"):
            # Made anew it would start empty, and what is there next would be copied over the one copy.
            raise FailedFault(
                f"{reason}; and somebody removed {self.request.container}, whose data lay in {Source(**source).told}: nothing was made anew. They may be in "
                f"{source['path']} still; a copy from before it was removed is in {self.run.state['to']}. Look at both, and bring the service up by hand"
            )
        path_stack.put_back(self.origin)
        self._compose(compose.make_anew, wait_s=self.request.answer_s, after=False)

    def _put_back(self) -> None:
        try:
            path_stack.put_back(self.origin)
        except FailedFault as fault:
            self.run.write(complaint=str(fault))

    def ran_since(self) -> bool:
        """Say whether somebody started the old container again after this stopped it: then it may hold what is newest."""
        old = self.run.state["old"]
        status, answer = self.engine.call("GET", f"/containers/{old['id']}/json")
        return status == 200 and str(answer["State"]["StartedAt"]) != old["started_at"]

    def _leave(self, reason: str) -> None:
        """Give up the new place, without losing what the service may have written there."""
        compose.await_unit(self._unit)
        old = self.run.state["old"]
        status, answer = self.engine.call("GET", f"/containers/{old['id']}/json")
        if self.run.phase in phases.DESTINATION_IS_PROVEN or (status == 200 and answer["Name"].lstrip("/") == old["name"]):
            self.go_back(reason)
            return
        self._carry_back(reason)

    def _carry_back(self, reason: str) -> None:
        self.run.write(complaint=reason)
        self.come_back(reason, ends="reverted")
        raise FailedFault(
            f"{reason}. Went back: {self.request.container} runs on its old place again, with what it wrote meanwhile. Mend the cause, then run this again."
        )

    # Back.

    def come_back(self, reason: str, *, ends: str = "") -> None:
        """Bring the service back to where its files said before, with what it wrote since. Safe to repeat, from each of its phases."""
        self.cancel.close()
        compose.await_unit(self._unit)
        if self.run.phase != RESTARTING:
            self._assert_place()
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
        held = self.inspection()
        if held is None:
            raise FailedFault(f"{self.request.container} is gone. Bring it up from its compose file ('docker compose up'), then run this again")
        status, answer = self.engine.call("POST", f"/containers/{held['Id']}/start", timeout=120)
        if status not in (204, 304):
            raise FailedFault(f"{self.request.container} does not start on its old place: {(answer or {}).get('message', status)}")
        faults = self._answered()
        proof, more = (None, []) if faults else self._judged()
        faults += more
        self.run.write(proof=proof, complaint="; ".join(faults))
        if self.run.state["ends_back"] == "undone":
            # A copy that a failed attempt leaves is not retired: the next one goes on with it.
            place = {"from": self.run.state["to"], "to": str(self.run.state["landed"]), "volume": self.request.volume}
            back = [place] if os.path.isdir(self.run.state["to"]) else []
            back += [{**tree, "volume": os.path.basename(os.path.dirname(tree["from"]))} for tree in self.trees.held if tree["kind"] == "anonymous"]
            retired.retire(self.run.home, self.origin.key, back, now=time.time())
        self._close(self.run.state["ends_back"])
        if faults:
            raise FailedFault(f"{'; '.join(faults)}. {self.request.container} runs on its old place again; {self.run.state['to']} is kept as it was")

    def _assert_place(self) -> None:
        """Raise `FailedFault` unless the new place is there: copied back from an empty mountpoint, nothing would be left of either."""
        to, mount = self.run.state["to"], self.run.state["to_mount"]
        if not os.path.isdir(to) or mount_of(os.path.realpath(to), read()).mount != mount:
            raise FailedFault(
                f"{to} is not there, or not on {mount}, and it holds the newest data. Nothing was copied. Bring its disk back, then run this again"
            )

    def _assert_not_theirs(self) -> None:
        """Raise `FailedFault` where somebody started what this had made on the old place, half copied: it may hold what is newest by now."""
        held = self.inspection()
        if held is None or str(held["State"]["StartedAt"]).startswith("0001-"):
            return
        if source_of(self.engine, held, self.request.data).path != self.run.state["to"]:
            raise FailedFault(
                f"somebody started {self.request.container} on its old place before the data were back there; they are in {self.run.state['to']}. Nothing was "
                f"copied over it. If what it wrote since may go, 'docker rm -f {self.request.container}', then run this again"
            )

    def _make_old(self) -> None:
        path_stack.put_back(self.origin)
        source = self.origin.state["source"]
        if source["kind"] == "bind":
            # Purged meanwhile; Compose must not make it as root's.
            make_directory(source["path"])
        self._compose(compose.make_still, fresh=self._is_fresh(), after=False)
        self._copy_back(self._landed())

    def _stay(self, reason: str) -> None:
        """Bring the service up on its new place again, which alone holds the newest data: the way back did not work."""
        path_layer.off(self.run.key)
        self.run.write(reason=reason)
        if self.run.state["leg"] != "undo":
            return
        path_stack.put_forward(self.origin)
        held = self.inspection()
        if held is None or source_of(self.engine, held, self.request.data).path != self.run.state["to"]:
            self._compose(compose.make_still, fresh=False)
            self._assert_landed()
            held = self.inspection() or {}
            # Its other anonymous volumes may be new ones by now, and hold nothing, or a half of what they did.
            self._copy_all(self._other_trees(held))
        self._update(held["Id"], self.run.state["old"]["restart"])
        status, answer = self.engine.call("POST", f"/containers/{held['Id']}/start", timeout=120)
        if status not in (204, 304):
            raise FailedFault(f"{reason}; and {self.request.container} does not start on its new place: {(answer or {}).get('message', status)}")
        self._answered()
        # The way there is what is in force again.
        self.run.write(
            trees=self.origin.state["trees"] if self.origin.key != self.run.key else self.run.state.get("trees_there") or self.run.state["trees"]
        )
        self._close("done" if self.origin.key == self.run.key else phases.GIVEN_UP)

    def _stop_for_return(self, told: dict[str, Any]) -> None:
        held = self.inspection()
        if held is None:
            self.enter(RETURNING, **told, stopped_at=self.run.state.get("stopped_at") or time.time())
            return
        # What an attempt before this one found is kept: by now its policy is off, and its volumes may be new ones.
        again = self.run.phase == RETURNING
        old = self.run.state["old"] if again and self.run.state.get("old") else _remembered(held)
        others = self.run.state.get("others") or self._other_anonymous(held)
        if not held["State"]["Running"]:
            self.enter(RETURNING, **told, old=old, others=others, stopped_at=self.run.state.get("stopped_at") or time.time())
            return
        if self.run.state["leg"] != "carry":
            # Without it a Redis would stop without its dump: then it does not stop.
            with self.proof.held(self.request.answer_s):
                self.enter(RETURNING, **told, old=old, others=others, stopped_at=time.time())
                self._update(held["Id"], _NEVER)
                self._stop(held["Id"])
            return
        self.enter(RETURNING, **told, old=old, others=others, stopped_at=self.run.state.get("stopped_at") or time.time())
        try:
            with self.proof.held(self.request.answer_s):
                self._update(held["Id"], _NEVER)
                self._stop(held["Id"])
        except (FailedFault, RefusedFault, OSError):
            # It came up without answering: what it holds is on its disk, or nowhere.
            if (now := self.inspection()) is not None and now["State"]["Running"]:
                self._update(now["Id"], _NEVER)
                self._stop(now["Id"])

    def _copy_back(self, landed: Source) -> None:
        held = self.inspection() or {}
        source, to, base = str(self.run.state["to"]), landed.path, landed.base
        if landed.kind == "layer":
            layer = Layer(self.run, held)
            layer.writable()
            base, to = layer.place, layer.place + landed.path
        if to == source:
            raise FailedFault(f"Compose gave {self.request.container} the same {source} again: look at its compose file, then run this again")
        assert_no_link_so_far(base, to)
        self._assert_place()
        if landed.kind == "layer":
            layer.make_above(self.origin.state.get("above") or [])
        there = self.run.state.get("trees_there") or self.run.state["trees"]
        self.run.write(trees_there=there, landed=to if landed.kind != "layer" else f"the layer of {self.request.container}")
        self._copy_all([_back(source, to, "data"), *self._other_trees(held)])
        path_layer.off(self.run.key)

    def _other_trees(self, held: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the trees of the other anonymous volumes, from where they were to where the container has them now."""
        found = {path: source_of(self.engine, held, at).path for at, path in (self.run.state.get("others") or {}).items()}
        return [_back(path, now, "anonymous") for path, now in found.items() if now != path]

    def _copy_all(self, trees: list[dict[str, Any]]) -> None:
        if not trees:
            return
        retired.forget(self.run.home, [tree["to"] for tree in trees])
        for tree in trees:
            make_directory(tree["to"])
        self.run.write(trees=trees)
        self.trees.proven = {}
        self.trees.clear_flags()
        self.trees.assert_unused()
        self.trees.copy_last()
        self.run.write(compared=self.trees.prove())

    def _is_fresh(self) -> bool:
        return bool(self.run.state["source"]["kind"] == "anonymous")

    def _other_anonymous(self, held: dict[str, Any]) -> dict[str, str]:
        """Return {path in the container: path here} of its other anonymous volumes, which become new ones with the one that its data go back to."""
        if not self._is_fresh():
            return {}
        at = [mount["Destination"] for mount in held["Mounts"] if mount["Destination"] != self.request.data and mount["Type"] == "volume"]
        found = {path: source_of(self.engine, held, path) for path in at}
        return {path: source.path for path, source in found.items() if source.kind == "anonymous"}

    # What both do.

    def _show(self, how: str) -> None:
        """Let the source be seen under the name that its tree has, and no link lead away from it."""
        held = self.inspection()
        source = self.run.state["source"]
        if source["kind"] == "absent":
            return
        if source["kind"] != "layer":
            assert_no_link(Source(**source), self.request.container)
            return
        if held is None:
            raise FailedFault(f"{self.request.container} is gone")
        layer = Layer(self.run, held)
        (layer.live if how == "live" else layer.still)()
        assert_no_link(Source("layer", layer.place + source["path"], layer.place, ""), self.request.container)
        self.run.write(above=layer.above(source["path"]))

    def _keep(self) -> None:
        held = self.inspection()
        if held is not None and held["Id"] == self.run.state["old"]["id"] and Layer.is_known(held):
            self.run.write(kept=Layer(self.run, held).keep())

    def _stack(self, *, after: bool) -> compose.Stack:
        return compose.stack_from(self.origin.state["stack_after" if after else "stack"])

    @property
    def _unit(self) -> str:
        return unit_name("persistent-paths-compose", self.request.container)

    def _compose(self, make: Any, *, after: bool = True, **more: Any) -> None:
        make(self._stack(after=after), stop_s=self.request.stop_s, unit=self._unit, log=self.run.folder / "compose.log", **more)

    def _landed(self) -> Source:
        held = self.inspection()
        if held is None:
            raise FailedFault(f"Compose made no container {self.request.container}")
        return source_of(self.engine, held, self.request.data)

    def _assert_landed(self) -> None:
        landed, wanted = self._landed(), self.run.state["to"]
        if landed.path != wanted or landed.kind == "anonymous" or (self.request.volume and landed.volume != self.request.volume):
            raise FailedFault(f"{self.request.data} of {self.request.container} lies in {landed.told} now, not in {self.request.destination}")

    def _answered(self) -> list[str]:
        """Wait until the service answers as it did before; note its downtime. Return what is wrong."""
        held = self.inspection()
        if held is None:
            return [f"{self.request.container} is gone"]
        demand = "healthy" if held["State"].get("Health") else "running"
        waited = [{"id": held["Id"], "name": self.request.container, "demand": demand}]
        answered, missing = services.wait_for_answers(self.engine, waited, self.request.answer_s)
        if self.request.container in answered and self.run.state.get("stopped_at"):
            self.run.write(downtime_s={self.request.container: round(answered[self.request.container] - self.run.state["stopped_at"], 3)})
        return missing

    def _judged(self) -> tuple[dict[str, Any] | None, list[str]]:
        """Return how the data fare by the service's own reading, and what is wrong with them."""
        try:
            told = self.proof.retried(self.request.answer_s)
        except (FailedFault, RefusedFault, OSError) as fault:
            return None, [f"the data of {self.request.container} can't be proven by the service itself: {fault}"]
        # Names of keys, tables and files are somebody's: they stay on this host.
        return told, [f"{len(told['lost'])} of what {self.request.container} keeps are not as they were before"] if told.get("lost") else []

    def _listed(self) -> dict[str, Any] | None:
        """Return the listing of old place against new one, for what has no proof of its own."""
        if self.request.kind in ("postgres", "redis") or self.request.proof or self.run.state["source"]["kind"] in ("layer", "absent"):
            return None
        tree, held = self.trees.held[0], self.inspection()
        if held is None or not os.path.isdir(tree["from"]):
            return None
        return listed(tree["from"], tree["to"], int(self.run.state["phase_at"]["starting"] * 1e9))

    def _stop(self, container: str) -> bool:
        """Stop the container; return whether it had to be killed. Raises `FailedFault`."""
        limit = max(int(self.run.state["old"]["stop_timeout"] or 10), self.request.stop_s)
        if self.request.kind == "postgres" and self._ends_at_once(container, limit / 2):
            return False
        status, answer = self.engine.call("POST", f"/containers/{container}/stop?t={limit}", timeout=limit + 60)
        if status not in (204, 304):
            raise FailedFault(f"{self.request.container} can't be stopped: {(answer or {}).get('message', status)}")
        state = self.engine.get(f"/containers/{container}/json")["State"]
        return bool(state.get("ExitCode") == 137)

    def _ends_at_once(self, container: str, limit_s: float) -> bool:
        """Ask a PostgreSQL to end its sessions: at SIGTERM it would wait for every client, and then be killed. Return whether it has stopped."""
        # What Docker is told to stop stays down; what is only sent a signal is started again by its policy, which is off by now.
        self.engine.call("POST", f"/containers/{container}/kill?signal=SIGINT")
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if not self.engine.get(f"/containers/{container}/json")["State"]["Running"]:
                return True
            time.sleep(0.05)
        return False

    def _update(self, container: str, policy: dict[str, Any]) -> None:
        status, answer = self.engine.call("POST", f"/containers/{container}/update", body={"RestartPolicy": policy})
        if status != 200:
            raise FailedFault(f"the restart policy of {self.request.container} can't be set: {(answer or {}).get('message', status)}")

    def _install_settle(self) -> None:
        table = read()
        sides = [tree[side] for tree in self.trees.held for side in ("from", "to")] + [self.run.state["to"]]
        found = sorted({mount_of(nearest_existing(path), table).mount for path in sides} - {"/"})
        settle_units.install_after(self.run.key, self.command, [mount for mount in found if not mount.startswith("/run")])

    def _close(self, phase: str) -> None:
        path_layer.off(self.run.key)
        self.run.home.write_last_change(self.run.key, time.time())
        settle_units.uninstall_after(self.run.key)
        if phase == "undone" and self.origin.key != self.run.key:
            self.origin.write(phase="undone", undone_by=self.run.key)
        self.enter(phase, finished_at=time.time())


def _back(source: str, to: str, kind: str) -> dict[str, Any]:
    return {"kind": kind, "from": source, "to": to, "hash_since_ns": 0, "to_mount": "", "flags_set": True}


def _remembered(held: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": held["Id"],
        "name": str(held["Name"]).lstrip("/"),
        "restart": held["HostConfig"].get("RestartPolicy") or _NEVER,
        "stop_timeout": held["Config"].get("StopTimeout"),
        "started_at": str(held["State"]["StartedAt"]),
    }


def govern(place: str, request: Request) -> bool:
    """Give the place itself its declared owner and mode, and only that; return whether anything changed. Raises `OSError`."""
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        seen, changed = os.fstat(handle), False
        if request.owner and request.owner != f"{seen.st_uid}:{seen.st_gid}":
            uid, _, gid = request.owner.partition(":")
            os.fchown(handle, int(uid), int(gid))
            changed = True
        if request.mode and int(request.mode, 8) != stat.S_IMODE(os.fstat(handle).st_mode):
            os.fchmod(handle, int(request.mode, 8))
            changed = True
        if changed:
            os.fsync(handle)
        return changed
    finally:
        os.close(handle)


def described(source: Source) -> dict[str, Any]:
    """Return a source as the journal holds it."""
    return source._asdict()


def plain(stack: compose.Stack) -> dict[str, Any]:
    """Return a stack as the journal holds it."""
    return asdict(stack)
