"""What a Redis is told at its next start: the words after `redis-server` over its configuration file, as its container has them now.

Rules:
- Passwords are among it: nothing of this is shown, written down, or part of a fault.
- What can't be told surely (a script that does more than start the server, a file that is gone) is None, never nothing.

Source: Redis 7.0 and 8.0, config.c: options are read after the file, `save` lines add up and an empty value clears them, the last of others holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .redis_options import are_names
from .redis_script import Read, server_words

# Redis' own from before, and Valkey's.
_OTHER_NAMES = {"slaveof": "replicaof", "min-slaves-to-write": "min-replicas-to-write", "primaryauth": "masterauth", "primaryuser": "masteruser"}
_MOST_INCLUDES = 32
_WORD = re.compile(r"""\s*((?:"(?:[^"\\]|\\.)*"(?=\s|$)|'(?:[^'\\]|\\.)*'(?=\s|$)|[^\s"'])+)(?=\s|$)""", re.DOTALL)
_PART = re.compile(r"""("(?:[^"\\]|\\.)*")|('(?:[^'\\]|\\.)*')|([^"']+)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}


class Told(NamedTuple):
    """Settings by name, each as one text; users with the rules that their line has."""

    settings: dict[str, str]
    users: dict[str, list[str]]


def told(command: Sequence[str], environment: Mapping[str, str], folder: str, read: Read) -> Told | None:
    """Return what a container's command tells its server, None where that can't be said. `folder` is where it works, `read` gives its files."""
    try:
        words = server_words(list(command), environment, folder, read)
        if words is None or "-" in (*words[:1], *words[-1:]):
            # With that it reads more from its standard input.
            return None
        file = words.pop(0) if words and not words[0].startswith("-") else None
        directives = [] if file is None else _of_file(os.path.normpath(os.path.join(folder, file)), read, 0)
        return _effective(directives + _of_words(words))
    except (OSError, ValueError):
        return None


def of_aclfile(text: str) -> dict[str, list[str]]:
    """Return the users of an ACL file, each with its rules."""
    lines = [line.split() for line in text.splitlines()]
    return {words[1]: words[2:] for words in lines if len(words) > 1 and words[0].lower() == "user"}


def _effective(directives: list[tuple[str, list[str]]]) -> Told:
    found = Told({}, {})
    for name, values in directives:
        if name == "user" and values:
            found.users[values[0]] = [rule for value in values[1:] for rule in value.split()]
        elif name == "save":
            spread = [part for value in values for part in value.split()]
            found.settings["save"] = "" if values == [""] else " ".join([*found.settings.get("save", "").split(), *spread])
        else:
            found.settings[_OTHER_NAMES.get(name, name)] = " ".join(values)
    return found


def _split(line: str) -> list[str]:
    """Return the words of a line as Redis itself has them: a backslash is one, except in quotes. Raises `ValueError` where a quote is open."""
    found, at, end = [], 0, len(line.rstrip())
    while at < end:
        word = _WORD.match(line, at, end)
        if word is None:
            raise ValueError("a quote is not closed")
        found.append("".join(_unquoted(*part) for part in _PART.findall(word[1])))
        at = word.end()
    return found


def _unquoted(double: str, single: str, plain: str) -> str:
    if double:
        text = _ESCAPE.sub(
            lambda one: bytes([int(one[1], 16)]).decode("utf-8", "surrogateescape") if one[1] else _ESCAPED.get(one[2], one[2]), double[1:-1]
        )
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return single[1:-1].replace("\\'", "'") if single else plain


def _of_words(words: list[str]) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for word, is_name in zip(words, are_names(words)):
        if is_name:
            name, *values = _split(word[2:]) or [""]
            found.append((name.lower(), values))
        elif found:
            found[-1][1].append(word)
    # One that stands alone in a command is an empty one.
    return [(name, [""] if name == "save" and not values else values) for name, values in found]


def _of_file(path: str, read: Read, depth: int) -> list[tuple[str, list[str]]]:
    """Return a configuration file's lines in order, those of its includes in their place. Raises `OSError`, `ValueError`."""
    if depth > _MOST_INCLUDES:
        raise ValueError("it includes too deep")
    found: list[tuple[str, list[str]]] = []
    for line in read(path).decode("utf-8", "surrogateescape").split("\n"):
        words = [] if line.lstrip().startswith("#") else _split(line)
        if not words:
            continue
        if words[0].lower() == "include" and len(words) > 1:
            if any(mark in words[1] for mark in "*?["):
                raise ValueError("what it includes is not named")
            found += _of_file(words[1], read, depth + 1)
        else:
            found.append((words[0].lower(), words[1:]))
    return found
