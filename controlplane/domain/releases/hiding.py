"""Keep values of environment files out of what tests and commands say, before it is put on record or shown.

Rules:
- Every value of the file counts, secret or not, and one that is commented out too: a file that says too little of itself must not leak.
- A value of fewer than four characters is no secret, nor is a plain yes or no, nor an environment's name; hiding them would make every message
  unreadable. A short one is hidden where it stands alone, not within a longer word.
- Of what everybody reads in a sound contract, the same line of the real file says nothing new: messages about files show it (`unshown`).
- What was cut or quoted on its way may no longer be the value: texts are hidden before they are cut, and as they look in quotes too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from urllib.parse import quote

from controlplane.domain.releases.contract import passwords_in, read_contract
from controlplane.domain.releases.secret_forms import is_secret_name

HIDDEN = "***"
_LEAST, _SHORT = 4, 8
_PLAIN = frozenset(["true", "false", "none", "null", "staging", "production"])
_NAME = re.compile(r"[#\s]*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*=")
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
    plain = {one.name: f"{one.name}={one.value}" for one in contract.variables if not one.secret} if contract is not None else None
    lines = [line for line in env_text.splitlines() if plain is None or line not in plain.values()]
    found = dict.fromkeys(values_of("\n".join(lines)))
    for line in lines:
        named = _NAME.match(line)
        # Parts of what is no secret would hide what is wrong elsewhere.
        if named is not None and (is_secret_name(named["name"]) if plain is None else named["name"] not in plain):
            found |= dict.fromkeys(_parts(line[named.end() :].strip().strip("\"'")))
    return tuple(part for part in found if _is_hidden(part))


def hide(text: str, values: Sequence[str]) -> str:
    """Return the text with every one of these values covered, the longest first."""
    for value in sorted((one for one in values if _is_hidden(one)), key=len, reverse=True):
        for shown in dict.fromkeys((value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe=""))):
            text = text.replace(shown, HIDDEN) if len(value) >= _SHORT else re.sub(rf"(?<!\w){re.escape(shown)}(?!\w)", HIDDEN, text)
    return text


def _is_hidden(value: str) -> bool:
    return len(value) >= _LEAST and value.lower() not in _PLAIN


def _parts(value: str) -> Iterator[str]:
    yield value.replace("$", "$$")
    yield from _REFERRED.findall(value)
    # Of an address only the password is a secret.
    for secret in passwords_in(value) if "://" in value else (value,):
        ends = [0, *(one.end() for one in islice(_SIGN.finditer(secret), _MOST_SIGNS)), len(secret) + 1]
        yield from (secret[begin : end - 1] for begin, end in combinations(ends, 2))


def _forms(line: str) -> Iterator[str]:
    # A line may be the middle of a value, whatever it looks like.
    for value in (line.strip(), _NAME.sub("", line, count=1).strip()):
        for text in (value, re.split(r"\s#", value, maxsplit=1)[0].strip()):
            yield text
            yield text.strip("\"'")
            yield from (part.strip("\"'") for part in text.split("\\n"))
