"""docker.hygiene: images, build cache and logs come back to their budgets, each deletion by its id in the plan; and a timer that does the same.

Rules:
- Only by name, like a purge: what is removed is gone, and no rollback brings it back.
- What goes is chosen by domain/hygiene.py. Volumes never go; nor does what a container stands on, what is protected, or what was released last.
- Of repositories of which too few releases are on the host's record the newest by age stay; the step says of which.
- Where all that may go is not enough, that is told, and the budget is not promised.
- A log goes by its container and its path: somebody writes to it, so its size is a bound, and what is written until it is cut goes with it.
- The timer is a step of its own, with a way back. On the machine it chooses by the same rules within the same limits. One that is in place and failed
  gets no step, which would change nothing: the refusal says where its receipts are.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from controlplane.domain.amounts import show_bytes
from controlplane.domain.asking import HYGIENE_SERVICE, HYGIENE_TIMER
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.checks.hygiene_timer import is_in_place, runs_by, settings_digest, timer_settings, told_of_failure
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.docker import ContainerLog
from controlplane.domain.hygiene import Doomed, doomed_cache, doomed_images, doomed_logs, kept_by_age, log_limit
from controlplane.domain.plan import Bound, Change, Mend, Step

ID = "docker.hygiene"
_MOST_NAMES = 5
_WHY = {
    "images": "in use, protected, of the last releases or the newest that are kept, or shared with others",
    "build_cache": "in use, or what is in use was made from it",
}


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    if desired.docker.hygiene is None or outlook.docker_comes:
        return Proposal()
    try:
        doomed, mends, refusals = _choose(desired, reader)
        timer = _timer(desired, reader)
        failed = _failed(desired, reader)
    except Unobserved as doubt:
        return Proposal(refusals=(f"could not be observed: {doubt}",))
    drafts = [_clearing(desired, doomed, mends, _by_age(desired, reader))] if doomed else []
    return Proposal(drafts=(*drafts, *timer), refusals=(*refusals, *failed))


def _choose(desired: DesiredHost, reader: Reader) -> tuple[list[Doomed], list[Mend], list[str]]:
    hygiene, limits, store, usage = desired.docker.hygiene, desired.thresholds, reader.docker_store, reader.docker_usage
    assert hygiene is not None  # noqa: S101 - asked before
    if any(image["unique"] is None for image in store["images"]):
        raise Unobserved("Docker did not tell what an image shares with others")
    over = {"images": usage["images"] - limits.images, "build_cache": usage["build_cache"] - limits.build_cache}
    chosen = {
        "images": doomed_images(store["images"], over=over["images"], keep=hygiene.keep, protect=hygiene.protect, releases=store.get("releases", [])),
        "build_cache": doomed_cache(store["cache"], over=over["build_cache"]),
    }
    mends, refusals = [], []
    for budget, doomed in chosen.items():
        left = over[budget] - sum(one.size for one in doomed)
        if budget == "build_cache" and chosen["images"] and any(record["shared"] for record in store["cache"]):
            # What an image shared with the cache is the cache's alone once the image is gone.
            refusals.append("build cache: what it shares with images that go may be over the budget afterwards: plan again then")
        elif doomed and left <= 0:
            mends.append(Mend(check="D237", surface=f"budget.{budget}"))
        elif left > 0:
            refusals.append(f"{budget.replace('_', ' ')}: {show_bytes(left)} over the budget stay, which is {_WHY[budget]}")
    return [*chosen["images"], *chosen["build_cache"], *doomed_logs(store["logs"], limit=log_limit(desired.docker.log))], mends, refusals


def _by_age(desired: DesiredHost, reader: Reader) -> str:
    """Say of which repositories the newest by age stay, empty where that is of none."""
    hygiene, store = desired.docker.hygiene, reader.docker_store
    keep = hygiene.keep if hygiene else 0
    names = kept_by_age(store["images"], store.get("releases", []), keep)
    if not names or not keep:
        return ""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f". Fewer than {keep} releases are on record there of {', '.join(names[:_MOST_NAMES])}{more}: of these the newest {keep} by age stay"


def _clearing(desired: DesiredHost, doomed: list[Doomed], mends: list[Mend], by_age: str) -> Draft:
    hygiene = desired.docker.hygiene
    assert hygiene is not None  # noqa: S101 - asked before
    return Draft(
        mends=tuple(mends),
        changes=tuple(
            Change(kind="delete", target=_target(one), before=f"{show_bytes(one.size)}, {_last_used(one)}", after=None, destructive=True)
            for one in doomed
        ),
        undo=(
            f"none: what is removed has to be pulled or built again. It is {show_bytes(sum(one.size for one in doomed))} that no other image shares"
            f"{by_age if any(one.kind == 'image' for one in doomed) else ''}"
        ),
        bounds=tuple(
            Bound(host=desired.host, what=f"what is in the log of {one.name}", measure="log_bytes", of=one.id, at_least=one.size)
            for one in doomed
            if one.kind == "log"
        ),
        if_short="It was cut since: plan again",
        variables={
            "docker_hygiene_items": [_item(one) for one in doomed],
            # Who removes it looks again, by what this was chosen by.
            "docker_hygiene_spare": {"keep": hygiene.keep, "protect": list(hygiene.protect)},
            "docker_hygiene_timer": {},
        },
    )


def _item(one: Doomed) -> dict[str, Any]:
    item = {"kind": one.kind, "id": one.id, "name": one.name, "size": one.size}
    if one.kind == "image" and one.last_used is not None:
        item["last_used"] = one.last_used
    return {**item, "container": one.container} if one.container else item


def _target(one: Doomed) -> str:
    if one.kind == "log":
        of = f"{one.name} (container {one.container[:12]})" if one.container else one.name
        return f"log of {of}, with what is written to it until it is cut"
    return f"image {one.name} {one.id}" if one.kind == "image" else f"build cache {one.name} {one.id}"


def _last_used(one: Doomed) -> str:
    if one.kind == "log":
        written = "" if one.last_used is None else f"last written at {datetime.fromtimestamp(one.last_used, UTC):%Y-%m-%dT%H:%M:%SZ}, "
        return f"{written}no limit of its own"
    if one.last_used is None:
        return "never used again"
    day = datetime.fromtimestamp(one.last_used, UTC).date().isoformat()
    return f"last pulled, built or tagged on {day}" if one.kind == "image" else f"last used on {day}"


def _timer(desired: DesiredHost, reader: Reader) -> tuple[Draft, ...]:
    hygiene = desired.docker.hygiene
    if hygiene is None or is_in_place(desired, reader) or _failed(desired, reader):
        return ()
    if hygiene.timer is None:
        return (_without_timer(),)
    settings = timer_settings(desired)
    variables: dict[str, Any] = {
        "docker_hygiene_items": [],
        "docker_hygiene_timer": {"every": hygiene.timer, "digest": settings_digest(desired), "settings": settings},
    }
    return (
        Draft(
            mends=(Mend(check="D237", surface="docker.hygiene_timer"),),
            changes=(
                Change(
                    kind="file",
                    target=f"/etc/systemd/system/{HYGIENE_SERVICE}",
                    before=None,
                    after=f"clears to the budgets, settings {settings_digest(desired)}",
                ),
                Change(kind="unit", target=HYGIENE_TIMER, before=None, after=f"enabled, {hygiene.timer}"),
            ),
            undo="put the timer back as it was, which removes it where there was none",
            variables=variables,
        ),
    )


def _failed(desired: DesiredHost, reader: Reader) -> tuple[str, ...]:
    """Return what there is to mend by hand where nothing lacks of the timer but that its last run went well."""
    wanted = desired.docker.hygiene is not None and desired.docker.hygiene.timer is not None
    told = told_of_failure(desired, reader) if wanted else None
    return () if told is None else (told,)


def _without_timer() -> Draft:
    return Draft(
        mends=(Mend(check="D237", surface="docker.hygiene_timer"),),
        changes=(Change(kind="unit", target=HYGIENE_TIMER, before="loaded", after="disabled and removed"),),
        undo="put the timer back as it was",
        variables={"docker_hygiene_items": [], "docker_hygiene_timer": {"every": "never", "digest": "", "settings": {}}},
    )


def _settled(step: Step) -> Step:
    """Return the step without what a log holds, which grows: a bound holds it. One that is not as it is made here is compared as it stands."""
    try:
        items = step.variables["docker_hygiene_items"]
        logs = {_target(_doomed(item)) for item in items if item["kind"] == "log"}
        sizeless = [{**item, "size": None} if item["kind"] == "log" else item for item in items]
    except (KeyError, TypeError, AttributeError):
        return step
    changes = tuple(change.model_copy(update={"before": None}) if change.target in logs else change for change in step.changes)
    return step.model_copy(update={"changes": changes, "variables": {**step.variables, "docker_hygiene_items": sizeless}})


def _left_of(step: Step, reader: Reader) -> frozenset[str]:
    """Return what the step named and is still there, whatever is chosen by now; of a timer all, where it does not run as it was to."""
    timer = step.variables["docker_hygiene_timer"]
    if timer and not runs_by(None if timer["every"] == "never" else timer["digest"], reader):
        return frozenset(change.target for change in step.changes)
    items = step.variables["docker_hygiene_items"]
    store = reader.docker_store if items else {"images": [], "cache": [], "logs": []}
    there = {("image", image["id"]) for image in store["images"]} | {("cache", record["id"]) for record in store["cache"]}
    logs = {log["path"]: log for log in store["logs"]}
    return frozenset(_target(_doomed(item)) for item in items if (item["kind"], item["id"]) in there or _is_uncut(item, logs.get(item["id"])))


def _is_uncut(item: dict[str, Any], log: ContainerLog | None) -> bool:
    return item["kind"] == "log" and log is not None and log["size"] >= item["size"]


def _doomed(item: dict[str, Any]) -> Doomed:
    return Doomed(item["kind"], item["id"], item["name"], item["size"], None, item.get("container", ""))


CAPABILITY = Capability(id=ID, role="docker_hygiene", propose=_propose, only_by_name=True, mounts=False, settled=_settled, left_of=_left_of)
