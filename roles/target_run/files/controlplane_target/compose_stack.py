"""The verbs `compose-stack …`: refuse, prepare, pull, deploy, prove, and what the host itself settles; the undo is stack_undo.py's.

Rules:
- `refuse` and `prepare` read only. `pull` brings images and nothing else. `deploy` writes the files and lets Compose bring them up, without a pull or a build.
- The journal's phase is written before its step: `writing` goes back after a crash, because nothing that runs has changed; `deploying` goes on, because what
  has may be half made. `failed` stays until somebody runs it again, or takes it back.
- Compose is never told `-y`, and never `down` with volumes. What a person ran once beside the services stays (stack_orphans.py).
- What is deployed already, with nothing open, is done: nothing is touched.
"""

from __future__ import annotations

import time
from typing import Any

from . import (
    compose_replacing,
    leg_verbs,
    redis_rest,
    settle_units,
    stack_asked,
    stack_back,
    stack_files,
    stack_images,
    stack_judge,
    stack_look,
    stack_orphans,
    stack_places,
    stack_prove,
    stack_standing,
    stack_undo,
    stack_view,
    stack_volumes,
    stack_watch,
)
from .cancel import Cancel
from .compose import stack_from
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault, TargetFault
from .stack_containers import by_service, of_project
from .stack_env import last_words
from .stack_look import Look
from .stack_request import Request
from .state import Home, Run
from .systemd import unit_name

ROLE = "compose_stack"
WRITING, DEPLOYING, UNDOING, FAILED = "writing", "deploying", "undoing", "failed"
OPEN = (WRITING, DEPLOYING, UNDOING)
UNTOUCHED = ("new", "prepared", "pulled", "undone")
# A first append-only file of a large Redis takes its time, and everything still runs meanwhile.
_REST_LIMIT_S = 600
_UP = ("up", "--detach", "--wait", "--no-build", "--pull", "never")


def unit_of(project: str) -> str:
    """Return the transient unit's name: one a project."""
    return unit_name(ROLE, project)


class ComposeStack:
    """The verbs on one host."""

    lock = "compose-stack"

    def __init__(self, home: Home, engine: Engine, cancel: Cancel) -> None:
        self.home, self.engine, self.cancel = home, engine, cancel

    def refuse(self, run: Run, request: Request) -> dict[str, Any]:
        """Return what is to be done ({already, changes, pull, doubts, told}); refused with all reasons at once. `told` is of the way back."""
        look = self._looked(run, request)
        already = self._is_done(run, request)
        changes = [] if already else look.changes
        held = stack_back.now(run, self.engine, request) if run.phase in UNTOUCHED else stack_back.before(run)
        told = {"back": stack_standing.standing(self.engine, held, run.key)}
        return {"already": already, "changes": changes, "pull": look.absent, "doubts": look.doubts, "phase": run.phase, "told": told}

    def prepare(self, run: Run, request: Request) -> dict[str, Any]:
        """Leave the way back; a run that changed something before keeps the one that it left then."""
        if run.phase not in UNTOUCHED:
            return {"changed": False}
        changed = stack_back.record(run, self.engine, request)
        run.write(role=ROLE, phase="prepared", leg=None, trees=[], project=request.project, release=request.stack)
        return {"changed": changed}

    def pull(self, run: Run, request: Request) -> dict[str, Any]:
        """Pull what is not here, while everything runs, and judge what came. Raises `RefusedFault`."""
        leg_verbs.assert_leased(self.home, run)
        return self._pulled(run, request, self._looked(run, request))

    def deploy(self, run: Run, request: Request) -> dict[str, Any]:
        """Write the files and bring them up; returns {changed, downtime_s}. Raises `RefusedFault`, `FailedFault`."""
        if run.phase in (WRITING, UNDOING):
            self.recover(run)
        look = self._looked(run, request)
        if self._is_done(run, request):
            return {"changed": False, "downtime_s": run.state.get("downtime_s") or {}}
        self._pulled(run, request, look)
        redis_rest.await_rest(
            lambda: [one.inspection for one in of_project(self.engine.containers(), request.project)], _REST_LIMIT_S, self.cancel.check
        )
        leg_verbs.assert_leased(self.home, run)
        self.cancel.check()
        self.cancel.close()
        disks = stack_places.mounts_of([*stack_judge.binds(look.config), *stack_volumes.binds(self.engine, look.config)])
        settle_units.install_after(run.key, leg_verbs.command(self, run, "settle"), disks)
        was = self._ids(request.project)
        written = self._write(run, request)
        self._bring_up(run)
        return {"changed": bool(written) or self._ids(request.project) != was, "downtime_s": run.state["downtime_s"]}

    def _looked(self, run: Run, request: Request) -> Look:
        look = stack_look.look(self.engine, request, run.key)
        if found := [*stack_look.open_elsewhere(self.home, request.project, run, OPEN), *look.found]:
            raise RefusedFault(f"{_named(request)} refused: {'; '.join(found)}. Nothing was changed.")
        return look

    def _is_done(self, run: Run, request: Request) -> bool:
        return run.phase not in OPEN and not stack_prove.lacking(self.home, self.engine, request)

    def _ids(self, project: str) -> dict[str, list[str]]:
        return by_service(of_project(self.engine.containers(), project))

    def _pulled(self, run: Run, request: Request, look: Look) -> dict[str, Any]:
        with self.cancel.possible():
            pulled = stack_images.pull(self.engine, look.absent)
        if found := stack_look.of_the_images(self.engine, look.config, look.images):
            kept = f" Pulled, and left: {', '.join(pulled)}." if pulled else ""
            raise RefusedFault(f"{_named(request)} refused: {'; '.join(found)}.{kept} Nothing was changed.")
        if run.phase in UNTOUCHED:
            run.write(phase="pulled")
        return {"changed": bool(pulled), "pulled": pulled}

    def _write(self, run: Run, request: Request) -> list[str]:
        """Write the files, and have Compose read them where they lie; return which were written. Raises `RefusedFault`, `FailedFault`, `OSError`."""
        # A run that brought something up before only goes forward: the files from before it are not those of what runs.
        is_first = run.phase in UNTOUCHED
        watched = stack_watch.carried(run.state) if run.phase in (DEPLOYING, FAILED) else {"watched": None}
        if is_first:
            # A pull takes its time: what goes back is how things are now.
            stack_back.record(run, self.engine, request)
        leg_verbs.enter(run, WRITING if is_first else DEPLOYING, **request.noted, **watched)
        try:
            written = stack_files.write(request)
            view = stack_view.reading(request.as_told, {}, run.key)
            # Nobody may have put a file beside them, or taken a place away, since they were judged.
            if found := stack_look.of_the_view(self.engine, view, request):
                raise FailedFault(f"{_named(request)}: {'; '.join(found)}")
        except (TargetFault, OSError) as fault:
            if not is_first:
                leg_verbs.enter(run, FAILED)
                raise
            self._take_back_files(run)
            raise RefusedFault(f"{fault}. Its files were put back as they were. Nothing was changed.") from fault
        leg_verbs.enter(run, DEPLOYING, services=sorted(stack_judge.services_of(view.config)))
        return written

    def _bring_up(self, run: Run) -> None:
        """Let Compose bring up the files that are written, watched. Raises `FailedFault`, with the journal at `failed`."""
        state = run.state
        stack, watch = stack_from(state["stack"]), stack_watch.Watch(self.engine, run, state["project"])
        try:
            compose_replacing.settle(self.engine, state["project"])
            orphans = stack_orphans.take_away(self.engine, state["project"], state["services"])
        except FailedFault as fault:
            leg_verbs.enter(run, FAILED)
            raise FailedFault(f"{fault}. Run this again, or go back: {run.folder}/undo") from fault
        said = stack_watch.compose(stack.argv(*_UP, *orphans, "--wait-timeout", str(state["wait_s"])), watch)
        watch.close(state["services"], 5.0 if said.code == 0 else 0.0)
        containers = of_project(self.engine.containers(), state["project"])
        if said.code != 0:
            told = [last_words(said.out, stack_files.env_text(state["folder"])), *stack_watch.states(containers)]
            leg_verbs.enter(run, FAILED)
            raise FailedFault(f"Compose did not bring {state['release']} up: {'; '.join(told)}. Go back: {run.folder}/undo")
        stack_back.note_deployed(run, by_service(containers))
        leg_verbs.enter(run, "done", finished_at=time.time())

    def prove(self, run: Run, request: Request) -> dict[str, Any]:
        """Say that each service runs the manifest's image, healthy, from the release's files; a fault otherwise."""
        end = time.monotonic() + request.wait_s
        while (found := stack_prove.lacking(self.home, self.engine, request)) and stack_prove.is_starting(self.engine, request.project):
            if time.monotonic() > end:
                break
            time.sleep(0.5)
        if found:
            raise FailedFault(f"{_named(request)} is not proven: {'; '.join(found)}. Run this again, or go back: {run.folder}/undo")
        named = {"stack": request.stack, "environment": request.environment, "manifest": request.manifest, "manifest_name": request.manifest_name}
        told = {**named, "services": stack_prove.told(self.engine, request)}
        return {"changed": False, "phase": run.phase, "downtime_s": run.state.get("downtime_s") or {}, "told": told}

    # What the host does by itself.

    def is_open(self, run: Run) -> bool:
        """Say whether the run's step was begun and not ended."""
        return run.phase in OPEN

    def recover(self, run: Run) -> str:
        """Bring an interrupted step to one side; return the side."""
        run.reload()
        side = "untouched"
        if run.phase == WRITING:
            self._take_back_files(run)
            side = "source"
        elif run.phase == DEPLOYING:
            stack_undo.assert_places(self, run, stack_from(run.state["stack"]))
            self._bring_up(run)
            side = "destination"
        elif run.phase == UNDOING:
            stack_undo.go_back(self, run, run if run.state["of"] == run.key else self.home.run(run.state["of"]))
            side = "source"
        self.clean_up(run)
        return side

    def settle_configuration(self, run: Run) -> str:  # noqa: ARG002 - as every leg's verbs have it
        """Do nothing before Docker starts: the engine's own configuration is no part of this."""
        return "untouched"

    def clean_up(self, run: Run) -> None:
        """Remove what a unit that ended, or was killed, had in memory, and what only an open step needs, once it is closed."""
        stack_asked.forget(run)
        stack_view.forget(run.key)
        if run.phase not in OPEN:
            settle_units.uninstall_after(run.key)

    def _take_back_files(self, run: Run) -> None:
        held = stack_back.before(run)
        stack_files.put_back(held["files"], held["made"])
        leg_verbs.enter(run, "pulled")


def _named(request: Request) -> str:
    return f"compose_stack of {request.stack} ({request.environment})"
