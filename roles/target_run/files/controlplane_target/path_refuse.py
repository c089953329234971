"""What a move of one container's paths is about to do, and everything that speaks against it, of all paths at once, with nothing changed.

Rules:
- A path that has its place is no part of the move: of its place only owner and mode may be left to do, for which nothing stops.
- A copy of what is not there any more is not written over by whatever has its name by now (path_top.py).
- All reasons of all paths are collected; each names its path, its place or its file.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from . import compose, lost_found, path_edit, path_refusals, path_top, redis_guard, redis_rest
from .docker_engine import Engine
from .faults import RefusedFault, TargetFault
from .path_layer import Layer
from .path_layer_dirs import dirs_of, is_known
from .path_leg import OPEN
from .path_place import is_there, place_of, ungoverned
from .path_proof import Proof
from .path_request import SURFACE, Request, Wanted, parse
from .path_source import Source, assert_no_link, assert_whole, is_missing, source_of
from .state import Home, Run


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    """Return a container as it is now. Raises `RefusedFault`."""
    try:
        status, answer = engine.call("GET", f"/containers/{quote(name, safe='')}/json")
    except (OSError, ValueError) as fault:
        raise RefusedFault(f"Docker's socket {engine.path} does not answer ({fault}). Nothing was changed. Start Docker.") from fault
    if status != 200:
        raise RefusedFault(f"there is no container {name}. Nothing was changed. Bring it up, or take it out of the policy.")
    return dict(answer)


def sources_of(engine: Engine, inspection: dict[str, Any], request: Request) -> dict[str, Source]:
    """Return where each path lands, by its name in the container. Raises `RefusedFault` with all reasons."""
    sources, found = {}, []
    for wanted in request.paths:
        try:
            assert_whole(inspection, wanted.data)
            sources[wanted.data] = source_of(engine, inspection, wanted.data)
        except RefusedFault as fault:
            found.append(_reason(fault))
    if found:
        raise RefusedFault(f"moving {request.told} of {request.container} refused: {'; '.join(found)}. Nothing was changed.")
    return sources


def still_to_move(request: Request, sources: dict[str, Source]) -> Request:
    """Return the request for the paths that don't have their place yet."""
    return request.only([wanted.data for wanted in request.paths if not is_there(sources[wanted.data], wanted)])


def seen(source: Source, inspection: dict[str, Any]) -> Source:
    """Return a source as this host sees it while the container runs: of a layer where Docker shows it."""
    if source.kind != "layer":
        return source
    base = dirs_of(inspection).merged
    if base is None:
        name = str(inspection["Name"]).lstrip("/")
        if inspection["State"]["Running"]:
            raise RefusedFault(
                f"the layer of {name} is mounted nowhere that this host shows, so nobody sees what it holds. Nothing was changed. "
                "By hand: stop it, 'docker cp' its data to a 'tar -xp' in the place, then mount that in its compose file."
            )
        raise RefusedFault(f"{name} does not run, so nothing shows what its layer holds. Nothing was changed. Start it, then run this again.")
    return Source("layer", base + source.path, base, "")


def is_absent(wanted: Wanted, source: Source, inspection: dict[str, Any]) -> bool:
    """Say whether it is a surface that the container has not made so far."""
    return wanted.kind == SURFACE and is_missing(seen(source, inspection))


def since_begun(engine: Engine, inspection: dict[str, Any], run: Run) -> list[str]:
    """Return what is not as when the run's copy began: the container is another one, or a path that moves lies elsewhere. Raises `RefusedFault`."""
    request = parse(run.state["request"]).only([path["data"] for path in run.state["paths"]])
    found = [] if run.state.get("container_id") == inspection["Id"] else [f"{request.container} was made anew"]
    sources = sources_of(engine, inspection, request)
    for path in run.state["paths"]:
        wanted, source = request.at(path["data"]), sources[path["data"]]
        now = source._replace(kind="absent") if is_absent(wanted, source, inspection) else source
        if now._asdict() != path["source"]:
            found.append(f"{wanted.data} came to lie in {now.told}")
        elif path_top.replaced([path]):
            found.append(f"{wanted.data} came to lie in another {now.told} of the same name")
        elif off := path_top.off_mount(path):
            found.append(off)
    return found


class Refuse:
    """The look at one request on one host."""

    def __init__(self, home: Home, engine: Engine, run: Run, proof: Proof) -> None:
        self.home, self.engine, self.run, self.proof, self.request = home, engine, run, proof, proof.request

    def answer(self) -> dict[str, Any]:
        """Return what is to be done; refused with all reasons at once."""
        run, request = self.run, self.request
        if run.phase in OPEN:
            return {"already": False, "open": True, "phase": run.phase, "changes": []}
        inspection = inspected(self.engine, request.container)
        sources = sources_of(self.engine, inspection, request)
        moving = still_to_move(request, sources)
        changes = [one for wanted in request.paths if wanted not in moving.paths for one in ungoverned(wanted)]
        if moving.paths:
            changes = [*self._moves(inspection, sources, moving), *changes]
        return {"already": not changes, "open": False, "phase": run.phase, "changes": changes}

    def _moves(self, inspection: dict[str, Any], sources: dict[str, Source], moving: Request) -> list[dict[str, Any]]:
        kept = redis_guard.keeping(self.home, lambda other: bool(other.state["guard"]["id"] == inspection["Id"]))
        found = [*(kept or path_refusals.of_the_container(inspection, moving)), *self._open_elsewhere()]
        stack = compose.stack_of(inspection)
        if stack is None:
            found.append(by_hand(moving))
        changes = [
            {"kind": "move", "target": f"{wanted.data} of {moving.container}", "before": sources[wanted.data].told, "after": wanted.destination}
            for wanted in moving.paths
        ]
        pairs: list[tuple[str | None, str]] = []
        looks: list[Callable[[], list[str]]] = [
            *(lambda wanted=wanted: self._of_places(inspection, sources[wanted.data], wanted, pairs) for wanted in moving.paths),
            lambda: self._of_layer(inspection),
            lambda: path_refusals.of_them_together(pairs),
            lambda: self._of_stack(inspection, stack, moving, changes),
        ]
        for look in looks:
            try:
                found += look()
            except TargetFault as fault:
                found.append(_reason(fault))
        if inspection["State"]["Running"]:
            found += [*self.proof.refusals(), *redis_rest.at_risk([inspection])]
        if found:
            raise RefusedFault(f"moving {moving.told} of {moving.container} refused: {'; '.join(found)}. Nothing was changed.")
        return changes

    def _open_elsewhere(self) -> list[str]:
        return [
            f"run {other.key} of it is open at {other.phase}: end it first ({other.folder}/undo)"
            for other in self.home.runs()
            if other.key != self.run.key and other.phase in OPEN and (other.state.get("request") or {}).get("container") == self.request.container
        ]

    def _of_layer(self, inspection: dict[str, Any]) -> list[str]:
        """Ask for the container's own layer, which is kept before it is made anew: what can't be found then would stop the move half-way."""
        try:
            if is_known(inspection):
                Layer(self.home.run("look"), inspection).kept()
        except OSError as fault:
            return [f"the layer of {self.request.container} can't be kept: {fault}"]
        return []

    def _of_places(self, inspection: dict[str, Any], source: Source, wanted: Wanted, pairs: list[tuple[str | None, str]]) -> list[str]:
        place, shown = place_of(self.engine, wanted), seen(source, inspection)
        copied = path_top.of_copies(self.home, source, wanted.data, place) if place is not None else []
        if is_absent(wanted, source, inspection):
            if not wanted.owner or not wanted.mode:
                return [
                    f"{self.request.container} has no {wanted.data} so far, so nobody says whose it is: declare its owner and mode (policy.yml, write_surfaces)"
                ]
            pairs.append((None, str(place)))
            return [*copied, *path_refusals.of_the_destination(self.home, wanted.mount, str(place), [])]
        assert_no_link(shown, self.request.container)
        found = copied + path_refusals.of_the_source(self.engine, source._replace(path=shown.path), self.request.container)
        found += path_refusals.of_the_links(shown.path, wanted.data) if wanted.kind == "postgres" else []
        if place is None:
            return found
        pairs.append((shown.path, place))
        found += path_refusals.of_the_destination(self.home, wanted.mount, place, os.listdir(shown.path))
        return [*found, *(lost_found.clash(shown.path, place) if os.path.isdir(place) else [])]

    def _of_stack(self, inspection: dict[str, Any], stack: compose.Stack | None, moving: Request, changes: list[dict[str, Any]]) -> list[str]:
        if stack is None:
            return []
        compose.assert_alone(inspection, stack, self.engine)
        compose.assert_made_from(stack, moving.container)
        made = path_edit.edit(stack, moving)
        path_edit.assert_only_that(stack, made, moving)
        changes += [{"kind": "file", "target": path, "before": "", "after": f"{moving.container} mounts {moving.told}"} for path in made.texts]
        return []


def by_hand(request: Request) -> str:
    """Return why a container without Compose is left alone, and the commands for a person."""
    steps, mounts = [f"docker stop {request.container}"], []
    for wanted in request.paths:
        kind, source = ("bind", wanted.place) if wanted.place else ("volume", wanted.volume)
        # Creating a volume prints its name as well; one that is there already stays.
        into = (
            shlex.quote(wanted.place) if wanted.place else f"\"$(docker volume inspect -f '{{{{.Mountpoint}}}}' $(docker volume create {source}))\""
        )
        steps += [f"mkdir -p {into}"] if wanted.place else []
        # What 'docker cp -a' writes on the host belongs to whoever calls it (moby, archive.CopyTo); an archive keeps the owners.
        steps.append(f"docker cp {shlex.quote(f'{request.container}:{wanted.data}/.')} - | tar -xp --numeric-owner -C {into}")
        mounts.append(f"--mount {shlex.quote(f'type={kind},source={source},target={wanted.data}')}")
    return (
        f"Compose did not make {request.container}, so nobody here can make it anew as it was. By hand: {' && '.join(steps)}; "
        f"then run its image again with the same options and {' '.join(mounts)}"
    )


def _reason(fault: TargetFault) -> str:
    return str(fault).removesuffix(" Nothing was changed.")
