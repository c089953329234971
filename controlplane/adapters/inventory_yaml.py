"""Plain YAML inventories, with Ansible's meaning and without Ansible.

Ansible's own parser took 93 s for 10,000 hosts in YAML; this one takes about a second, never loads a plugin, and knows the
line of every fault. It keeps Ansible's nesting (hosts, vars, children), host ranges (`web[01:20:2]`, `db-[a:c]`), ports in
host names, and the folders group_vars and host_vars beside the inventory.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from controlplane.adapters.inventory_sources import Given, RawHost, RawInventory, Variables, taken
from controlplane.adapters.strict_yaml import Document, read_document
from controlplane.domain.faults import Place, fault_at

# Vaulted and unsafe values may stand in an inventory; they are never among the variables that are taken.
TAGS = frozenset(["!vault", "!vault-encrypted", "!unsafe"])
YAML_ENDINGS = (".yml", ".yaml", ".json")
MOST_HOSTS = 100_000
_RANGE = re.compile(r"\[([0-9A-Za-z]*):([0-9A-Za-z]+)(?::([0-9]+))?\]")
_PORT = re.compile(r"([^\[\]:]+|\[[0-9A-Fa-f:.]+\]|[^\[\]]*\[[0-9A-Za-z:]+\][^:]*):([0-9]{1,5})")


def read_yaml(path: Path) -> Document:
    """Return what an inventory or variables file says."""
    return read_document(path, multiline=True, empty_values=True, tags=TAGS)


def is_plugin_configuration(data: Any) -> bool:
    """Return whether the data configure an inventory plugin rather than name hosts."""
    return isinstance(data, Mapping) and isinstance(data.get("plugin"), str)


def add_document(raw: RawInventory, document: Document) -> None:
    """Add what one inventory file says to `raw`."""
    raw.faults += document.faults
    if not isinstance(document.data, Mapping):
        if not document.faults:
            raw.faults.append(fault_at(document, (), "is no inventory: write groups as keys, such as all:"))
        return
    for name, node in document.data.items():
        _add_group(raw, document, name, node, (name,))


def add_variables(raw: RawInventory, folder: Path) -> None:
    """Add the folders group_vars and host_vars below `folder` to `raw`; a file that is vaulted as a whole is left alone."""
    for kind, known in (("group_vars", raw.groups), ("host_vars", raw.hosts)):
        if not (folder / kind).is_dir():
            continue
        for entry in sorted((folder / kind).iterdir()):
            name = entry.name if entry.is_dir() else entry.name.removesuffix(entry.suffix if entry.suffix in YAML_ENDINGS else "")
            owner = raw.group("all") if kind == "group_vars" and name == "all" else known.get(name)
            if owner is None or entry.name.startswith("."):
                continue
            for file in _files(entry):
                owner.extra.update(_variables_file(raw, file))


def _files(entry: Path) -> Iterator[Path]:
    if not entry.is_dir():
        yield entry
        return
    for file in sorted(entry.rglob("*")):
        if file.is_file() and not file.name.startswith(".") and file.suffix in ("", *YAML_ENDINGS):
            yield file


def _variables_file(raw: RawInventory, file: Path) -> Variables:
    document = read_yaml(file)
    if isinstance(document.data, str) and document.data.startswith("$ANSIBLE_VAULT;"):
        return {}
    # An empty file of variables is common and says nothing.
    if document.data is not None or document.complete:
        raw.faults += document.faults
    else:
        raw.faults += [fault for fault in document.faults if "is empty" not in fault.message]
    return taken(document.data, document, ())


def _add_group(raw: RawInventory, document: Document, name: str, node: Any, at: Place) -> None:
    group = raw.group(name)
    group.at = group.at or Given(name, document, at)
    if node is None:
        return
    if not isinstance(node, Mapping):
        raw.faults.append(fault_at(document, at, "is no group: write hosts, vars or children below it"))
        return
    variables = node.get("vars")
    group.variables.update(taken(variables, document, (*at, "vars")))
    if isinstance(variables, Mapping) and isinstance(variables.get("ansible_group_priority"), int):
        group.priority = variables["ansible_group_priority"]
    for child, below in _named(raw, document, node, "children", at):
        group.children.add(child)
        _add_group(raw, document, child, below, (*at, "children", child))
    for pattern, below in _named(raw, document, node, "hosts", at):
        place = (*at, "hosts", pattern)
        own = taken(below, document, place)
        names, port = _expand(pattern)
        if port is not None and "ansible_port" not in own:
            own["ansible_port"] = Given(port, document, place)
        if len(raw.hosts) + len(names) > MOST_HOSTS:
            raw.faults.append(fault_at(document, place, f"makes more than {MOST_HOSTS} hosts: narrow the range"))
            return
        for host in names:
            known = raw.hosts.get(host)
            if known is None:
                known = raw.hosts[host] = RawHost(Given(host, document, place))
            known.variables.update(own)
            group.hosts.add(host)


def _named(raw: RawInventory, document: Document, node: Mapping[str, Any], section: str, at: Place) -> Iterator[tuple[str, Any]]:
    found = node.get(section)
    if isinstance(found, Mapping):
        yield from found.items()
    elif isinstance(found, str):
        yield found, None
    elif found is not None:
        raw.faults.append(fault_at(document, (*at, section), "is no mapping: write one name a line, each with a colon"))


def _expand(pattern: str) -> tuple[list[str], int | None]:
    port = None
    found = _PORT.fullmatch(pattern)
    if found and int(found[2]) <= 65535:
        pattern, port = found[1], int(found[2])
    names = [pattern]
    while any(_RANGE.search(name) for name in names):
        expanded = (each for name in names for each in _one_range(name))
        names = list(itertools.islice(expanded, MOST_HOSTS + 1))
        if len(names) > MOST_HOSTS:
            break
    return names, port


def _one_range(name: str) -> list[str]:
    found = _RANGE.search(name)
    if found is None:
        return [name]
    low, high, step = found[1] or "0", found[2], int(found[3] or 1)
    parts: list[str] = []
    if low.isdecimal() and high.isdecimal() and step > 0 and int(high) - int(low) <= MOST_HOSTS:
        width = len(low) if len(low) > 1 and low.startswith("0") else 0
        parts = [str(number).zfill(width) for number in range(int(low), int(high) + 1, step)]
    elif len(low) == len(high) == 1 and low in string.ascii_letters and high in string.ascii_letters and step > 0:
        letters = string.ascii_letters
        parts = list(letters[letters.index(low) : letters.index(high) + 1 : step])
    # What is no range keeps its brackets, and then the rule for host names refuses it.
    return [name[: found.start()] + part + name[found.end() :] for part in parts] or [name.replace("[", "<").replace("]", ">")]
