"""The beginning of a move of one container's paths: the places are made and filled while the service runs.

Rules:
- Nothing but the places is changed. A named volume is made as Compose would make it, and removed again where something speaks against it.
- The journal says what moves from where to where before the first byte is copied, and by what each old place is known again (path_top.py); it also has
  what the places had that are only given owner and mode.
- A copy of an attempt that a power cut ended, or that this run did not begin, is read completely.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from . import leg_verbs, path_layer, path_place, path_refusals, path_top, retired
from .faults import FailedFault, RefusedFault
from .mounts import mount_of, nearest_existing, read
from .path_layer import Layer
from .path_move import PathMove
from .path_refuse import is_absent, seen
from .path_request import Request, Wanted, as_json
from .path_source import Source
from .root_trees import make_directory
from .state import Run, boot_id
from .tree_compare import clock_ns
from .tree_copy import sync_filesystem
from .tree_measure import is_empty

if TYPE_CHECKING:
    from .docker_engine import Engine
    from .persistent_path import PersistentPath


class Look(NamedTuple):
    """The container, where each path lands in it, and the request for what is still to move."""

    inspection: dict[str, Any]
    sources: dict[str, Source]
    moving: Request

    def source(self, wanted: Wanted) -> Source:
        """Return where a path lands, `absent` where it is a surface that the container has not made so far."""
        source = self.sources[wanted.data]
        return source._replace(kind="absent") if is_absent(wanted, source, self.inspection) else source

    def pair(self, wanted: Wanted, place: str) -> tuple[str | None, str]:
        """Return the directory from which a path is copied, None where there is none so far, and its place."""
        source = self.source(wanted)
        return (None if source.kind == "absent" else seen(source, self.inspection).path), place


def precopy(verbs: PersistentPath, run: Run, request: Request, look: Look) -> dict[str, Any]:
    """Copy while the service runs, until a pass is short; returns {changed, passes}."""
    places = _made(verbs.engine, run, look)
    paths = [_path(wanted, look.source(wanted), places[wanted.data]) for wanted in look.moving.paths]
    layered = any(path["source"]["kind"] == "layer" for path in paths)
    trees = [_tree(run, path, look) for path in paths if path["source"]["kind"] != "absent"]
    there = [wanted for wanted in request.paths if wanted not in look.moving.paths and path_place.ungoverned(wanted)]
    retired.forget(verbs.home, list(places.values()))
    run.write(
        phase="precopying",
        container_id=look.inspection["Id"],
        paths=paths,
        governed=[{"data": wanted.data, "to": wanted.place, **path_place.had(wanted.place)} for wanted in there],
        trees=trees,
        request=as_json(request),
        leg="forward",
        of=None,
        others=None,
        trees_there=None,
        kept=None,
        kept_since=None,
        touched=None,
        proof=None,
        complaint="",
        notes=[],
        late="",
        copy_boot_id=boot_id(),
        ends={"well": "done", "back": "reverted"},
    )
    for path in paths:
        if path["source"]["kind"] == "absent":
            make_directory(path["to"])
    if layered:
        Layer(run, look.inspection).live()
    run.write(trees=[{**tree, "names": sorted(os.listdir(tree["from"]))} for tree in trees])
    mover = verbs.leg(PathMove, run, request)
    mover.trees.clear_flags()
    for tree in trees:
        sync_filesystem(tree["from"])
    passes = leg_verbs.copied_live(mover.trees)
    mover.note_names()
    run.write(phase="precopied")
    return {"changed": True, "passes": passes}


def _path(wanted: Wanted, source: Source, place: str) -> dict[str, Any]:
    """Return a path as the journal holds it."""
    table = read()
    # A volume's own folder moves with Docker's root, and is Docker's to find: what Docker only binds is there as long as its own mount is.
    is_bound = source.base != "" and not source.base.endswith(f"/volumes/{source.volume}/_data")
    return {
        "data": wanted.data,
        "source": source._asdict(),
        **path_top.noted(source),
        "from_mount": mount_of(nearest_existing(source.path), table).mount if is_bound else "",
        "to": place,
        "to_mount": mount_of(nearest_existing(place), table).mount,
    }


def _tree(run: Run, path: dict[str, Any], look: Look) -> dict[str, Any]:
    source, place = path["source"], path["to"]
    start = path_layer.place_of(run.key) + source["path"] if source["kind"] == "layer" else source["path"]
    # Only a copy that this journal began, in this boot, of this very container, and that no service lived on, is known well enough not to be read.
    is_own = run.phase in ("precopying", "precopied", "staging", "reverted") and run.state.get("leg") == "forward"
    is_own = is_own and run.state.get("container_id") == look.inspection["Id"]
    is_same = is_own and run.state["copy_boot_id"] == boot_id() and any(held["source"] == source for held in run.state["paths"])
    held = next((tree for tree in run.state["trees"] if (tree["from"], tree["to"]) == (start, place)), None) if is_same else None
    is_fresh = is_empty(place)
    return {
        "kind": "data",
        "path": path["data"],
        "from": start,
        "to": place,
        "read_since_ns": clock_ns() if is_fresh else held["read_since_ns"] if held else 0,
        "to_mount": path["to_mount"],
        "flags_set": not is_fresh,
    }


def _made(engine: Engine, run: Run, look: Look) -> dict[str, str]:
    """Return each place's path by its path in the container, with those volumes made that were not there."""
    there = {wanted: path_place.place_of(engine, wanted) for wanted in look.moving.paths}
    made = [wanted for wanted, place in there.items() if place is None]
    places = {wanted.data: place or _made_volume(engine, run, wanted) for wanted, place in there.items()}
    if not made:
        return places
    found = [reason for wanted in made for reason in path_refusals.of_the_destination(run.home, wanted.mount, places[wanted.data], [])]
    found += path_refusals.of_them_together([look.pair(wanted, places[wanted.data]) for wanted in look.moving.paths])
    if found:
        for wanted in made:
            engine.call("DELETE", f"/volumes/{quote(wanted.volume, safe='')}")
        raise RefusedFault(f"moving {look.moving.told} of {look.moving.container} refused: {'; '.join(found)}. Nothing was changed.")
    return places


def _made_volume(engine: Engine, run: Run, wanted: Wanted) -> str:
    project = str(run.state["stack"]["project"])
    labels = {"com.docker.compose.project": project, "com.docker.compose.volume": wanted.volume.removeprefix(f"{project}_")}
    status, answer = engine.call("POST", "/volumes/create", body={"Name": wanted.volume, "Labels": labels})
    if status != 201:
        raise FailedFault(f"volume {wanted.volume} can't be made: {(answer or {}).get('message', status)}")
    return str(answer["Mountpoint"])
