"""The undo of a deployment: the files as they were, byte for byte, and the images that ran; after a first deployment nothing of it runs.

Rules:
- What speaks against it is collected, and images that are gone are pulled, before anything is stopped.
- A first deployment is taken down by the files that it wrote: as long as anything of it is there, they have to be.
- No volume is removed, and nothing that a release did to its data is taken back.
- Proven is what runs afterwards, by the images' own ids: a tag that names another one by now would make the way back none (docker/compose#13149).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import (
    compose_replacing,
    leg_verbs,
    services,
    settle_units,
    stack_back,
    stack_files,
    stack_images,
    stack_judge,
    stack_look,
    stack_orphans,
    stack_places,
    stack_standing,
    stack_view,
    stack_volumes,
    stack_watch,
)
from .compose import Stack, stack_from
from .faults import FailedFault, RefusedFault
from .files import read_json, text_of
from .stack_containers import by_service, of_project, ran_once
from .stack_env import last_words
from .state import Run

if TYPE_CHECKING:
    from .compose_stack import ComposeStack

UNDOING = "undoing"


def undo(verbs: ComposeStack, run: Run, of: Run) -> dict[str, Any]:
    """Take back what the run `of` deployed; returns {changed, downtime_s}. Raises `RefusedFault`, `FailedFault`."""
    if of.phase == "new":
        raise RefusedFault(_unknown(of))
    leg_verbs.assert_leased(verbs.home, run)
    if of.phase == "writing":
        verbs.recover(of)
        return {"changed": True, "downtime_s": {}}
    if run.phase != UNDOING:
        if of.phase in ("prepared", "pulled", "undone"):
            return {"changed": False, "downtime_s": {}}
        _refuse(verbs, run, of)
        leg_verbs.assert_leased(verbs.home, run)
        verbs.cancel.check()
    verbs.cancel.close()
    go_back(verbs, run, of)
    return {"changed": True, "downtime_s": run.state.get("downtime_s") or {}}


def shown(verbs: ComposeStack, run: Run, of: Run, passed: Sequence[str]) -> dict[str, Any]:
    """Return what going back would change, and change nothing; refused as the undo would be. `passed` are runs that would be back by then."""
    if of.phase == "new":
        raise RefusedFault(_unknown(of))
    nothing: dict[str, Any] = {"files": [], "services": [], "pull": []}
    if of.phase in ("prepared", "pulled", "undone"):
        return {"changed": False, "doubts": [], "told": {"undo": nothing}}
    held = stack_back.before(of)
    back = stack_standing.standing(verbs.engine, held, run.key)
    _refuse_found(of, [*_in_the_way(verbs, of, held, passed=passed), *back["against"]])
    own = of_project(verbs.engine.containers(), str(of.state["project"]))
    told = {**stack_standing.differences(held, own), "pull": [name for name, where in back["services"].items() if where == "registry"]}
    return {"changed": any(told.values()), "doubts": back["doubts"], "told": {"undo": told}}


def _unknown(of: Run) -> str:
    return f"this host knows no run {of.key}. Nothing was changed. 'controlplane runs show {of.key}' tells where it ran."


def go_back(verbs: ComposeStack, run: Run, of: Run) -> None:
    """Bring back what was before that run, from wherever it is. Safe to repeat. Raises `FailedFault`, with the journal at `undoing`."""
    of.reload()
    if of.phase == "undone" and run.key != of.key:
        # Another attempt came to the end first.
        leg_verbs.enter(run, "undone")
        return
    held = stack_back.before(of)
    if run.phase != UNDOING:
        settle_units.install_after(run.key, leg_verbs.command(verbs, run, "settle"), _disks(verbs, run, held))
        kept = {key: of.state.get(key) for key in ("role", "project", "folder", "release", "wait_s", "stack")}
        # A service that a failed deployment left down is down since then.
        watched = {"watched": None} if of.phase == "done" else {**stack_watch.carried(of.state), "downtime_s": {}}
        leg_verbs.enter(run, UNDOING, of=of.key, leg="undo", trees=[], downed=False, **kept, **watched)
    watch = stack_watch.Watch(verbs.engine, run, run.state["project"])
    if held["stack"] is None:
        _down(verbs, run, watch)
        stack_files.put_back(held["files"], held["made"])
        run.write(downtime_s={})
    else:
        stack_files.put_back(held["files"], held["made"])
        _up(verbs, run, held, watch)
    stack_back.put_back_record(run, held, by_service(of_project(verbs.engine.containers(), run.state["project"])))
    if run.key != of.key:
        of.write(phase="undone", undone_by=run.key)
    leg_verbs.enter(run, "undone", finished_at=time.time())
    for other in verbs.home.runs():
        # An attempt that was killed, and has nothing left to do.
        if other.phase == UNDOING and other.state.get("of") == of.key:
            other.write(phase="undone")
            settle_units.uninstall_after(other.key)


def _disks(verbs: ComposeStack, run: Run, held: dict[str, Any]) -> list[str]:
    """Return the mounts that a boot has to wait for before what was before is brought up."""
    if held["stack"] is None:
        return []
    config = stack_standing.read_before(run.key, held)
    return stack_places.mounts_of([*stack_judge.binds(config), *stack_volumes.binds(verbs.engine, config)])


def _down(verbs: ComposeStack, run: Run, watch: stack_watch.Watch) -> None:
    if run.state.get("downed"):
        return
    stack = stack_from(run.state["stack"])
    # An attempt that was killed, or a person, took it down before: then the files by which Compose does may be gone as well.
    if of_project(verbs.engine.containers(), stack.project) or all(map(os.path.exists, (*stack.files, *stack.environment_files))):
        # Volumes stay, whatever is in them.
        said = stack_watch.compose(stack.argv("down", *_orphans(verbs, run, stack)), watch)
        if said.code != 0:
            raise FailedFault(f"Compose did not take {run.state['release']} down: {_last_words(run, said.out)}")
    run.write(downed=True)


def _orphans(verbs: ComposeStack, run: Run, stack: Stack) -> list[str]:
    """Take away what is no part of a stack that goes down, and return the words by which Compose does that, if it is left to it."""
    if not ran_once(verbs.engine.containers(), stack.project):
        return stack_orphans.take_away(verbs.engine, stack.project, ())
    try:
        config = stack_view.reading(stack, {}, run.key).config
    except RefusedFault as fault:
        raise FailedFault(str(fault).removesuffix(". Nothing was changed.")) from fault
    return stack_orphans.take_away(verbs.engine, stack.project, stack_judge.services_of(config))


def _up(verbs: ComposeStack, run: Run, held: dict[str, Any], watch: stack_watch.Watch) -> None:
    stack, were = stack_from(held["stack"]), held["services"]
    names = sorted({one["service"] for one in were})
    config = assert_places(verbs, run, stack)
    all_of_it = set(names) == set(stack_judge.services_of(config))
    # Compose takes a service whose healthcheck is switched off for a failure, where it is to wait; what was before may be such a one.
    wait = ["--wait", "--wait-timeout", str(run.state["wait_s"])] if all(one["demand"] == "healthy" for one in were) else []
    compose_replacing.settle(verbs.engine, stack.project)
    orphans = stack_orphans.take_away(verbs.engine, stack.project, stack_judge.services_of(config))
    words = ["up", "--detach", *wait, "--no-build", "--pull", "never", *orphans, *([] if all_of_it else ["--no-deps", *names])]
    said = stack_watch.compose(stack.argv(*words), watch)
    now = of_project(verbs.engine.containers(), stack.project)
    if said.code != 0:
        told = "; ".join([_last_words(run, said.out), *stack_watch.states(now)])
        raise FailedFault(f"Compose did not bring back what ran before: {told}")
    demands = {one["service"]: one["demand"] for one in were}
    waited = [{"id": one.id, "name": one.name, "demand": demands.get(one.service, "nothing")} for one in now]
    _, missing = services.wait_for_answers(verbs.engine, waited, run.state["wait_s"])
    wanted = {(one["service"], one["image"]) for one in were}
    other = sorted(f"{one.service} runs {one.asked_for} ({one.image[:19]})" for one in now if (one.service, one.image) not in wanted)
    if missing or other:
        raise FailedFault(f"what ran before is not back: {'; '.join([*missing, *(f'{one}, which it did not before' for one in other)])}")
    watch.close(names)


def assert_places(verbs: ComposeStack, run: Run, stack: Stack) -> dict[str, Any]:
    """Return Compose's reading of files that lie in their folder. Raises `FailedFault` where it can't read them, or what they bind is not there.

    A disk that a power cut took along would be replaced by empty folders.
    """
    try:
        config = stack_view.reading(stack, {}, run.key).config
    except RefusedFault as fault:
        raise FailedFault(str(fault).removesuffix(". Nothing was changed.")) from fault
    if found := stack_places.of_the_binds([*stack_judge.binds(config), *stack_volumes.binds(verbs.engine, config)], ()):
        raise FailedFault(f"{run.state['release']} was not brought up: {'; '.join(found)}")
    return config


def _refuse(verbs: ComposeStack, run: Run, of: Run) -> None:
    """Raise `RefusedFault` with all that speaks against going back; pull what is needed for it and gone."""
    held = stack_back.before(of)
    found = _in_the_way(verbs, of, held, passed=())
    if held["stack"] is not None:
        found += _of_what_ran(verbs, run, held)
    _refuse_found(of, found)


def _refuse_found(of: Run, found: list[str]) -> None:
    if found:
        raise RefusedFault(f"undo of {of.key} refused: {'; '.join(found)}. Nothing was changed.")


def _in_the_way(verbs: ComposeStack, of: Run, held: dict[str, Any], *, passed: Sequence[str]) -> list[str]:
    """Return what lies on that run; `passed` are those that would be back by then."""
    state, found = of.state, []
    newest = str((read_json(stack_files.record_of(verbs.home, state["project"])) or {}).get("run"))
    is_older = of.phase == "done" and newest != of.key
    if is_older and newest not in passed:
        found.append(f"run {newest} deployed {state['project']} since: take that back first")
    found += stack_look.open_elsewhere(verbs.home, state["project"], of, ("writing", "deploying"))
    for shot in [] if is_older else held["files"]:
        known = (state["files"].get(os.path.basename(shot["path"])), _digest(shot))
        if stack_files.digest(shot["path"]) not in known:
            found.append(f"{shot['path']} was changed by somebody since this run wrote it: take those changes back")
    return found if is_older or held["stack"] is not None else [*found, *_files_away(verbs, of, held)]


def _files_away(verbs: ComposeStack, of: Run, held: dict[str, Any]) -> list[str]:
    """Return which files of a first deployment are gone under what runs: they are as they were before it, but Compose takes it down by them."""
    project, folder = of.state["project"], of.state["folder"]
    gone = [shot["path"] for shot in held["files"] if stack_files.digest(shot["path"]) is None]
    if not gone or not of_project(verbs.engine.containers(), project):
        return []
    by_hand = f"or take {project} down by hand: docker compose --project-name {project} down (never with --volumes)"
    if not os.path.isdir(folder):
        return [f"project {project} runs from {folder}, which is not there, and Compose takes it down by the files in it: move it back, {by_hand}"]
    return [f"Compose takes project {project} down by files that are missing ({', '.join(gone)}): put them back, {by_hand}"]


def _of_what_ran(verbs: ComposeStack, run: Run, held: dict[str, Any]) -> list[str]:
    """Return what speaks against bringing up what ran before."""
    try:
        config = stack_standing.read_before(run.key, held)
    except RefusedFault as fault:
        return [str(fault).removesuffix(". Nothing was changed.")]
    found = stack_places.of_the_binds([*stack_judge.binds(config), *stack_volumes.binds(verbs.engine, config)], ())
    for one in held["services"]:
        image = stack_images.local(verbs.engine, one["image"])
        if image is None:
            # Pulled now, while everything runs, by the name that the files ask for: under another it would be no way back.
            stack_images.pull(verbs.engine, [one["asked_for"]] if stack_standing.is_pinned(one) else [*one["digests"][:1]] or [one["asked_for"]])
        if told := stack_standing.misnamed(verbs.engine, one):
            found.append(told)
    return found


def _digest(shot: dict[str, Any]) -> str | None:
    return stack_files.digest_of(text_of(shot))


def _last_words(run: Run, said: str) -> str:
    return last_words(said, stack_files.env_text(run.state["folder"]))
