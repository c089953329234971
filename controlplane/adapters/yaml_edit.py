"""Change one record of a YAML file of records by id, and leave every other byte, comments and order, as people wrote it.

Rules:
- PyYAML's nodes say where things stand; a change is a splice between two of those places.
- The new text is read again, and has to say what was wanted and nothing else: else nothing is written.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import yaml

from controlplane.adapters.strict_yaml import parse_document
from controlplane.domain.errors import RefusedError

_PLAIN = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./@ -]*[A-Za-z0-9_./@-]|[A-Za-z0-9]", re.ASCII)
_NOT_TEXT = re.compile(r"(true|false|null|yes|no|on|off|~|[-+]?[0-9][0-9_.:eExX+-]*)", re.IGNORECASE | re.ASCII)
_LINE = re.compile(r"[^\n]*\n?")


class FieldsText:
    """The text of a file that is one mapping of fields. Raises `RefusedError` where it can't be changed surely."""

    def __init__(self, text: str, file: str) -> None:
        self._text, self._file = text, file
        self._held = parse_document(text, file, multiline=True).checked().data
        self._root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)

    def with_root_field(self, field: str, value: Any) -> str:
        """Return the text with that field set, where it stands, or as its last one."""
        if not isinstance(self._root, yaml.MappingNode):
            raise self._refused("is no mapping")
        wanted = self._data()
        wanted[field] = value
        return self._with(self._root, field, value, wanted)

    def _with(self, node: yaml.MappingNode, field: str, value: Any, wanted: Any) -> str:
        for key, held in node.value:
            if key.value == field:
                start, end = held.start_mark.index, self._end(held)
                return self._checked(self._text[:start] + written(value) + self._text[end:], wanted)
        if not node.value:
            raise self._refused("holds nothing yet")
        end = self._end(node.value[-1][1])
        if node.flow_style:
            return self._checked(f"{self._text[:end]}, {field}: {written(value)}{self._text[end:]}", wanted)
        return self._checked(self._below(end, f"{' ' * node.value[0][0].start_mark.column}{field}: {written(value)}"), wanted)

    def _data(self) -> Any:
        return copy.deepcopy(self._held)

    def _checked(self, text: str, wanted: Any) -> str:
        now = parse_document(text, self._file, multiline=True)
        if now.faults or now.data != wanted:
            raise self._refused("is written in a way in which this change would mean more than that")
        return text

    def _below(self, index: int, line: str) -> str:
        """Return the text with whole lines below the one in which `index` stands, its comment included."""
        found = _LINE.match(self._text, index)
        end = found.end() if found else index
        missing = "" if self._text[:end].endswith("\n") else "\n"
        return f"{self._text[:end]}{missing}{line}\n{self._text[end:]}"

    def _end(self, node: yaml.Node) -> int:
        """Return where a node's own text ends; of a block, PyYAML says where the next token begins."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._end(last[1] if isinstance(last, tuple) else last)
        end = int(node.end_mark.index)
        while end > node.start_mark.index and self._text[end - 1] in " \t\r\n":
            end -= 1
        return end

    def _refused(self, why: str) -> RefusedError:
        return RefusedError(f"{self._file} {why}. Nothing was changed. Write it there yourself.")


class RecordsText(FieldsText):
    """The text of a file whose top-level key `root` holds records by id. Raises `RefusedError` where it can't be changed surely."""

    def __init__(self, text: str, file: str, root: str) -> None:
        super().__init__(text, file)
        self._root_key, node = root, self._root
        records = next((value for key, value in node.value if key.value == root), None) if isinstance(node, yaml.MappingNode) else None
        if not isinstance(records, yaml.MappingNode):
            raise self._refused(f"has no mapping {root}")
        self._records: yaml.MappingNode = records

    def records(self) -> tuple[str, ...]:
        """Return the ids that there are."""
        return tuple(self._held[self._root_key])

    def with_field(self, record: str, field: str, value: Any) -> str:
        """Return the text with that field of a record set, where it stands, or as its last one."""
        node = self._record(record)
        wanted = self._data()
        wanted[self._root_key][record][field] = value
        if not node.value:
            raise self._refused(f"{record} is empty")
        return self._with(node, field, value, wanted)

    def with_record(self, record: str, fields: dict[str, Any]) -> str:
        """Return the text with another record at the end of its kind."""
        wanted = self._data()
        held = self._records
        if record in wanted[self._root_key]:
            raise self._refused(f"has {record} already: choose another id")
        wanted[self._root_key][record] = fields
        if not held.value:
            # `gaps: {}` becomes a block.
            start, end = held.start_mark.index, held.end_mark.index
            text = self._text[:start].rstrip(" ") + "\n" + _block(record, fields, 2).rstrip("\n") + self._text[end:]
            return self._checked(text, wanted)
        last = self._end(held.value[-1][1])
        if held.flow_style:
            return self._checked(f"{self._text[:last]}, {record}: {written(fields)}{self._text[last:]}", wanted)
        column = held.value[0][0].start_mark.column
        # A file that parts its records by empty lines goes on to do so.
        gap = "\n" if len(held.value) > 1 and self._parted(held) else ""
        return self._checked(self._below(last, gap + _block(record, fields, column).rstrip("\n")), wanted)

    def _parted(self, held: yaml.MappingNode) -> bool:
        before, after = held.value[-2][1], held.value[-1][0]
        return "\n\n" in self._text[self._end(before) : after.start_mark.index]

    def _record(self, record: str) -> yaml.MappingNode:
        node = next((value for key, value in self._records.value if key.value == record), None)
        if not isinstance(node, yaml.MappingNode):
            raise self._refused(f"has no {record}")
        return node


def has_root(text: str, root: str) -> bool:
    """Say whether a text that is valid, or empty, has that top-level key."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return isinstance(node, yaml.MappingNode) and any(key.value == root for key, _ in node.value)


def written(value: Any) -> str:
    """Return text, lists and mappings of it as one line of YAML, plain where that reads the same."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(one) for one in value) + "]"
    text = str(value)
    plain = _PLAIN.fullmatch(text) is not None and _NOT_TEXT.fullmatch(text) is None and " -" not in text
    return text if plain else json.dumps(text, ensure_ascii=False)


def _block(record: str, fields: dict[str, Any], column: int) -> str:
    deeper = " " * (column + 2)
    return f"{' ' * column}{record}:\n" + "".join(f"{deeper}{name}: {written(value)}\n" for name, value in fields.items())
