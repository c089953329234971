"""Change one record of a YAML file of records by id, and leave every other byte, comments and order, as people wrote it.

Rules:
- PyYAML's nodes say where things stand; a change is a splice between two of those places. They are composed by the parser that reads the site's
  files, libyaml where it is there: PyYAML's own takes less.
- The new text is read again, and has to say what was wanted and nothing else: else nothing is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import yaml

from controlplane.adapters.strict_yaml import parse_document
from controlplane.domain.errors import RefusedError

_PLAIN = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./@ -]*[A-Za-z0-9_./@-]|[A-Za-z0-9]", re.ASCII)
_NOT_TEXT = re.compile(r"(true|false|null|yes|no|on|off|~|[-+]?[0-9][0-9_.:eExX+-]*)", re.IGNORECASE | re.ASCII)
# A day is text to whoever reads the site's files, and people write it without quotes.
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
# A key whose value begins with a brace, on its line or, below comments, on a later one.
_OPENS_BRACE = re.compile(r"[^\n:]*:\s*(?:#[^\n]*\n\s*)*\{")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_APART = "is written in a way in which its records can't be told apart"


class _Part(NamedTuple):
    """A mapping that was composed from a part of the text, which begins at `offset`."""

    node: yaml.MappingNode
    offset: int


class _Splice(NamedTuple):
    """What is to stand in the text from `start` to `end`."""

    start: int
    end: int
    text: str


class FieldsText:
    """The text of a file that is one mapping of fields. Raises `RefusedError` where it can't be changed surely."""

    def __init__(self, text: str, file: str) -> None:
        self._text, self._file = text, file
        self._document = parse_document(text, file, multiline=True).checked()

    def with_root_field(self, field: str, value: Any) -> str:
        """Return the text with that field set, where it stands, or as its last one."""
        root = self._composed(0, len(self._text))
        if root is None:
            raise self._refused("is no mapping")
        return self._checked([self._setting(root, field, value)], {**self._document.data, field: value})

    def _composed(self, start: int, end: int) -> _Part | None:
        """Return the mapping that whole lines of the text say by themselves, None where they say none."""
        try:
            node = yaml.compose(self._text[start:end], Loader=_LOADER)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = self._text.count("\n", 0, start) + (mark.line if mark is not None else 0) + 1
            raise self._refused(f"{_NOT_APART}, see line {line}") from None
        return _Part(node, start) if isinstance(node, yaml.MappingNode) else None

    def _setting(self, part: _Part, field: str, value: Any) -> _Splice:
        node, offset = part
        for key, held in node.value:
            if key.value == field:
                if isinstance(value, list) and isinstance(held, yaml.SequenceNode) and _goes_on(held, value):
                    return self._lengthening(held, offset, value[len(held.value) :])
                return _Splice(offset + held.start_mark.index, self._end(held, offset), written(value))
        if not node.value:
            raise self._refused("holds nothing yet")
        end = self._end(node.value[-1][1], offset)
        if node.flow_style:
            return _Splice(end, end, f", {field}: {written(value)}")
        return self._below(end, f"{' ' * node.value[0][0].start_mark.column}{field}: {written(value)}")

    def _lengthening(self, held: yaml.SequenceNode, offset: int, more: list[Any]) -> _Splice:
        """Return the splice that adds to a list and leaves what stands in it, its comments included."""
        end = self._end(held.value[-1], offset)
        if held.flow_style:
            return _Splice(end, end, "".join(f", {written(one)}" for one in more))
        return self._below(end, "\n".join(f"{' ' * held.start_mark.column}- {written(one)}" for one in more))

    def _checked(self, splices: list[_Splice], wanted: Any) -> str:
        text = self._text
        # What comes last in the text first, so that the places of the others stay; of two at one place the first one stays first.
        splices.sort(key=lambda one: one.start)
        for splice in reversed(splices):
            text = text[: splice.start] + splice.text + text[splice.end :]
        now = parse_document(text, self._file, multiline=True)
        if now.faults or now.data != wanted:
            raise self._refused("is written in a way in which this change would mean more than that")
        return text

    def _below(self, index: int, lines: str) -> _Splice:
        """Return the splice that adds whole lines below the one in which `index` stands, its comment included."""
        end = self._text.find("\n", index) + 1
        return _Splice(end, end, f"{lines}\n") if end else _Splice(len(self._text), len(self._text), f"\n{lines}")

    def _end(self, node: yaml.Node, offset: int) -> int:
        """Return where a node's own text ends; of a block, PyYAML says where the next token begins."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._end(last[1] if isinstance(last, tuple) else last, offset)
        start, end = offset + int(node.start_mark.index), offset + int(node.end_mark.index)
        while end > start and self._text[end - 1] in " \t\r\n":
            end -= 1
        return end

    def _refused(self, why: str) -> RefusedError:
        return RefusedError(f"{self._file} {why}. Nothing was changed. Write it there yourself.")


class RecordsText(FieldsText):
    """The text of a file whose top-level key `root` holds records by id. Raises `RefusedError` where it can't be changed surely.

    Of records that stand below each other only those that are touched are composed: PyYAML takes a second for a thousand of them.
    """

    def __init__(self, text: str, file: str, root: str) -> None:
        super().__init__(text, file)
        data = self._document.data
        records = data.get(root) if isinstance(data, dict) else None
        if not isinstance(records, dict):
            raise self._refused(f"has no mapping {root}")
        self._root_key, self._records = root, records

    def records(self) -> tuple[str, ...]:
        """Return the ids that there are."""
        return tuple(self._records)

    def with_field(self, record: str, field: str, value: Any) -> str:
        """Return the text with that field of a record set, where it stands, or as its last one."""
        return self.changed(fields=[(record, field, value)])

    def with_record(self, record: str, fields: dict[str, Any]) -> str:
        """Return the text with another record at the end of its kind."""
        return self.changed(added=[(record, fields)])

    def changed(self, *, added: Sequence[tuple[str, dict[str, Any]]] = (), fields: Sequence[tuple[str, str, Any]] = ()) -> str:
        """Return the text with these records at the end of their kind, and these fields (record, field, value) set, each as `with_field` says."""
        wanted, splices = dict(self._records), []
        # Of two for one field the last one holds.
        for (record, field), value in {(record, field): value for record, field, value in fields}.items():
            splices.append(self._setting(self._record(record), field, value))
            wanted[record] = {**wanted[record], field: value}
        for record, values in added:
            if record in wanted:
                raise self._refused(f"has {record} already: choose another id")
            splices.append(self._adding(record, values, first=len(wanted) == 0))
            wanted[record] = values
        return self._checked(splices, {**self._document.data, self._root_key: wanted})

    def _adding(self, record: str, fields: dict[str, Any], *, first: bool) -> _Splice:
        if first or not self._in_lines:
            held = self._whole()
            node, offset = held
            if not node.value:
                # `gaps: {}` becomes a block.
                start, end = offset + node.start_mark.index, offset + node.end_mark.index
                start -= len(self._text[:start]) - len(self._text[:start].rstrip(" "))
                return _Splice(start, end, "\n" + _block(record, fields, 2).rstrip("\n"))
            last = self._end(node.value[-1][1], offset)
            return _Splice(last, last, f", {record}: {written(fields)}")
        names = list(self._records)
        node, offset = self._part_of(names[-1])
        key, value = node.value[0]
        # A file that parts its records by empty lines goes on to do so.
        gap = "\n" if len(names) > 1 and self._parted(names[-2], offset + key.start_mark.index) else ""
        column = key.start_mark.column
        return self._below(self._end_of_comments(self._end(value, offset), column), gap + _block(record, fields, column).rstrip("\n"))

    def _end_of_comments(self, index: int, column: int) -> int:
        """Return where the comments end that stand below the line of `index` and deeper than that column: they are of the record that ends there."""
        end = index
        while (start := self._text.find("\n", index) + 1) > 0:
            line = self._text[start:].partition("\n")[0]
            said = line.lstrip(" \t")
            if said.startswith("#") and len(line) - len(said) > column:
                end = start
            elif said.strip():
                break
            index = start
        return end

    def _parted(self, before: str, start: int) -> bool:
        node, offset = self._part_of(before)
        return "\n\n" in self._text[self._end(node.value[0][1], offset) : start]

    def _record(self, record: str) -> _Part:
        if not isinstance(self._records.get(record), dict):
            raise self._refused(f"has no {record}")
        if not self._records[record]:
            raise self._refused(f"{record} is empty")
        held = self._part_of(record) if self._in_lines else self._whole()
        return _Part(next(value for key, value in held.node.value if key.value == record), held.offset)

    @cached_property
    def _in_lines(self) -> bool:
        """Say whether records stand below each other, each from a line of its own on: not in one pair of braces."""
        lines = [*self._lines_of(self._records).values()]
        root = self._lines_of(self._document.data)[self._root_key]
        apart = all(one < other for one, other in pairwise([root, *lines]))
        return apart and _OPENS_BRACE.match(self._text, self._starts[root - 1]) is None

    def _part_of(self, record: str) -> _Part:
        """Return the mapping of that record alone; `_in_lines`."""
        names, lines = list(self._records), self._lines_of(self._records)
        after = names.index(record) + 1
        end = self._starts[lines[names[after]] - 1] if after < len(names) else self._root_end
        return self._known(self._composed(self._starts[lines[record] - 1], end))

    def _whole(self) -> _Part:
        """Return the mapping of all records."""
        start = self._starts[self._lines_of(self._document.data)[self._root_key] - 1]
        node, offset = self._known(self._composed(start, self._root_end))
        return _Part(node.value[0][1], offset)

    def _known(self, part: _Part | None) -> _Part:
        if part is None or not part.node.value:
            raise self._refused(_NOT_APART)
        return part

    @cached_property
    def _root_end(self) -> int:
        """Return where the next top-level key begins, or the text ends."""
        lines = self._lines_of(self._document.data)
        following = [line for line in lines.values() if line > lines[self._root_key]]
        return self._starts[min(following) - 1] if following else len(self._text)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(map(len, self._text.splitlines(keepends=True)))]

    def _lines_of(self, part: Any) -> dict[str | int, int]:
        return self._document.lines[id(part)]


def _goes_on(held: yaml.SequenceNode, value: list[Any]) -> bool:
    """Say whether a list is what stands there and more behind it."""
    stands = [one.value if isinstance(one, yaml.ScalarNode) else None for one in held.value]
    return 0 < len(stands) < len(value) and stands == value[: len(stands)]


def has_root(text: str, root: str) -> bool:
    """Say whether a text that is valid, or empty, has that top-level key."""
    data = parse_document(text, root, multiline=True).data
    return isinstance(data, dict) and root in data


def written(value: Any) -> str:
    """Return text, lists and mappings of it as one line of YAML, plain where that reads the same."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(one) for one in value) + "]"
    text = str(value)
    plain = _PLAIN.fullmatch(text) is not None and (_NOT_TEXT.fullmatch(text) is None or _DAY.fullmatch(text) is not None) and " -" not in text
    return text if plain else json.dumps(text, ensure_ascii=False)


def _block(record: str, fields: dict[str, Any], column: int) -> str:
    deeper = " " * (column + 2)
    return f"{' ' * column}{record}:\n" + "".join(f"{deeper}{name}: {written(value)}\n" for name, value in fields.items())
