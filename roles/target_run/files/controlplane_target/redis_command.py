"""The settings of a Redis in its command, in the compose file that names it: told, written and put back. Its container has to be made anew for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import command, compose, compose_note, redis_change, text_change, text_history
from .compose import Stack
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .files import write_like
from .redis_options import UnclearError, with_options
from .redis_server import Server
from .state import Run

if TYPE_CHECKING:
    from .redis_request import Request

_READ_LIMIT_S = 60.0


class Edited(NamedTuple):
    """The compose file that names the command, its text before and after, and the stack."""

    path: str
    old: str
    new: str
    stack: Stack


def edited(server: Server, request: Request) -> Edited:
    """Return how the compose file changes. Raises `RefusedFault`."""
    stack = _stack(server)
    server.place_of(server.redis.settings(["dir"])["dir"])
    path, text = compose.file_of_command(stack)
    if Path(path).is_symlink():
        raise RefusedFault(f"{path} is a symbolic link, which an atomic write would replace: name the file itself. Nothing was changed.")
    own = text.command(stack.service)
    try:
        wanted = with_options(own if own is not None else _of_its_image(server.inspection, path), request.persist)
    except UnclearError as fault:
        raise RefusedFault(
            f"{path}, services.{stack.service}.command: {fault}. Nothing was changed. Set it there yourself, then plan again."
        ) from fault
    old = compose.read_text(path)
    return Edited(path, old, old if own == wanted else text.with_command(stack.service, wanted), stack)


def write(run: Run, server: Server, request: Request, change: dict[str, Any]) -> bool:
    """Write the settings into the file; return whether that changed anything. Raises `FailedFault` where somebody wrote there meanwhile."""
    path, old, new, _ = edited(server, request)
    redis_change.assert_known(change, path, old)
    if new != old:
        text_history.note(run.home, path, change)
        write_like(Path(path), new.encode(), mode=0o644)
    return new != old


def write_down(run: Run, request: Request, held: dict[str, Any] | None) -> None:
    """Write the settings into the file for a container that stands still, or is gone; `held` is its inspection. Raises `FailedFault`.

    Where somebody changed the file meanwhile it is left; that is no fault where the service's command has the settings all the same.
    """
    change = redis_change.of(run)
    if change is None:
        return
    stack, path = compose.stack_from(run.state["stack"]), str(run.state["path"])
    old = compose.read_text(path)
    if text_change.digest(old) == change["after"]:
        return
    new = _anew(stack, path, old, request, held) if text_change.digest(old) == change["before"] else ""
    if text_change.digest(new) == change["after"]:
        text_history.note(run.home, path, change)
        write_like(Path(path), new.encode(), mode=0o644)
    elif "appendonly" in request.persist and not _is_read(stack, request):
        raise FailedFault(
            f"{request.container} stands still, its newest data are in its append-only file, and {path} was changed by somebody while this ran: it was left "
            f"as it is, and a start by it would load the last dump. Put {' '.join(f'--{name} {value}' for name, value in request.persist.items())} at the end "
            f"of its command there, and bring it up ({stack.by_hand}); then make a new plan"
        )


def _anew(stack: Stack, path: str, text: str, request: Request, held: dict[str, Any] | None) -> str:
    """Return the file's text with the settings, empty where its command is the image's and no container tells it."""
    from .compose_text import ComposeText  # noqa: PLC0415 - PyYAML is laid down for those alone that change a compose file

    file = ComposeText(text, path)
    own = file.command(stack.service)
    if own is None and held is None:
        return ""
    return file.with_command(stack.service, with_options(own if own is not None else _of_its_image(held or {}, path), request.persist))


def take_back(run: Run, request: Request, held: dict[str, Any] | None) -> bool:
    """Take the settings out of the file again where the container, whose inspection is `held`, was not made from it. Raises `OSError`, `RefusedFault`.

    What somebody else wrote there since is left as it is. Returns False where the settings are among that, or may be.
    """
    change = redis_change.of(run)
    if change is None or request.route != "compose" or held is None or is_told(held, request):
        return True
    path = str(run.state["path"])
    now = compose.read_text(path)
    old = text_history.without(run.home, path, now, change)
    if old is None:
        try:
            return not _is_read(compose.stack_from(run.state["stack"]), request)
        except RefusedFault:
            return False
    if old != now:
        text_history.note(run.home, path, text_history.undoing(now, old))
        write_like(Path(path), old.encode(), mode=0o644)
    return True


def is_taken_away(run: Run, docker: dict[str, Any] | None) -> bool:
    """Say whether there is no container, and its service is not in the compose files any more; `docker` is Docker's state of it."""
    if docker is not None or not run.state.get("stack"):
        return False
    stack = compose.stack_from(run.state["stack"])
    # One of a profile is there, too, and is made by its name.
    said = command.run(stack.argv("--profile", "*", "config", "--services"), timeout_s=_READ_LIMIT_S)
    return said.code == 0 and stack.service not in said.out.split()


def loads_file(held: dict[str, Any] | None, request: Request) -> bool:
    """Say whether a container's own command turns the append-only file on; `held` is its inspection."""
    return held is not None and _carries(held["Config"].get("Cmd"), {"appendonly": request.persist.get("appendonly", "yes")})


def is_told(held: dict[str, Any], request: Request) -> bool:
    """Say whether a container's own command carries the settings; `held` is its inspection."""
    return _carries(held["Config"].get("Cmd"), request.persist)


def _is_read(stack: Stack, request: Request) -> bool:
    """Say whether Compose reads the settings out of the files as they are. Raises `RefusedFault`."""
    return _carries(compose.reading(stack)["services"].get(stack.service, {}).get("command"), request.persist)


def _carries(told: list[Any] | None, settings: dict[str, str]) -> bool:
    words = [str(word) for word in told or []]
    try:
        return bool(words) and with_options(words, settings) == words
    except UnclearError:
        return False


def put_back(of: Run, server: Server, change: dict[str, Any], *, is_told: bool) -> bool:
    """Put the file back; return whether that changed anything. Raises `FailedFault` where somebody wrote there meanwhile.

    A container that `is_told` so is made anew next: `RefusedFault` where more than our change would come into effect with that.
    """
    path = str(of.state["path"])
    now = compose.read_text(path)
    if is_told and text_history.without(of.home, path, now, change) not in (None, now):
        compose.assert_made_from(_stack(server), server.name)
    elif is_told and of.state.get("read_back"):
        # Put back by an attempt that was cut off: what changed since would come into effect with this one.
        compose_note.assert_as_noted(of.state["read_back"], _stack(server), {})
    old = redis_change.taken_back(of, change, path, now)
    if old is not None:
        if is_told:
            of.write(read_back=compose_note.noted(_stack(server), {path: old}))
        write_like(Path(path), old.encode(), mode=0o644)
    return old is not None


def noted(stack: Stack, path: str, change: dict[str, Any]) -> dict[str, Any]:
    """Return the change with how the rest of the stack stands, as far as it does not hold that yet. Raises `RefusedFault`."""
    if "read" in change:
        return change
    return {"files": compose.digests(stack), **change, "read": compose_note.noted(stack, compose_note.without({path: change}))}


def assert_as_written(run: Run, change: dict[str, Any]) -> None:
    """Raise `FailedFault` where any of the stack's files is not as it was when the way back was left, but for our own change, be that written or not.

    The same where Compose makes something else of them, but for our own change.
    """
    stack = compose.stack_from(run.state["stack"])
    now, own = compose.digests(stack), str(run.state["path"])
    known = {path: (digest,) for path, digest in change["files"].items()} | {own: (change["before"], change["after"])}
    if others := sorted(path for path in {*known, *now} if now.get(path) not in known.get(path, ())):
        raise FailedFault(
            f"{', '.join(others)} changed while this ran, and to make {run.state['container']} anew would bring that into effect as well. The settings "
            "run, and the container was left as it is. Bring it up to its files yourself ('redis-cli save' first: it would load its last dump), then make a "
            "new plan"
        )
    compose_note.assert_as_noted(change.get("read"), stack, {run.state["path"]: change})


def _of_its_image(inspection: dict[str, Any], path: str) -> list[str]:
    """Return the command that the image brings, for a service whose file names none. Raises `RefusedFault` where the container has another one."""
    words, name = [str(word) for word in inspection["Config"].get("Cmd") or []], str(inspection["Name"]).lstrip("/")
    image = Engine().get(f"/images/{inspection['Image']}/json")
    if words != [str(word) for word in (image.get("Config") or {}).get("Cmd") or []]:
        # Resolved, it may hold a password that the files only name.
        raise RefusedFault(f"{path} does not say the command of {name} itself (extends, a merge, another file): write it there. Nothing was changed.")
    return [word.replace("$", "$$") for word in words]


def _stack(server: Server) -> Stack:
    stack = compose.stack_of(server.inspection)
    if stack is None:
        raise RefusedFault(
            f"{server.name} was not made by Compose, so nobody here can make it anew as it was. Nothing was changed. By hand: run the same image with "
            "its volumes and these settings at the end of its command, once they run live ('redis-cli config set appendonly yes')."
        )
    return stack
