"""D243: container logs are rotated, by default and for each container that is there already."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from controlplane.domain.amounts import show_bytes
from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.checks.restart import lost_by_restart
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.docker import Container
from controlplane.domain.policy import LogLimits

# Drivers that write files which Docker keeps until they are rotated; `local` rotates at 5 x 20 MB unless told otherwise.
_GROWS = "json-file"
_LOCAL = {"max-size": "20m", "max-file": "5"}
# As Docker reads its own option (go-units FromHumanSize): decimal, `10m` is `10MB`.
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp])?i?b?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:
    """Judge `docker.log`.

    Description: Docker's default for new containers and each existing container's own options rotate logs within the declared size and number of
    files; without a policy, within any.
    Drift: json-file or local logs without a limit, or over it; a default that isn't persisted (medium).
    Unknown: Docker, daemon.json or the containers could not be observed; an option that Docker itself would not read.
    Rationale: json-file logs grow without bound, and a container keeps the options that it was created with.
    """
    if general or desired.docker.log is not None:
        yield Question("docker.log", _log)


def _log(case: Case) -> Answer:
    if case.without_docker:
        return met("Docker is not installed")
    wanted = case.desired.docker.log
    config = case.reader.docker_config
    driver, options = default_for_new(config["daemon_json"], config["dockerd_flags"])
    running = case.reader.docker_info["logging_driver"]
    bad = {name: excess(one["log_driver"], one["log_options"], wanted) for name, one in case.containers.items()}
    default = excess(driver, options, wanted)
    problems = [f"new containers: {default}"] if default else []
    if running != driver:
        problems.append(f"Docker runs with the log driver {running}, configured is {driver}: it was not restarted since")
    old = sorted(name for name, excess in bad.items() if excess)
    if old:
        shown = ", ".join(old[:5]) + (f" and {len(old) - 5} more" if len(old) > 5 else "")
        problems.append(
            f"{len(old)} of {len(bad)} containers keep other options until they are recreated: {shown} ({bad[old[0]]}); "
            f"to recreate them, without what their own layers hold: {recreating([case.containers[name] for name in old[:5]], case.reader)}"
        )
    return drifted("; ".join(problems), "medium") if problems else met(f"{driver} logs are rotated, also of all {len(bad)} containers")


def recreating(containers: Iterable[Container], reader: Reader) -> str:
    """Return the commands that make containers anew from their compose files: those that run at once, the others without starting them.

    Before them stands, with its reason, each container that has none: what it holds would not outlive that, or Compose could not make it as it is.
    """
    by_words: dict[tuple[str, ...], list[str]] = {}
    without: dict[str, list[str]] = {}
    for one in containers:
        if reason := _at_stake(one, reader) or _by_hand(one):
            without.setdefault(reason, []).append(one["name"])
            continue
        words = _compose(one)
        # Their configuration is as it was, so that Compose would leave them.
        how = ("--detach" if one["running"] else "--no-start", "--no-deps", "--force-recreate")
        by_words.setdefault((*words, "up", *how), []).append(str(one["compose_service"]))
    told = [f"{', '.join(names)} {reason}" for reason, names in without.items()]
    return "; ".join([*told, *(shlex.join([*words, *dict.fromkeys(services)]) for words, services in by_words.items())])


def _at_stake(container: Container, reader: Reader) -> str:
    """Return why a container that runs is not to be stopped as it is, empty where nothing speaks against it."""
    name = container["name"]
    if not container["running"]:
        return ""
    try:
        lost = lost_by_restart(reader, governed=(name,), only=name)
    except Unobserved as doubt:
        return f"not before it could be observed what a stop would cost: {doubt}"
    return f"not yet: {lost[0].partition(': ')[2]}" if lost else ""


def _by_hand(container: Container) -> str:
    """Return why a person has to make a container anew without a command of ours, empty where there is one."""
    told = all(container[key] for key in ("compose_project", "compose_service", "compose_dir", "compose_files"))
    # What somebody ran once (docker compose run) is none of its service's.
    if not told or container.get("compose_oneoff"):
        return "by hand with the same options, as no compose file makes it"
    if "compose_env_files" not in container:
        return "by hand with the same --env-file, which this evidence is too old to name"
    if not all(path.startswith("/") for path in container["compose_env_files"]):
        return "by hand with the same --env-file, which its label names by no whole path"
    return ""


def _compose(container: Container) -> tuple[str, ...]:
    """Return the words by which Compose is told of a container's project; other environment files would give it other passwords, ports or places."""
    files = [word for path in container["compose_files"] for word in ("--file", path)]
    files += [word for path in container.get("compose_env_files", ()) for word in ("--env-file", path)]
    return ("docker", "compose", "--project-name", str(container["compose_project"]), "--project-directory", str(container["compose_dir"]), *files)


def default_for_new(daemon_json: str | None, flags: list[str]) -> tuple[str, dict[str, str]]:
    """Return the log driver and options that new containers get: daemon.json, then the daemon's flags."""
    config: Any = {}
    try:
        config = json.loads(daemon_json if daemon_json and daemon_json.strip() else "{}")
    except ValueError:
        raise Unobserved("daemon.json is no JSON") from None
    if not isinstance(config, dict):
        raise Unobserved("daemon.json is no object")
    options = config.get("log-opts", {})
    driver = config.get("log-driver", _GROWS)
    if not isinstance(options, dict) or not isinstance(driver, str):
        raise Unobserved("daemon.json has log options that Docker would not read")
    read = {str(key): str(value) for key, value in options.items()}
    # A daemon that was never started has no flags at all.
    for flag, value in zip(flags, [*flags[1:], ""], strict=False):
        name, equals, inline = flag.partition("=")
        given = inline if equals else value
        if name == "--log-driver":
            driver = given
        elif name == "--log-opt":
            key, _, setting = given.partition("=")
            read[key] = setting
    return driver, read


def excess(driver: str, options: Mapping[str, str], wanted: LogLimits | None) -> str:
    """Return what is wrong with one set of log options, empty if nothing."""
    if driver not in (_GROWS, "local"):
        return ""
    given = {**(_LOCAL if driver == "local" else {}), **options}
    size = _size(given.get("max-size", "-1"))
    if size is None:
        return f"{driver} without max-size"
    if wanted is None:
        return ""
    files = given.get("max-file", "1")
    if not files.isdigit():
        raise Unobserved(f"max-file {files!r} is no number")
    if size > wanted.max_size or int(files) > wanted.max_files:
        return f"{driver} with max-size {given['max-size']} x {files}, declared {show_bytes(wanted.max_size)} x {wanted.max_files}"
    return ""


@cache
def _size(text: str) -> int | None:
    if text == "-1":
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise Unobserved(f"max-size {text!r} is no size")
    return int(float(found[1]) * 1000 ** _POWER[(found[2] or "").lower()])


CHECK = Check("D243", "log rotation", "medium", _questions)
