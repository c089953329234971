"""The second witness: plain questions that a live machine answers through testinfra, not through the collector.

Rules:
- Only what the first witness calls MET is put to the second: doubt about a drift helps nobody.
- Where the two disagree, or the second could not see, the verdict is UNKNOWN.
- The questions use the machine's own tools (findmnt, docker, systemctl), not the collector's reading of /proc and /sys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from controlplane.domain.capabilities.fstab import GUARDED_UNITS, guarded_mounts
from controlplane.domain.checks.landing import is_at_or_below
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, is_absent
from controlplane.domain.evidence_shapes.docker import ContainerMount
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.machines import DOCKER
from controlplane.domain.releases.running import services_of
from controlplane.domain.values import Value


class Question(Value):
    """One command on one host, and the answer that agrees with a MET finding: exactly `expect`, or `among` others, words in any order."""

    host: str
    check: str
    surface: str
    argv: tuple[str, ...]
    expect: str
    among: bool = False

    def agrees(self, said: str | None) -> bool:
        """Say whether this answer confirms the finding."""
        if said is None:
            return False
        return set(self.expect.split()) <= set(said.split()) if self.among else said == self.expect


class Answer(Value):
    """What the machine said; `said` is None when it could not be asked, with the reason in `error`."""

    question: Question
    said: str | None
    error: str | None


def questions_for(desired: DesiredHost, reader: Reader, findings: Sequence[Finding]) -> tuple[Question, ...]:
    """Return the questions that can be put about this host's MET findings. Raises `Unobserved`."""
    asked: list[Question] = []
    for finding in findings:
        if finding.host != desired.host or finding.verdict is not Verdict.MET:
            continue
        kind, _, rest = finding.surface.partition(":")
        ask = _ASK.get(kind)
        if ask is not None:
            asked += [
                # systemd lists paths in no order, among others of its own.
                Question(host=desired.host, check=finding.check, surface=finding.surface, argv=argv, expect=expect, among=kind == "boot.guard")
                for argv, expect in ask(desired, reader, rest)
            ]
    return tuple(asked)


def judge_answers(findings: Sequence[Finding], answers: Sequence[Answer]) -> tuple[Finding, ...]:
    """Return the findings with every MET that the second witness does not confirm turned into UNKNOWN."""
    told: dict[tuple[str, str, str], list[str]] = {}
    for answer in answers:
        question = answer.question
        if question.agrees(answer.said):
            continue
        seen = f"could not be asked ({answer.error})" if answer.said is None else f"says {answer.said!r} where {question.expect!r} was due"
        told.setdefault((question.host, question.check, question.surface), []).append(f"{question.argv[0]} {seen}")
    return tuple(_doubted(finding, told.get((finding.host, finding.check, finding.surface))) for finding in findings)


def _doubted(finding: Finding, doubts: list[str] | None) -> Finding:
    if not doubts or finding.verdict is not Verdict.MET:
        return finding
    reason = f"two witnesses disagree: evidence says {finding.reason!r}, but live {'; '.join(doubts)}"
    return finding.model_copy(update={"verdict": Verdict.UNKNOWN, "reason": reason})


_Asked = list[tuple[tuple[str, ...], str]]


def _mounted(desired: DesiredHost, reader: Reader, path: str) -> _Asked:
    mount = next((mount for mount in reversed(reader.mounts) if mount["mount"] == path), None)
    if mount is None:
        return []
    if path in {export.mount for export in desired.nfs}:
        return [(("findmnt", "-fnro", "FSTYPE,SOURCE", path), f"{mount['fstype']} {mount['source']}")]
    if path not in {disk.mount for disk in desired.disks}:
        return []
    seen = reader.signatures.get(mount["dev"])
    return [(("findmnt", "-fnro", "UUID", path), seen["uuid"] or "")] if seen else []


def _entry(desired: DesiredHost, reader: Reader, path: str) -> _Asked:
    if path not in {*(disk.mount for disk in desired.disks), *(export.mount for export in desired.nfs)}:
        return []
    entry = next((entry for entry in reader.fstab["entries"] if entry["file"] == path), None)
    return [(("findmnt", "--fstab", "-fnro", "SOURCE", "--target", path), entry["spec"])] if entry else []


def _docker_root(desired: DesiredHost, reader: Reader, _: str) -> _Asked:
    root = desired.docker.data_root
    if root is None:
        # Nothing says where it belongs, but where it was seen to lie can be confirmed.
        if is_absent(reader.evidence, "docker_info"):
            return []
        root = reader.docker_info["root"]
    mount = reader.paths[root]["mount"] if root in reader.paths else ""
    return [
        (("docker", "info", "--format", "{{.DockerRootDir}}"), root),
        (("findmnt", "-fnro", "TARGET", "--target", root), mount),
    ]


def _containerd_root(desired: DesiredHost, reader: Reader, _: str) -> _Asked:
    root = desired.docker.containerd_root
    if root is None or root not in reader.paths:
        return []
    return [(("findmnt", "-fnro", "TARGET", "--target", root), reader.paths[root]["mount"])]


def _guard(desired: DesiredHost, reader: Reader, _: str) -> _Asked:
    mounts = guarded_mounts(desired)
    # A socket's list also names what its own path lies on, in no order that could be foretold.
    services = [unit for unit in GUARDED_UNITS if unit.endswith(".service")]
    units = [unit for unit in services if unit in reader.units and reader.units[unit]["load_state"] == "loaded"]
    return [(("systemctl", "show", "--value", "-p", "RequiresMountsFor", unit), " ".join(mounts)) for unit in units if mounts]


def _service(desired: DesiredHost, reader: Reader, container: str) -> _Asked:
    service = desired.services.get(container)
    seen = next((row for row in reader.containers if row["name"] == container), None)
    if service is None or seen is None:
        return []
    asked: _Asked = [(("docker", "inspect", "--format", "{{.State.Running}}", container), "true" if seen["running"] else "false")]
    # One that only the second witness sees could take a part of the data elsewhere.
    many = ("docker", "inspect", "--format", "{{len .Mounts}} {{len .HostConfig.Tmpfs}}", container)
    asked.append((many, f"{len(seen['mounts'])} {len(seen['tmpfs'])}"))
    return asked + [_source_of(container, mount) for mount in seen["mounts"] if is_at_or_below(mount["destination"], service.data)]


def _log(_desired: DesiredHost, reader: Reader, _: str) -> _Asked:
    if is_absent(reader.evidence, "docker_info"):
        return []
    return [(("docker", "info", "--format", "{{.LoggingDriver}}"), reader.docker_info["logging_driver"])]


def _surface(_desired: DesiredHost, reader: Reader, named: str) -> _Asked:
    container, _, path = named.partition(":")
    seen = next((row for row in reader.containers if row["name"] == container), None)
    return [_source_of(container, mount) for mount in seen["mounts"] if mount["destination"] == path] if seen else []


def _source_of(container: str, mount: ContainerMount) -> tuple[tuple[str, ...], str]:
    template = "{{range .Mounts}}{{if eq .Destination " + json.dumps(mount["destination"], ensure_ascii=False) + "}}{{.Source}}{{end}}{{end}}"
    return ("docker", "inspect", "--format", template, container), mount["source"]


def _packages(desired: DesiredHost, _reader: Reader, _: str) -> _Asked:
    return _installed(desired.machine.profile.baseline.packages) if desired.machine else []


def _installed(names: Sequence[str]) -> _Asked:
    return [(("dpkg-query", "--show", "--showformat=${db:Status-Status}", "--", name), "installed") for name in names]


def _unit(_desired: DesiredHost, reader: Reader, name: str) -> _Asked:
    seen = reader.units.get(name)
    return [(("systemctl", "is-enabled", name), seen["enabled"]), (("systemctl", "is-active", name), "active")] if seen else []


def _time(desired: DesiredHost, reader: Reader, _: str) -> _Asked:
    unit = desired.machine.profile.baseline.time_unit() if desired.machine else None
    return _unit(desired, reader, unit) if unit else []


def _docker(desired: DesiredHost, reader: Reader, _: str) -> _Asked:
    docker = desired.machine.profile.baseline.docker if desired.machine else None
    return [*_installed(docker.packages), *_unit(desired, reader, DOCKER)] if docker else []


def _hook(hook: str) -> Callable[[DesiredHost, Reader, str], _Asked]:
    def ask(desired: DesiredHost, reader: Reader, _: str) -> _Asked:
        baseline = desired.machine.profile.baseline if desired.machine else None
        wanted = {"backup": baseline.backup, "monitoring": baseline.monitoring}[hook] if baseline else None
        return [*_installed(wanted.packages), *_unit(desired, reader, wanted.unit)] if wanted else []

    return ask


def _release(desired: DesiredHost, reader: Reader, stack: str) -> _Asked:
    wanted = next((one for one in desired.releases if one.stack == stack), None)
    seen = services_of(wanted.project, reader.containers) if wanted is not None else {}
    template = "{{.Image}} {{.State.Health.Status}}"
    return [
        (("docker", "inspect", "--format", template, container["name"]), f"{container['image_id']} healthy")
        for service in (wanted.images if wanted is not None else ())
        for container in seen.get(service, ())
    ]


_ASK: dict[str, Callable[[DesiredHost, Reader, str], _Asked]] = {
    "mount": _mounted,
    "fstab": _entry,
    "docker.data_root": _docker_root,
    "docker.containerd_root": _containerd_root,
    "boot.guard": _guard,
    "service": _service,
    "release": _release,
    "docker.log": _log,
    "write_surface": _surface,
    "baseline.packages": _packages,
    "baseline.unit": _unit,
    "baseline.time": _time,
    "baseline.docker": _docker,
    "hook.backup": _hook("backup"),
    "hook.monitoring": _hook("monitoring"),
}
