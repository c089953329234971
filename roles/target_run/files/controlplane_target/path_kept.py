"""What a service's data were before a stop, kept on disk until the leg is over: who goes on after a cut proves against it.

Rules:
- It is durable before the stop. Where it can't be kept nothing is stopped.
- It is of one stop: each has a mark of its own in the journal, and what was kept at another one is not used.
- It names keys and tables: it is root's alone, and gone with the leg.
"""

from __future__ import annotations

import base64
import json
import os
from typing import Any

from . import files, redis_keys
from .faults import FailedFault
from .redis_keys import Held
from .state import Run

_FILE = "before-stop.json"


def new_mark() -> str:
    """Return the mark of a stop that is about to be."""
    return os.urandom(8).hex()


def keep(run: Run, life: dict[str, str], taken: Any) -> None:
    """Keep what was read before the stop whose mark the journal has; `life` is the server's, as `life_of` has it. Raises `FailedFault`."""
    path = run.folder / _FILE
    try:
        # In one line: of half a million keys it takes a third of the time, and clients wait.
        files.write_atomic(path, json.dumps({"mark": run.state["stop"], "life": life, "taken": taken}).encode())
    except OSError as fault:
        raise FailedFault(f"what the data are before the stop can't be kept in {path}: {fault}. Make room there, then run this again") from fault


def kept(run: Run) -> Any:
    """Return what was read before the stop that the journal tells of, None where nothing was, or was at another stop."""
    held = files.read_json(run.folder / _FILE)
    return held["taken"] if held and held["mark"] == run.state.get("stop") else None


def is_of(run: Run, life: dict[str, str]) -> bool:
    """Say whether what is kept was read from that life of the server, and none since."""
    held = files.read_json(run.folder / _FILE)
    return bool(held) and held["mark"] == run.state.get("stop") and held["life"] == life


def forget(run: Run) -> None:
    """Remove it, once the leg is over."""
    if (run.folder / _FILE).exists():
        files.remove(run.folder / _FILE)


def life_of(held: dict[str, Any]) -> dict[str, str]:
    """Return what tells one life of a server from any other, of a container as `remembered` has it."""
    return {"id": str(held["id"]), "started_at": str(held["started_at"])}


def has_lived(inspection: dict[str, Any]) -> bool:
    """Say whether the container was ever started."""
    return not str(inspection["State"]["StartedAt"]).startswith("0001-")


def plain(table: redis_keys.Table | None) -> dict[str, list[Any]] | None:
    """Return a Redis' keys as JSON holds them, None where they were not read."""
    if table is None:
        return None
    return {
        str(database): [
            [_text(key), was.digest.hex(), was.expiry, was.idle, [[at, digest.hex()] for at, digest in was.fields]] for key, was in held.items()
        ]
        for database, held in table.items()
    }


def table_of(told: dict[str, list[Any]] | None) -> redis_keys.Table | None:
    """Return the keys that `plain` made JSON of."""
    if told is None:
        return None
    return {
        int(database): {
            base64.b64decode(key): Held(bytes.fromhex(digest), expiry, idle, tuple((at, bytes.fromhex(field)) for at, field in fields))
            for key, digest, expiry, idle, fields in rows
        }
        for database, rows in told.items()
    }


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()
