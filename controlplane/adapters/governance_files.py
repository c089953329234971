"""Read gates.yml, registers/*.yml, waves/*.yml and releases/*.yml of a site, all faults at once, each with its file and line."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from controlplane.adapters.listing import yaml_files_in
from controlplane.adapters.release_specs import Surroundings, read_specs
from controlplane.adapters.strict_yaml import Document, read_document
from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.checks import CHECKS
from controlplane.domain.errors import Fault
from controlplane.domain.faults import fault_at, validated
from controlplane.domain.gates.values import Gates, gate_faults
from controlplane.domain.governance import Governance
from controlplane.domain.registers import Registers
from controlplane.domain.registers.files import FindingsFile, GapsFile, LoopsFile
from controlplane.domain.registers.rules import Broken, broken_rules
from controlplane.domain.registers.values import WAVE
from controlplane.domain.values import Value
from controlplane.domain.waves.rules import wave_faults
from controlplane.domain.waves.values import Wave

# What has gates of its own is no part of a wave.
_LED_BY_WAVES = tuple(name for name, capability in CAPABILITIES.items() if capability.led_by is None)
_FILES: dict[str, type[Value]] = {"gaps": GapsFile, "loops": LoopsFile, "findings": FindingsFile}


class _Unread(Collection[str]):
    """Names that could not be read: whatever is named may be among them."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def read_governance(
    folder: Path, *, governed: Collection[str] | None, live: Collection[str] | None, stacks: Mapping[str, Collection[str]] | None = None
) -> Governance:
    """Return all of it; what is None could not be read.

    `governed` are the hosts of the policy, `live` those of the inventory, `stacks` the compose projects of each host of the policy.
    """
    gates, gates_document, gates_wrong = _gates(folder, governed)
    # Where gates.yml has faults, what it names is still named: who refers to it adds no fault of their own.
    own, packs = _names(gates_document, "checks"), _names(gates_document, "packs")
    checks = _Unread() if own is None else [*CHECKS, *own]
    waves, documents, waves_wrong = _waves(folder, checks=checks, packs=_Unread() if packs is None else packs, hosts=governed)
    registers, sources, registers_wrong = _registers(folder / "registers")
    broken: tuple[Broken, ...] = ()
    if registers is not None:
        named = None if waves_wrong else {name: wave.named_gaps for name, wave in waves.items()}
        broken = broken_rules(
            registers,
            checks=None if own is None else [*CHECKS, *own],
            waves=named,
            governed=sorted(governed or ()),
            live=None if live is None else sorted(live),
            expected=[one.stor for one in gates.expected],
        )
    known = None if registers_wrong else registers or Registers()
    releases, releases_wrong = read_specs(folder, Surroundings(stacks=stacks, packs=packs, registers=known))
    sources = {**sources, "gates": gates_document, **{f"waves/{name}": document for name, document in documents.items()}}
    return Governance(
        gates=gates,
        registers=registers,
        waves=waves,
        gate_faults=tuple(gates_wrong),
        register_faults=tuple(registers_wrong),
        wave_faults=tuple(waves_wrong),
        broken=broken,
        broken_faults=tuple(_placed(rule, sources, folder) for rule in broken),
        releases=releases,
        release_faults=tuple(releases_wrong),
    )


def _placed(rule: Broken, sources: dict[str, Document], folder: Path) -> Fault:
    if rule.file == "hosts":
        return Fault(str(folder / "policy.yml"), 0, f"hosts.{rule.id}", rule.message)
    if rule.file == "waves":
        return fault_at(sources[f"waves/{rule.place[0]}"], rule.place[1:], rule.message)
    return fault_at(sources[rule.file], rule.place, rule.message)


def _gates(folder: Path, governed: Collection[str] | None) -> tuple[Gates, Document, list[Fault]]:
    file = folder / "gates.yml"
    if not file.is_symlink() and not file.exists():
        return Gates(), Document(str(file)), []
    document = read_document(file)
    found, wrong = _model(Gates, document)
    if document.complete:
        wrong += [
            fault_at(document, place, message)
            for place, message in gate_faults(document.data, builtin=list(CHECKS), hosts=None if governed is None else sorted(governed))
        ]
    for check, own in (found or Gates()).checks.items():
        if not (folder / own.file).is_file():
            wrong.append(fault_at(document, ("checks", check, "file"), f"{own.file} is no file of the site: write it, or name the right one"))
    return found or Gates(), document, wrong


def _names(document: Document, key: str) -> list[str] | None:
    """Return what gates.yml names under `key`, whether or not it says it well; None where it could not be read."""
    if document.complete and document.data is None:
        return []
    held = document.data.get(key, {}) if document.complete and isinstance(document.data, Mapping) else None
    return list(held) if isinstance(held, Mapping) else None


def _waves(
    folder: Path, *, checks: Collection[str], packs: Collection[str], hosts: Collection[str] | None
) -> tuple[dict[str, Wave], dict[str, Document], list[Fault]]:
    files, wrong = yaml_files_in(folder / "waves")
    names = [file.stem for file in files]
    found: dict[str, Wave] = {}
    documents: dict[str, Document] = {}
    for file in files:
        if not _is_wave(file.stem):
            wrong.append(Fault(str(file), 0, "", f"{file.stem!r} is no wave id: it has to match {WAVE}"))
            continue
        documents[file.stem] = document = read_document(file)
        wave, faults = _model(Wave, document)
        wrong += faults
        if document.complete:
            rules = wave_faults(document.data, hosts=hosts, checks=checks, packs=packs, capabilities=_LED_BY_WAVES, waves=names)
            wrong += [fault_at(document, place, message) for place, message in rules]
        if wave is not None:
            found[file.stem] = wave
    return found, documents, wrong


def _is_wave(name: str) -> bool:
    return re.fullmatch(WAVE, name, re.ASCII) is not None


def _registers(folder: Path) -> tuple[Registers | None, dict[str, Document], list[Fault]]:
    if not folder.is_dir():
        return None, {}, []
    parts: dict[str, Any] = {}
    documents: dict[str, Document] = {}
    wrong: list[Fault] = []
    for name, model in _FILES.items():
        file = folder / f"{name}.yml"
        if not file.is_symlink() and not file.exists():
            documents[name] = Document(str(file))
            continue
        documents[name] = document = read_document(file, multiline=True)
        found, faults = _model(model, document)
        wrong += faults
        if found is not None:
            parts[name] = getattr(found, name)
    return (None if wrong else Registers.model_construct(**parts)), documents, wrong


def _model(model: type[Value], document: Document) -> tuple[Any, list[Fault]]:
    if not document.complete:
        return None, list(document.faults)
    found, wrong = validated(model, document.data, document)
    return (None if document.faults else found), [*document.faults, *wrong]
