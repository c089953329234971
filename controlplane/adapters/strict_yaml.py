"""YAML to plain data, without any of YAML's guesses, and with the line of every part.

Rules:
- Refused, with file and line, and all at once: duplicate keys, anchors and aliases, tags, merge keys, keys that aren't
  plain text, control and direction characters, a second document, too much size or depth, any encoding but UTF-8.
- A plain `true` or `false` is a bool and plain decimal digits are an int. Everything else keeps its text as written:
  `22:30`, `012`, `NO`, `1.10` and `2026-12-31` stay strings, and the model of the file says whether they fit.
- Keys are always text.
- A key without a value is a fault, unless `empty_values` is set (inventories list hosts that way).

Events come from libyaml; no object graph of nodes is built, and the garbage collector rests meanwhile, because it would
walk all that has been read again and again (10,000 hosts: 2.6 s instead of 6.3 s).
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from controlplane.adapters.text_files import control_faults, read_text
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.faults import Place

DEEPEST: Final = 32
MOST_FAULTS: Final = 1000

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_CONTROL_BUT_BREAKS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
# What ends a line for YAML and not for an editor: without it the lines after it would be others.
_STRANGE_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_BOOLS = {"true": True, "false": False}
_NULLS = frozenset(["", "~", "null"])


@dataclass(frozen=True)
class Tagged:
    """A value under an allowed tag (`!vault`, `!unsafe`): known to be there, never read."""

    tag: str


@dataclass
class Document:
    """What a file says: plain dicts, lists, str, int and bool, its faults so far, and where each part stands."""

    file: str
    data: Any = None
    faults: list[Fault] = field(default_factory=list)
    # False if reading stopped early, so that what is missing from `data` says nothing.
    complete: bool = True
    lines: dict[int, dict[str | int, int]] = field(default_factory=dict, repr=False)
    covers: Callable[[str], str] | None = field(default=None, repr=False)

    def line_of(self, place: Place) -> int:
        """Return the 1-based line of the deepest part of `place` that exists."""
        node, line = self.data, 1
        for part in place:
            known = self.lines.get(id(node), {})
            if part not in known:
                return line
            line = known[part]
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return line
        return line

    def hide(self, text: str) -> str:
        """Return a text as messages may show it."""
        return text if self.covers is None else self.covers(text)

    def covered(self, covers: Callable[[str], str]) -> Document:
        """Return itself, with what `covers` finds hidden in its faults and in those that are still to come."""
        self.covers = covers
        self.faults = [fault.covered(covers) for fault in self.faults]
        return self

    def checked(self) -> Document:
        """Return itself; InputInvalidError with every fault if it has any."""
        if self.faults:
            raise InputInvalidError(self.faults)
        return self


def read_document(path: Path, *, multiline: bool = False, empty_values: bool = False, tags: frozenset[str] = frozenset()) -> Document:
    """Return what the file at `path` says; faults are in the document, so that the caller can add those of the model."""
    try:
        text = read_text(path)
    except InputInvalidError as error:
        return Document(str(path), faults=list(error.faults), complete=False)
    return parse_document(text, str(path), multiline=multiline, empty_values=empty_values, tags=tags)


def parse_document(text: str, file: str, *, multiline: bool = False, empty_values: bool = False, tags: frozenset[str] = frozenset()) -> Document:
    """Return what `text` says; `file` is only its name in messages.

    Raw control characters are faults, and the rest is what the file says once they are removed, as the faults ask for. Where that can't be told,
    they are the only faults, and the document is not complete.
    """
    strange = control_faults(text, file, most=MOST_FAULTS)
    # What an inventory says decides by whom it is read: one that has to be mended first is read by nobody.
    readable = not strange or not (empty_values or len(strange) >= MOST_FAULTS or _STRANGE_BREAKS.search(text))
    document = Document(file, complete=readable)
    if readable:
        with collector_resting():
            builder = _Builder(document, multiline=multiline, empty_values=empty_values, tags=tags)
            builder.read(_CONTROL_BUT_BREAKS.sub("", text) if strange else text)
    if strange and not document.complete:
        return Document(file, faults=strange, complete=False)
    document.faults[:0] = strange
    return document


@contextmanager
def collector_resting() -> Iterator[None]:
    """Keep the garbage collector from walking a growing heap while much is read at once."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _StopReadingError(Exception):
    """What follows can't be read in a way that means anything."""


class _Builder:
    """Build plain data from events; `stack` holds the open containers with their keys as messages show them."""

    def __init__(self, document: Document, *, multiline: bool, empty_values: bool, tags: frozenset[str]) -> None:
        self.document = document
        self.control = _CONTROL_BUT_BREAKS if multiline else _CONTROL
        self.empty_values = empty_values
        self.tags = tags
        # (container, lines of its parts, key that waits for its value or None, whether that key's value is dropped)
        self.stack: list[tuple[Any, dict[str | int, int], str | None, bool]] = []
        self.container: Any = None
        self.known: dict[str | int, int] = {}
        self.key: str | None = None
        self.dropped = False
        self.line = 0

    def read(self, text: str) -> None:
        documents = 0
        parser = yaml.CSafeLoader(text) if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader(text)
        steps = {
            yaml.ScalarEvent: self.scalar,
            yaml.MappingStartEvent: self.opens,
            yaml.SequenceStartEvent: self.opens,
            yaml.MappingEndEvent: self.closes,
            yaml.SequenceEndEvent: self.closes,
            yaml.AliasEvent: self.alias,
        }
        try:
            while True:
                event: Any = parser.get_event()
                if event is None or type(event) is yaml.StreamEndEvent:
                    break
                self.line = event.start_mark.line + 1
                step = steps.get(type(event))
                if step is not None:
                    step(event)
                elif type(event) is yaml.DocumentStartEvent:
                    documents += 1
                    self.begins(event, documents)
        except _StopReadingError:
            self.document.complete = False
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            if mark is not None:
                self.line = mark.line + 1
            said = " ".join(part for part in (error.context, error.problem) if part)
            self.fault(f"can't be read as YAML: {said}; check indentation, quotes and brackets there", at_key=False)
            self.document.complete = False
        except (yaml.YAMLError, ValueError) as error:
            self.fault(f"can't be read as YAML: {' '.join(str(error).split())}", at_key=False)
            self.document.complete = False
        finally:
            parser.dispose()
        if documents == 0 and not self.document.faults:
            self.line = 1
            self.fault("is empty: write the file, or start from `controlplane init`")
            self.document.complete = False

    def fault(self, message: str, *, at_key: bool = True) -> None:
        parts = [self._shown(container, key) for container, _, key, _ in self.stack[1:]]
        if at_key and self.container is not None:
            parts.append(self._shown(self.container, self.key))
        self.document.faults.append(Fault(self.document.file, self.line, ".".join(part for part in parts if part), message))
        if len(self.document.faults) >= MOST_FAULTS:
            raise _StopReadingError

    @staticmethod
    def _shown(container: Any, key: str | None) -> str:
        return str(len(container)) if isinstance(container, list) else key or ""

    def begins(self, event: Any, documents: int) -> None:
        if documents > 1:
            self.fault("starts a second document: keep one document a file")
            raise _StopReadingError
        if event.tags:
            self.fault("declares tags: remove the %TAG line")

    def alias(self, event: Any) -> None:
        self.fault(f"uses the alias *{event.anchor}: write the value out")
        if type(self.container) is dict and self.key is None:
            self.key, self.dropped = f"*{event.anchor}", True
        else:
            self.put("", quiet=True)

    def marked(self, event: Any) -> Tagged | None:
        if event.anchor is not None:
            self.fault(f"sets the anchor &{event.anchor}: write values out instead of referring to them")
        if event.tag is not None:
            if event.tag in self.tags:
                return Tagged(event.tag)
            self.fault(f"has the tag {event.tag}: remove it, plain values are enough")
        return None

    def scalar(self, event: Any) -> None:
        value: Any = event.value
        tagged = self.marked(event) if event.anchor is not None or event.tag is not None else None
        if type(self.container) is dict and self.key is None:
            self.names(value, event)
            return
        if tagged is not None:
            self.put(tagged)
            return
        if self.control.search(value):
            self.fault("holds a control character or a line break: write it as one plain line")
        if event.implicit[0]:
            if value in _BOOLS:
                value = _BOOLS[value]
            elif value in _NULLS:
                if not self.empty_values:
                    self.fault("has no value: write one, or remove the key")
                    self.put("", quiet=True)
                    return
                value = None
            elif _INT.fullmatch(value):
                value = int(value)
        self.put(value)

    def names(self, key: str, event: Any) -> None:
        self.key = key
        self.dropped = False
        if key == "<<" and event.implicit[0]:
            self.fault("is a merge key: write the keys out")
            self.dropped = True
        elif _CONTROL.search(key):
            # Shown escaped: a terminal would obey the character itself.
            self.key, self.dropped = ascii(key), True
            self.fault("is a key with a control character: remove it")
        elif key in self.known:
            self.fault(f"is there twice, first on line {self.known[key]}: keep one of them")
            self.dropped = True
        if not self.dropped:
            self.known[key] = self.line

    def put(self, value: Any, *, quiet: bool = False) -> None:
        container = self.container
        if container is None:
            self.document.data = None if quiet else value
        elif type(container) is list:
            self.known[len(container)] = self.line
            container.append(value)
        else:
            if not self.dropped and not quiet:
                container[self.key] = value
            self.key, self.dropped = None, False

    def opens(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            self.marked(event)
        if type(self.container) is dict and self.key is None:
            self.key, self.dropped = "?", True
            self.fault("is a list or a mapping used as a key: keys are plain text")
        if len(self.stack) >= DEEPEST:
            self.fault(f"is nested deeper than {DEEPEST} levels: flatten it")
            raise _StopReadingError
        opened: Any = {} if type(event) is yaml.MappingStartEvent else []
        self.stack.append((self.container, self.known, self.key, self.dropped))
        self.container, self.known, self.key, self.dropped = opened, {}, None, False
        self.document.lines[id(opened)] = self.known

    def closes(self, event: Any) -> None:
        del event
        closed = self.container
        line = self.line
        self.container, self.known, self.key, self.dropped = self.stack.pop()
        if type(self.container) is dict and self.key is not None:
            line = self.known.get(self.key, line)
        elif type(self.container) is list:
            # A list's part stands where it begins; its first own part is the nearest line that is known.
            line = min(self.document.lines[id(closed)].values(), default=line)
        self.line = line
        if type(self.container) is dict and self.key == "?" and self.dropped:
            # A collection as a key: its value follows and is dropped too.
            self.key = "? "
            return
        self.put(closed)
