"""Whether what runs, or ran before a run, could be brought up again, asked before anything is changed. Reads only.

Rules:
- An image counts as there by its id, under the name by which it was asked for; one that is gone counts where its registry gives it, by its digest.
- The files are those of the way back, and Compose itself has to read them.
- Where nothing of the project runs there is nothing to bring back, and that is said by naming no service.
"""

from __future__ import annotations

import os
from typing import Any

from . import stack_files, stack_images, stack_judge, stack_places, stack_view, stack_volumes
from .compose import stack_from
from .docker_engine import Engine
from .faults import RefusedFault
from .files import text_of
from .stack_containers import Container
from .stack_login import LoginUnknown

_PINNED = "@sha256:"


def read_before(key: str, held: dict[str, Any]) -> dict[str, Any]:
    """Return Compose's reading of the files as they were before. Raises `RefusedFault`."""
    contents = {os.path.basename(shot["path"]): text_of(shot) for shot in held["files"]}
    return stack_view.reading(stack_from(held["stack"]), contents, key).config


def standing(engine: Engine, held: dict[str, Any], key: str) -> dict[str, Any]:
    """Return what of that way back is there: {services: {service: here, or registry}, against, doubts}."""
    if not held["services"]:
        return {"services": {}, "against": [], "doubts": []}
    against: list[str] = []
    doubts: list[str] = []
    services: dict[str, str] = {}
    if held["stack"] is None:
        against.append(f"no label of {held['services'][0]['name']} says by which files it was brought up")
    else:
        try:
            config = read_before(key, held)
            against += stack_places.of_the_binds([*stack_judge.binds(config), *stack_volumes.binds(engine, config)], ())
        except RefusedFault as fault:
            against.append(str(fault).removesuffix(". Nothing was changed."))
    for one in held["services"]:
        services[one["service"]] = "here"
        if stack_images.local(engine, one["image"]) is None:
            services[one["service"]] = "registry"
            try:
                why = _why_not_pulled(engine, one)
            except LoginUnknown as doubt:
                doubts.append(f"{one['asked_for']}, which {one['name']} ran, is not here, and whether its registry gives it nobody can tell: {doubt}")
            else:
                against += [f"{one['asked_for']}, which {one['name']} ran, is not here any more and can't be pulled: {why}"] if why else []
        elif told := misnamed(engine, one):
            against.append(told)
    return {"services": services, "against": against, "doubts": doubts}


def misnamed(engine: Engine, one: dict[str, Any]) -> str | None:
    """Return why the name by which a container's image was asked for would bring up another one, None where it would not."""
    there = stack_images.local(engine, one["asked_for"])
    if there is not None and there["Id"] == one["image"]:
        return None
    # Docker tags nothing by a digest: such a name comes with a pull, of which nothing but the name is new.
    how = f"docker pull {one['asked_for']}" if is_pinned(one) else f"docker tag {one['image']} {one['asked_for']}"
    return f"{one['asked_for']}, which {one['name']} ran, does not name its image any more: {how}"


def is_pinned(one: dict[str, Any]) -> bool:
    """Say whether what a container ran was asked for by a digest, so that a registry gives that very image again."""
    return _PINNED in one["asked_for"]


def differences(held: dict[str, Any], own: list[Container]) -> dict[str, list[dict[str, str]]]:
    """Return what going back would change, as things are now: {files, services}; of a file no byte is told."""
    files = [
        {"target": shot["path"], "after": "absent" if text_of(shot) is None else "as it was"}
        for shot in held["files"]
        if stack_files.digest(shot["path"]) != stack_files.digest_of(text_of(shot))
    ]
    now = {one.service: one.asked_for for one in own}
    then = {one["service"]: one["asked_for"] for one in held["services"]}
    services = [
        {"target": name, "before": now.get(name, "absent"), "after": then.get(name, "absent")}
        for name in sorted({*now, *then})
        if now.get(name) != then.get(name)
    ]
    return {"files": files, "services": services}


def _why_not_pulled(engine: Engine, one: dict[str, Any]) -> str | None:
    # By the digest alone it would come back without the name that the files ask for, and going back refuses that.
    return stack_images.why_not_given(engine, one["asked_for"]) if is_pinned(one) else "it was asked for by no digest"
