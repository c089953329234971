"""The containers that ran before: stop them all, start exactly them again, and say when each of them answered.

Rules:
- Recorded are those that Docker says run, with their health; one that was restarting or unhealthy before is started again, but nothing is demanded of it.
- They are stopped at the same time, each with its own stop timeout or the given one, whichever is longer; one that had to be killed is named.
- A PostgreSQL that Docker would send SIGTERM ends its sessions first: it would wait for every client, all others with it, and be killed in the end.
- They start in the order in which they started before. What a restart policy brought up besides is stopped: exactly what ran before runs.
- A service answers when it runs, its health check (if it was healthy before) says so, and it still runs a moment later.
- It is given as long as its own health check takes to say that it is not healthy, where that is longer than whoever waits would wait, but not for ever. Once
  that check has said so, nothing more is waited for than whoever waits gives.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .docker_engine import Engine
from .faults import FailedFault

STEADY_S = 1.0
_POSTMASTER = ("postgres", "postmaster")
# Whoever gives no more than this waits for nothing: something else has failed by then.
_LOOK_S = 5.0
# As Docker has them where a check names none.
_INTERVAL_S, _RETRIES = 30.0, 3
# An interval of ten minutes would make it forty.
_MOST_S = 900.0


def record(engine: Engine) -> list[dict[str, Any]]:
    """Return what runs now, in the order in which it started."""
    found = []
    for held in engine.containers():
        state = held["State"]
        if not state["Running"]:
            continue
        health = (state.get("Health") or {}).get("Status")
        found.append(
            {
                "id": held["Id"],
                "name": held["Name"].lstrip("/"),
                "started_at": state["StartedAt"],
                "stop_timeout": held["Config"].get("StopTimeout"),
                "demand": "nothing" if state.get("Restarting") or health == "unhealthy" else "healthy" if health == "healthy" else "running",
            }
        )
    return sorted(found, key=lambda held: (str(held["started_at"]), str(held["id"])))


def stop_all(engine: Engine, services: list[dict[str, Any]], stop_timeout_s: int) -> list[str]:
    """Stop those containers side by side; return the names of those that had to be killed. Raises `FailedFault`."""
    killed, faults = _stopped(engine, services, stop_timeout_s)
    still = [held["Names"][0].lstrip("/") for held in engine.get("/containers/json")]
    if faults or still:
        raise FailedFault(f"not all containers could be stopped: {'; '.join(faults) or 'still running: ' + ', '.join(sorted(still))}")
    return killed


def let_end(engine: Engine, services: list[dict[str, Any]], stop_timeout_s: int) -> list[str]:
    """Wait for the end of those that still live as they were recorded: who was cut off while it stopped them may have told each of them to end.

    Started while it still goes down, one would answer that it runs, and be gone. Return the names of those that did not end here, and may end yet.
    """
    told = _in_their_lives(engine, services)
    _stopped(engine, told, stop_timeout_s)
    return [held["name"] for held in _in_their_lives(engine, told)]


def _in_their_lives(engine: Engine, services: list[dict[str, Any]]) -> list[dict[str, Any]]:
    states = _states(engine, services)
    return [held for held in services if states[held["name"]]["Running"] and states[held["name"]].get("StartedAt") == held.get("started_at")]


def _stopped(engine: Engine, services: list[dict[str, Any]], stop_timeout_s: int) -> tuple[list[str], list[str]]:
    """Stop those; return the names of those that had to be killed, and one sentence for each that was not stopped."""
    faults: list[str] = []
    killed: list[str] = []

    def stop(held: dict[str, Any]) -> None:
        limit = max(int(held["stop_timeout"] or 10), stop_timeout_s)
        try:
            with suppress(OSError, ValueError):
                _end_sessions(engine, held["id"])
            status, answer = engine.call("POST", f"/containers/{held['id']}/stop?t={limit}", timeout=limit + 60)
            if status not in (204, 304, 404):
                faults.append(f"{held['name']}: {status} {(answer or {}).get('message', '')}")
                return
            status, answer = engine.call("GET", f"/containers/{held['id']}/json")
            if status == 200 and answer["State"].get("ExitCode") == 137:
                killed.append(held["name"])
        except (OSError, ValueError) as fault:
            faults.append(f"{held['name']}: {fault}")

    threads = [threading.Thread(target=stop, args=(held,), daemon=True) for held in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(killed), faults


def start_all(engine: Engine, services: list[dict[str, Any]]) -> dict[str, str]:
    """Start exactly those containers; return {name: a sentence} of those that did not start."""
    faults: dict[str, str] = {}
    for attempt in range(2):
        faults = _started(engine, services)
        if not faults:
            break
        time.sleep(attempt + 1)
    wanted = {held["id"] for held in services}
    for held in engine.get("/containers/json"):
        if held["Id"] not in wanted:
            engine.call("POST", f"/containers/{held['Id']}/stop", timeout=120)
    return faults


def _started(engine: Engine, services: list[dict[str, Any]]) -> dict[str, str]:
    faults = {}
    for held in services:
        status, answer = engine.call("POST", f"/containers/{held['id']}/start", timeout=120)
        if status not in (204, 304):
            faults[held["name"]] = f"{held['name']} does not start: {(answer or {}).get('message', status)}"
    return faults


def _end_sessions(engine: Engine, container: str) -> None:
    """Ask for a fast shutdown where the container's first process is a PostgreSQL, as its official image does; the stop that follows keeps it down."""
    status, answer = engine.call("GET", f"/containers/{container}/json")
    if status == 200 and answer["Config"].get("StopSignal") in (None, "", "SIGTERM") and _program_of(answer["State"].get("Pid")) in _POSTMASTER:
        engine.call("POST", f"/containers/{container}/kill?signal=SIGINT")


def _program_of(pid: int | None) -> str:
    """Return the name of a process of this host, '' where there is none."""
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip() if pid else ""
    except OSError:
        return ""


def as_they_live(engine: Engine, services: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return them with the life that each is in now; as they are where Docker does not answer."""
    try:
        states = _states(engine, services)
    except (OSError, ValueError):
        return services
    return [{**held, "started_at": states[held["name"]].get("StartedAt", held["started_at"])} for held in services]


def start_again(engine: Engine, services: list[dict[str, Any]], limit_s: float) -> list[str]:
    """Start those of them that are there, and leave all others alone; return one sentence for each that does not end, start or answer."""
    owed = _there(engine, services)
    going = let_end(engine, owed, 0)
    faults = {**_started(engine, owed), **{name: _going_on(name) for name in going}}
    missing = wait_for_answers(engine, [held for held in owed if held["name"] not in faults], limit_s)[1] if len(faults) < len(owed) else []
    return [*faults.values(), *missing]


def _going_on(name: str) -> str:
    return f"{name} was told to end, did not, and may end yet"


def silent(engine: Engine, services: list[dict[str, Any]]) -> dict[str, str]:
    """Return {name: a sentence} of those that are there and do not answer now in a life of their own; one of which nothing is demanded has to run."""
    states, going = _states(engine, services), {held["name"] for held in _in_their_lives(engine, services)}
    return {
        held["name"]: _going_on(held["name"]) if held["name"] in going else f"{held['name']} is {_told(states[held['name']])}"
        for held in _there(engine, services)
        if held["name"] in going or not _answers(states[held["name"]], {**held, "demand": "running"} if held["demand"] == "nothing" else held)
    }


def _there(engine: Engine, services: list[dict[str, Any]]) -> list[dict[str, Any]]:
    states = _states(engine, services)
    return [held for held in services if states[held["name"]]["Status"] != "absent"]


def _answers(state: dict[str, Any], held: dict[str, Any]) -> bool:
    demand = held["demand"]
    if demand == "nothing":
        return True
    if not state["Running"]:
        # One that ends by itself, without a fault, has done what it is for; but not by the end of the life in which it was stopped.
        ended_anew = "started_at" not in held or state.get("StartedAt") != held["started_at"]
        return str(state["Status"]) == "exited" and state["ExitCode"] == 0 and demand == "running" and ended_anew
    if state.get("Restarting"):
        return False
    return demand == "running" or (state.get("Health") or {}).get("Status") == "healthy"


def _states(engine: Engine, services: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for held in services:
        status, answer = engine.call("GET", f"/containers/{held['id']}/json")
        absent = {"Running": False, "Status": "absent" if status == 404 else f"unknown ({status})", "ExitCode": 1}
        found[held["name"]] = dict(answer["State"]) if status == 200 else absent
    return found


def healthy_within(inspection: dict[str, Any]) -> float:
    """Return within how many seconds of its start a container's own health check says that it is healthy, or that it is not, at most 900; 0.0 without one."""
    check = inspection["Config"].get("Healthcheck") or {}
    if not check.get("Test") or check["Test"][0] == "NONE":
        return 0.0
    interval = float(check.get("Interval") or 0) / 1e9 or _INTERVAL_S
    return min(_MOST_S, float(check.get("StartPeriod") or 0) / 1e9 + interval * (int(check.get("Retries") or _RETRIES) + 1))


def _limit(engine: Engine, held: dict[str, Any], limit_s: float) -> float:
    """Return how long a service is waited for; one that has `within_s` for no longer than that (it was for `waited_s` before)."""
    if "within_s" in held:
        return float(held["within_s"])
    if held["demand"] != "healthy" or limit_s <= _LOOK_S:
        return limit_s
    status, answer = engine.call("GET", f"/containers/{held['id']}/json")
    return max(limit_s, healthy_within(answer)) if status == 200 else limit_s


def wait_for_answers(engine: Engine, services: list[dict[str, Any]], limit_s: float) -> tuple[dict[str, float], list[str]]:
    """Return {name: epoch at which it answered} and one sentence for each that did not, once the first is over its limit."""
    answered: dict[str, float] = {}
    began = time.monotonic()
    limits = {held["name"]: _limit(engine, held, limit_s) for held in services}
    while True:
        states = _states(engine, services)
        for held in services:
            if held["name"] not in answered and _answers(states[held["name"]], held):
                answered[held["name"]] = time.time()
        if len(answered) == len(services):
            time.sleep(STEADY_S)
            states = _states(engine, services)
            fallen = [held["name"] for held in services if not _answers(states[held["name"]], held)]
            if not fallen:
                return answered, []
            for name in fallen:
                del answered[name]
        waited, missing = time.monotonic() - began, [held for held in services if held["name"] not in answered]
        if any(waited > (limit_s if _is_unhealthy(states[held["name"]]) else limits[held["name"]]) for held in missing):
            return answered, [
                f"{held['name']} is {_told(states[held['name']])}, not {held['demand']}, {min(waited, limits[held['name']]) + held.get('waited_s', 0.0):.0f} s after its start"
                for held in missing
            ]
        time.sleep(0.2)


def _is_unhealthy(state: dict[str, Any]) -> bool:
    return (state.get("Health") or {}).get("Status") == "unhealthy"


def _told(state: dict[str, Any]) -> str:
    health = (state.get("Health") or {}).get("Status")
    return f"{state['Status']} ({health})" if health else f"{state['Status']} (exit code {state['ExitCode']})"
