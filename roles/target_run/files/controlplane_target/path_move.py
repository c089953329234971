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
from .path_source import Source, assert_no_link, source_of
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
        self._install_settle()
        self.enter("stopping", old=_remembered(held), downtime_s={}, killed=[])
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
            path_stack.write(self.origin, self._stack(after=True), self.request)
            if self.run.phase == "compared":
                self.enter("switched")
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
        faults = self._answered() or self._judged()
        if faults:
            self._carry_back("; ".join(faults))
        self.finish()

    def finish(self) -> None:
        """Retire the source and close the journal."""
        if self.run.phase != "answered":
            self.enter("answered")
        self.run.write(proof=self._listed() or self.run.state.get("proof"))
        kept = [tree for held in self.trees.held if (tree := self._as_kept(held)) is not None]
        retired.retire(self.run.home, self.run.key, kept, now=time.time())
        self._close(self.run.state["ends"]["well"])

    def go_back(self, reason: str) -> None:
        """Start the service on its old place again, which nothing has left yet. Safe to repeat."""
        self.enter("reverting", reason=reason)
        path_layer.off(self.run.key)
        path_stack.put_back(self.origin)
        old = self.run.state["old"]
        status, answer = self.engine.call("POST", f"/containers/{old['id']}/start", timeout=120)
        if status not in (204, 304):
            raise FailedFault(
                f"{reason}. Going back, {old['name']} does not start: {(answer or {}).get('message', status)}. Look at it, then run this again"
            )
        self._update(old["id"], old["restart"])
        faults = self._answered()
        if faults:
            self.run.write(complaint="; ".join(faults))
        self._close(self.run.state["ends"]["back"])

    def _leave(self, reason: str) -> None:
        """Give up the new place, without losing what the service may have written there."""
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
        if self.run.phase != RESTARTING:
            self._install_settle()
            if self.run.phase != RETURNING and ends:
                self.run.write(leg="carry")
            self.enter(RETURNING, reason=reason, ends_back=ends or self.run.state.get("ends_back") or "undone")
            self._stop_for_return()
            path_stack.put_back(self.origin)
            self._compose(compose.make_still, fresh=self._is_fresh())
            self._copy_back(self._landed())
            self.enter(RESTARTING)
        held = self.inspection()
        if held is None:
            raise FailedFault(f"{self.request.container} is gone. Bring it up from its compose file ('docker compose up'), then run this again")
        status, answer = self.engine.call("POST", f"/containers/{held['Id']}/start", timeout=120)
        if status not in (204, 304):
            raise FailedFault(f"{self.request.container} does not start on its old place: {(answer or {}).get('message', status)}")
        faults = self._answered() or self._judged()
        if faults:
            self.run.write(complaint="; ".join(faults))
        if self.run.state["ends_back"] == "undone":
            # A copy that a failed attempt leaves is not retired: the next one goes on with it.
            back = [{"from": self.run.state["to"], "to": str(self.run.state["landed"])}] if os.path.isdir(self.run.state["to"]) else []
            back += [{**tree, "volume": os.path.basename(os.path.dirname(tree["from"]))} for tree in self.trees.held if tree["kind"] == "anonymous"]
            retired.retire(self.run.home, self.origin.key, back, now=time.time())
        self._close(self.run.state["ends_back"])

    def _stop_for_return(self) -> None:
        held = self.inspection()
        if held is None:
            return
        if not self.run.state.get("old") or self.run.state["old"]["id"] != held["Id"]:
            self.run.write(old=_remembered(held))
        if self.run.state.get("others") is None:
            self.run.write(others=self._other_anonymous(held))
        if not held["State"]["Running"]:
            self.run.write(stopped_at=self.run.state.get("stopped_at") or time.time())
            return
        try:
            with self.proof.held(self.request.answer_s):
                self.run.write(stopped_at=time.time())
                self._update(held["Id"], _NEVER)
                self._stop(held["Id"])
        except (FailedFault, OSError):
            # It came up without answering: what it holds is on its disk, or nowhere.
            if (now := self.inspection()) is not None and now["State"]["Running"]:
                self._stop(now["Id"])

    def _copy_back(self, landed: Source) -> None:
        held = self.inspection()
        source, to = str(self.run.state["to"]), landed.path
        if landed.kind == "layer" and held is not None:
            layer = Layer(self.run, held)
            layer.writable()
            to = layer.place + landed.path
        if to == source:
            raise FailedFault(f"Compose gave {self.request.container} the same {source} again: look at its compose file, then run this again")
        trees = [_back(source, to, "data")]
        for at, path in self.run.state["others"].items():
            now = source_of(self.engine, held or {}, at).path
            trees += [_back(path, now, "anonymous")] if now != path else []
        retired.forget(self.run.home, [tree["to"] for tree in trees])
        for tree in trees:
            make_directory(tree["to"])
        self.run.write(trees=trees, landed=to if landed.kind != "layer" else f"the layer of {self.request.container}")
        self.trees.proven = {}
        self.trees.clear_flags()
        self.trees.assert_unused()
        self.trees.copy_last()
        self.run.write(compared=self.trees.prove())
        path_layer.off(self.run.key)

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

    def _keep(self) -> None:
        held = self.inspection()
        if self.run.state["source"]["kind"] == "layer" and held is not None and held["Id"] == self.run.state["old"]["id"]:
            self.run.write(kept=Layer(self.run, held).keep(self.run.state["source"]["path"]))

    def _as_kept(self, tree: dict[str, Any]) -> dict[str, Any] | None:
        if self.run.state["source"]["kind"] != "layer":
            return {**tree, "volume": self.run.state["source"]["volume"]}
        kept = self.run.state.get("kept")
        return {**tree, "from": kept} if kept else None

    def _stack(self, *, after: bool) -> compose.Stack:
        return compose.stack_from(self.origin.state["stack_after" if after else "stack"])

    def _compose(self, make: Any, **more: Any) -> None:
        unit = unit_name("persistent-paths-compose", self.request.container)
        stack = self._stack(after=make is compose.make_anew)
        make(stack, stop_s=self.request.stop_s, unit=unit, log=self.run.folder / "compose.log", **more)

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

    def _judged(self) -> list[str]:
        try:
            told = self.proof.judged()
        except (FailedFault, OSError) as fault:
            return [f"its data can't be proven: {fault}"]
        self.run.write(proof=told)
        return [f"{', '.join(map(str, told['lost'][:5]))} of {self.request.container} is not as it was before"] if told.get("lost") else []

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
        self.enter(phase, finished_at=time.time())
        if phase == "undone" and self.origin.key != self.run.key:
            self.origin.write(phase="undone", undone_by=self.run.key)


def _back(source: str, to: str, kind: str) -> dict[str, Any]:
    return {"kind": kind, "from": source, "to": to, "hash_since_ns": 0, "to_mount": "", "flags_set": True}


def _remembered(held: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": held["Id"],
        "name": str(held["Name"]).lstrip("/"),
        "restart": held["HostConfig"].get("RestartPolicy") or _NEVER,
        "stop_timeout": held["Config"].get("StopTimeout"),
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
