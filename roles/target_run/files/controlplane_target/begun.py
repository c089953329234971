"""What a purge began to remove and has not removed to its end, and how that very tree is known again.

Rules:
- Before a tree is renamed, the journal of the run that removes it holds what it is: its record, number and generation of its top's inode, and the newest mtime
  of all files in it. A number alone is given to something else as soon as it is free; the generation differs then, where the filesystem has one.
- What lies under the new name is that tree only if an open journal says so, and no file in it is newer. Everything else there is left alone.
- What a container's mount stands on is not renamed: all that is in it goes, and its folder stays (`in_place`). The same marks know it again, but only as
  long as it is on record: what is live again is no more of this.
- Whichever run ends the removal takes it out of every journal that holds it, and closes the journals in which nothing is left.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from typing import Any

from .phases import TERMINAL
from .state import Home, Run

_SAME = ("path", "run", "recorded")
_GET_VERSION = 0x80087601


def aside_of(path: str) -> str:
    """Return the name beside `path` under which it is removed."""
    return os.path.join(os.path.dirname(path), f".controlplane-purging-{os.path.basename(path)}")


def present(home: Home, items: list[dict[str, Any]]) -> list[str]:
    """Return the paths of which something is still to be removed, or to be struck off the records."""
    held = [*home.retired(), *(claim for _, claim in _claims(home))]
    # What has the path's name and is on no record is nothing that was retired, such as the folder of what was emptied.
    return [str(item["path"]) for item in items if os.path.lexists(aside_of(str(item["path"]))) or any(_same(one, item) for one in held)]


def note(run: Run, records: list[dict[str, Any]]) -> None:
    """Write into the run's journal what it is about to remove, `in_place` or by another name; durable when this returns."""
    fresh = [{**record, **identity(record["path"]), "newest_ns": _newest_ns(record["path"])} for record in records]
    held = [claim for claim in run.state.get("purging", []) if not any(_same(claim, record) for record in records)]
    run.write(phase="purging", purging=held + fresh)


def doubts(home: Home, item: dict[str, Any]) -> list[str]:
    """Return why what lies under the item's new name is not surely the tree that an earlier run began to remove; empty: it is that very tree."""
    aside = aside_of(str(item["path"]))
    claims = _known(home, item, aside)
    if not claims:
        return [
            f"{aside} is there, and no journal on this host says that it is what {item['run']} retired: look at it, and move it away or remove it yourself"
        ]
    return _written(aside, claims)


def in_place(home: Home, item: dict[str, Any]) -> dict[str, Any] | None:
    """Return the claim by which an earlier run began to empty what lies at the item's path, which is on record; None where that is not this very tree."""
    path = str(item["path"])
    if os.path.islink(path) or not os.path.isdir(path):
        return None
    return next((claim for claim in _known(home, item, path) if claim.get("in_place")), None)


def doubts_in_place(home: Home, item: dict[str, Any]) -> list[str]:
    """Return why no more of a tree may be removed that an earlier run began to empty."""
    return _written(str(item["path"]), [claim for claim in _known(home, item, str(item["path"])) if claim.get("in_place")])


def is_on_record(home: Home, item: dict[str, Any]) -> bool:
    """Say whether an item is on record as retired; what is not is live again, or was removed to its end."""
    return any(_same(record, item) for record in home.retired())


def note_end(run: Run, item: dict[str, Any], *, in_place: bool) -> None:
    """Write into the run's journal that an item is gone; `in_place`: all that was in it, and its folder stays for a container's mount to stand on."""
    key = "emptied" if in_place else "ended"
    run.write(**{key: [*run.state.get(key, []), {name: item[name] for name in _SAME}]})


def was_ended(home: Home, item: dict[str, Any]) -> bool:
    """Say whether a run removed an item to its end: what has its path's name since is another, or the folder that stayed."""
    return any(_same(one, item) for run in home.runs() for key in ("emptied", "ended") for one in run.state.get(key) or [])


def _known(home: Home, item: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """Return the claims of open journals on the item whose tree is what lies at `place`."""
    own = identity(place)
    return [claim for _, claim in _claims(home) if _same(claim, item) and all(claim[key] == value for key, value in own.items())]


def _written(place: str, claims: list[dict[str, Any]]) -> list[str]:
    if _newest_ns(place) > min(claim["newest_ns"] for claim in claims):
        return [f"something was written in {place} after its removal had begun: look at what is newer, and move it away or remove it yourself"]
    return []


def close(home: Home, run: Run, item: dict[str, Any]) -> None:
    """Take what is gone out of the records and the journals; `run` is the one that ends it, and closes its own journal itself."""
    with home.lock():
        held = home.retired()
        kept = [record for record in held if not _same(record, item)]
        if kept != held:
            home.write_retired(kept)
    for other in {found.key for found, claim in _claims(home) if _same(claim, item)}:
        journal = run if other == run.key else home.run(other)
        left = [claim for claim in journal.state["purging"] if not _same(claim, item)]
        ended = {} if left or other == run.key else {"phase": "done", "ended_by": run.key}
        journal.write(purging=left, **ended)


def close_gone(home: Home, run: Run) -> None:
    """Strike off what an earlier run removed to its end and was killed before it could say so: no plan names it any more."""
    for _, claim in _claims(home):
        is_gone = not any(os.path.lexists(name) for name in (str(claim["path"]), aside_of(str(claim["path"]))))
        if is_gone or (claim.get("in_place") and not is_on_record(home, claim)):
            close(home, run, claim)


def _claims(home: Home) -> list[tuple[Run, dict[str, Any]]]:
    return [(run, claim) for run in home.runs() if run.phase not in TERMINAL for claim in run.state.get("purging", [])]


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[key] == other[key] for key in _SAME)


def identity(path: str) -> dict[str, int | None]:
    """Return {inode: its number, generation} of what is at the path itself, the latter None where the filesystem tells none. Raises `OSError`."""
    info = os.lstat(path)
    generation = None
    if stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            generation = int(struct.unpack("=I", fcntl.ioctl(descriptor, _GET_VERSION, b"\0" * 8)[:4])[0])
        except OSError:
            generation = None
        finally:
            os.close(descriptor)
    return {"inode": info.st_ino, "generation": generation}


def _newest_ns(path: str) -> int:
    """Return the newest mtime of all below `path` that is no directory: removing a name changes only the times of the directory that held it."""
    top = os.lstat(path)
    if not stat.S_ISDIR(top.st_mode):
        return top.st_mtime_ns
    newest, pending = 0, [os.fsencode(path)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                if info.st_dev != top.st_dev:
                    continue
                if stat.S_ISDIR(info.st_mode):
                    pending.append(entry.path)
                else:
                    newest = max(newest, info.st_mtime_ns)
    return newest
