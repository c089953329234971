"""An environment file of Compose as far as it concerns the tool: what it may not set, and how its values stay out of every message. Pure.

Rules:
- What steers Docker or Compose themselves has no business in it: DOCKER_HOST would send a release to another machine, COMPOSE_FILE to other files.
- Compose quotes values in its errors. Before a message leaves this host each value is taken out of it, and only then is it cut to its end.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

# Some images are set up by variables that begin with DOCKER_, too: only what the client itself reads counts.
_STEERING = re.compile(
    r"COMPOSE_\w+|DOCKER_(HOST|CONTEXT|CONFIG|TLS|TLS_VERIFY|CERT_PATH|API_VERSION|DEFAULT_PLATFORM|CONTENT_TRUST\w*|CUSTOM_HEADERS)", re.ASCII
)
# Which services there are is the stack's own affair.
_ALLOWED = {"COMPOSE_PROFILES"}
# What is shorter is a switch or a port, and would be found in every word.
_SHORTEST = 4
_MOST_TOLD = 600
_BAD_FILE = re.compile(r"(failed to read \S+): (line \d+): .*", re.DOTALL)


class Variable(NamedTuple):
    """One line that sets something; `value` without quotes around it."""

    line: int
    name: str
    value: str


def variables(text: str) -> list[Variable]:
    """Return what a file sets, line by line; what goes on over lines has a line for each."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        name, separator, value = said.partition("=")
        value = value.strip() if separator else said
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found.append(Variable(number, name.removeprefix("export ").strip() if separator else "", value))
    return found


def steering(text: str) -> list[str]:
    """Return what speaks against the file: each line that would steer Docker or Compose."""
    return [
        f"the environment file sets {one.name} in line {one.line}, which steers Docker itself and no service: take it out"
        for one in variables(text)
        if _STEERING.fullmatch(one.name) and one.name not in _ALLOWED
    ]


def masked(said: str, text: str) -> str:
    """Return a message without any of the file's values."""
    said = _BAD_FILE.sub(r"\1: \2 is no assignment", said)
    values: set[str] = set()
    for one in variables(text):
        # Compose cuts a comment off, and may quote what is left or all of it.
        values |= {one.value, one.value.strip("\"'"), one.value.partition(" #")[0].strip().strip("\"'")}
    spelled = {spelling for value in values if len(value) >= _SHORTEST for spelling in _spellings(value)}
    for spelling in sorted(spelled, key=len, reverse=True):
        said = said.replace(spelling, "***")
    return said


def last_words(said: str, text: str) -> str:
    """Return the end of what Compose said, without any of the file's values. Cut before it is masked, half a value would stay readable."""
    return masked(said.strip(), text)[-_MOST_TOLD:]


def _spellings(value: str) -> set[str]:
    """Return a value as it is and as it is escaped in quotes; a log line quotes once more what a message has in quotes."""
    found = {value}
    for _ in range(2):
        found |= {json.dumps(one, ensure_ascii=is_ascii)[1:-1] for one in found for is_ascii in (True, False)}
    return found
