"""The settings of a Redis in its command, in the compose file that names it: told, written and put back. Its container has to be made anew for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import compose, compose_note, redis_change, text_history
from .compose import Stack
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .files import write_like
from .redis_options import UnclearError, with_options
from .redis_server import Server
from .state import Run

if TYPE_CHECKING:
    from .redis_aof import Request


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
        wanted = with_options(own if own is not None else _of_its_image(server, path), request.persist)
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


def put_back(of: Run, server: Server, change: dict[str, Any], *, is_told: bool) -> bool:
    """Put the file back; return whether that changed anything. Raises `FailedFault` where somebody wrote there meanwhile.

    A container that `is_told` so is made anew next: `RefusedFault` where more than our change would come into effect with that.
    """
    path = str(of.state["path"])
    now = compose.read_text(path)
    if is_told and text_history.without(of.home, path, now, change) not in (None, now):
        compose.assert_made_from(_stack(server), server.name)
    old = redis_change.taken_back(of, change, path, now)
    if old is not None:
        write_like(Path(path), old.encode(), mode=0o644)
    return old is not None


def noted(stack: Stack, path: str, change: dict[str, Any]) -> dict[str, Any]:
    """Return the change with how the rest of the stack stands, as far as it does not hold that yet. Raises `RefusedFault`."""
    if "read" in change:
        return change
    return {"files": compose.digests(stack), **change, "read": compose_note.noted(stack, compose_note.without({path: change}))}


def assert_as_written(run: Run, change: dict[str, Any]) -> None:
    """Raise `FailedFault` where any of the stack's files is not as it was when the way back was left, but for our own change.

    The same where Compose makes something else of them, but for our own change.
    """
    stack = compose.stack_from(run.state["stack"])
    wanted = {**change["files"], run.state["path"]: change["after"]}
    if others := sorted(
        path for path, digest in {**wanted, **compose.digests(stack)}.items() if compose.digests(stack).get(path) != wanted.get(path)
    ):
        raise FailedFault(
            f"{', '.join(others)} changed while this ran, and to make {run.state['container']} anew would bring that into effect as well. The settings "
            "run, and the container was left as it is. Bring it up to its files yourself, then make a new plan"
        )
    compose_note.assert_as_noted(change.get("read"), stack, {run.state["path"]: change})


def _of_its_image(server: Server, path: str) -> list[str]:
    """Return the command that the image brings, for a service whose file names none. Raises `RefusedFault` where the container has another one."""
    words = [str(word) for word in server.inspection["Config"].get("Cmd") or []]
    image = Engine().get(f"/images/{server.inspection['Image']}/json")
    if words != [str(word) for word in (image.get("Config") or {}).get("Cmd") or []]:
        # Resolved, it may hold a password that the files only name.
        raise RefusedFault(
            f"{path} does not say the command of {server.name} itself (extends, a merge, another file): write it there. Nothing was changed."
        )
    return [word.replace("$", "$$") for word in words]


def _stack(server: Server) -> Stack:
    stack = compose.stack_of(server.inspection)
    if stack is None:
        raise RefusedFault(
            f"{server.name} was not made by Compose, so nobody here can make it anew as it was. Nothing was changed. By hand: run the same image with "
            "its volumes and these settings at the end of its command, once they run live ('redis-cli config set appendonly yes')."
        )
    return stack
