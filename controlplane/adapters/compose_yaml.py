"""Compose files to plain data, by Compose's own reading of YAML, with the line of every part.

Rules:
- Unlike a site's own files they may use anchors, aliases and merge keys. What an alias stands for is written out, within a limit.
- Refused: tags (`!reset`, `!override`, any other), duplicate keys, a second document, keys that aren't plain text, control characters, too much size.
- Plain `true`, `false` and decimal digits are what they look like, `null`, `~` and nothing are None; all else is text as written: Compose reads
  YAML 1.2, in which `no` and `22:30` are text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from controlplane.adapters.strict_yaml import MOST_FAULTS, Document
from controlplane.adapters.text_files import control_faults, read_text
from controlplane.domain.errors import Fault, InputInvalidError

LARGEST: Final = 1 << 20
# An alias bomb of 300 bytes stands for gigabytes.
MOST_PARTS: Final = 50_000
DEEPEST: Final = 32
_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset(["", "~", "null", "Null", "NULL"])
_QUOTED = frozenset("'\"|>")
_MERGE = "<<"


class _TooMuchError(Exception):
    """What is left would not be read any more."""


def read_compose(path: Path) -> Document:
    """Return what the compose file at `path` says; faults are in the document."""
    try:
        text = read_text(path, limit=LARGEST)
    except InputInvalidError as error:
        return Document(str(path), faults=list(error.faults), complete=False)
    return parse_compose(text, str(path))


def parse_compose(text: str, file: str) -> Document:
    """Return what `text` says; `file` is only its name in messages."""
    document = Document(file, faults=control_faults(text, file))
    if not document.faults:
        try:
            node = _composed(text, document)
            if node is None:
                document.faults.append(Fault(file, 0, "", "is empty: write the services"))
            elif not document.faults:
                document.data = _Reading(document).value(node, ())
        except yaml.MarkedYAMLError as error:
            said = " ".join(part for part in (error.context, error.problem) if part)
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            document.faults.append(Fault(file, line, "", f"can't be read as YAML: {said}; check indentation, quotes and brackets there"))
        except _TooMuchError as error:
            document.faults.append(Fault(file, 0, "", str(error)))
    document.complete = not document.faults
    return document


def _composed(text: str, document: Document) -> yaml.Node | None:
    """Return the graph of nodes. Its events are looked at first: the graph is built by recursion, and no longer tells which tags were written."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _TooMuchError(f"is nested deeper than {DEEPEST} levels: flatten it")
        tag = getattr(event, "tag", None)
        if tag is not None and not isinstance(event, yaml.DocumentStartEvent):
            line = event.start_mark.line + 1 if event.start_mark else 0
            document.faults.append(Fault(document.file, line, "", f"has the tag {tag}, and what it makes of this is not judged: write the value out"))
    node: yaml.Node | None = yaml.compose(text, Loader=loader)
    return node


class _Reading:
    """One reading of a graph of nodes; every mapping and list that it makes is new, so that each has its own place."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.parts = 0
        self.open: list[yaml.Node] = []

    def value(self, node: yaml.Node, place: tuple[str, ...]) -> Any:
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise _TooMuchError(f"stands for more than {MOST_PARTS} parts once its aliases are written out: use fewer of them")
        if any(node is one for one in self.open):
            raise _TooMuchError("has an alias that stands for itself: write the value out")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        self.open.append(node)
        found = self.mapping(node, place) if isinstance(node, yaml.MappingNode) else self.sequence(node, place)
        self.open.pop()
        return found

    @staticmethod
    def scalar(node: yaml.ScalarNode) -> Any:
        text = node.value
        if node.style in _QUOTED:
            return text
        if text in _NULLS:
            return None
        return _BOOLS[text] if text in _BOOLS else int(text) if _INT.fullmatch(text) else text

    def sequence(self, node: yaml.Node, place: tuple[str, ...]) -> list[Any]:
        found: list[Any] = []
        lines = self.document.lines[id(found)] = {}
        for number, part in enumerate(node.value):
            lines[number] = part.start_mark.line + 1
            found.append(self.value(part, (*place, str(number))))
        return found

    def mapping(self, node: yaml.MappingNode, place: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines = self.document.lines[id(found)] = {}
        merged: list[yaml.Node] = []
        for key, part in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.fault(line, place, "has a list or a mapping as a key: keys are plain text")
            elif key.value == _MERGE and key.style not in _QUOTED:
                if merged:
                    self.fault(line, (*place, _MERGE), "is there twice: merge a list of anchors instead")
                merged = list(part.value) if isinstance(part, yaml.SequenceNode) else [part]
            elif key.value in found:
                self.fault(line, (*place, key.value), f"is there twice, first on line {lines[key.value]}: keep one of them")
            else:
                lines[key.value] = line
                found[key.value] = self.value(part, (*place, key.value))
        for part in merged:
            if not isinstance(part, yaml.MappingNode):
                self.fault(part.start_mark.line + 1, (*place, _MERGE), "merges something that is no mapping: name an anchor of one")
                continue
            more = self.value(part, place)
            known = self.document.lines[id(more)]
            for name, value in more.items():
                if name not in found:
                    found[name], lines[name] = value, known[name]
        return found

    def fault(self, line: int, place: tuple[str, ...], message: str) -> None:
        self.document.faults.append(Fault(self.document.file, line, ".".join(place), message))
        if len(self.document.faults) >= MOST_FAULTS:
            raise _TooMuchError("has too many faults to list them all")
