"""One entry of a service's `volumes` that stands in a compose file in the long form, changed key by key: every other byte of it stays, comments too.

Rules:
- A value is replaced where it stands; a key that goes takes its line along, and leaves behind what a comment at its end says.
- What is shared by an anchor, and a comment that has no place any more, is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from .compose_text import ComposeText
from .yaml import nodes  # type: ignore[import-not-found]

_PLAIN_WORD = re.compile(r"/?[A-Za-z_][A-Za-z0-9_./-]*")
_LINE = re.compile(r"[^\n]*\n?")
_BEFORE_KEY = re.compile(r"[ -]*")
# The short form makes a source that is missing, on whatever disk lies there.
_NOT_MADE = "{create_host_path: false}"


class Mount(NamedTuple):
    """What a service mounts: a directory of the host that has to be there, or a named volume by its key in the file."""

    type: str
    source: str

    def flow(self, target: str, *, as_json: bool = False) -> str:
        """Return the entry on one line; as JSON in a file that is JSON."""
        if as_json:
            pairs = {"type": self.type, "source": self.source.replace("$", "$$"), "target": target.replace("$", "$$")}
            return json.dumps({**pairs, "bind": {"create_host_path": False}} if self.type == "bind" else pairs, ensure_ascii=False)
        return f"{{{', '.join(f'{key}: {value}' for key, value in self._pairs(target))}}}"

    def block(self, target: str, indent: str) -> list[str]:
        """Return the entry's lines, each with that indent."""
        return [f"{indent}{key}: {value}" for key, value in self._pairs(target)]

    def _pairs(self, target: str) -> list[tuple[str, str]]:
        pairs = [("type", self.type), ("source", plain(self.source)), ("target", plain(target))]
        return [*pairs, ("bind", _NOT_MADE)] if self.type == "bind" else pairs


def plain(text: str) -> str:
    """Return a text as YAML and Compose read it."""
    text = text.replace("$", "$$")
    is_word = _PLAIN_WORD.fullmatch(text) and text.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
    return text if is_word else json.dumps(text, ensure_ascii=False)


class _Splice(NamedTuple):
    start: int
    end: int
    new: str


class ComposeEntry(ComposeText):
    """A compose file's text of which one entry in the long form changes."""

    def _with_entry_changed(self, entry: Any, told: str, wanted: Mount) -> str:
        """Return the text in which an entry that has a key a line mounts that; `told` names it in messages. Raises `RefusedFault`."""
        pairs = {str(key.value): (key, value) for key, value in entry.value}
        for name, (key, value) in pairs.items():
            if value.start_mark.index < key.start_mark.index:
                raise self._shared(key, told, name)
            if not _BEFORE_KEY.fullmatch(self._text[self._line_start(key) : key.start_mark.index]):
                raise self._refused(key, f"{told} has {name} not at the beginning of a line: write one key a line")
        splices, more = [], []
        for name, says, written in (
            ("type", wanted.type, wanted.type),
            ("source", wanted.source.replace("$", "$$"), plain(wanted.source)),
        ):
            if name in pairs:
                splices += self._value(pairs[name], told, name, says, written)
            else:
                more.append(f"{name}: {written}")
        if wanted.type == "bind" and "bind" in pairs:
            splices += self._not_made(pairs["bind"], told)
        elif wanted.type == "bind":
            more.append(f"bind: {_NOT_MADE}")
        gone = "volume" if wanted.type == "bind" else "bind"
        if gone in pairs:
            splices.append(self._without_key(entry, pairs[gone], told, gone))
        if more:
            indent = " " * entry.value[0][0].start_mark.column
            at, lines = self._below(self._end(entry), [f"{indent}{line}" for line in more])
            splices.append(_Splice(at, at, lines))
        text = self._text
        for start, end, new in sorted(splices, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def _assert_no_comment(self, node: Any, told: str, what: str, *, key: Any = None) -> None:
        """Raise `RefusedFault` where a comment stands within a node, or between its key and its end: what is written anew there has none."""
        at, between = node.start_mark.index if key is None else self._end(key), ""
        for one in sorted(_scalars(node), key=lambda one: int(one.start_mark.index)):
            # An alias is the anchored node itself, elsewhere.
            if at <= one.start_mark.index:
                between, at = between + self._text[at : one.start_mark.index], self._end(one)
        if "#" in between + self._text[at : self._end(node)]:
            raise self._refused(key or node, f"{told} has a comment within {what}, which would be lost: move it above the entry")

    def _value(self, pair: tuple[Any, Any], told: str, name: str, says: str, written: str) -> list[_Splice]:
        """Return how a key's value becomes what `written` is in the text, nothing where it `says` that already."""
        key, value = pair
        if self._is_shared(key, value):
            raise self._shared(key, told, name)
        if not isinstance(value, nodes.ScalarNode) or value.style in ("|", ">"):
            raise self._refused(value, f"{told} has {name} not as a text on a line: write it behind its key")
        start, end = value.start_mark.index, self._end(value)
        # A value that is empty stands right behind its colon.
        return [] if value.value == says else [_Splice(start, end, written if end > start else f" {written}")]

    def _not_made(self, pair: tuple[Any, Any], told: str) -> list[_Splice]:
        """Return how a `bind` that is there comes to say that a missing source is not made."""
        key, value = pair
        if self._is_shared(key, value):
            raise self._shared(key, told, "bind")
        if value.value:
            return self._value(value.value[0], told, "bind.create_host_path", "false", "false")
        self._assert_no_comment(value, told, "bind")
        return [_Splice(value.start_mark.index, self._end(value), _NOT_MADE)]

    def _without_key(self, entry: Any, pair: tuple[Any, Any], told: str, name: str) -> _Splice:
        """Return how a key and its group go; a comment behind it stays, on a line of its own."""
        key, value = pair
        if any(self._is_shared(*one) for one in (pair, *value.value)):
            raise self._shared(key, told, name)
        self._assert_no_comment(value, told, name, key=key)
        start, end, line = key.start_mark.index, self._end(value), self._line_start(key)
        stop = _LINE.match(self._text, end).end()  # type: ignore[union-attr] # it matches anything
        behind = self._text[end:stop]
        if behind.strip():
            return _Splice(start, stop - len(behind.lstrip(" \t")), "")
        if self._text[line:start].strip():
            # The entry's dash stands before it: what follows takes its place there, unless a comment is between them.
            following = min((one.start_mark.index for one, _ in entry.value if one.start_mark.index > start), default=end)
            return _Splice(start, end if self._text[end:following].strip() else following, "")
        if not behind.endswith("\n"):
            # The file's last line, which has no end.
            return _Splice(len(self._text[:line].rstrip("\r\n")), stop, "")
        return _Splice(line, stop, "")

    def _line_start(self, node: Any) -> int:
        return self._text.rfind("\n", 0, node.start_mark.index) + 1

    def _shared(self, node: Any, told: str, name: str) -> Exception:
        return self._refused(node, f"{told} shares {name} by an anchor: write it out for this service")


def _scalars(node: Any) -> Iterator[Any]:
    if isinstance(node, nodes.ScalarNode):
        yield node
        return
    for one in node.value:
        for part in one if isinstance(one, tuple) else (one,):
            yield from _scalars(part)
