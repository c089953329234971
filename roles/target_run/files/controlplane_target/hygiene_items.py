"""What of a plan's items is still here, and what by now speaks against removing one.

Rules:
- An image stays from which a container was made since, that is called otherwise, that was pulled, built or tagged again, or that the rules by which it
  was chosen (hygiene_judge.py) spare by now. A record of the build cache stays that is in use, or shared.
- A log is known by its container and its path, and may have grown: what is written to it until it is cut goes as well. One that holds less than the
  plan saw was cut already, and what is in it now no plan names.
- Before anything was removed one reason refuses all. From then on the run goes on: what may not go is left, and the rest goes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import hygiene_judge, hygiene_releases
from .docker_engine import Engine
from .faults import RefusedFault
from .hygiene_store import look
from .state import Run

_LISTED = {"image": "images", "cache": "cache", "log": "logs"}


class Left(NamedTuple):
    """An item that is still here, and what speaks against its removal."""

    item: dict[str, Any]
    against: list[str]


def left(engine: Engine, items: list[dict[str, Any]], run: Run, spare: dict[str, Any]) -> list[Left]:
    """Return what of the items is still here; `spare` is {keep, protect}, by which the plan chose.

    Raises `RefusedFault` with each that may not go, as long as the run removed nothing.
    """
    store = look(engine)
    listed = {kind: {one["path" if kind == "log" else "id"]: one for one in store[name]} for kind, name in _LISTED.items()}
    spared = _spared(store, run, spare) if any(item["kind"] == "image" for item in items) else {}
    found = []
    for item in items:
        seen = listed[item["kind"]].get(item["id"])
        if seen is None or (item["kind"] == "log" and _is_cut(item, seen, run)):
            continue
        against = _of_image(item, seen, spared, run) if item["kind"] == "image" else _of_record(item, seen) if item["kind"] == "cache" else []
        found.append(Left(item, against))
    against = [reason for one in found for reason in one.against]
    if against and not _is_begun(run):
        raise RefusedFault(f"hygiene refused: {'; '.join(against)}. Nothing was changed. Make a new plan.")
    return found


def name_of(item: dict[str, Any]) -> str:
    """Return what the journal calls an item."""
    return f"{item['kind']} {item['id']}"


def _is_begun(run: Run) -> bool:
    # Written right before the first removal.
    return "planned" in run.state


def _is_cut(item: dict[str, Any], log: dict[str, Any], run: Run) -> bool:
    is_another = bool(item.get("container")) and item["container"] != log["id"]
    return is_another or name_of(item) in run.state.get("removed", []) or log["size"] < max(int(item["size"]), 1)


def _spared(store: dict[str, Any], run: Run, spare: dict[str, Any]) -> dict[str, str]:
    releases, doubts = hygiene_releases.recorded(run.home)
    found = hygiene_judge.spared_images(
        store["images"], keep=int(spare.get("keep") or 0), protect=list(spare.get("protect") or []), releases=releases
    )
    if doubts:
        found |= {image["id"]: doubts[0] for image in store["images"] if hygiene_releases.may_be_released(image)}
    return found


def _of_image(item: dict[str, Any], seen: dict[str, Any], spared: dict[str, str], run: Run) -> list[str]:
    short, tags = item["id"][:19], " ".join(seen["tags"])
    found = []
    if seen["containers"]:
        found.append(f"a container was made of image {item['name']} ({short}) since")
    elif item["id"] in spared:
        found.append(f"image {item['name']} ({short}) has to stay by now: {spared[item['id']]}")
    # An attempt before this one may have taken some of its names.
    if (tags or "untagged") != item["name"] and not (_is_begun(run) and set(seen["tags"]) < set(str(item["name"]).split(" "))):
        found.append(f"image {short} is called {tags or 'nothing'} by now, not {item['name']}")
    elif item.get("last_used") is not None and (seen["last_tagged"] or seen["created"]) > item["last_used"]:
        found.append(f"image {item['name']} ({short}) was pulled, built or tagged again since")
    return found


def _of_record(item: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    if seen["in_use"]:
        return [f"record {item['id']} of the build cache is in use"]
    return [f"record {item['id']} of the build cache is shared by now"] if seen["shared"] else []
