"""What a run asks for, and what of it is still to be done: pure values, so that every verb reads the same."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from .faults import RefusedFault

KINDS = ("docker", "containerd")


class Move(NamedTuple):
    """One root's move; both paths absolute and normalised."""

    kind: str
    source: str
    destination: str


class Request(NamedTuple):
    """The roots to move, the keys to merge into daemon.json, and how long a container may take to stop."""

    moves: tuple[Move, ...]
    daemon_json: dict[str, Any]
    stop_timeout_s: int
    answer_timeout_s: int

    def settings(self) -> dict[str, Any]:
        """Return the keys that daemon.json shall have, data-root among them where Docker's root moves."""
        root = next((move.destination for move in self.moves if move.kind == "docker"), None)
        return {**self.daemon_json, **({"data-root": root} if root else {})}


def _path(text: object) -> str:
    if (
        not isinstance(text, str)
        or not text.startswith("/")
        or text == "/"
        or os.path.normpath(text) != text
        or any(ord(letter) < 32 for letter in text)
    ):
        raise RefusedFault(f"{text!r} is no absolute, normalised path below /. Nothing was changed. Mend docker_data_root_moves.")
    return text


def parse(data: Any) -> Request:
    """Return the request of its JSON form; anything else is refused."""
    if not isinstance(data, dict) or set(data) - {"moves", "daemon_json", "stop_timeout_s", "answer_timeout_s"}:
        raise RefusedFault("the request is no object of moves, daemon_json, stop_timeout_s and answer_timeout_s. Nothing was changed.")
    moves: list[Move] = []
    for held in data.get("moves", []):
        move = Move(str(held["kind"]), _path(held["from"]), _path(held["to"]))
        if move.kind not in KINDS or move.kind in [other.kind for other in moves]:
            raise RefusedFault(f"a move of kind {move.kind!r} is unknown or there twice. Nothing was changed. Name docker and containerd once each.")
        for one, other in ((move.source, move.destination), (move.destination, move.source)):
            if one == other or one.startswith(other + "/"):
                raise RefusedFault(
                    f"{move.source} and {move.destination} lie within each other. Nothing was changed. Choose a destination beside the source."
                )
        moves.append(move)
    settings = dict(data.get("daemon_json") or {})
    if isinstance(settings.get("log-opts"), dict):
        # dockerd reads strings only there, and YAML on the way here may have made a number of "3".
        settings["log-opts"] = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings["log-opts"].items()}
    request = Request(tuple(moves), settings, int(data.get("stop_timeout_s", 60)), int(data.get("answer_timeout_s", 120)))
    if "data-root" in settings and settings["data-root"] != request.settings()["data-root"]:
        raise RefusedFault(
            f"daemon_json says data-root {settings['data-root']}, the move says {request.settings()['data-root']}. Nothing was changed. Make them agree."
        )
    return request


def as_json(request: Request) -> dict[str, Any]:
    """Return the form that `parse` reads."""
    moves = [{"kind": move.kind, "from": move.source, "to": move.destination} for move in request.moves]
    return {
        "moves": moves,
        "daemon_json": request.daemon_json,
        "stop_timeout_s": request.stop_timeout_s,
        "answer_timeout_s": request.answer_timeout_s,
    }
