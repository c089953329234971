"""The end of the way there: how each old place compares with the new one, what becomes of it, and what is told of both.

Rules:
- Each old place is recorded as retired, but for one that was written to since it was compared: it holds what nothing else does, and no purge takes it.
- One that somebody removed meanwhile leaves no record, as there is nothing to purge, and is told. What has its name by now is theirs, and never recorded.
- What is not as it was fails the run, and nothing is taken back.
"""

from __future__ import annotations

import os
import time
from typing import Any

from . import path_top, retired
from .faults import FailedFault
from .path_back import PathBack
from .path_source import Source

_UNLISTED = "every file by its sha256 (what lay where it was is not there any more): all were compared before it started on its new place"
_UNKNOWN = "whether somebody wrote into its layer while Compose made it anew (Docker's events do not reach back to that time)"


class PathEnd(PathBack):
    """What the leg there does once the service answers on its new places."""

    def finish(self) -> None:
        """Retire the sources and close the journal; what is not as it was is raised, and nothing is taken back: the old places are as they were."""
        if self.run.phase != "answered":
            self.enter("answered")
        listings, behind = self._listings(), self._written_behind()
        wrong = [f"{len(held['lost'])} files of {data} of {self.name} are not as they were" for data, held in listings.items() if held.get("lost")]
        wrong += [
            f"somebody wrote to {Source(**path['source']).told}, where {path['data']} of {self.name} lay, after it was compared, and {path['to']} does not have it"
            for path in behind
        ]
        anew = [path for path in path_top.replaced(self.paths) if not path_top.holds_nothing(path)]
        wrong += [f"{path_top.lay(path)} is another one by now, made anew since it was copied, and {path['to']} has nothing of it" for path in anew]
        if touched := (self.run.state.get("touched") or {}).get("did"):
            wrong.append(
                f"while Compose made {self.name} anew somebody {' and '.join(touched)}: what was written into its own layer then went with it"
            )
        said = self.run.state.get("complaint") or ""
        complaint = "; ".join([*filter(None, [said]), *(one for one in wrong if one not in said)])
        proof, notes = self._with_doubts({**(self.run.state.get("proof") or {}), **listings}), [*self._late(), *self._missed()]
        self.run.write(proof=proof, complaint=complaint, notes=notes)
        self._retire([path["data"] for path in behind])
        self._close(self.run.state["ends"]["well"])
        if complaint:
            raise FailedFault(
                f"{complaint}. {self.name} runs on its new place, and nothing was taken back: {self._told_old()} was left as it is. "
                f"Look at both before anything else; {self.run.folder}/state.json names what differs{''.join(f'. {note}' for note in notes)}"
            )

    def _listings(self) -> dict[str, dict[str, Any]]:
        """Return by path the listing of old place against new one, of those without a proof of their own."""
        if self.inspection() is None:
            return {}
        found = {}
        for tree in self.trees.held:
            wanted, sides = self.request.at(tree["path"]), self._sides(tree["path"])
            if wanted.kind not in ("postgres", "redis") and not wanted.proof:
                found[wanted.data] = {"not_proven": [_UNLISTED]} if sides is None else sides.listed(self._started_ns())
        return found

    def _with_doubts(self, proof: dict[str, Any]) -> dict[str, Any]:
        """Return the proof with what nobody can say of the time in which Compose made the container anew."""
        touched, layered = self.run.state.get("touched"), [path["data"] for path in self.paths if path["source"]["kind"] == "layer"]
        if not touched or touched["did"] is not None:
            return proof
        held = {data: proof.get(data) or {} for data in layered}
        said = {data: [one for one in of.get("not_proven", []) if one != _UNKNOWN] for data, of in held.items()}
        return {**proof, **{data: {**of, "not_proven": [*said[data], _UNKNOWN]} for data, of in held.items()}}

    def _late(self) -> list[str]:
        """Return what Compose said where it gave up on what answered all the same: the check that it waited for, or a hook that failed."""
        late = self.run.state.get("late")
        return [f"Compose gave up on {self.name}, which answered all the same: {late}"] if late else []

    def _missed(self) -> list[str]:
        """Return of which old places there is nothing to retire."""
        off = path_top.without_their_mount(self.paths)
        places = [path for path in self.paths if path["source"]["kind"] not in ("layer", "absent") and not path_top.without_their_mount([path])]
        others = [path for path in places if path_top.is_gone(path) or path_top.replaced([path])]
        gone = [path_top.lay(path) for path in others if path_top.holds_nothing(path)]
        kept = self.run.state.get("kept")
        gone += [f"{kept}, where its layer was kept,"] if kept and not os.path.isdir(kept) else []
        removed = [
            f"{name} was gone when {self.name} had moved: somebody removed what was there. Nothing of it is on record to be purged" for name in gone
        ]
        return [*removed, *(f"{one}. Nothing of it is on record to be purged" for one in off)]

    def _retire(self, written: list[str]) -> None:
        """Record the old places as retired, but for those of the paths that were written to: they hold what nothing else does."""
        kept, sources = self.run.state.get("kept"), {path["data"]: path["source"] for path in self.paths}
        # Of what somebody removed there is nothing to purge, and what has its name by now is not ours to be purged.
        others = [path for path in self.paths if path_top.replaced([path]) or path_top.without_their_mount([path])]
        left = {*written, *(path["data"] for path in others)}
        trees = [tree for tree in self.trees.held if tree["path"] not in left and os.path.lexists(tree["from"])]
        found = [{**tree, "volume": sources[tree["path"]]["volume"]} for tree in trees if sources[tree["path"]]["kind"] != "layer"]
        # With its container gone nothing else leads to what lay in the layer.
        layered = [path for path in self.paths if path["source"]["kind"] == "layer"]
        is_whole = not (self.run.state.get("touched") or {}).get("did")
        if kept and os.path.isdir(kept) and is_whole and not any(path["data"] in written for path in layered):
            found.append({"from": kept, "to": [*layered, self.paths[0]][0]["to"]})
        retired.retire(self.run.home, self.run.key, found, now=time.time())

    def _told_old(self) -> str:
        old = [str(path["source"]["path"]) for path in self.paths if path["source"]["kind"] not in ("layer", "absent")]
        return " and ".join([*old, *filter(None, [self.run.state.get("kept")])]) or "what it had"

    def _started_ns(self) -> int:
        # Whoever started it on its new place before this did: what is younger than the comparison nobody copied.
        times = self.run.state["phase_at"]
        return int(min(times["starting"], times.get("compared", times["starting"])) * 1e9)
