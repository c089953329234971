"""An environment file, read in the one way in which Compose reads it and no other reader differs.

Rules:
- Compose gives some lines a meaning that nobody sees in them: `$` and, in double quotes, a backslash begin syntax; ` #` begins a comment after
  a value, and where the value is empty it is the value. Such lines are faults, so that what stands there is what a service gets.
- No message holds a value, nor any text of a line that has no name: it may be a secret.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from controlplane.domain.errors import Fault

_NAMED = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<rest>.*)", re.ASCII)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_SINGLE = re.compile(r"'(?P<value>(?:[^'\\]|\\(?!'))*)'")
_DOUBLE = re.compile(r'"(?P<value>[^"\\$]*)"')
_MISQUOTED = {
    '"': "is in double quotes and does not end with them, or holds a backslash or $, which Compose reads as syntax: use single quotes",
    "'": "is in single quotes and does not end with them, or holds one: write one quote at each end, and comments on lines of their own",
}
# Variables that change what Compose itself, its client or a program's start does, whatever a service makes of them.
_OF_COMPOSE = re.compile(r"(COMPOSE|DOCKER|BUILDKIT|LD)_.*|PATH|HOME|PWD")


class Entry(NamedTuple):
    """One NAME=VALUE: `value` without its quotes, `line` 1-based."""

    name: str
    value: str
    line: int


class EnvText(NamedTuple):
    """What a file says: its entries in their order, its comment lines (1-based) with their text, and its faults."""

    entries: tuple[Entry, ...]
    comments: dict[int, str]
    faults: tuple[Fault, ...]


def read_env(text: str, file: str) -> EnvText:
    """Return what the text says; `file` is only its name in messages. An entry that is at fault is not among the entries."""
    entries: list[Entry] = []
    comments: dict[int, str] = {}
    faults: list[Fault] = []
    first: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if _CONTROL.search(line):
            faults.append(Fault(file, number, "", _control(line)))
        elif line.startswith("#"):
            comments[number] = line[1:].strip()
        elif line.strip():
            found = _NAMED.fullmatch(line)
            if found is None:
                faults.append(Fault(file, number, "", _nameless(line)))
                continue
            name = found["name"]
            value, wrong = _value(found["rest"])
            if name in first:
                wrong = f"is there twice, first on line {first[name]}, and the last one would count: keep one of them"
            elif _OF_COMPOSE.fullmatch(name):
                wrong = "decides how Compose itself works, not what a service is told: take it out"
            first.setdefault(name, number)
            if wrong:
                faults.append(Fault(file, number, name, wrong))
            else:
                entries.append(Entry(name, value, number))
    return EnvText(tuple(entries), comments, tuple(faults))


def _control(line: str) -> str:
    if line.endswith("\r") and not _CONTROL.search(line[:-1]):
        return "ends in a carriage return: save the file with Unix line ends"
    return "holds a control or direction character: remove it"


def _nameless(line: str) -> str:
    if line[0].isspace():
        return "begins with a space: begin it with the variable's name"
    if line.startswith("export "):
        return "begins with export: write NAME=VALUE alone"
    return "is no NAME=VALUE: write it so, without spaces around =, or begin a comment with #"


def _value(rest: str) -> tuple[str, str]:
    """Return the value and, where it can't be told surely, why not."""
    if rest != rest.strip():
        return "", "has a space before or behind its value: remove it, or put the value into single quotes"
    if rest[:1] in ("'", '"'):
        found = (_SINGLE if rest[0] == "'" else _DOUBLE).fullmatch(rest)
        return (found["value"], "") if found is not None else ("", _MISQUOTED[rest[0]])
    wrong = ""
    if rest.startswith("#"):
        wrong = "begins with #, which Compose takes as the value itself: write comments on lines of their own, or use single quotes"
    elif " #" in rest:
        wrong = "holds ' #', behind which Compose reads a comment: write comments on lines of their own, or use single quotes"
    elif any(letter in rest for letter in "$\\'\"`"):
        wrong = "holds $, a backslash or a quote, which Compose and shells read as syntax: put the value into single quotes"
    return ("", wrong) if wrong else (rest, "")
