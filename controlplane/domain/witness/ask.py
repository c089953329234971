"""What can be asked of a live machine, and which answer agrees with what the evidence shows.

Rules:
- What is expected is what the evidence shows, not what the policy wants: a drift is confirmed, or contradicted, as well as a MET.
- An exit code that the question does not name is no answer.
- A question may name how a machine declines to tell, such as a database that wants a password: that speaks neither for nor against.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from controlplane.domain.checks.case import Case
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader
from controlplane.domain.evidence_shapes.system import Unit

# is: these words exactly. words: these among others, in any order. lines: each of these lines, among others. within: no other line than these.
# at_most, at_least: the largest size, number or percentage that is said.
How = Literal["is", "words", "lines", "within", "at_most", "at_least"]

# Docker rounds its sizes, to three digits at worst, and of those just below the next unit it writes 1e+03MB. Nothing else is rounded: of a moment,
# such a part would be months.
_ROUNDED = 0.005
_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e\+\d+)?)(%|[kKMGTPE]?i?B|)(?![\w.+])")
_SIZE = re.compile(r"\d[kKMGTPE]?i?B")
_POWERS = "kmgtpe"


class Ask(NamedTuple):
    """One command and the answer that agrees; of `pick` only the line that begins so is read. `ends`: the exit codes that come with an answer."""

    argv: tuple[str, ...]
    expect: str
    how: How = "is"
    ends: tuple[int, ...] = (0,)
    pick: str = ""
    declines: tuple[str, ...] = ()


class Told(NamedTuple):
    """What is put to the machine: one finding's surface (what follows its kind is `named`), and whether it is MET or a drift."""

    case: Case
    named: str
    is_met: bool

    @property
    def limit(self) -> How:
        """On which side of its limit a measured value has to be seen again."""
        return "at_most" if self.is_met else "at_least"

    @property
    def desired(self) -> DesiredHost:
        """What the policy wants of the host."""
        return self.case.desired

    @property
    def reader(self) -> Reader:
        """What the evidence shows of it."""
        return self.case.reader


Asked = Sequence[Ask]


def agrees(how: How, expect: str, said: str) -> bool:
    """Say whether an answer is what was expected."""
    lines, wanted = set(_lines(said)), set(_lines(expect))
    if how == "words":
        return set(expect.split()) <= set(said.split())
    if how == "lines":
        return wanted <= lines
    if how == "within":
        return lines <= wanted
    if how in ("at_most", "at_least"):
        sizes = [_numbers(line) for line in _lines(said)]
        if not sizes or not all(sizes):
            return False
        value, limit = max(max(each) for each in sizes), float(expect)
        off = limit * _ROUNDED if _SIZE.search(said) else 0
        return value <= limit + off if how == "at_most" else value >= limit - off
    return said == expect


def not_installed() -> Ask:
    """Ask whether systemd, too, knows of no Docker."""
    return Ask(("systemctl", "show", "--value", "-p", "LoadState", "docker.service"), "not-found")


def unit_asks(name: str, unit: Unit | None) -> list[Ask]:
    """Ask for a unit's state as it was seen."""
    if unit is None:
        return []
    if unit["load_state"] != "loaded":
        return [Ask(("systemctl", "show", "--value", "-p", "LoadState", name), unit["load_state"])]
    # Of another name of a unit is-enabled says only that it is one; of a script below /etc/init.d it says what became of its links.
    own = unit["properties"].get("Id") or name
    enabled = ("systemctl", "is-enabled", own) if unit["enabled"] != "generated" else ("systemctl", "show", "--value", "-p", "UnitFileState", name)
    # Both end with another code than 0 where they have nothing good to say.
    return [
        Ask(enabled, unit["enabled"], ends=(0, 1)),
        Ask(("systemctl", "is-active", name), unit["active_state"], ends=(0, 3)),
    ]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _numbers(line: str) -> list[float]:
    """Return the numbers of one line, sizes in bytes; of Docker's `1kB (virtual 2GB)` only what stands before the bracket."""
    found = []
    for number, unit in _NUMBER.findall(line.partition("(")[0]):
        binary, letter = "i" in unit, unit[:1].lower() if unit[:1].lower() in _POWERS else ""
        found.append(float(number) * (1024 if binary else 1000) ** (_POWERS.index(letter) + 1 if letter else 0))
    return found
