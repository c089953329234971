"""Read a site's Ansible inventory: a file, a folder, a script or a plugin's configuration.

Rules:
- Scripts and plugins run only where that was asked for; without it an inventory that needs them is not read at all, and
  a note says so.
- Plain YAML is read here (see `inventory_yaml`), everything else by `ansible-inventory` (see `inventory_ansible`).
- No value is ever templated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.adapters.inventory_ansible import list_inventory
from controlplane.adapters.inventory_sources import RawInventory, build
from controlplane.adapters.inventory_yaml import YAML_ENDINGS, add_document, add_variables, is_plugin_configuration, read_yaml
from controlplane.adapters.strict_yaml import Document, collector_resting
from controlplane.adapters.text_files import read_text
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.inventory import Inventory

# As Ansible does in a folder of sources.
_LEFT_ENDINGS = (".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry")
_LEFT_FOLDERS = ("group_vars", "host_vars", "__pycache__")


@dataclass(frozen=True)
class InventoryRead:
    """`inventory` is None where it was not read (see `note`) or could not be (see `faults`)."""

    inventory: Inventory | None
    faults: tuple[Fault, ...] = ()
    note: str | None = None


def read_inventory(source: Path, *, run_dynamic: bool) -> InventoryRead:
    """Return the inventory at `source`; with `run_dynamic` scripts and plugins run as Ansible runs them."""
    if not source.exists():
        return InventoryRead(None, (Fault(str(source), 0, "", "does not exist: create it, or correct `inventory` in site.yml"),))
    files = sorted(_sources(source))
    if not files:
        return InventoryRead(None, (Fault(str(source), 0, "", "holds no inventory file: add one, such as hosts.yml"),))
    kinds = _sorted_out(files)
    if kinds.faults:
        return InventoryRead(None, tuple(kinds.faults))
    if kinds.dynamic and not run_dynamic:
        return InventoryRead(
            None,
            note=f"{kinds.dynamic[0]} is a script or a plugin's configuration and was not run, so hosts and groups were not "
            "checked against the inventory: add --inventory to run it",
        )
    with collector_resting():
        try:
            by_ansible = kinds.dynamic or kinds.others
            raw = list_inventory(source, dynamic=bool(kinds.dynamic)) if by_ansible else _plain(source, kinds.documents)
        except InputInvalidError as error:
            return InventoryRead(None, error.faults)
        inventory, found = build(raw)
    return InventoryRead(None, tuple(found)) if found else InventoryRead(inventory)


@dataclass
class _Kinds:
    """Sources by who reads them, and what is wrong with those that are plain data."""

    documents: list[Document] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    dynamic: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def _sorted_out(files: list[Path]) -> _Kinds:
    kinds = _Kinds()
    for file in files:
        if _is_script(file):
            kinds.dynamic.append(file)
        elif file.suffix in YAML_ENDINGS:
            document = read_yaml(file)
            if is_plugin_configuration(document.data):
                kinds.dynamic.append(file)
            else:
                kinds.documents.append(document)
                kinds.faults += document.faults
        else:
            kinds.others.append(file)
            try:
                read_text(file)
            except InputInvalidError as error:
                kinds.faults += error.faults
    return kinds


def _plain(source: Path, documents: list[Document]) -> RawInventory:
    raw = RawInventory()
    for document in documents:
        add_document(raw, document)
    add_variables(raw, source if source.is_dir() else source.parent)
    return raw


def _sources(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        yield source
        return
    for entry in source.iterdir():
        if entry.name.startswith(".") or entry.name.endswith(_LEFT_ENDINGS) or entry.name in _LEFT_FOLDERS:
            continue
        yield from _sources(entry)


def _is_script(file: Path) -> bool:
    if not file.is_file() or not os.access(file, os.X_OK):
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(2) == b"#!"
    except OSError:
        return False
