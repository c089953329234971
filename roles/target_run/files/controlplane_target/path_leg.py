"""What the way there and the way back of one container's paths share: its journal, its container, its layer, Compose, and how the data fare.

Journal: `paths` has for each path that moves {data: in the container, source, top: path_top.py's, from_mount (empty for a folder of Docker's own), to,
to_mount}, of one in the layer `above` too, and after the way back `landed`;
`governed` has for each that has its place already {data, to, owner, mode: before}; `trees` are root_trees.py's, each with its `path`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from . import compose, compose_replacing, leg_verbs, path_answer, path_downtime, path_kept, path_layer, path_place, path_top, phases, settle_units
from .cancel import Cancel
from .faults import FailedFault, RefusedFault
from .mounts import mount_of, nearest_existing, read
from .path_fared import explained
from .path_listing import Sides
from .path_proof import Proof
from .path_request import Request
from .path_source import Source, source_of
from .path_stop import PathStop
from .root_trees import Trees
from .services import healthy_within
from .state import Run
from .systemd import unit_name

RETURNING, RESTARTING = "returning", "restarting"
OPEN = (*phases.CRITICAL, RETURNING, RESTARTING)
# What a hold of writes takes that no stop came of: it ended with whoever was killed, at a moment that nobody knows.
_HELD_S = 60
NEVER = {"Name": "no", "MaximumRetryCount": 0}


class PathLeg(PathStop):
    """The leg that `run`'s journal describes; `command` is what settles it after a power cut, without the stage's name."""

    def __init__(self, run: Run, cancel: Cancel, command: list[str], proof: Proof) -> None:
        super().__init__(run, proof)
        self.cancel, self.command = cancel, command
        self.trees = Trees(run, cancel)

    @property
    def origin(self) -> Run:
        """The run whose change of the files this leg goes by."""
        of = self.run.state.get("of")
        return self.run.home.run(of) if of else self.run

    @property
    def paths(self) -> list[dict[str, Any]]:
        """The paths that move, as the journal has them now."""
        return list(self.run.state["paths"])

    @property
    def moving(self) -> Request:
        """The request for the paths that move."""
        return self.request.only([path["data"] for path in self.paths])

    def enter(self, phase: str, **changes: Any) -> None:
        """Write the phase that begins now, and when."""
        leg_verbs.enter(self.run, phase, **changes)

    # The service.

    def _answered(self, ran_s: float = 0.0) -> list[str]:
        """Wait until the service answers as it did before; note its downtime, of which the last `ran_s` seconds were none. Return what is wrong."""
        ago_s, missing = path_answer.awaited(self.proof, self.inspection, is_redis=self.is_redis)
        if not missing:
            self._end_downtime(max(ran_s, ago_s))
        return missing

    def _end_downtime(self, ago_s: float = 0.0) -> None:
        most_s = None if self.run.state.get("stopped_at") else _HELD_S + 2 * self.request.answer_s
        path_downtime.end(self.run, self.name, ago_s=ago_s, most_s=most_s)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold writes as long as the body runs; from when on is in the journal. Raises `FailedFault`, `OSError`."""
        # What takes its time before is done only where nobody waits for the service by now.
        self.proof.is_served = self.run.state.get("down_since") is None
        with self.proof.held(self.request.answer_s, self._begin_down):
            yield

    def _begin_down(self) -> None:
        # What comes before may have taken its time.
        self.cancel.check()
        path_downtime.begin(self.run)

    def _keep_taken(self, life: dict[str, str]) -> None:
        """Keep on disk what the data of that life are: the journal has the stop's mark by now, and the stop comes next. Raises `FailedFault`."""
        taken = self.proof.taken()
        if taken is not None:
            path_kept.keep(self.run, life, taken)

    def _judged(self) -> tuple[dict[str, Any], list[str]]:
        """Return by path how the service's own data fare by its own reading, and what is wrong with them."""
        if self.request.service is None:
            return {}, []
        if not self.proof.is_taken:
            self.proof.take(path_kept.kept(self.run))
        try:
            told = self.proof.retried(self.request.answer_s)
            if told.get("output") == "differs":
                told = explained(told, self._sides(self.request.service.data), self.proof.taken_ns, self._started_ns())
        except (FailedFault, RefusedFault, OSError) as fault:
            return {}, [f"the data of {self.name} can't be proven by the service itself: {fault}"]
        # Names of keys, tables and files are somebody's: they stay on this host.
        wrong = [f"{len(told['lost'])} of what {self.name} keeps are not as they were before"] if told.get("lost") else []
        return {self.request.service.data: told}, wrong

    def _sides(self, data: str) -> Sides | None:
        """Return where a path lay before this leg and where it lies now, None where it has no old place."""
        raise NotImplementedError

    def _started_ns(self) -> int:
        """Return since when (epoch ns) whatever is younger on the new places is the service's own."""
        raise NotImplementedError

    # Compose.

    @property
    def _unit(self) -> str:
        return unit_name("persistent-paths-compose", self.name)

    def _stack(self, *, after: bool) -> compose.Stack:
        return compose.stack_from(self.origin.state["stack_after" if after else "stack"])

    def _await_compose(self) -> None:
        """Return once no Compose of ours works on the container, and what one that was cut off left half made is at one side."""
        compose.await_unit(self._unit)
        if stack := self.origin.state.get("stack_after"):
            # No reason to leave the service down: who brings it up by Compose settles it once more, and says so.
            with suppress(OSError, FailedFault):
                compose_replacing.settle(self.engine, stack["project"], [stack["service"]])

    def _compose(self, make: Any, *, after: bool = True, **more: Any) -> None:
        make(self._stack(after=after), stop_s=self.request.stop_s, unit=self._unit, log=self.run.folder / "compose.log", **more)

    # Places.

    def _landed(self) -> list[tuple[dict[str, Any], Source]]:
        """Return where each path lands in the container that is there now."""
        held = self.inspection()
        if held is None:
            raise FailedFault(f"Compose made no container {self.name}")
        return [(path, source_of(self.engine, held, path["data"])) for path in self.paths]

    def _is_on_new_places(self) -> bool:
        return self.inspection() is not None and all(landed.path == path["to"] for path, landed in self._landed())

    def _assert_landed(self) -> None:
        found = []
        for path, landed in self._landed():
            wanted = self.request.at(path["data"])
            if landed.path != path["to"] or landed.kind == "anonymous" or (wanted.volume and landed.volume != wanted.volume):
                found.append(f"{wanted.data} of {self.name} lies in {landed.told} now, not in {wanted.destination}")
        if found:
            raise FailedFault("; ".join(found))

    def _assert_places(self) -> None:
        """Raise `FailedFault` unless each new place is there: copied back from an empty mountpoint, nothing would be left of either."""
        if gone := [f"{path['to']} is not there, or not on {path['to_mount']}" for path in self.paths if not is_in_place(path)]:
            raise FailedFault(f"{'; '.join(gone)}, and it holds the newest data. Nothing was copied. Bring its disk back, then run this again")

    def _brought(self) -> dict[str, Any]:
        """Return the container, which has what the data were brought back to. Raises `FailedFault` where it is gone, or has something else by now."""
        held = self.inspection()
        if held is None:
            raise FailedFault(f"{self.name} is gone. Bring it up from its compose file ('docker compose up'), then run this again")
        if gone := path_top.without_their_mount(self.paths):
            raise FailedFault(f"{self.name} was not started on its old place: {'; '.join(gone)}. Then run this again")
        lacking = [path for path, source in self._landed() if not path_top.is_brought(path, source, held["Id"]) and not path_top.is_cleared(path)]
        if lacking:
            raise FailedFault(
                f"{self.name} does not have what {' and '.join(path['data'] for path in lacking)} was brought back to: somebody made that anew since, or "
                f"the container. Nothing was started. The data as they were when they were brought back are in {path_top.copies(lacking)}. {path_top.WAY_ON}"
            )
        return held

    def _told_places(self) -> str:
        return ", ".join(path["to"] for path in self.paths)

    def _govern(self) -> None:
        """Give each place its declared owner and mode, as far as they are declared."""
        for path in (*self.paths, *(self.run.state.get("governed") or [])):
            wanted = self.request.at(path["data"])
            path_place.govern(path["to"], wanted.owner, wanted.mode)

    def _ungovern(self) -> None:
        """Give those places that no data moved to what they had."""
        for path in self.run.state.get("governed") or []:
            # One that is gone has neither, and nothing of it is to be brought back.
            with suppress(FileNotFoundError):
                path_place.govern(path["to"], path["owner"], path["mode"])

    def _install_settle(self) -> None:
        table = read()
        sides = [tree[side] for tree in self.trees.held for side in ("from", "to")] + [path["to"] for path in self.paths]
        found = sorted({mount_of(nearest_existing(path), table).mount for path in sides} - {"/"})
        settle_units.install_after(self.run.key, self.command, [mount for mount in found if not mount.startswith("/run")])

    def _close(self, phase: str) -> None:
        path_layer.off(self.run.key)
        # One that did not answer was away for so long at least.
        self._end_downtime()
        self.run.home.write_last_change(self.run.key, time.time())
        settle_units.uninstall_after(self.run.key)
        if phase == "undone" and self.origin.key != self.run.key:
            self.origin.write(phase="undone", undone_by=self.run.key)
        self.enter(phase, finished_at=time.time())
        path_kept.forget(self.run)


def is_in_place(path: dict[str, Any]) -> bool:
    """Say whether a journal's new place is there, on the mount that it was made on."""
    return os.path.isdir(path["to"]) and mount_of(os.path.realpath(path["to"]), read()).mount == path["to_mount"]


def are_in_place(paths: Iterable[dict[str, Any]]) -> bool:
    """Say whether each of a journal's new places is there."""
    return all(is_in_place(path) for path in paths)


def remembered(held: dict[str, Any]) -> dict[str, Any]:
    """Return what of a container has to be known once it stands still, or is gone."""
    return {
        "id": held["Id"],
        "name": str(held["Name"]).lstrip("/"),
        "restart": held["HostConfig"].get("RestartPolicy") or NEVER,
        "stop_timeout": held["Config"].get("StopTimeout"),
        "started_at": str(held["State"]["StartedAt"]),
        "health_s": healthy_within(held),
    }


def plain(stack: compose.Stack) -> dict[str, Any]:
    """Return a stack as the journal holds it."""
    return asdict(stack)
