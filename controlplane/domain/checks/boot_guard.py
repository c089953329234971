"""D241: Docker never starts on the bare mountpoint of a disk that is missing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import lru_cache

from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.checks.landing import is_at_or_below
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.system import Unit

UNITS = ("docker.service", "docker.socket", "containerd.service")


def guarded_mounts(desired: DesiredHost) -> tuple[str, ...]:
    """Return the declared mounts that hold one of Docker's declared roots, sorted."""
    roots = [root for root in (desired.docker.data_root, desired.docker.containerd_root) if root]
    mounts = [disk.mount for disk in desired.disks] + [export.mount for export in desired.nfs]
    return tuple(sorted(mount for mount in mounts if any(is_at_or_below(root, mount) for root in roots)))


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `boot.guard`.

    Description: docker.service, docker.socket (where there is one) and containerd.service each require every declared mount that holds Docker's
    roots, and refuse to start where it is no mountpoint or carries another filesystem; the bare directory under the mount is empty and immutable.
    Drift: a directive missing from a drop-in, a unit not reloaded, a bare directory that can be written (high); data hidden under the mount (high).
    Unknown: units, mount table, signatures or the directory under the mount could not be observed.
    Rationale: with nofail the boot goes on without the disk, and an unguarded Docker starts empty on the boot disk and hides its data later; an
    unguarded socket takes clients for a Docker that never comes, and they hang.
    """
    if guarded_mounts(desired):
        yield Question("boot.guard", _guard)


def _guard(case: Case) -> Answer:
    mounts = guarded_mounts(case.desired)
    units, beneath, signatures = case.reader.units, case.reader.beneath, case.reader.signatures
    tops = {mount: case.lineage.top_mount(mount) for mount in mounts}
    problems = []
    for name in UNITS:
        unit = units.get(name)
        if unit is None:
            raise Unobserved(f"{name} was not looked at")
        if unit["load_state"] == "loaded":
            problems += [f"{name} {problem}" for mount in mounts for problem in _unit_problems(unit, mount)]
            problems += [f"{name} was not reloaded since its files changed"] if unit["needs_reload"] else []
        elif unit["load_state"] != "not-found" and (name, unit["load_state"]) != ("docker.socket", "masked"):
            problems.append(f"{name} is {unit['load_state'] or 'in no known state'}")
        elif name == "docker.service":
            problems.append("docker.service is not installed, so nothing guards it")
    for mount, top in tops.items():
        if top is None:
            problems.append(f"nothing is mounted at {mount}")
            continue
        under = beneath.get(mount)
        if under is None:
            raise Unobserved(f"the directory under {mount} was not looked at")
        problems += _bare_problems(mount, under["exists"], under["entries"], under["sample"], under["immutable"])
        mark = signatures.get(top["dev"])
        if mark is None and not top["dev"].startswith("0:"):
            raise Unobserved(f"the UUID of what is mounted at {mount} was not observed")
        uuid = mark["uuid"] if mark is not None else None
        if uuid:
            careless = [name for name in UNITS if not _checks_uuid(units[name], mount, uuid)]
            problems += [f"{name} doesn't check that {mount} is the filesystem {uuid}" for name in careless]
    return drifted("; ".join(problems), "high") if problems else met(f"Docker starts only with {', '.join(mounts)} mounted")


def _unit_problems(unit: Unit, mount: str) -> list[str]:
    required, asserted = directives(unit, "RequiresMountsFor"), directives(unit, "AssertPathIsMountPoint")
    problems = [] if any(is_at_or_below(path, mount) for path in required) else [f"doesn't require {mount} (RequiresMountsFor=)"]
    return problems if mount in asserted else [*problems, f"doesn't refuse to start without {mount} (AssertPathIsMountPoint=)"]


def directives(unit: Unit, key: str) -> list[str]:
    """Return the values that a unit's drop-ins give one key of [Unit], in their order; an empty assignment resets them."""
    values: list[str] = []
    for drop_in in sorted(unit["drop_ins"], key=lambda one: one["path"].rpartition("/")[2]):
        for name, words in _unit_section(drop_in["text"]):
            if name == key:
                values = [*values, *words] if words else []
    return values


@lru_cache(maxsize=256)
def _unit_section(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the assignments of [Unit] in one file, split into words; hosts share most of them, so each text is read once."""
    return tuple((name, tuple(_words(value))) for section, name, value in _assignments(text) if section == "[Unit]")


@lru_cache(maxsize=256)
def _assignments(text: str) -> tuple[tuple[str, str, str], ...]:
    """Return (section, name, value) of each assignment in one file."""
    found: list[tuple[str, str, str]] = []
    section = ""
    for line in (raw.strip() for raw in text.splitlines()):
        name, equals, value = line.partition("=")
        if line.startswith("["):
            section = line
        elif equals and not line.startswith(("#", ";")):
            found.append((section, name.strip(), value.strip()))
    return tuple(found)


def _words(value: str) -> list[str]:
    try:
        words = shlex.split(value) if '"' in value or "'" in value or "\\" in value else value.split()
    except ValueError:
        return []
    return [word.rstrip("/") or "/" for word in words]


def _checks_uuid(unit: Unit, mount: str, uuid: str) -> bool:
    if unit["load_state"] != "loaded":
        return True
    commands: list[str] = []
    for drop_in in sorted(unit["drop_ins"], key=lambda one: one["path"].rpartition("/")[2]):
        for section, key, value in _assignments(drop_in["text"]):
            if section in ("[Service]", "[Socket]") and key == "ExecStartPre":
                commands = [*commands, value] if value else []
    whole = re.compile(rf"(?<![\w./-]){re.escape(mount)}(?![\w./-])")
    # Before the program stand signs, of which the minus has systemd go on after a failure.
    return any("-" not in value[: len(value) - len(value.lstrip("@-:+!|"))] and whole.search(value) and uuid in value for value in commands)


def _bare_problems(mount: str, exists: bool, entries: int, sample: list[str], immutable: bool | None) -> list[str]:
    if not exists:
        raise Unobserved(f"the directory under {mount} could not be seen")
    if immutable is None:
        raise Unobserved(f"whether the directory under {mount} is immutable could not be seen")
    problems = [f"{entries} entries are hidden under {mount} ({', '.join(sample[:3])})"] if entries else []
    return problems if immutable else [*problems, f"the bare directory under {mount} can be written (chattr +i)"]


CHECK = Check("D241", "boot guard", "high", _questions)
