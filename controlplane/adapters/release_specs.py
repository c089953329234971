"""Read releases/*.yml and their manifests, all faults at once, each with its file and line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from controlplane.adapters.env_values import EnvValues
from controlplane.adapters.listing import yaml_files_in
from controlplane.adapters.strict_yaml import Document, read_document
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.faults import Place, fault_at, validated
from controlplane.domain.registers import Registers
from controlplane.domain.releases.manifest import Manifest, ManifestName
from controlplane.domain.releases.rules import manifest_faults, same_project, spec_faults
from controlplane.domain.releases.values import ReleaseSpec, StackName
from controlplane.ports.releases import KeptManifest

FOLDER = "releases"
_STACK: TypeAdapter[str] = TypeAdapter(StackName)
_MANIFEST: TypeAdapter[str] = TypeAdapter(ManifestName)


class Surroundings(NamedTuple):
    """What a site says beside its releases; each is None where it could not be read, or isn't asked about.

    `stacks` are the compose projects of each host of the policy, `packs` those of gates.yml; `registers` hold the loops.
    """

    stacks: Mapping[str, Collection[str]] | None = None
    packs: Collection[str] | None = None
    registers: Registers | None = None


def stack_names(site: Path) -> tuple[str, ...]:
    """Return the names of the stacks, sorted. Raises `InputInvalidError` where the folder can't be read."""
    files, faults = yaml_files_in(site / FOLDER)
    if faults:
        raise InputInvalidError(faults)
    return tuple(file.stem for file in files)


def read_specs(site: Path, around: Surroundings) -> tuple[dict[str, ReleaseSpec], list[Fault]]:
    """Return what each file says that has no fault, and every fault of all of them and of their manifests."""
    specs: dict[str, ReleaseSpec] = {}
    files, faults = yaml_files_in(site / FOLDER)
    projects: dict[tuple[str, str], dict[str, tuple[Document, Place]]] = {}
    for stack in (file.stem for file in files):
        spec, document, wrong = read_spec(site, stack, around)
        faults += wrong
        faults += read_manifests(site, stack, spec)[1]
        if spec is None:
            continue
        specs[stack] = spec
        for name, environment in spec.environments.items():
            for host in environment.hosts:
                projects.setdefault((host, environment.project), {})[stack] = (document, ("environments", name, "project"))
    for (host, _), held in projects.items():
        for stack, (document, place) in held.items():
            faults += [fault_at(document, place, same_project(other, host)) for other in held if other != stack]
    return specs, faults


def read_spec(site: Path, stack: str, around: Surroundings) -> tuple[ReleaseSpec | None, Document, list[Fault]]:
    """Return one stack's file, None where it has faults, and every fault of it."""
    path = site / FOLDER / f"{stack}.yml"
    document = read_document(path).covered(EnvValues(site / FOLDER).cover)
    try:
        _STACK.validate_python(stack)
    except ValidationError:
        document.faults.append(
            Fault(str(path), 0, "", f"{stack!r} is no name of a stack: call the file as the stack, in small letters, digits, _ and -")
        )
    faults = list(document.faults)
    if not document.complete:
        return None, document, faults
    spec, wrong = validated(ReleaseSpec, document.data, document)
    faults += wrong
    faults += [fault_at(document, *told) for told in spec_faults(document.data, stacks=around.stacks, packs=around.packs, registers=around.registers)]
    if spec is not None:
        faults += [fault_at(document, place, why) for place, name in _named(spec) if (why := why_not_below(site / FOLDER, name))]
    return (None if faults else spec), document, faults


def read_manifests(site: Path, stack: str, spec: ReleaseSpec | None) -> tuple[list[KeptManifest], list[Fault]]:
    """Return a stack's manifests without faults, the one that was built first first, and every fault of all of them."""
    kept: list[KeptManifest] = []
    files, faults = yaml_files_in(site / FOLDER / stack / "manifests")
    covers = EnvValues(site / FOLDER).cover
    for path in files:
        found, wrong = read_manifest(path, stack, spec, covers)
        faults += wrong
        kept += [found] if found is not None else []
    return sorted(kept, key=lambda one: (one.manifest.moment, one.name)), faults


def read_manifest(path: Path, stack: str, spec: ReleaseSpec | None, covers: Callable[[str], str]) -> tuple[KeptManifest | None, list[Fault]]:
    """Return one manifest, None where it has faults, and every fault of it. `covers` hides in a text what must not be shown."""
    document = read_document(path).covered(covers)
    faults = list(document.faults)
    try:
        _MANIFEST.validate_python(path.stem)
    except ValidationError:
        faults.append(Fault(str(path), 0, "", f"{path.stem!r} is no name of a manifest: use small letters, digits, ., _ and -"))
    if not document.complete:
        return None, faults
    manifest, wrong = validated(Manifest, document.data, document)
    faults += wrong
    if manifest is not None:
        faults += [fault_at(document, *told) for told in manifest_faults(manifest, stack, spec)]
    return (KeptManifest(path.stem, manifest) if manifest is not None and not faults else None), faults


def why_not_below(releases: Path, name: str) -> str | None:
    """Return why that name is no file that lies below releases/, or None."""
    if name.startswith("/"):
        return f"{name} does not lie below releases/: name a file there"
    path = releases / name
    try:
        is_file = path.is_file()
    except OSError:
        # Too long for a name.
        is_file = False
    if not is_file:
        return f"{name} is no file below releases/: write it, or name the right one"
    if not path.resolve().is_relative_to(releases.resolve()):
        return f"{name} leads out of releases/ by a symbolic link: put the file itself there"
    return None


def _named(spec: ReleaseSpec) -> list[tuple[Place, str]]:
    """Return every file that a spec names, with its place."""
    found: list[tuple[Place, str]] = []
    for name, environment in spec.environments.items():
        at: Place = ("environments", name)
        found += [((*at, "compose", number), file) for number, file in enumerate(environment.compose)]
        found += [((*at, "contract"), environment.contract)]
        found += [((*at, "smoke", "files", number), file) for number, file in enumerate(environment.smoke.files)]
    return found
