"""The undo of a move of one container's paths: all of them go back in one, with everything newer, or none.

Rules:
- What speaks against it is collected, of all paths at once, before anything is stopped.
- A run that only gave places their owner and mode gives those back, and nothing stops.
- Where what the run retired is gone, all of it or a part, it does not go back: no move keeps a way back that a purge took. A folder that a purge emptied and
  left for a mount to stand on is gone as well, until somebody puts something there.
- How the data fared is told, and what of that is not proven.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from . import begun, compose, leg_verbs, path_place, path_refusals, path_stack, path_top, redis_guard, redis_rest, retired
from .faults import RefusedFault
from .path_leg import is_in_place
from .path_refuse import inspected, sources_of
from .path_request import Request, parse
from .path_return import PathReturn
from .persistent_path import counted
from .state import Home, Run
from .tree_measure import is_empty

if TYPE_CHECKING:
    from .docker_engine import Engine
    from .path_source import Source
    from .persistent_path import PersistentPath


def undo(verbs: PersistentPath, run: Run, of: Run, *, overwrite: bool = False) -> dict[str, Any]:
    """Move back what the run `of` moved; its journal says `undone` afterwards."""
    if of.phase == "new":
        raise RefusedFault(f"this host knows no run {of.key}. Nothing was changed. 'controlplane runs show {of.key}' tells where it ran.")
    verbs.recover(of)
    if run.key != of.key:
        verbs.recover(run)
    if of.phase != "done" or _is_undone(verbs.home, of):
        return _told(verbs, run, changed=False)
    request = parse(of.state["request"])
    if of.state.get("leg") == "governed":
        leg_verbs.assert_leased(verbs.home, run)
        changed = [path_place.govern(path["to"], path["owner"], path["mode"]) for path in of.state["governed"]]
        of.write(phase="undone", undone_by=run.key)
        return verbs.told(run, changed=any(changed))
    _refuse(verbs, of, request, overwrite=overwrite)
    leg_verbs.assert_leased(verbs.home, run)
    kept = {key: of.state[key] for key in ("request", "paths", "governed", "stack", "stack_after", "trees")}
    # What the way there cost was told by then; what an undo before this one cost that did not come to its end was not.
    cost: dict[str, Any] = {} if run.state.get("leg") == "undo" else {"down_since": None, "downtime_s": {}}
    run.write(role=of.state["role"], of=of.key, leg="undo", trees_there=None, old=None, others=None, ends_back="undone", **kept, **cost)
    verbs.leg(PathReturn, run, request).come_back("")
    return _told(verbs, run, changed=True)


def _told(verbs: PersistentPath, run: Run, *, changed: bool) -> dict[str, Any]:
    """Return how the way back went; of one that came to its end also how the data of each path fared, without names of what is lost."""
    answer = verbs.told(run, changed=changed)
    if run.state.get("leg") != "undo" or run.phase != "undone":
        return answer
    proofs, journal = run.state.get("proof") or {}, run.folder / "state.json"
    paths = [
        {"data": path["data"], "from": path["to"], "to": path.get("landed"), "proof": counted(proofs.get(path["data"]), journal)}
        for path in run.state["paths"]
    ]
    complaint = {"complaint": run.state["complaint"]} if run.state.get("complaint") else {}
    return {**answer, "told": {"container": run.state["request"]["container"], "paths": paths, **complaint}}


def _is_undone(home: Home, of: Run) -> bool:
    """Mark a run as undone whose undo ended, and was killed before it could say so."""
    for run in home.runs():
        ended = run.phase == "undone" and run.key != of.key and run.state.get("of") == of.key
        if ended and float(run.state.get("finished_at") or 0) > float(of.state.get("finished_at") or 0):
            of.write(phase="undone", undone_by=run.key)
            return True
    return False


def _refuse(verbs: PersistentPath, of: Run, request: Request, *, overwrite: bool) -> None:
    moved = of.state["paths"]
    inspection = inspected(verbs.engine, request.container)
    sources = sources_of(verbs.engine, inspection, request.only([path["data"] for path in moved]))
    kept = redis_guard.keeping(verbs.home, lambda other: bool(other.state["guard"]["id"] == inspection["Id"]))
    found = [*kept, *path_stack.refuse_back(of), *path_top.without_their_mount(moved)]
    try:
        if (stack := compose.stack_of(inspection)) is not None:
            compose.assert_alone(inspection, stack, verbs.engine)
            compose.assert_made_from(stack, request.container)
    except RefusedFault as fault:
        found.append(str(fault).removesuffix(" Nothing was changed."))
    if of.state.get("complaint") and not overwrite:
        found.append(
            f"that run ended with a complaint ({of.state['complaint']}), and going back would overwrite what is untouched so far: look at both, then "
            "'undo --overwrite-old-root'"
        )
    for path in moved:
        found += _of_one(verbs, of, request, path, sources[path["data"]], overwrite=overwrite)
    found += [*_of_the_room(verbs.engine, moved), *redis_rest.at_risk([inspection])]
    if found:
        raise RefusedFault(f"undo of {of.key} refused: {'; '.join(found)}. Nothing was changed.")


def _of_one(verbs: PersistentPath, of: Run, request: Request, path: dict[str, Any], source: Source, *, overwrite: bool) -> list[str]:
    home, engine = verbs.home, verbs.engine
    found, old = [], path["source"]
    if not is_in_place(path):
        found.append(f"{path['to']} is not on {path['to_mount']} now, and it holds the newest data: bring its disk back")
    if source.path != path["to"]:
        destination = request.at(path["data"]).destination
        found.append(
            f"{path['data']} of {request.container} lies in {source.told}, not in {destination} where {of.key} put it: undo the later move first"
        )
    recorded = _kept_at(of, old)
    kept = _of_the_volume(engine, old) if old["kind"] == "volume" else recorded
    record = next((held for held in home.retired() if held["run"] == of.key and held["path"] == recorded), None)
    if _is_gone(kept, old["kind"], record) or _is_emptied(home, of, recorded, kept, record):
        found.append(
            f"{kept}, which {of.key} had retired of {path['data']}, was purged or removed, so there is nothing to go back to: restore it from a backup, or "
            "move the data by a new policy and plan"
        )
    elif old["kind"] in ("bind", "volume") and not overwrite and record is not None and _is_another(record, kept):
        found.append(f"{kept} changed since it was retired, and going back would overwrite that: look at it, then 'undo --overwrite-old-root'")
    elif not overwrite and record is None and kept == old["path"] and path_top.replaced([path]) and not path_top.holds_nothing(path):
        found.append(
            f"{path_top.lay(path)} is another one by now, made anew since, and going back would overwrite that: look at it, then 'undo --overwrite-old-root'"
        )
    return found


def _is_another(record: dict[str, Any], place: str) -> bool:
    return os.path.isdir(place) and retired.differs({**record, "path": place})


def _kept_at(of: Run, old: dict[str, Any]) -> str:
    """Return where that run left what had lain in an old place; empty where there was nothing."""
    if old["kind"] == "layer":
        return str(of.state.get("kept") or "")
    return "" if old["kind"] == "absent" else str(old["path"])


def _of_the_volume(engine: Engine, old: dict[str, Any]) -> str:
    """Return where an old place lies now: a volume's own folder goes along where Docker's root moves."""
    path, base = str(old["path"]), str(old["base"])
    status, held = engine.call("GET", f"/volumes/{quote(old['volume'], safe='')}")
    now = str(held.get("Mountpoint") or "") if status == 200 else ""
    if not now or not base.endswith(f"/volumes/{old['volume']}/_data"):
        return path
    return os.path.normpath(os.path.join(now, os.path.relpath(path, base)))


def _is_gone(place: str, kind: str, record: dict[str, Any] | None) -> bool:
    """Say whether what was retired is gone.

    An anonymous volume or a layer becomes a fresh one on the way back, and anybody may clear away one that nobody uses: it counts only where a purge
    removed it, or began to. A purge strikes it off the records, which nothing else does.
    """
    if not place or os.path.lexists(place):
        return False
    return kind in ("bind", "volume") or record is None or os.path.lexists(begun.aside_of(place))


def _is_emptied(home: Home, of: Run, recorded: str, place: str, record: dict[str, Any] | None) -> bool:
    """Say whether a purge emptied what was retired where it lies, or began to; `recorded` is what its records call it, and it lies at `place` by now."""
    if not recorded or not os.path.isdir(place):
        return False
    if record is not None:
        return begun.in_place(home, record) is not None
    # Its record is struck off by then: when it was recorded nobody knows but the journal of the purge.
    emptied = [one for run in home.runs() for one in run.state.get("emptied") or [] if (one["path"], one["run"]) == (recorded, of.key)]
    return bool(emptied) and is_empty(place)


def _of_the_room(engine: Engine, moved: list[dict[str, Any]]) -> list[str]:
    """Return what is missing on the old places for what is on the new ones by now; what has no old place any more gets one in Docker's root."""
    root, pairs = str(engine.info()["DockerRootDir"]), []
    for number, path in enumerate(moved):
        old = path["source"]
        place = _of_the_volume(engine, old) if old["kind"] == "volume" else old["path"]
        is_kept = old["kind"] == "bind" or (old["kind"] == "volume" and os.path.isdir(place))
        if os.path.isdir(path["to"]):
            pairs.append((path["to"], place if is_kept else os.path.join(root, "volumes", f"new-{number}")))
    return path_refusals.of_them_together(pairs)
