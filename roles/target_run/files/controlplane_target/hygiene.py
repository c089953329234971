"""Remove what a plan names of Docker's store, each by its id; and do the same by a timer, within the limits that it was given.

Rules:
- How each goes is hygiene_remove.py's. A volume never does.
- Only what the plan names goes, and of that only what may by now (hygiene_items.py). A run that was cut off goes on with the rest of it.
- What was removed, and what that freed by Docker's own account before and after, stands in the run's journal, one thing after the other. Of a run that
  was cut off after its last removal whoever proves it writes the end.
- The timer chooses anew at each time (hygiene_judge.py), removes nothing while a run holds this host, and leaves a receipt each time. That is on the disk
  before the first removal and after each: `removing` is what was begun last, None once it has `ended`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import hygiene_items, hygiene_judge, hygiene_releases, lease
from .docker_engine import Engine
from .faults import FailedFault
from .files import read_json, write_json
from .hygiene_remove import remove
from .hygiene_store import look, usage
from .state import Home, Run, utc
from .systemd import active

ROLE = "docker_hygiene"
_MOST_RECEIPTS = 100


def clean(run: Run, engine: Engine, items: list[dict[str, Any]], spare: dict[str, Any]) -> dict[str, Any]:
    """Remove what of the items is left and may go; return {changed, removed}. Raises `RefusedFault`; `FailedFault` also where one had to be left."""
    before = run.state.get("before") or accounts(engine)
    left = hygiene_items.left(engine, items, run, spare)
    run.write(role=ROLE, phase="cleaning", before=before, planned=sum(int(item["size"]) for item in items), removed=_removed(run, left))
    faults = []
    for item, against in left:
        if against:
            faults.append(f"{' and '.join(against)}, so it was left")
            continue
        run.write(removing=hygiene_items.name_of(item))
        try:
            remove(engine, item)
        except FailedFault as fault:
            # The others go all the same.
            faults.append(str(fault))
            continue
        run.write(removed=[*run.state["removed"], hygiene_items.name_of(item)])
    _end(run, engine, phase="cleaning" if faults else "done")
    if faults:
        raise FailedFault(f"{'; '.join(faults)}. What was removed is in {run.folder}/state.json; make a new plan for the rest")
    return {"changed": bool(left), "removed": run.state["removed"]}


def _end(run: Run, engine: Engine, *, phase: str) -> None:
    before, after = run.state["before"], accounts(engine)
    run.write(phase=phase, removing=None, after=after, freed={kind: before[kind] - after[kind] for kind in before})


def end_if_cut_off(run: Run, engine: Engine) -> None:
    """Write what a run freed that was cut off once nothing was left of what it names. Raises `FailedFault`."""
    if run.phase == "cleaning":
        run.write(removed=_removed(run, []))
        _end(run, engine, phase="done")


def _removed(run: Run, left: list[hygiene_items.Left]) -> list[str]:
    """Return what this run removed so far, with what an attempt that was cut off had begun to and is gone."""
    removed, begun = list(run.state.get("removed", [])), run.state.get("removing")
    is_left = any(hygiene_items.name_of(one.item) == begun for one in left)
    return removed if begun is None or begun in removed or is_left else [*removed, begun]


def told(run: Run) -> dict[str, Any]:
    """Return what the receipt says: planned and freed bytes, side by side, and each thing that went."""
    return {key: run.state.get(key) for key in ("planned", "freed", "removed")}


def accounts(engine: Engine) -> dict[str, int]:
    """Return the bytes of images, build cache and logs, by Docker's own account. Raises `FailedFault` where it does not tell one of them."""
    said = usage(engine)
    logs = sum(int(log["size"]) for log in look(engine, logs_only=True)["logs"])
    return {"images": said.layers, "build_cache": sum(record["size"] for record in said.cache if not record["shared"]), "logs": logs}


def timed(home: Home, settings: dict[str, Any], engine: Engine, now: float) -> dict[str, Any]:
    """Bring the store back to the budgets, as the timer does; leave a receipt. Raises `FailedFault`."""
    folder = home.base / "hygiene" / "receipts"
    receipt: dict[str, Any] = {
        "at": utc(now),
        "settings": settings,
        "ended": False,
        "removing": None,
        "removed": [],
        "removals": [],
        "planned": 0,
        "freed": {},
        "kept_by_age": [],
        "left_out": "",
        "faults": [],
    }
    host = socket.gethostname()

    def note() -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(folder / f"{receipt['at'].replace(':', '')}.json", receipt)

    try:
        with home.quiet() as quiet:
            reason = lease.standing_in_the_way(home, "hygiene-timer", f"root@{host} (timer)", now=now, host=host, unit_active=active)
            if quiet and not reason:
                try:
                    _clean_timed(home, settings, engine, receipt, note)
                except (OSError, ValueError) as fault:
                    raise FailedFault(f"Docker does not answer as it should: {fault}. See its log; the timer comes again") from fault
            else:
                receipt["left_out"] = reason or "this host is being changed"
    except FailedFault as fault:
        receipt["faults"].append(str(fault))
    except BaseException as fault:
        # Whatever it was, the receipt does not say that all is well.
        receipt["faults"].append(f"{type(fault).__name__}: {fault}")
        raise
    finally:
        receipt.update(ended=True, removing=None)
        note()
        for older in sorted(folder.glob("*.json"))[:-_MOST_RECEIPTS]:
            older.unlink()
    if receipt["faults"]:
        raise FailedFault("; ".join(receipt["faults"]))
    return receipt


def _clean_timed(home: Home, settings: dict[str, Any], engine: Engine, receipt: dict[str, Any], note: Callable[[], None]) -> None:
    before = accounts(engine)
    store, budgets, keep = look(engine), settings["budgets"], settings["keep"]
    if any(image["unique"] is None for image in store["images"]):
        receipt["faults"].append("Docker did not tell what an image shares with others, so no image was removed")
        store["images"] = []
    releases, doubts = hygiene_releases.recorded(home)
    if doubts:
        receipt["faults"] += [f"{doubt}. Until then no image that has a registry's digest is removed" for doubt in doubts]
        # With none on record the newest of each repository stay.
        releases, store["images"] = [], [image for image in store["images"] if not hygiene_releases.may_be_released(image)]
    over = before["images"] - budgets["images"]
    receipt["kept_by_age"] = hygiene_judge.kept_by_age(store["images"], releases, keep)
    doomed = [
        *hygiene_judge.doomed_images(store["images"], over=over, keep=keep, protect=settings["protect"], releases=releases),
        *hygiene_judge.doomed_cache(store["cache"], over=before["build_cache"] - budgets["build_cache"]),
        *hygiene_judge.doomed_logs(store["logs"], limit=budgets.get("log")),
    ]
    for one in doomed:
        receipt["removing"] = f"{one.kind} {one.id} {one.name}"
        # Where the disk is full, what frees it goes on; the last of these tells all.
        with suppress(OSError):
            note()
        try:
            remove(engine, one._asdict())
        except FailedFault as fault:
            receipt["faults"].append(str(fault))
            continue
        receipt["removed"].append(receipt["removing"])
        receipt["removals"].append({**one._asdict(), "last_used": None if one.last_used is None else utc(one.last_used)})
        receipt["planned"] += one.size
    after = accounts(engine)
    receipt["freed"] = {kind: before[kind] - after[kind] for kind in before}


def settings_of(home: Home) -> dict[str, Any]:
    """Return what the timer was told. Raises `FailedFault`."""
    found: dict[str, Any] | None = read_json(home.base / "hygiene" / "settings.json")
    if found is None:
        raise FailedFault(f"{home.base}/hygiene/settings.json is gone: plan docker.hygiene anew")
    return found
