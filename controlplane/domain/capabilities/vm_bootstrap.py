"""infra.vm.bootstrap: what a fresh machine lacks of its baseline: packages, units, and Docker with its configuration before its first start.

Rules:
- daemon.json and containerd's configuration are written before Docker's packages are installed, so its very first start uses them.
- Docker does not come where the mount below which its root is to lie, or the guard of that mount, can't be had: the rest of the baseline does.
  Nor is one that is there and down started then, or where it would start on another root than the declared one.
- Where a Docker is there already its root is docker.data_root's business; here only packages and units that are missing are brought.
- Nothing is removed: a package that something else replaced, a unit that is masked, a Docker from elsewhere are refusals.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from controlplane.domain.capabilities import coming_docker
from controlplane.domain.capabilities.fstab import guarded_mounts, is_guarded
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.checks.baseline import clock_problem, unit_problem
from controlplane.domain.desired import DesiredHost
from controlplane.domain.docker_presence import is_without_docker
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.machines import DOCKER, Baseline, DockerPackages
from controlplane.domain.plan import Bound, Change, Mend

ID = "infra.vm.bootstrap"
DAEMON_JSON, CONTAINERD_CONFIG = "/etc/docker/daemon.json", "/etc/containerd/config.toml"
SOURCE, KEY = "/etc/apt/sources.list.d/controlplane-docker.sources", "/etc/apt/keyrings/controlplane-docker.asc"
READY = "enabled and active"
# Debian's docker.io with containerd and what they need takes half a gigabyte; other packages of a baseline are small. An estimate.
_DOCKER_BYTES, _PACKAGE_BYTES = 700_000_000, 100_000_000
# These can't be enabled by anybody who doesn't know why they are as they are.
_KEPT_DOWN = ("masked", "error", "bad-setting")
_DEFAULT_ROOT = "/var/lib/docker"


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    if desired.machine is None:
        return Proposal()
    try:
        return _decide(desired, desired.machine.profile.baseline, reader, outlook)
    except Unobserved as doubt:
        return Proposal(refusals=(f"could not be observed: {doubt}",))


def _decide(desired: DesiredHost, baseline: Baseline, reader: Reader, outlook: Outlook) -> Proposal:
    docker = baseline.docker
    comes = coming_docker.comes(desired, reader)
    against = _against_docker(desired, reader, outlook) if docker is not None else []
    refusals = list(against)
    left_out = set(docker.packages) if docker is not None and against else set()
    packages = tuple(name for name in coming_docker.missing_of(baseline.all_packages(), reader) if name not in left_out)
    units = []
    for name in baseline.all_units():
        problem = unit_problem(name, reader.units.get(name))
        state = reader.units[name]["load_state"]
        if not problem or (against and name == DOCKER):
            continue
        if state in _KEPT_DOWN:
            refusals.append(f"{problem}: see why on {desired.host}, and unmask or mend it there")
        elif state == "not-found" and not packages:
            refusals.append(f"{name} is not there and no package is left to bring it: name its package in machines.yml")
        else:
            units.append(name)
    files = _repository(docker, desired) if docker is not None and comes and not against else []
    ahead = _ahead(desired) if comes and not against and is_without_docker(reader) else {}
    changes = [Change(kind="file", target=path, before=None, after=text) for path, text in files]
    changes += _configuration(ahead)
    changes += [Change(kind="package", target=name, before=None, after="installed") for name in packages]
    changes += [Change(kind="unit", target=name, before=f"not {READY}", after=READY) for name in units]
    if not changes:
        return Proposal(refusals=tuple(refusals))
    variables: dict[str, Any] = {
        "vm_bootstrap_packages": list(packages),
        "vm_bootstrap_units": units,
        "vm_bootstrap_files": [{"path": path, "text": text} for path, text in files],
        "vm_bootstrap_docker": ahead,
        "vm_bootstrap_mounts": [{"path": path, "uuid": outlook.mounts[path].uuid} for path in guarded_mounts(desired)] if ahead else [],
    }
    need = _PACKAGE_BYTES * len(packages) + (_DOCKER_BYTES if comes and not against else 0)
    draft = Draft(
        mends=_mends(desired, baseline, reader, packages, units, ready=comes and not against),
        changes=tuple(changes),
        undo="stop and switch off what was switched on, and put the files back byte for byte; packages stay installed, because removing them can "
        "take data along; what Docker wrote stays where it is",
        variables=variables,
        bounds=(Bound(host=desired.host, what="free bytes on /", measure="free_bytes", of="/", at_least=need),) if packages else (),
    )
    after = replace(outlook, docker_comes=True) if comes else None
    return Proposal(drafts=(draft,), refusals=tuple(refusals), outlook=after)


def _against_docker(desired: DesiredHost, reader: Reader, outlook: Outlook) -> list[str]:
    """Return what keeps Docker from being installed, finished or started. Raises `Unobserved`."""
    if not coming_docker.missing_of(coming_docker.named_packages(desired), reader):
        return _against_a_start(desired, reader, outlook)
    there = not is_without_docker(reader)
    if there and not coming_docker.is_begun(desired, reader):
        names = ", ".join(coming_docker.named_packages(desired))
        return [f"a Docker is there that {names} did not bring: name its packages in machines.yml, or remove it yourself"]
    if there and coming_docker.answers(reader):
        return []
    if there and not coming_docker.is_configured(desired, reader):
        return [f"Docker is installed in part and would start on a root that is not {desired.docker.data_root}: finish or remove it yourself"]
    if desired.data == "disk" and desired.docker.data_root is None:
        return [f"Docker is not installed: the policy names no docker.data_root for {desired.host}, so its data would lie on the boot disk"]
    return _against_its_mounts(desired, reader, outlook, "installed")


def _against_a_start(desired: DesiredHost, reader: Reader, outlook: Outlook) -> list[str]:
    """Return what keeps a Docker that is there, and down, from being started. Raises `Unobserved`."""
    if not unit_problem(DOCKER, reader.units.get(DOCKER)) or is_without_docker(reader) or coming_docker.answers(reader):
        return []
    root, flags = desired.docker.data_root, reader.docker_config["dockerd_flags"]
    named = any(flag.startswith(("--data-root", "--graph", "-g")) for flag in flags)
    if root not in (None, _DEFAULT_ROOT) and not named and not coming_docker.is_configured(desired, reader):
        way = f"if it never kept anything, write data-root into {DAEMON_JSON}; if it did, start it yourself, and docker.data_root moves it"
        return [f"Docker is not started: it would start on another root than {root}: {way}"]
    return _against_its_mounts(desired, reader, outlook, "started")


def _against_its_mounts(desired: DesiredHost, reader: Reader, outlook: Outlook, what: str) -> list[str]:
    told = []
    for path in guarded_mounts(desired):
        if path in outlook.missing:
            told.append(f"Docker is not {what}: its root is to lie on {path}, which can't be provided: {outlook.missing[path]}")
        elif path not in outlook.mounts:
            told.append(f"Docker is not {what}: its root is to lie on {path}, which is not mounted")
    if not told and guarded_mounts(desired) and not outlook.guarded and not is_guarded(desired, reader, outlook):
        told.append(f"Docker is not {what}: storage.fstab has to guard it first, or it could start on the bare mountpoint")
    return told


def _ahead(desired: DesiredHost) -> dict[str, Any]:
    """Return what Docker's configuration has to hold before its first start."""
    docker = desired.docker
    settings: dict[str, Any] = {"data-root": docker.data_root} if docker.data_root else {}
    if docker.log is not None:
        # json-file is Docker's own default; said again, because the options are those of one driver.
        settings |= {"log-driver": "json-file", "log-opts": {"max-file": str(docker.log.max_files), "max-size": str(docker.log.max_size)}}
    return {"daemon_json": settings, "containerd_root": docker.containerd_root}


def _configuration(ahead: dict[str, Any]) -> list[Change]:
    changes = []
    if ahead.get("daemon_json"):
        after = json.dumps(ahead["daemon_json"], sort_keys=True, ensure_ascii=False)
        changes.append(Change(kind="file", target=DAEMON_JSON, before=None, after=f"holds {after}"))
    if ahead.get("containerd_root"):
        changes.append(Change(kind="file", target=CONTAINERD_CONFIG, before=None, after=f'holds root = "{ahead["containerd_root"]}"'))
    return changes


def _repository(docker: DockerPackages, desired: DesiredHost) -> list[tuple[str, str]]:
    """Return the files that make the site's repository known, with the key that it is trusted by."""
    key = desired.machine.docker_key if desired.machine is not None else None
    if docker.repository is None:
        return []
    if key is None:
        raise Unobserved(f"the key {docker.signed_by} was not read")
    uri, suite, *components = [*docker.repository.split(), "/"][: max(2, len(docker.repository.split()))]
    lines = ["Types: deb", f"URIs: {uri}", f"Suites: {suite}", *([f"Components: {' '.join(components)}"] if components else []), f"Signed-By: {KEY}"]
    return [(KEY, key), (SOURCE, "\n".join(lines) + "\n")]


def _mends(desired: DesiredHost, baseline: Baseline, reader: Reader, packages: tuple[str, ...], units: list[str], *, ready: bool) -> tuple[Mend, ...]:
    def reaches(names: tuple[str, ...], *wanted: str | None) -> bool:
        """Say whether something of it is to be done, and nothing of it is left undone."""
        lacking = coming_docker.missing_of(names, reader)
        down = [unit for unit in wanted if unit and unit_problem(unit, reader.units.get(unit))]
        return bool(lacking or down) and set(lacking) <= set(packages) and set(down) <= set(units)

    time_unit = baseline.time_unit()
    surfaces = ["baseline.packages"] if reaches(baseline.packages) else []
    surfaces += [f"baseline.unit:{name}" for name in dict.fromkeys(baseline.services) if reaches((), name)]
    # A clock that is wrong now may still be wrong when it is looked at again.
    surfaces += ["baseline.time"] if reaches((), time_unit) and not clock_problem(reader) else []
    surfaces += ["baseline.docker"] if baseline.docker is not None and reaches(baseline.docker.packages, DOCKER) else []
    mends = [Mend(check="D247", surface=surface) for surface in surfaces]
    hooks = (("backup", baseline.backup), ("monitoring", baseline.monitoring))
    mends += [Mend(check="D248", surface=f"hook.{name}") for name, hook in hooks if hook is not None and reaches(hook.packages, hook.unit)]
    if not ready:
        return tuple(mends)
    docker = desired.docker
    mends += [Mend(check="D235", surface="docker.data_root")] if docker.data_root else []
    mends += [Mend(check="D235", surface="docker.containerd_root")] if docker.containerd_root else []
    mends += [Mend(check="D241", surface="boot.guard")] if guarded_mounts(desired) else []
    mends += [Mend(check="D243", surface="docker.log")] if docker.log is not None else []
    return tuple(mends)


CAPABILITY = Capability(id=ID, role="vm_bootstrap", propose=_propose, mounts=False)
