"""docker.hygiene: images, build cache and logs come back to their budgets, each deletion by its id in the plan; and a timer that does the same.

Rules:
- Only by name, like a purge: what is removed is gone, and no rollback brings it back.
- What goes is chosen by domain/hygiene.py. Volumes never go; nor does what a container stands on, what is protected, or what was released last.
- Of repositories of which too few releases are on the host's record the newest by age stay; the step says of which.
- Where all that may go is not enough, that is told, and the budget is not promised.
- The timer is a step of its own, with a way back. On the machine it chooses by the same rules within the same limits.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from controlplane.domain.amounts import show_bytes
from controlplane.domain.asking import HYGIENE_SERVICE, HYGIENE_TIMER
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.checks.hygiene_timer import is_in_place, settings_digest, timer_settings
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.hygiene import Doomed, doomed_cache, doomed_images, doomed_logs, kept_by_age, log_limit
from controlplane.domain.plan import Change, Mend

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
    except Unobserved as doubt:
        return Proposal(refusals=(f"could not be observed: {doubt}",))
    drafts = [_clearing(doomed, mends, _by_age(desired, reader))] if doomed else []
    return Proposal(drafts=(*drafts, *timer), refusals=tuple(refusals))


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


def _clearing(doomed: list[Doomed], mends: list[Mend], by_age: str) -> Draft:
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
        variables={
            "docker_hygiene_items": [{"kind": one.kind, "id": one.id, "name": one.name, "size": one.size} for one in doomed],
            "docker_hygiene_timer": {},
        },
    )


def _target(one: Doomed) -> str:
    return {"image": f"image {one.name} {one.id}", "cache": f"build cache {one.name} {one.id}", "log": f"log of {one.name}, what is in it so far"}[
        one.kind
    ]


def _last_used(one: Doomed) -> str:
    if one.last_used is None:
        return "never used again" if one.kind == "cache" else "no limit of its own"
    day = datetime.fromtimestamp(one.last_used, UTC).date().isoformat()
    return f"last pulled, built or tagged on {day}" if one.kind == "image" else f"last used on {day}"


def _timer(desired: DesiredHost, reader: Reader) -> tuple[Draft, ...]:
    hygiene = desired.docker.hygiene
    if hygiene is None or is_in_place(desired, reader):
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


def _without_timer() -> Draft:
    return Draft(
        mends=(Mend(check="D237", surface="docker.hygiene_timer"),),
        changes=(Change(kind="unit", target=HYGIENE_TIMER, before="loaded", after="disabled and removed"),),
        undo="put the timer back as it was",
        variables={"docker_hygiene_items": [], "docker_hygiene_timer": {"every": "never", "digest": "", "settings": {}}},
    )


CAPABILITY = Capability(id=ID, role="docker_hygiene", propose=_propose, only_by_name=True, mounts=False)
