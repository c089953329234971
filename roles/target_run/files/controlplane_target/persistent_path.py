"""The verbs `persistent-path …`: refuse, prepare, precopy, move, settle, prove, undo.

Rules:
- `refuse` and `prove` read only. `precopy` changes nothing but the destination. `move` and `undo` are path_move.py's legs.
- Data that lie where they shall be, with nothing open, are done: nothing is stopped.
- Before a leg stops anything, the host's lease has to be its run's.
- An open leg that was interrupted is brought to one side first, whoever asks for what.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from . import compose, lease, path_layer, path_move, path_refusals, path_stack, phases, retired, settle_units, way_back
from .cancel import Cancel
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .mounts import mount_of, nearest_existing, read
from .path_layer import Layer
from .path_move import OPEN, RESTARTING, RETURNING, PathMove
from .path_proof import Proof
from .path_request import Request, as_json, parse
from .path_source import Source, assert_no_link, is_missing, source_of
from .root_trees import make_directory
from .state import Home, Run, boot_id
from .systemd import unit_name
from .tree_compare import clock_ns
from .tree_copy import sync_filesystem
from .tree_measure import is_empty

ROLE = "persistent_paths"
_MOST_PASSES = 3
# A pass that was this short leaves little to the critical section.
_SHORT_PASS_S = 5.0
_UNDO = """#!/bin/sh
# Bring back what run {key} moved, with everything that is newer. Needs no controller; safe to run again.
exec {python} -B {folder}/controlplane_target undo --run {key} "$@"
"""
_README = """Run {key}, role persistent_paths, container {container}

It moves {data} of {container} to {destination}. What ran here is in state.json (key "phase"): "done" means that the service runs on the new place, "reverted" and
"undone" on the old one. How its compose files changed stands in compose.json: "edits" are [start, end, what stood there before], in characters of the text as it is now.

See how things are:   {python} -B {folder}/controlplane_target state --run {key}
Go back:              {folder}/undo
After an interruption the host brings itself to one side, also after a power cut; if it could not, {folder}/undo goes on from there.

Going back by hand, should Python be broken:
  1. docker stop {container}
  2. put the compose files back as compose.json says, then: docker compose up --no-start SERVICE (with the files under "stack" in state.json)
  3. copy the newer data back: rsync -aHAXSx --numeric-ids --delete NEW/ OLD/   ("trees" in state.json; OLD is what 'docker inspect {container}' mounts now)
  4. docker start {container}
  5. remove the controlplane-settle-*.service of this run from /etc/systemd/system, if it is there
"""


def unit_of(request: Request) -> str:
    """Return the transient unit's name: one a container."""
    return unit_name(ROLE, request.container)


class PersistentPath:
    """The verbs on one host. `password` is one that only the controller knows."""

    lock = "persistent-path"

    def __init__(self, home: Home, engine: Engine, cancel: Cancel, password: str | None = None) -> None:
        self.home, self.engine, self.cancel, self.password = home, engine, cancel, password

    @staticmethod
    def command(run: Run, verb: str) -> list[str]:
        """Return the argv of a verb of this package in the run's own folder, which lies on the boot disk."""
        return [sys.executable, "-I", "-X", "utf8", "-B", str(run.folder / "controlplane_target"), "persistent-path", verb, "--run", run.key]

    def _move(self, run: Run, request: Request) -> PathMove:
        return PathMove(run, self.cancel, self.command(run, "settle"), Proof(self.engine, request, self.password))

    def _inspected(self, request: Request) -> dict[str, Any]:
        try:
            status, answer = self.engine.call("GET", f"/containers/{quote(request.container, safe='')}/json")
        except (OSError, ValueError) as fault:
            raise RefusedFault(f"Docker's socket {self.engine.path} does not answer ({fault}). Nothing was changed. Start Docker.") from fault
        if status != 200:
            raise RefusedFault(f"there is no container {request.container}. Nothing was changed. Bring it up, or take it out of the policy.")
        return dict(answer)

    def refuse(self, run: Run, request: Request) -> dict[str, Any]:
        """Return what is to be done; refused with all reasons at once."""
        if run.phase in OPEN:
            return {"already": False, "open": True, "phase": run.phase, "changes": []}
        inspection = self._inspected(request)
        source = source_of(self.engine, inspection, request.data)
        if self._is_there(source, request):
            differing = _ungoverned(request)
            return {"already": not differing, "open": False, "phase": run.phase, "changes": differing}
        found = path_refusals.of_the_container(inspection, request)
        found += [
            f"run {other.key} of it is open at {other.phase}: end it first ({other.folder}/undo)"
            for other in self.home.runs()
            if other.key != run.key and other.phase in OPEN and (other.state.get("request") or {}).get("container") == request.container
        ]
        stack = compose.stack_of(inspection)
        if stack is None:
            found.append(by_hand(request))
        changes = [{"kind": "move", "target": f"{request.data} of {request.container}", "before": source.told, "after": request.destination}]
        looks: list[Callable[[], list[str]]] = [
            lambda: self._of_places(inspection, source, request),
            lambda: self._of_stack(inspection, stack, request, changes),
        ]
        for look in looks:
            try:
                found += look()
            except RefusedFault as fault:
                found.append(str(fault).removesuffix(" Nothing was changed."))
        if inspection["State"]["Running"]:
            found += Proof(self.engine, request, self.password).refusals()
        if found:
            raise RefusedFault(f"moving the data of {request.container} refused: {'; '.join(found)}. Nothing was changed.")
        return {"already": False, "open": False, "phase": run.phase, "changes": changes}

    def _is_there(self, source: Source, request: Request) -> bool:
        if request.volume:
            return source.kind == "volume" and source.volume == request.volume
        return source.kind in ("bind", "volume") and source.path == request.place

    def _of_places(self, inspection: dict[str, Any], source: Source, request: Request) -> list[str]:
        place = self._place(request)
        seen = _seen(source, inspection)
        if request.kind == "surface" and is_missing(seen):
            if not request.owner or not request.mode:
                return [
                    f"{request.container} has no {request.data} so far, so nobody says whose it is: declare its owner and mode (policy.yml, write_surfaces)"
                ]
            return path_refusals.of_the_destination(self.home, request, str(place), [])
        assert_no_link(seen, request.container)
        if source.kind == "layer":
            Layer(self.home.run("look"), inspection).kept()
        found = path_refusals.of_the_source(self.engine, source._replace(path=seen.path), request)
        found += path_refusals.of_the_links(seen.path, request) if request.kind == "postgres" else []
        if place is None:
            return found
        return [
            *found,
            *path_refusals.of_the_destination(self.home, request, place, os.listdir(seen.path)),
            *path_refusals.of_the_two(seen.path, place),
        ]

    def _of_stack(self, inspection: dict[str, Any], stack: compose.Stack | None, request: Request, changes: list[dict[str, Any]]) -> list[str]:
        if stack is None:
            return []
        compose.assert_alone(inspection, stack, self.engine)
        compose.assert_made_from(stack, request.container)
        made = path_stack.edit(stack, request)
        path_stack.assert_only_that(stack, made, request)
        changes += [{"kind": "file", "target": path, "before": "", "after": f"{request.container} mounts {request.data}"} for path in made.texts]
        return []

    def _place(self, request: Request) -> str | None:
        """Return the destination's path on this host, None where a volume is still to be made."""
        if request.place:
            return request.place
        status, answer = self.engine.call("GET", f"/volumes/{quote(request.volume, safe='')}")
        if status != 200:
            return None
        device = str((answer.get("Options") or {}).get("device") or "")
        return os.path.normpath(device) if device.startswith("/") else str(answer["Mountpoint"])

    def prepare(self, run: Run, request: Request) -> bool:
        """Leave the way back: how the files change, the undo and its README; return whether anything is new."""
        values = {"key": run.key, "folder": run.folder, "python": sys.executable, "container": request.container}
        values |= {"data": request.data, "destination": request.destination}
        written = way_back.leave(run, {}, undo=_UNDO.format(**values), readme=_README.format(**values))
        changed = bool(written)
        if run.phase not in OPEN:
            inspection = self._inspected(request)
            stack = compose.stack_of(inspection)
            if self._is_there(source_of(self.engine, inspection, request.data), request):
                run.write(role=ROLE, asked=as_json(request))
            elif stack is not None and run.phase not in ("done", "undone"):
                made = path_stack.edit(stack, request)
                changed = path_stack.record(run, made) or changed
                run.write(role=ROLE, stack=path_move.plain(stack), stack_after=path_move.plain(made.stack), asked=as_json(request))
        return changed

    def precopy(self, run: Run, request: Request) -> dict[str, Any]:
        """Copy while the service runs, until a pass is short; returns {changed, passes}."""
        self.recover(run)
        inspection = self._inspected(request)
        source = source_of(self.engine, inspection, request.data)
        # Only owner and mode of the place may be left to do: it is live, and nothing may be copied onto it.
        if self._is_there(source, request) or self.refuse(run, request)["already"]:
            return {"changed": False, "passes": []}
        place = self._made(run, request)
        absent = request.kind == "surface" and is_missing(_seen(source, inspection))
        if absent:
            source = source._replace(kind="absent")
        start = source.path
        if source.kind == "layer":
            layer = Layer(run, inspection)
            start = layer.place + source.path
        # Only a copy that this journal began, in this boot, and that no service lived on, is known well enough not to be hashed.
        own = run.phase in ("precopying", "precopied", "staging", "reverted") and run.state.get("leg") == "forward"
        same = run.state.get("source") == path_move.described(source)
        held = (
            next((tree for tree in run.state["trees"] if tree["to"] == place and same), None)
            if own and run.state["copy_boot_id"] == boot_id()
            else None
        )
        fresh = is_empty(place)
        since = clock_ns() if fresh else held["hash_since_ns"] if held else 0
        mount = mount_of(nearest_existing(place), read()).mount
        tree = {"kind": "data", "from": start, "to": place, "hash_since_ns": since, "to_mount": mount, "flags_set": not fresh}
        mover = self._move(run, request)
        retired.forget(self.home, [place])
        run.write(
            phase="precopying",
            source=path_move.described(source),
            to=place,
            to_mount=mount,
            trees=[] if absent else [tree],
            request=as_json(request),
            leg="forward",
            of=None,
            others=None,
            trees_there=None,
            kept=None,
            complaint="",
            copy_boot_id=boot_id(),
            ends={"well": "done", "back": "reverted"},
        )
        if absent:
            make_directory(place)
            run.write(phase="precopied")
            return {"changed": True, "passes": []}
        if source.kind == "layer":
            Layer(run, inspection).live()
        tree["names"] = sorted(os.listdir(start))
        run.write(trees=[tree])
        mover.trees.clear_flags()
        sync_filesystem(start)
        passes = []
        for _ in range(_MOST_PASSES):
            size, seconds = mover.trees.copy_live()
            passes.append({"bytes": size, "seconds": round(seconds, 3)})
            if seconds < _SHORT_PASS_S:
                break
        run.write(phase="precopied")
        return {"changed": True, "passes": passes}

    def _made(self, run: Run, request: Request) -> str:
        """Return the destination's path; a volume is made as Compose would, whose labels tell it for its own."""
        place = self._place(request)
        if place is not None:
            return place
        project = str(run.state["stack"]["project"])
        labels = {"com.docker.compose.project": project, "com.docker.compose.volume": request.volume.removeprefix(f"{project}_")}
        status, answer = self.engine.call("POST", "/volumes/create", body={"Name": request.volume, "Labels": labels})
        if status != 201:
            raise FailedFault(f"volume {request.volume} can't be made: {(answer or {}).get('message', status)}")
        run.write(made_volume=request.volume)
        place = str(answer["Mountpoint"])
        found = [
            *path_refusals.of_the_destination(self.home, request, place, []),
            *path_refusals.of_the_two(source_of(self.engine, self._inspected(request), request.data).path, place),
        ]
        if found:
            self.engine.call("DELETE", f"/volumes/{quote(request.volume, safe='')}")
            raise RefusedFault(f"moving the data of {request.container} refused: {'; '.join(found)}. Nothing was changed.")
        return place

    def move(self, run: Run, request: Request) -> dict[str, Any]:
        """Move the data; returns {changed, downtime_s, …}."""
        self.recover(run)
        if run.phase == "done" and self.refuse(run, request)["already"]:
            return self._told(run, changed=False)
        if self._is_there(source_of(self.engine, self._inspected(request), request.data), request):
            return self._governed(run, request)
        if run.phase not in ("precopied", "staging") or run.state.get("request") != as_json(request):
            self.precopy(run, request)
        if run.phase not in ("precopied", "staging"):
            return self._told(run, changed=False)
        self.assert_leased(run)
        mover = self._move(run, request)
        mover.stage()
        mover.execute()
        return self._told(run, changed=True)

    def _governed(self, run: Run, request: Request) -> dict[str, Any]:
        """Give a place that is mounted already its owner and mode; what it had is in the journal."""
        self.assert_leased(run)
        seen = os.stat(request.place)
        run.write(
            request=as_json(request), had=run.state.get("had") or {"owner": f"{seen.st_uid}:{seen.st_gid}", "mode": f"{seen.st_mode & 0o7777:o}"}
        )
        changed = path_move.govern(request.place, request)
        # One that moved the data stays a move, whose way back is another.
        run.write(phase="done", leg=run.state.get("leg") or "governed")
        return self._told(run, changed=changed)

    def undo(self, run: Run, of: Run, *, overwrite: bool = False) -> dict[str, Any]:
        """Move back what the run `of` moved, with everything newer; its journal says `undone` afterwards."""
        if of.phase == "new":
            raise RefusedFault(f"this host knows no run {of.key}. Nothing was changed. 'controlplane runs show {of.key}' tells where it ran.")
        self.recover(of)
        if run.key != of.key:
            self.recover(run)
        if of.phase != "done":
            return self._told(run, changed=False)
        if self._is_undone(of):
            return self._told(run, changed=False)
        request = parse(of.state["request"])
        if of.state.get("leg") == "governed":
            self.assert_leased(run)
            changed = path_move.govern(request.place, request._replace(**of.state["had"]))
            of.write(phase="undone", undone_by=run.key)
            return self._told(run, changed=changed)
        self._refuse_undo(of, request, overwrite=overwrite)
        self.assert_leased(run)
        kept = {key: of.state[key] for key in ("request", "source", "to", "to_mount", "stack", "stack_after")}
        run.write(role=ROLE, of=of.key, leg="undo", trees=of.state["trees"], trees_there=None, old=None, others=None, ends_back="undone", **kept)
        self._move(run, request).come_back("", ends="")
        return self._told(run, changed=True)

    def _is_undone(self, of: Run) -> bool:
        """Mark a run as undone whose undo ended, and was killed before it could say so."""
        for run in self.home.runs():
            ended = run.phase == "undone" and run.key != of.key and run.state.get("of") == of.key
            if ended and float(run.state.get("finished_at") or 0) > float(of.state.get("finished_at") or 0):
                of.write(phase="undone", undone_by=run.key)
                return True
        return False

    def _refuse_undo(self, of: Run, request: Request, *, overwrite: bool) -> None:
        inspection = self._inspected(request)
        source, old = source_of(self.engine, inspection, request.data), of.state["source"]
        found = path_stack.refuse_back(of)
        try:
            if (stack := compose.stack_of(inspection)) is not None:
                compose.assert_alone(inspection, stack, self.engine)
                compose.assert_made_from(stack, request.container)
        except RefusedFault as fault:
            found.append(str(fault).removesuffix(" Nothing was changed."))
        if not os.path.isdir(of.state["to"]) or mount_of(os.path.realpath(of.state["to"]), read()).mount != of.state["to_mount"]:
            found.append(f"{of.state['to']} is not on {of.state['to_mount']} now, and it holds the newest data: bring its disk back")
        if of.state.get("complaint") and not overwrite:
            found.append(
                f"that run ended with a complaint ({of.state['complaint']}), and going back would overwrite what is untouched so far: look at both, then "
                "'undo --overwrite-old-root'"
            )
        if source.path != of.state["to"]:
            found.append(
                f"the data of {request.container} lie in {source.told}, not in {request.destination} where {of.key} put them: undo the later move first"
            )
        if old["kind"] in ("bind", "volume") and os.path.isdir(old["path"]):
            record = next((held for held in self.home.retired() if held["run"] == of.key and held["path"] == old["path"]), None)
            if record is not None and not overwrite and retired.differs(record):
                found.append(
                    f"{old['path']} changed since it was retired, and going back would overwrite that: look at it, then 'undo --overwrite-old-root'"
                )
            found += path_refusals.of_the_two(of.state["to"], old["path"])
        elif os.path.isdir(of.state["to"]):
            root = str(self.engine.info()["DockerRootDir"])
            found += path_refusals.of_the_two(of.state["to"], old["path"] if old["kind"] == "bind" else os.path.join(root, "volumes", "new"))
        if found:
            raise RefusedFault(f"undo of {of.key} refused: {'; '.join(found)}. Nothing was changed.")

    def recover(self, run: Run) -> str:
        """Bring an interrupted leg to one side, with its service; return the side."""
        run.reload()
        if run.phase not in OPEN:
            return "untouched"
        request = parse(run.state["request"])
        mover = self._move(run, request)
        if run.phase in (RETURNING, RESTARTING):
            mover.come_back(run.state.get("reason") or "")
            return "source"
        side = phases.side(run.phase, destination_there=self.destination_there(run))
        if side == "blocked":
            raise FailedFault(
                f"{run.state['to']} is not there, and it alone holds the newest data: {request.container} stays down. Bring its disk back and mount it, then run this again."
            )
        if side == "source":
            mover.go_back(run.state.get("reason") or f"interrupted while {run.phase}")
        elif run.phase == "answered":
            mover.finish()
        elif mover.ran_since():
            mover.go_back(f"interrupted while {run.phase}, and somebody started the service on its old place since")
            return "source"
        else:
            mover.switch_and_conclude()
        return side

    @staticmethod
    def destination_there(run: Run) -> bool:
        """Return whether the new place is there, on the mount that it was made on."""
        return os.path.isdir(run.state["to"]) and mount_of(os.path.realpath(run.state["to"]), read()).mount == run.state["to_mount"]

    def prove(self, run: Run, request: Request) -> dict[str, Any]:
        """Say that the data lie where they shall be and how they fared; a fault otherwise."""
        source = source_of(self.engine, self._inspected(request), request.data)
        if not self._is_there(source, request):
            raise FailedFault(f"not proven: the data of {request.container} lie in {source.told}, not in {request.destination}. Run this again.")
        state = run.state
        if run.phase == "done" and state.get("complaint"):
            raise FailedFault(f"{state['complaint']}. {run.folder}/state.json names what differs; where it lay before is as it was")
        moved = state.get("source") or {}
        told = {"container": request.container, "from": Source(**moved).told if moved else None, "to": request.destination}
        told |= {key: state[key] for key in ("compared", "killed", "complaint") if state.get(key)}
        # Names of keys, tables and files stay on this host.
        proof = {key: len(value) if key == "lost" else value for key, value in (state.get("proof") or {}).items()} or None
        return {"changed": False, "phase": run.phase, "downtime_s": state.get("downtime_s") or {}, "told": {**told, "proof": proof}}

    def assert_leased(self, run: Run) -> None:
        """Raise `RefusedFault` where this host's lease is not the run's."""
        if not lease.is_of_run(self.home, run.key):
            held = lease.show(self.home)
            raise RefusedFault(
                f"run {run.key} does not hold this host's lease any more ({held['run'] if held else 'nobody'} does). Nothing was stopped. Run the whole play again."
            )

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
        if run.phase not in OPEN:
            path_layer.off(run.key)

    @staticmethod
    def _told(run: Run, *, changed: bool) -> dict[str, Any]:
        kept = ("downtime_s", "compared", "killed", "complaint")
        return {"changed": changed, "phase": run.phase, **{key: run.state[key] for key in kept if run.state.get(key)}}


def _seen(source: Source, inspection: dict[str, Any]) -> Source:
    """Return a source as this host sees it while the container runs: of a layer where Docker shows it."""
    if source.kind != "layer":
        return source
    Layer.assert_known(inspection)
    base = str(inspection["GraphDriver"]["Data"]["MergedDir"])
    return Source("layer", base + source.path, base, "")


def _ungoverned(request: Request) -> list[dict[str, Any]]:
    """Return what of the place's own owner and mode is not as declared."""
    if not request.place:
        return []
    seen = os.stat(request.place)
    has, wanted = (
        {"owner": f"{seen.st_uid}:{seen.st_gid}", "mode": f"{seen.st_mode & 0o7777:04o}"},
        {"owner": request.owner, "mode": request.mode.zfill(4)},
    )
    return [
        {"kind": "attribute", "target": request.place, "before": f"{name} {has[name]}", "after": f"{name} {value}"}
        for name, value in wanted.items()
        if value.strip("0") and value != has[name]
    ]


def by_hand(request: Request) -> str:
    """Return why a container without Compose is left alone, and the commands for a person."""
    place = request.place or f"$(docker volume create {request.volume}; docker volume inspect -f '{{{{.Mountpoint}}}}' {request.volume})"
    return (
        f"Compose did not make {request.container}, so nobody here can make it anew as it was. By hand: docker stop {request.container}; "
        f"docker cp -a {request.container}:{request.data}/. {place}/; then run its image again with the same options and "
        f"--mount type={'bind' if request.place else 'volume'},source={request.place or request.volume},target={request.data}"
    )
