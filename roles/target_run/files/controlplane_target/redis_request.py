"""What one Redis shall run with, and what of that has to be persisted: as the controller asks for it, and as a run's journal keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .faults import RefusedFault
from .redis_options import NAMES
from .redis_server import Login, Server

# Turned on in this order, so that what is written first is synced as it shall be.
_ORDER = ("appendfsync", "appendonly", "save")


@dataclass(frozen=True)
class Request:
    """What one service shall run with, and what of that has to be persisted; `route` says where, `file` is its configuration file, as it sees it."""

    container: str
    settings: dict[str, str]
    persist: dict[str, str]
    route: Literal["file", "compose"]
    file: str | None
    port: int
    login: Login
    wait_s: int = 3600
    stop_s: int = 60
    answer_s: int = 120

    def server(self) -> Server:
        """Return the server as it runs now."""
        return Server(self.container, self.login, self.port, self.file)

    def order(self) -> list[str]:
        return [name for name in _ORDER if name in self.settings]


def parse(asked: dict[str, Any]) -> Request:
    """Return the request. Raises `ValueError`, `KeyError`, `TypeError`, and `RefusedFault` where the controller could not tell its password."""
    given = {str(name): str(value) for name, value in dict(asked["settings"]).items()}
    # Always in one order, in which a person would write them.
    settings = {name: given[name] for name in NAMES if name in given}
    persist = {name: value for name, value in settings.items() if name in list(asked["persist"])}
    if len(persist) != len(asked["persist"]):
        raise ValueError(f"{asked['persist']} is not among {given}")
    if asked["route"] not in ("file", "compose") or not settings or settings != given or settings.get("appendonly") == "no":
        raise ValueError(f"route {asked['route']!r} with the settings {given}")
    auth, told = asked.get("auth") or {}, (asked.get("told") or {}).get(asked["container"]) or {}
    if "why" in told:
        raise RefusedFault(f"redis_aof refused for {asked['container']}: {told['why']}. Nothing was changed.")
    login = Login(auth.get("user"), auth.get("password_env"), told.get("password"))
    times = {name: int(asked[name]) for name in ("wait_s", "stop_s", "answer_s") if name in asked}
    return Request(
        str(asked["container"]), settings, persist, asked["route"], asked.get("file") or None, int(asked.get("port") or 6379), login, **times
    )
