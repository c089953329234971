"""Keep values of environment files out of what tests and commands say, before it is put on record or shown.

Rules:
- Every value of the file counts, secret or not, and one that is commented out too: a file that says too little of itself must not leak.
- A value of fewer than four characters is no secret, nor is a plain yes or no, nor an environment's name; hiding them would make every message
  unreadable. A short one is hidden where it stands alone, not within a longer word.
- What a sound contract declares and not as a secret, messages about files show (`unshown`), all but a password within a URL: hidden, the name of a
  database would take from a message what to write. A contract with faults shows nothing.
- A file says its secrets with a colon or a space where = belongs too. In a comment, that is how people and contracts write: there = alone counts.
- What was cut or quoted on its way may no longer be the value: texts are hidden before they are cut, and as they look in quotes too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, islice
from urllib.parse import quote

from controlplane.domain.releases.contract import passwords_in, read_contract
from controlplane.domain.releases.secret_forms import is_secret_name

HIDDEN = "***"
_LEAST, _SHORT = 4, 8
_PLAIN = frozenset(["true", "false", "none", "null", "staging", "production"])
_NAME = re.compile(r"[#\s]*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*=")
# Never export itself as the name, which would hide the name of a variable.
_UNEQUAL = re.compile(r"\s*(?:export\s+)?+(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)(?:\s*:|\s)")
# Where those who read a file part a text, and may quote what they found between; what is behind a $ is a name to Compose.
_SIGN = re.compile(r"[:,;=@/?#&$]")
_MOST_SIGNS = 16
_REFERRED = re.compile(r"\$\{?(\w+)")


def values_of(env_text: str) -> tuple[str, ...]:
    """Return what must not be shown of an environment file: each value, with and without its quotes and what may be a comment behind it.

    Of a value over several lines each line is one.
    """
    found = dict.fromkeys(form for line in env_text.splitlines() for form in _forms(line))
    return tuple(sorted((form for form in found if _is_hidden(form)), key=lambda form: (-len(form), form)))


def unshown(env_text: str, contract_text: str) -> tuple[str, ...]:
    """Return what messages about a release's files must not show of an environment file: its values, and parts of them that may be quoted alone."""
    contract, _ = read_contract(contract_text, "")
    plain = {one.name for one in contract.variables if not one.secret} if contract is not None else None
    every = env_text.splitlines()
    lines = [line for line in every if plain is None or (named := _NAME.match(line)) is None or named["name"] not in plain]
    found = dict.fromkeys(values_of("\n".join(lines)))
    for line in every:
        found |= dict.fromkeys(part for password in _passwords(line) for part in (password, *_parts(password)))
    for line in lines:
        named = _NAME.match(line) or _UNEQUAL.match(line)
        # Parts of what is no secret would hide what is wrong elsewhere.
        if named is not None and (is_secret_name(named["name"]) if plain is None else named["name"] not in plain):
            found |= dict.fromkeys(part for text in _texts(line[named.end() :]) for part in _parts(text.strip("\"'")))
    return tuple(part for part in found if _is_hidden(part))


class Hiding:
    """What hides values in any number of texts, the longest first: every form of them is made once, as there may be thousands."""

    def __init__(self, values: Iterable[str]) -> None:
        self._forms: dict[str, bool] = {}
        self._alone: dict[str, re.Pattern[str]] = {}
        for value in sorted((one for one in values if _is_hidden(one)), key=len, reverse=True):
            for shown in (value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe="")):
                self._forms.setdefault(shown, len(value) < _SHORT)

    def cover(self, text: str) -> str:
        """Return the text with every one of the values covered."""
        for shown, is_short in self._forms.items():
            if shown in text:
                text = self._pattern(shown).sub(HIDDEN, text) if is_short else text.replace(shown, HIDDEN)
        return text

    def _pattern(self, shown: str) -> re.Pattern[str]:
        # Made for those alone that turn up: to make one takes longer than to look through many texts.
        if shown not in self._alone:
            self._alone[shown] = re.compile(rf"(?<!\w){re.escape(shown)}(?!\w)")
        return self._alone[shown]


def hide(text: str, values: Sequence[str]) -> str:
    """Return one text with every one of these values covered, the longest first; `Hiding` is for many texts."""
    return Hiding(values).cover(text)


def _is_hidden(value: str) -> bool:
    return len(value) >= _LEAST and value.lower() not in _PLAIN


def _parts(value: str) -> Iterator[str]:
    yield value.replace("$", "$$")
    yield from _REFERRED.findall(value)
    # Of an address only the password is a secret.
    for secret in _passwords(value) if "://" in value else (value,):
        ends = [0, *(one.end() for one in islice(_SIGN.finditer(secret), _MOST_SIGNS)), len(secret) + 1]
        yield from (secret[begin : end - 1] for begin, end in combinations(ends, 2))


def _passwords(text: str) -> Iterator[str]:
    # A text may hold several URLs.
    for rest in text.split("://")[1:]:
        yield from passwords_in(f"any://{rest}")


def _texts(value: str) -> tuple[str, str]:
    # What stands behind a # may be a comment.
    return value.strip(), re.split(r"\s#", value.strip(), maxsplit=1)[0].strip()


def _forms(line: str) -> Iterator[str]:
    # A line may be the middle of a value, whatever it looks like.
    unequal = None if _NAME.match(line) else _UNEQUAL.match(line)
    for value in (line, _NAME.sub("", line, count=1), line[unequal.end() :] if unequal else ""):
        for text in _texts(value):
            yield text
            yield text.strip("\"'")
            yield from (part.strip("\"'") for part in text.split("\\n"))
