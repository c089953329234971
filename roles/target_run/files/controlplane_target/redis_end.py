"""How a run at a Redis comes to its end: its keys compared, what runs read back, what was kept aside gone.

Rules:
- What runs is read at the end, from the server that goes on. Where that has another setting than was asked for, or works in another folder, whoever
  starts it (an image's own script) says so after its command: a fault, before anything that was kept aside is removed.
- A run that failed while its container was made anew may find it as it was wanted later, and then no plan has anything to do there. Its keys are compared
  by the host itself, by a person's hand, by the next run at that container, or by its own way back: whoever comes first.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import path_kept, redis_anew, redis_down, redis_dump, redis_guard, redis_persist, redis_wait, settle_units
from .faults import FailedFault
from .redis_client import LoginError
from .redis_server import state_of
from .state import Run

if TYPE_CHECKING:
    from .redis_request import Request

SHOWN = ["dir", "save", "appendonly", "appendfsync"]


def go_on(run: Run, request: Request, *, is_first_life: bool) -> None:
    """End a run whose container was made anew and is told the settings, comparing its keys unless that was done. Raises `FailedFault`."""
    if run.state.get("keys") is None:
        redis_anew.judge_after_cut(run, request, is_first_life=is_first_life)
    end(run, request)


def end(run: Run, request: Request) -> None:
    """Read back what runs, remove what was kept aside, and close the run. Raises `FailedFault`."""
    server = request.server()
    with closing(server.redis):
        after = server.redis.settings(SHOWN)
    was = (run.state.get("after") or {}).get("dir", after["dir"])
    wrong = [f"{name} {after[name] or 'empty'} instead of {value or 'empty'}" for name, value in request.settings.items() if after[name] != value]
    wrong += [f"its data in {after['dir']} instead of {was}"] if after["dir"] != was else []
    if wrong:
        raise FailedFault(
            f"{request.container} runs with {', '.join(wrong)}: a script that starts it, or a client, set that after its command. Let nobody do that, then plan again. "
            f"Its dump from before is kept in its data folder under the run's name. Go back: {run.folder}/undo"
        )
    run.write(after=after)
    close(run, request, "done")


def settle(run: Run, request: Request) -> dict[str, Any]:
    """Bring up what is half made anew; compare and end what only waits for that, and say what came of it. Raises `FailedFault` where it does not come up."""
    known = run.state.get("doubts") or []
    brought = redis_down.settle(run, request)
    said = "; ".join(doubt for doubt in run.state.get("doubts") or [] if doubt not in known)
    try:
        # One that stands still is asked nothing: the run that goes on starts it, and would wait for this.
        if (state_of(request.container) or {}).get("Running") and _is_left(run, request):
            go_on(run, request, is_first_life=brought)
    except LoginError as fault:
        said = f"{fault}. Its keys were not compared here: applying the same plan again does it, the next run at it, or its way back"
    except (FailedFault, OSError) as fault:
        # Its unit would try again, and nothing comes of that.
        said = str(fault)
    return {"changed": brought, "phase": run.phase, **({"message": said} if said else {}), **_fared(run)}


def compare_earlier(run: Run, request: Request) -> None:
    """End each run before this one that left that container made anew and its keys not compared; note how they fared. Lost ones keep that run alone open."""
    for other in run.home.runs():
        asked = other.state.get("asked") or {}
        if other.key == run.key or other.state.get("role") != "redis_aof" or asked.get("container") != request.container:
            continue
        settings = dict(asked["settings"])
        own = replace(request, settings=settings, persist={name: settings[name] for name in asked["persist"]}, route=asked["route"])
        if _is_left(other, own):
            _compare(other, own)
            note = f"{_words(other, request)}, since run {other.key} made it anew and failed"
            if other.state["keys"].get("lost"):
                note += f": its dump from before is kept in its data folder under that run's name, and {other.folder}/undo goes back"
            else:
                close(other, own, "done")
            run.write(notes=[*(run.state.get("notes") or []), note])


def compare_before_back(of: Run, request: Request) -> None:
    """Compare the keys of a run that goes back and had not come to that: its dump stays where some are gone. Lost ones keep nobody from going back."""
    if of.state.get("counts") is None or not _is_left(of, request):
        return
    _compare(of, request)
    if of.state["dump_kept"] or of.state["keys"].get("not_proven"):
        # The way back notes what it finds itself.
        of.write(complaint=f"{_words(of, request)}, between when it was made anew and when it went back")


def compare_held(run: Run, request: Request) -> None:
    """Compare the keys with those of a hold after which nothing was made anew: another life came back, with what its dump had. A loss is a doubt by then."""
    if not run.state.get("counts") or run.state.get("keys") is not None:
        return
    server = redis_wait.answering(request)
    with closing(server.redis):
        if redis_guard.life_of(server) == run.state.get("started_at"):
            return
    _compare(run, request)
    keys = run.state["keys"]
    if any(keys.get(how) for how in ("lost", "unknown", "gone")):
        said = f"{_words(run, request)}, between when its writes were held and a start of it by which it was not made anew"
        run.write(doubts=[*(run.state.get("doubts") or []), said], dump_kept=True)
    # The next hold counts anew.
    run.write(keys=None, counts=None)


def _compare(of: Run, request: Request) -> None:
    """Compare the keys of a run that failed. Raises `FailedFault` where that could not be done, and not for lost ones."""
    try:
        redis_anew.judge_after_cut(of, request, is_first_life=False)
    except FailedFault:
        if of.state.get("keys") is None:
            raise


def told_back(of: Run, request: Request) -> dict[str, Any]:
    """Return what is told of a way back: what it forgot, and how its keys fared where the container was made anew, as far as that is known."""
    told = {"container": request.container, **{name: of.state[name] for name in ("forgotten", "complaint") if of.state.get(name)}}
    if of.state.get("downtime_s") and "keys" in of.state:
        keys = {name: value for name, value in (of.state.get("keys") or {}).items() if name != "names"}
        told["keys"] = keys or {"not_proven": ["all of it: the way back was cut off before its keys were compared"]}
    return {"told": told} if len(told) > 1 else {}


def close(run: Run, request: Request, phase: str) -> None:
    """Let go of the container, remove what was kept aside, and note that the run came to that end. Raises `FailedFault`."""
    redis_guard.off(run)
    redis_dump.drop(run, request)
    path_kept.forget(run)
    run.write(phase=phase)
    settle_units.uninstall_after(run.key)


def _is_left(run: Run, request: Request) -> bool:
    """Say whether a run stands where its container is made anew, as it wanted, and nothing was compared. Raises `FailedFault`, `OSError`."""
    if run.phase != "making-anew" or run.state.get("keys") is not None:
        return False
    server = redis_wait.answering(request)
    with closing(server.redis):
        return redis_persist.is_made(server, request)


def _fared(run: Run) -> dict[str, Any]:
    """Return {keys: how they fared}, without names: those may be somebody's, and stay in the journal. Empty where they were not compared."""
    keys = {name: value for name, value in (run.state.get("keys") or {}).items() if name != "names"}
    return {"keys": keys} if keys else {}


def _words(run: Run, request: Request) -> str:
    keys = {name: value for name, value in _fared(run)["keys"].items() if name not in ("before", "not_proven") and value}
    if "before" not in run.state["keys"]:
        return f"not proven of {request.container} is {run.state['keys']['not_proven'][0]}"
    return f"of {run.state['keys']['before']} keys of {request.container} {', '.join(f'{number} are {how}' for how, number in keys.items()) or 'none is left'}"
