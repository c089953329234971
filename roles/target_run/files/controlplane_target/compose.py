"""The compose project of a container, as its labels tell: its files, what Compose makes of them, and the container made anew from them.

Rules:
- A container is made anew only if its files, read here, are what it was made from: else another hand, or another environment, is at work.
- A changed file has to mean exactly the change and nothing else, by Compose's own reading. It reads it from memory: nothing is written beside the files.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from . import command, compose_replacing
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .systemd import active

if TYPE_CHECKING:
    from .compose_text import ComposeText

MEMORY = "/run"
_LABEL = "com.docker.compose."
_MOST_BYTES = 1 << 20
_READ_LIMIT_S = 60.0


@dataclass(frozen=True)
class Stack:
    """A project and its service, and how Compose is told of them."""

    project: str
    directory: str
    service: str
    files: tuple[str, ...]
    environment_files: tuple[str, ...]
    made_from: str

    def argv(self, *words: str, files: tuple[str, ...] | None = None) -> list[str]:
        """Return Compose's command line for this project."""
        named = [word for path in files or self.files for word in ("--file", path)]
        named += [word for path in self.environment_files for word in ("--env-file", path)]
        return ["docker", "compose", "--project-name", self.project, "--project-directory", self.directory, *named, *words]

    @property
    def by_hand(self) -> str:
        """The command with which a person brings the service up to its files."""
        return " ".join(self.argv("up", "--detach", "--no-deps", self.service))


def stack_of(inspection: dict[str, Any]) -> Stack | None:
    """Return the stack that a container's labels name, None where Compose did not make it."""
    labels = inspection["Config"].get("Labels") or {}
    told = {name: str(labels.get(f"{_LABEL}{name}") or "") for name in ("project", "service", "project.working_dir", "config-hash")}
    files = tuple(path for path in str(labels.get(f"{_LABEL}project.config_files") or "").split(",") if path)
    if not all(told.values()) or not files:
        return None
    environment = tuple(path for path in str(labels.get(f"{_LABEL}project.environment_file") or "").split(",") if path)
    return Stack(told["project"], told["project.working_dir"], told["service"], files, environment, told["config-hash"])


def stack_from(plain: dict[str, Any]) -> Stack:
    """Return the stack of what a journal holds of one."""
    one = {name: str(plain[name]) for name in ("project", "directory", "service", "made_from")}
    return Stack(files=tuple(plain["files"]), environment_files=tuple(plain["environment_files"]), **one)


def reading(stack: Stack, files: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return what Compose makes of the files. Raises `RefusedFault`."""
    said = command.run(stack.argv("config", "--format", "json", files=files), timeout_s=_READ_LIMIT_S)
    if said.code != 0:
        raise RefusedFault(f"Compose can't read {', '.join(files or stack.files)}: {said.err.strip()[-400:]}. Nothing was changed.")
    return dict(json.loads(said.out))


def reading_of(stack: Stack, texts: dict[str, str]) -> dict[str, Any]:
    """Return what Compose makes of the stack with these texts in place of its files' own. Raises `RefusedFault`."""
    # What is relative in them counts from the project's folder, wherever they lie. The texts may hold secrets: root's alone, and on no disk.
    with tempfile.TemporaryDirectory(prefix="controlplane-draft-", dir=MEMORY) as folder:
        drafts = {path: f"{folder}/{number}-{Path(path).name}" for number, path in enumerate(texts)}
        for path, draft in drafts.items():
            with open(draft, "w", newline="", encoding="utf-8") as file:
                file.write(texts[path])
        try:
            return reading(stack, tuple(drafts.get(path, path) for path in stack.files))
        except RefusedFault as fault:
            told = str(fault)
            for path, draft in drafts.items():
                told = told.replace(draft, path)
            raise RefusedFault(told) from fault


def assert_made_from(stack: Stack, container: str) -> None:
    """Raise `RefusedFault` where the container was made from other files, or with other variables, than they are here."""
    said = command.run(stack.argv("config", "--hash", stack.service), timeout_s=_READ_LIMIT_S)
    if said.code != 0:
        raise RefusedFault(f"Compose can't read {', '.join(stack.files)}: {said.err.strip()[-400:]}. Nothing was changed.")
    now = said.out.split()[-1] if said.out.split() else ""
    if now != stack.made_from:
        raise RefusedFault(
            f"{container} was not made from {', '.join(stack.files)} as they are, or other variables were set then: to make it anew would change more "
            f"than was planned. Nothing was changed. Bring it up to its files yourself ({stack.by_hand}), then plan again. (Compose before 5.5 also says so of "
            "every service with an env_file: then write these settings there yourself.)"
        )


def file_of_command(stack: Stack) -> tuple[str, ComposeText]:
    """Return the last of the stack's files that names the service's command, else the first that defines the service. Raises `RefusedFault`."""
    # PyYAML is laid down for those alone that change a compose file.
    from .compose_text import ComposeText  # noqa: PLC0415

    texts = [(path, ComposeText(read_text(path), path)) for path in stack.files]
    naming = [(path, text) for path, text in texts if text.command(stack.service) is not None]
    defining = [(path, text) for path, text in texts if text.has_service(stack.service)]
    if not defining:
        raise undefined(stack, [text for _, text in texts])
    return naming[-1] if naming else defining[0]


def undefined(stack: Stack, texts: Iterable[ComposeText]) -> RefusedFault:
    """Return the refusal of a service that none of the stack's own files defines: its labels name no file that those include."""
    said = f"none of {', '.join(stack.files)} defines the service {stack.service} itself"
    included = list(dict.fromkeys(path for text in texts for path in text.includes()))
    if not included:
        return RefusedFault(f"{said}. Nothing was changed.")
    return RefusedFault(
        f"{said}, but they include {', '.join(included)}, and an included file is not changed here. Nothing was changed. Name the one that defines it "
        "beside the stack's own files instead of including it (--file, or COMPOSE_FILE) and bring the service up; or write this there yourself. Then "
        "plan again."
    )


def assert_only_command_differs(stack: Stack, path: str, text: str, told: Callable[[list[str]], list[str]]) -> None:
    """Raise `RefusedFault` unless Compose reads the changed text as the old one with nothing but that command: what `told` makes of the old one."""
    before = reading(stack)
    after = reading_of(stack, {path: text})
    now = after["services"][stack.service].pop("command", None)
    was = before["services"][stack.service].pop("command", None)
    if before != after or now is None or (was is not None and list(now) != told(list(was))):
        raise RefusedFault(
            f"{path} would mean more to Compose, or less, with the new command of {stack.service} than that change alone. Nothing was changed. "
            "Write it there yourself."
        )


def assert_alone(inspection: dict[str, Any], stack: Stack, engine: Engine) -> None:
    """Raise `RefusedFault` where to make the container anew would touch another one, or bring another image."""
    name, own = str(inspection["Name"]).lstrip("/"), str(inspection["Id"])
    found, there = [], list(engine.containers())
    ids = [str(other["Id"]) for other in there]
    for other in there:
        labels, called = other["Config"].get("Labels") or {}, str(other["Name"]).lstrip("/")
        shared = [str(other["HostConfig"].get(mode) or "") for mode in ("NetworkMode", "PidMode", "IpcMode")]
        if other["Id"] == own:
            continue
        if any(mode in (f"container:{own}", f"container:{name}") for mode in shared):
            found.append(f"{called} lives in the namespaces of {name}, and would be left in dead ones")
        if (labels.get(f"{_LABEL}project"), labels.get(f"{_LABEL}service")) == (stack.project, stack.service):
            if compose_replacing.is_left_over(called, labels, str((other.get("State") or {}).get("Status")), ids):
                continue
            found.append(
                f"{called} is another container of the service {stack.service}, and Compose would make that anew as well: remove it if nobody needs it "
                f"('docker rm {called}'), then plan again"
            )
    status, image = engine.call("GET", f"/images/{quote(str(inspection['Config']['Image']), safe='/:@')}/json")
    if status != 200:
        # `up --pull never` would find that out only once everything is stopped.
        found.append(
            f"the image {inspection['Config']['Image']} of {name} is not found on this host any more (Docker says {status}), and Compose could not "
            f"make it anew: get it back (docker tag {inspection['Image']} {inspection['Config']['Image']}, or bring it up yourself)"
        )
    elif image["Id"] != inspection["Image"]:
        found.append(f"{inspection['Config']['Image']} names another image by now than the one that {name} was made from: bring it up yourself first")
    if found:
        raise RefusedFault(f"{'; '.join(found)}. Nothing was changed.")


def digests(stack: Stack) -> dict[str, str]:
    """Return {path: sha256} of each file that Compose is told of; what those lead to is known by its reading (compose_note.py)."""
    implied = (os.path.join(stack.directory, ".env"),) if not stack.environment_files else stack.environment_files
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (*stack.files, *implied) if os.path.isfile(path)}


def make_anew(stack: Stack, *, stop_s: int, wait_s: int, unit: str, log: Path) -> None:
    """Let Compose make the service's container anew from the files, as a unit of its own, and wait until it is healthy. Raises `FailedFault`."""
    _up(stack, ("--detach", "--wait", "--wait-timeout", str(wait_s)), stop_s=stop_s, unit=unit, log=log)


def make_still(stack: Stack, *, stop_s: int, unit: str, log: Path, fresh: bool) -> None:
    """Let Compose make the service's container anew from the files without starting it. Raises `FailedFault`.

    An anonymous volume of the files gets what the old container has at its path, be it a bind; `fresh` gives each a new one.
    """
    _up(stack, ("--no-start", *(["--renew-anon-volumes"] if fresh else [])), stop_s=stop_s, unit=unit, log=log)


def await_unit(unit: str) -> None:
    """Return once Compose does not work as that unit any more; nobody stops it."""
    while active(unit):
        time.sleep(0.2)


def _up(stack: Stack, how: tuple[str, ...], *, stop_s: int, unit: str, log: Path) -> None:
    words = ("up", "--no-deps", "--no-build", "--pull", "never", "--timeout", str(stop_s), *how)
    await_unit(unit)
    compose_replacing.settle(Engine(), stack.project, [stack.service])
    before = log.stat().st_size if log.exists() else 0
    outputs = [f"--property=Standard{stream}=append:{log}" for stream in ("Output", "Error")]
    waiting = ["systemd-run", "--quiet", "--collect", "--wait", f"--unit={unit}", "--setenv=HOME=/root", *outputs]
    said = command.run([*waiting, "--", *stack.argv(*words, stack.service)])
    # Who waits may be cut off while Compose goes on.
    await_unit(unit)
    if said.code != 0:
        told = log.read_bytes()[before:].decode(errors="replace") if log.exists() else said.err
        raise FailedFault(
            f"Compose did not bring {stack.service} up: {told.strip()[-600:]}. All it said is in {log}. Mend what it names and bring it up by hand: {stack.by_hand}; then plan again"
        )


def read_text(path: str) -> str:
    """Return a file's text as it is, line ends included. Raises `RefusedFault`."""
    try:
        data = Path(path).read_bytes()
        if len(data) > _MOST_BYTES:
            raise RefusedFault(f"{path} is larger than {_MOST_BYTES} bytes. Nothing was changed.")
        return data.decode()
    except (OSError, UnicodeDecodeError) as fault:
        raise RefusedFault(f"{path}, from which the container was made, can't be read: {fault}. Nothing was changed.") from fault
