"""The rules of one service of a release, each on what all compose files together say of it.

Rules:
- It has a healthcheck of its own and comes back after a reboot, by restart always or unless-stopped: an image's own healthcheck can't be seen from
  here, and Docker starts what has on-failure only where it failed, not with itself.
- Its image is released, or pinned by digest. Nothing is built, and nothing but the deployment itself pulls.
- It runs: at least one container, under no profile.
- What it reads is deployed: of environment files only the project's own .env is.
- No secret stands in the file: an environment variable that is secret by the contract or by its name is ${…}, without a default that is written out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

from controlplane.domain.releases.compose_keys import check_deploy, check_keys, check_service, why_of_the_host
from controlplane.domain.releases.compose_said import Judging, Said, given
from controlplane.domain.releases.interpolation import Reference, UnresolvedError, parts
from controlplane.domain.releases.secret_forms import is_secret_name

_RESTARTS: Final = ("always", "unless-stopped")
_PULLS: Final = ("missing", "if_not_present", "never")
_DIGEST: Final = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_HEALTH: Final = frozenset(["disable", "interval", "retries", "start_interval", "start_period", "test", "timeout"])
_CONTAINER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", re.ASCII)
_AMOUNT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h)")
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:us|ms|s|m|h))+")
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
# How a namespace names the service whose it is.
_OF_SERVICE: Final = "service:"
# Docker's own.
_STOPS_IN: Final = 10


def judge_service(judging: Judging, name: str, pieces: Sequence[Said]) -> str | None:
    """Note every fault of a service, and return its image where the files pin it; `pieces` are its mappings, in the files' order."""
    for piece in pieces:
        check_service(judging, piece)
    _judge_health(judging, pieces)
    _judge_restart(judging, pieces)
    _judge_scale(judging, pieces)
    _judge_files(judging, pieces)
    _judge_environment(judging, pieces)
    for policy in given(pieces, "pull_policy")[-1:]:
        text = judging.text(policy)
        if text is not None and text not in _PULLS:
            judging.fault(policy, f"is {text!r}, and a release pulls what its manifest names, and nothing else: take it out")
    return None if name in judging.asked.images else _pinned(judging, pieces)


def container_of(judging: Judging, pieces: Sequence[Said]) -> str | None:
    """Return the name that the files give the container, None where they give none."""
    for said in given(pieces, "container_name")[-1:]:
        text = judging.text(said)
        if text is not None and _CONTAINER.fullmatch(text) is None:
            judging.fault(said, f"{text!r} is no name of a container: write letters, digits, _, . and -")
        return text
    return None


def stops_in(judging: Judging, pieces: Sequence[Said]) -> int:
    """Return the seconds, rounded up, after which Docker kills a service that was told to stop."""
    for said in given(pieces, "stop_grace_period")[-1:]:
        text = judging.text(said)
        parts = _DURATION.fullmatch(text) if text is not None else None
        if parts is not None and text:
            return math.ceil(sum(float(amount) * _UNITS[unit] for amount, unit in _AMOUNT.findall(text)))
        if text is not None:
            judging.fault(said, f"{text!r} is no duration: write one such as 30s or 1m30s")
    return _STOPS_IN


def needs(judging: Judging, pieces: Sequence[Said]) -> dict[str, Said]:
    """Return the services that one starts after, each with where that is said."""
    found: dict[str, Said] = {}
    for said in given(pieces, "depends_on"):
        if not isinstance(said.value, dict | list):
            judging.fault(said, "is no list or mapping of services, so what it means can't be judged: write it as one")
        found |= {str(key) if isinstance(said.value, dict) else str(part.value): part for key, part in said.parts()}
    for said in judging.of_kind(given(pieces, "links"), list, "list"):
        found |= {str(part.value).partition(":")[0]: part for _, part in said.parts()}
    for said in _namespaces(pieces):
        text = judging.text(said)
        if text is not None and text.startswith("container:"):
            judging.fault(said, "leans on a container that is not of this stack: take it out")
        elif text is not None and text.startswith(_OF_SERVICE):
            found[text.removeprefix(_OF_SERVICE)] = said
    return found


def stops_with(judging: Judging, pieces: Sequence[Said]) -> tuple[str, ...]:
    """Return the services with which Compose stops this one, where it makes one of them anew: by `restart` of depends_on, by a link that
    depends_on does not name, and by a namespace that is theirs.
    """
    told: dict[str, bool] = {}
    for said in given(pieces, "depends_on"):
        for key, part in said.parts():
            name = str(key) if isinstance(said.value, dict) else str(part.value)
            restarts = given([part], "restart")[-1:]
            told[name] = judging.truth(restarts[0]) is True if restarts else told.get(name, False)
    links = {str(part.value).partition(":")[0] for said in given(pieces, "links") for _, part in said.parts()}
    texts = [judging.text(said) or "" for said in _namespaces(pieces)]
    spaces = {text.removeprefix(_OF_SERVICE) for text in texts if text.startswith(_OF_SERVICE)}
    return tuple(sorted({name for name, restarts in told.items() if restarts} | (links - told.keys()) | spaces))


def _namespaces(pieces: Sequence[Said]) -> list[Said]:
    """Return what is said last of each namespace that may be another service's."""
    return [said for key in ("network_mode", "ipc", "pid", "uts", "cgroup") for said in given(pieces, key)[-1:]]


def _judge_health(judging: Judging, pieces: Sequence[Said]) -> None:
    checks = judging.of_kind(given(pieces, "healthcheck"), dict, "mapping")
    for check in checks:
        check_keys(judging, check, _HEALTH)
    for disable in given(checks, "disable")[-1:]:
        if judging.truth(disable) is not False:
            judging.fault(disable, "takes the healthcheck away, by which a release knows that the service is up: take it out")
    tests = given(checks, "test")
    if not tests:
        judging.fault(pieces[-1], "is missing: write a healthcheck with a test, one in the image can't be seen here", "healthcheck")
        return
    test = tests[-1].value
    words = ["CMD-SHELL", test] if isinstance(test, str) else test if isinstance(test, list) else []
    if words[:1] == ["NONE"]:
        judging.fault(tests[-1], "takes the healthcheck away, by which a release knows that the service is up: write a test")
    elif words[:1] not in (["CMD"], ["CMD-SHELL"]) or not any(str(word).strip() for word in words[1:]):
        judging.fault(tests[-1], "is no test: write a command as one text, or as a list that begins with CMD or CMD-SHELL")


def _judge_restart(judging: Judging, pieces: Sequence[Said]) -> None:
    said = given(pieces, "restart")
    if not said:
        judging.fault(pieces[-1], "is missing, so the service would not come back after a reboot: write restart: unless-stopped", "restart")
        return
    text = "no" if said[-1].value is False else judging.text(said[-1])
    if text == "no" or (text is not None and text.startswith("on-failure")):
        judging.fault(said[-1], f"is {text}, so the service would not come back after a reboot: write unless-stopped")
    elif text is not None and text not in _RESTARTS:
        judging.fault(said[-1], f"{text!r} is no restart policy: write unless-stopped or always")


def _judge_scale(judging: Judging, pieces: Sequence[Said]) -> None:
    deploys = judging.of_kind(given(pieces, "deploy"), dict, "mapping")
    for deploy in deploys:
        check_deploy(judging, deploy)
    for mode in given(deploys, "mode")[-1:]:
        if judging.text(mode) not in (None, "replicated", "global"):
            judging.fault(mode, "runs the service once instead of keeping it up: take it out")
    for said in (*given(pieces, "scale")[-1:], *given(deploys, "replicas")[-1:]):
        number = said.value if isinstance(said.value, int) else judging.text(said)
        if number is not None and (isinstance(number, bool) or re.fullmatch(r"[1-9][0-9]{0,3}", str(number), re.ASCII) is None):
            judging.fault(said, "is no number of containers from 1 on, so the service would not run: write one, or take it out")


def _judge_files(judging: Judging, pieces: Sequence[Said]) -> None:
    for said in given(pieces, "env_file"):
        for entry in [said] if isinstance(said.value, str) else [part for _, part in said.parts()]:
            for path in given([entry], "path") if isinstance(entry.value, dict) else [entry]:
                text = judging.text(path)
                if text is not None and text not in (".env", "./.env"):
                    judging.fault(path, f"{text!r} is not deployed: of environment files only the project's own .env is")


def _judge_environment(judging: Judging, pieces: Sequence[Said]) -> None:
    for said in given(pieces, "environment"):
        for name, value in _variables(said):
            if not value:
                if value is None and (why := why_of_the_host(name)):
                    judging.fault(said, why, name)
                elif value is None and name not in judging.asked.known:
                    judging.fault(said, f"takes {name} from the environment, and the contract does not declare it: declare it there", name)
            elif (name in judging.asked.secrets or is_secret_name(name)) and not _is_referred(value):
                judging.fault(
                    said,
                    f"{name} is a secret and has a value here, where everybody reads it: write ${{{name}}}, and the value into .env",
                    name,
                )


def _variables(said: Said) -> Iterator[tuple[str, str | None]]:
    for key, part in said.parts():
        if isinstance(said.value, dict):
            yield str(key), None if part.value is None else str(part.value)
        else:
            name, equals, value = str(part.value).partition("=")
            yield name, value if equals else None


def _is_referred(value: str) -> bool:
    """Say whether the value comes from elsewhere: a default that is written out here does not."""
    try:
        referred = [part for part in parts(value) if isinstance(part, Reference)]
        return bool(referred) and all(one.operator[-1:] not in ("-", "+") or not one.word or _is_referred(one.word) for one in referred)
    except UnresolvedError:
        # Said already, of the text as such.
        return True


def _pinned(judging: Judging, pieces: Sequence[Said]) -> str | None:
    images = given(pieces, "image")
    if not images:
        judging.fault(pieces[-1], "is missing: this service is not among the released images, so pin its image here by digest", "image")
        return None
    text = judging.text(images[-1])
    if text is not None and _DIGEST.fullmatch(text) is None:
        judging.fault(images[-1], f"{text!r} can be moved to another image: pin it by digest, REPOSITORY@sha256:…, or release it under images")
        return None
    return text
