"""${VARIABLES} in compose files, as Compose replaces them, from what the contract of the environment file says.

Rules:
- A value that only the real file has (a secret, or a variable without a value in the contract) is not known here: what it decides can't be judged.
- A variable that the contract doesn't declare can't be in the real file either, so there its default holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_USUAL = re.compile(r"[A-Z_][A-Z0-9_]*", re.ASCII)
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
# Deeper ones nobody can read.
_DEEPEST = 8


class UnresolvedError(Exception):
    """A text can't be told here; the message says why."""


class Reference(NamedTuple):
    """One ${NAME}, with the operator and the word behind it, empty where there is none."""

    name: str
    operator: str = ""
    word: str = ""


def is_usual(name: str) -> bool:
    """Say whether a variable has a usual name. Any other may be the rest of a value, behind its $ or its line break: no message shows it."""
    return _USUAL.fullmatch(name) is not None


def undeclared(name: str, what_to_do: str) -> str:
    """Return what is wrong with a variable that the contract lacks."""
    if is_usual(name):
        return f"needs {name}, which the contract does not declare: {what_to_do}"
    return f"needs a variable that the contract does not declare, not shown as it may be the rest of a value: {what_to_do}, or write $$ for the sign"


def parts(text: str) -> Iterator[str | Reference]:
    """Yield plain text and references in turn. Raises `UnresolvedError` where Compose would refuse the text, or might read it otherwise."""
    at = 0
    while (start := text.find("$", at)) >= 0:
        yield text[at:start]
        following = text[start + 1 : start + 2]
        if following == "$":
            yield "$"
            at = start + 2
        elif following == "{":
            end = _closing(text, start + 1)
            yield _braced(text[start + 2 : end])
            at = end + 1
        elif (found := _NAME.match(text, start + 1)) is not None:
            yield Reference(found[0])
            at = found.end()
        else:
            # Compose leaves it as it is.
            yield "$"
            at = start + 1
    yield text[at:]


def references(text: str, *, depth: int = 0) -> Iterator[Reference]:
    """Yield every variable that a text refers to, those within defaults too. Raises `UnresolvedError`."""
    if depth > _DEEPEST:
        raise UnresolvedError("has variables within defaults of variables, too deep to follow: write them apart")
    for part in parts(text):
        if isinstance(part, Reference):
            yield part
            if part.operator[-1:] in ("-", "+"):
                yield from references(part.word, depth=depth + 1)


def resolved(text: str, known: Mapping[str, str | None]) -> tuple[str, frozenset[str]]:
    """Return the text with its variables replaced, and the names of those in the contract that decided on it. Raises `UnresolvedError`."""
    said: list[str] = []
    deciding: frozenset[str] = frozenset()
    for part in parts(text):
        if isinstance(part, str):
            said.append(part)
            continue
        value, by = _replaced(part, known)
        said.append(value)
        deciding |= by
    return "".join(said), deciding


def _replaced(one: Reference, known: Mapping[str, str | None]) -> tuple[str, frozenset[str]]:
    kind = one.operator[-1:]
    if one.name not in known:
        if kind == "-":
            return resolved(one.word, known)
        if kind == "+":
            return "", frozenset()
        raise UnresolvedError(undeclared(one.name, "declare it there with a value"))
    value = known[one.name]
    if value is None:
        raise UnresolvedError(f"needs {one.name}, of which the contract says no value: write one there, or write it out here")
    by = frozenset([one.name])
    if kind == "+":
        word, more = resolved(one.word, known)
        return word, by | more
    return value, by


def _braced(inside: str) -> Reference:
    found = _NAME.match(inside)
    if found is None:
        raise UnresolvedError("holds ${ that begins no variable: write $$ for the sign itself")
    rest = inside[found.end() :]
    if not rest:
        return Reference(found[0])
    operator = next((one for one in _OPERATORS if rest.startswith(one)), None)
    if operator is None:
        name = found[0] if is_usual(found[0]) else "NAME"
        raise UnresolvedError(f"has something behind {name} that is no default: write ${{{name}}} or ${{{name}:-default}}")
    return Reference(found[0], operator, rest[len(operator) :])


def _closing(text: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    raise UnresolvedError("holds ${ without its }: close it, or write $$ for the sign itself")
