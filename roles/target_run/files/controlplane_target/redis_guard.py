"""Keep a Redis down that ends while its newest data are where no start would look: its append-only file is on, and its container would start with it off.

Rules:
- As long its restart policy is `no`. What that was stands in the journal before, and is put back by whoever ends this; a container that is made anew has its
  files' own.
- It begins before AOF goes on, with stale files out of the way: so there is no moment at which the file is whole and a start would pass it by. Where the
  data can't be looked at once the container is down (a volume of another kind), it begins once the file is whole.
- The run's own unit is on this host before the policy is off. It waits for the container's end, in this boot and after the next, and brings it up
  (redis_down.py): a controller that is gone leaves nothing down.
- One that somebody started meanwhile has another life, and is let go.
- A compose file that has the settings is put back before the container that was not made from it is let go: whoever brings that up later would load what
  is stale by then, or nothing.

Source: a manifest is written when the first file is whole (aof.c of Redis 7.0, backgroundRewriteDoneHandler); a policy that is set holds from the container's
next end on (daemon/update.go of moby).
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import inside, mounts, redis_command, redis_conf, settle_units
from .faults import FailedFault, RefusedFault
from .path_source import source_of
from .redis_server import Server, inspected, set_restart
from .state import Home, Run

if TYPE_CHECKING:
    from .redis_request import Request

NEVER = {"Name": "no", "MaximumRetryCount": 0}
CRITICAL = ("making-anew", "undoing-anew")
_ENDED = ("done", "undone")


def settling(journal: Run) -> list[str]:
    """Return the argv by which the host itself goes on at its next start, without the stage's name."""
    return [sys.executable, "-I", "-X", "utf8", "-B", str(journal.folder / "controlplane_target"), "redis", "settle", "--run", journal.key]


def life_of(server: Server) -> str:
    """Return since when the server's container runs, as Docker told it right before this connection was made: no other life answers on it."""
    return str(server.inspection["State"]["StartedAt"])


def on(journal: Run, request: Request, server: Server, *, whole: bool) -> None:
    """Keep the container down from its next end on; `whole`: its append-only file is on disk. Safe to repeat. Raises `FailedFault`."""
    own, life = str(server.inspection["Id"]), life_of(server)
    guard = journal.state.get("guard") or {}
    if (guard.get("id"), guard.get("started_at")) != (own, life):
        places = _places(server, request)
        if (not whole and places["manifest"] is None) or (request.route == "file" and places["file"] is None):
            return
        policy = guard.get("restart") if guard.get("id") == own else _before(journal, server)
        guard = {"id": own, "restart": policy, "started_at": life, **places, "whole": False, "is_set": False}
    guard["whole"] = whole or guard["whole"]
    journal.write(guard=guard, started_at=life, container=request.container, data=place_of_data(server))
    if guard["is_set"]:
        return
    install_unit(journal)
    # First somebody who watches: killed between the two nobody would in this boot.
    settle_units.start_after(journal.key)
    set_restart(own, NEVER, server.engine)
    _let_go_of_others(journal, own)
    journal.write(guard={**guard, "is_set": True})


def forget_file(journal: Run) -> None:
    """Note that AOF is off, and its file no measure any more, before that is set aside. Raises `FailedFault`."""
    guard = journal.state.get("guard")
    if guard and guard["manifest"] is None:
        off(journal)
    elif guard:
        journal.write(guard={**guard, "whole": False})


def off(journal: Run) -> None:
    """Give the container its own policy back, and take the unit away. Raises `FailedFault`, also where it ended in that moment: it is kept down then."""
    guard = journal.state.get("guard")
    if not guard:
        return
    give_back(journal)
    held = inspected(guard["id"])
    if held is not None and is_down(journal, held["State"]):
        # It ended without a policy, and gets none by which it would be started now.
        set_restart(guard["id"], NEVER)
        raise FailedFault(
            f"{journal.state['container']} ended while its restart policy was put back, and is kept down. The host brings it up, or run this again"
        )
    journal.write(guard=None)
    # What else is half made has the same unit.
    if journal.phase not in CRITICAL:
        settle_units.uninstall_after(journal.key)


def give_back(journal: Run) -> None:
    """Give the container its own policy back, whose end is not waited for yet: one that is about to be started as it is. Raises `FailedFault`."""
    guard = journal.state["guard"]
    # It may be one whose policy Docker would not turn off: nothing is to be put back then, nor would Docker.
    if not guard["is_set"]:
        held = inspected(guard["id"])
        if held is not None and held["HostConfig"].get("RestartPolicy") == guard["restart"]:
            return
    journal.write(guard={**guard, "is_set": False})
    set_restart(guard["id"], guard["restart"])


def kept(journal: Run) -> tuple[str, str] | None:
    """Return (container's id, since when it runs) of the life after whose end it is kept down, None where none is."""
    guard = journal.state.get("guard")
    return (str(guard["id"]), str(guard["started_at"])) if guard else None


def doubt(journal: Run, said: str) -> None:
    """Note what nobody can prove, once."""
    doubts = journal.state.get("doubts") or []
    if said not in doubts:
        journal.write(doubts=[*doubts, said])


def file_of(journal: Run) -> str:
    """Return where its append-only file lies, in words."""
    manifest = (journal.state.get("guard") or {}).get("manifest")
    return os.path.dirname(manifest) if manifest else "its data folder"


def release(journal: Run, request: Request) -> None:
    """Let go of a container that runs, for a run that failed; one that is down stays so until it is brought up by what it has on disk.

    One whose compose file has the settings and can't be put back is kept down as well, and one within whose configuration file a write was cut off: who
    starts it writes that first.
    """
    guard = journal.state.get("guard")
    if not guard:
        return
    # Where this fails its unit stays, and brings it up once it ends.
    with suppress(FailedFault, RefusedFault, OSError):
        held = inspected(guard["id"])
        if held is None and journal.phase not in CRITICAL and inspected(request.container) is None:
            # It may come back, with no policy.
            return
        is_held_still = held is not None and not held["State"]["Running"]
        if not is_held_still and not redis_conf.is_cut_off(journal) and redis_command.take_back(journal, request, held):
            off(journal)


def told(journal: Run) -> str:
    """Return why nobody else starts the container that this run keeps down, and who does."""
    return (
        f"run {journal.key} keeps {journal.state['container']} down once it ends, with its newest data in its append-only file, which no start by hand loads. "
        f"Applying the same plan again ends that, or controlplane rollback {journal.key}. Once it is down the host brings it up by itself; "
        f"'{' '.join(settling(journal))}' there does, or says what is in the way"
    )


def keeping(home: Home, is_meant: Callable[[Run], bool]) -> list[str]:
    """Return what is told of each run that keeps a container down which is meant."""
    return [told(run) for run in home.runs() if stands(run) and is_meant(run)]


def stands(journal: Run) -> bool:
    """Say whether a container is kept down from its next end on."""
    return bool(journal.state.get("guard")) and journal.phase not in _ENDED


def is_down(journal: Run, docker: dict[str, Any] | None) -> bool:
    """Say whether that container has ended, and had no life since; `docker` is Docker's state of it."""
    return stands(journal) and is_still(docker) and docker is not None and docker["StartedAt"] == journal.state["guard"]["started_at"]


def is_still(docker: dict[str, Any] | None) -> bool:
    """Say whether a container that had a life stands still."""
    return docker is not None and not docker["Running"] and docker["Status"] != "created"


def assert_there(journal: Run, docker: dict[str, Any] | None) -> None:
    """Raise `FailedFault` where it is kept down, or half made, does not run, and the disk of its data is not there: a start then has it empty."""
    if docker and docker["Running"]:
        return
    if stands(journal):
        is_whole(journal)
    # Also where nothing is asked of the file, or nobody noted that it is whole: on the mount's empty folder it would start empty.
    data = journal.state.get("data") if stands(journal) or journal.phase in CRITICAL else None
    if data and (not os.path.isdir(data["path"]) or mounts.mount_of(data["path"], mounts.read()).mount != data["mount"]):
        raise FailedFault(
            f"{journal.state['container']} stands still, and its data folder {data['path']} is not on {data['mount']} now: started without that disk it would "
            "have nothing. Bring the disk back; the host then goes on by itself, or run this again"
        )


def place_of_data(server: Server) -> dict[str, str] | None:
    """Return {path, mount} of its data folder on this host, None where that is not surely known."""
    if (found := _path(server, server.redis.settings(["dir"])["dir"])) is None:
        return None
    # By a link's own name it would lie on another mount.
    path = os.path.realpath(found)
    return {"path": path, "mount": mounts.mount_of(path, mounts.read()).mount}


def has_file(journal: Run) -> bool:
    """Say whether the append-only file of that life was on disk, or is: whoever waited for that may have been killed before it could note it."""
    return bool(journal.state["guard"]["whole"]) or is_whole(journal)


def is_whole(journal: Run) -> bool:
    """Say whether the append-only file of that life is on disk. Raises `FailedFault` where it was, and is not found."""
    guard = journal.state["guard"]
    if guard["manifest"] is None:
        return bool(guard["whole"])
    with suppress(OSError):
        seen = os.stat(guard["manifest"], follow_symlinks=False)
        if stat.S_ISREG(seen.st_mode) and seen.st_size > 0:
            return True
    if guard["whole"]:
        raise FailedFault(
            f"{journal.state['container']} stands still, and {guard['manifest']}, which its newest data need, is not there: started without it would have its "
            "last dump, or nothing. Bring its disk back; the host then goes on by itself, or run this again"
        )
    return False


def _places(server: Server, request: Request) -> dict[str, str | None]:
    """Return where the file's manifest and the configuration file lie on this host while the container is down, None for what can't be known."""
    named = server.names()
    folder = _path(server, server.redis.settings(["dir"])["dir"])
    manifest = None if folder is None else os.path.join(folder, named["appenddirname"], f"{named['appendfilename']}.manifest")
    file = _path(server, request.file) if request.route == "file" and request.file else None
    # Without the file nobody could write it then.
    dump = None if folder is None else os.path.join(folder, named["dbfilename"])
    return {"manifest": manifest if request.route == "compose" or file is not None else None, "file": file, "dump": dump}


def _path(server: Server, path: str) -> str | None:
    """Return where a path of the container lies on this host, None unless that is surely the same: of a volume only a folder may be mounted."""
    try:
        found = source_of(server.engine, server.inspection, path)
        with inside.opened(server.pid, path, os.O_PATH) as held:
            seen, here = os.fstat(held), os.stat(found.path)
    except (RefusedFault, OSError):
        return None
    return found.path if (seen.st_dev, seen.st_ino) == (here.st_dev, here.st_ino) else None


def _before(journal: Run, server: Server) -> dict[str, Any]:
    """Return the container's policy as it was before any run turned it off."""
    own = str(server.inspection["Id"])
    held = [other.state["guard"]["restart"] for other in _others(journal, own)]
    return dict(held[0] if held else (server.inspection["HostConfig"].get("RestartPolicy") or NEVER))


def _let_go_of_others(journal: Run, own: str) -> None:
    """Take the container over from runs before this one that nobody went on with."""
    for other in _others(journal, own):
        other.write(guard=None)
        settle_units.uninstall_after(other.key)


def take_over(journal: Run, server: Server) -> None:
    """Take the container over from each other run, for a way back that turns its file off: what they keep it down for is gone with that.

    Their half made container is no more to be made anew by that file, also where they let it go. Raises `FailedFault`.
    """
    own = str(server.inspection["Id"])
    for other in journal.home.runs():
        is_of_it = (other.state.get("container"), other.state.get("started_at")) == (server.name, life_of(server))
        if other.key != journal.key and other.phase == "making-anew" and is_of_it:
            # Nothing was stopped since its hold, and it took writes again: there is nothing to compare.
            other.write(started_at=None, counts=None)
    for other in _others(journal, own):
        if (journal.state.get("guard") or {}).get("id") != own:
            journal.write(guard=other.state["guard"], container=other.state["container"], data=other.state.get("data"))
            install_unit(journal)
            settle_units.start_after(journal.key)
        other.write(guard=None, started_at=None)
        settle_units.uninstall_after(other.key)


def _others(journal: Run, own: str) -> list[Run]:
    return [run for run in journal.home.runs() if run.key != journal.key and (run.state.get("guard") or {}).get("id") == own]


def install_unit(journal: Run) -> None:
    """Lay down the unit by which the host goes on with the run, behind the mounts of what it needs for that."""
    table, guard = mounts.read(), journal.state.get("guard") or {}
    paths = [guard[name] for name in ("manifest", "file") if guard.get(name) is not None]
    found = {mounts.mount_of(mounts.nearest_existing(path), table).mount for path in paths} | {(journal.state.get("data") or {}).get("mount", "/")}
    found -= {"/"}
    settle_units.install_after(journal.key, settling(journal), sorted(mount for mount in found if not mount.startswith("/run")), waits=True)
