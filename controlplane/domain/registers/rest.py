"""Whether what is written of work says that some of it remains.

Rules:
- It has to say so of now: what was still on the boot disk, or had not been moved yet, is how it came about.
- What denies it right before takes it away ("nothing is left"), and what takes that back in the same breath puts it there again ("but two volumes").
- In doubt a word is let through: who reads it is a person, and an entry that is held up without need has to be written anew.
"""

from __future__ import annotations

import re

_SOME = r"(?:some|several|most|(?:a\s+)?few|one|two|three|four|five|six|seven|eight|nine|ten|[1-9]\d*)"
_ENTRIES = r"(?:gap|finding|loop|item|point|question|task|thing)s?"
# What "is left" means by what follows it: "left out", "left as it was", "left in place" speak of a decision.
_GOES_ON = r"to\s+(?:do|be|move|mend|fix|close|decide)|open|over|on|and|but|except|save|other|apart|until|there|here|for\s+later"
_AND_NO_MORE = rf"(?=\s*(?:\Z|[.,;:!?)\n])|\s+(?:{_GOES_ON})\b)"

# At any time: "two were left to do" is how an entry tells its end, too.
_EVER = (
    r"remain(?:s|ing)?",
    r"still\s+(?:open|to\s+do|missing)",
    r"left\s+(?:to\s+do|open)",
    r"to-?do|tbd|unfinished",
    r"not\s+(?:yet\s+)?done",
)
_NOW = (
    rf"(?:is|are)\s+(?:still\s+|only\s+)?left{_AND_NO_MORE}",
    rf"{_SOME}\s+(?:(?:more\s+)?[\w-]+\s+)?left{_AND_NO_MORE}",
    rf"(?:{_SOME}(?:\s+of\s+(?:the|them|these|it))?|{_ENTRIES}|(?:GAP|STOR|LOOP)-[\w-]+)\s+(?:is|are)\s+open(?!\s+to\b|-)",
    rf"(?:there\s+(?:is|are)|has|have|with)\s+(?:still\s+)?(?:{_SOME}|an?)\s+open\s+{_ENTRIES}",
    r"still\s+(?:on|in|at)\s+(?:the|its|their|a)\b",
    r"still\s+(?:to\s+be|to\s+come|lies?|sits?|stands?\s+open|needs?|has\s+to|have\s+to|must|waits?|awaits?)\b",
    r"unmoved",
    r"not\s+yet|n['\u2019]t\s+yet|(?:not|n['\u2019]t)\s+(?:been\s+)?[\w-]+\s+yet|yet\s+to\s+\w+",
    r"(?:is|are)\s+(?:pending|outstanding)",
    r"(?:pending|outstanding)(?=\s*(?:\Z|[.,;:!?)\n]))",
    r"pending\s+(?:the|an?|its|their)\b",
    r"(?:is|are)\s+(?:not\s+(?:finished|complete)|incomplete)",
)


def _any_of(sayings: tuple[str, ...]) -> re.Pattern[str]:
    # A word of its own, unless it is the end of another one: "isn't yet".
    return re.compile(rf"(?:\b|(?<=\w)(?=n['\u2019]t))(?:{'|'.join(sayings)})(?!\w)", re.IGNORECASE)


_SAYINGS = ((_any_of(_EVER), False), (_any_of(_NOW), True))
_PAST = re.compile(r"\b(?:was|were|been|had|did|lay|sat|found|seen)(?:\s+(?:all|both|still|then|left|one|two))?\s*\Z", re.IGNORECASE)
# What says that all of it is done: "nothing remains", "no gap is still open", "none of the volumes is left", "is no longer pending".
_NOTHING = re.compile(
    r"\b(?:(?:nothing|none|no|zero|0)(?:\s+(?!(?:on|of|about|for|in|to|and|or|but|while)\b)[a-z]+)??(?:\s+(?!(?:the|and|or|while)\b)[a-z-]+)?"
    r"|(?:none|nothing)\s+of\s+(?:(?:the|its|their|these|those)\s+)?[a-z-]+"
    r"|no\s+longer|not|isn't|aren't)(?:\s+(?:is|are|was|were))?(?:\s+more)?\s+\Z",
    re.IGNORECASE,
)
# And what takes that back in the same breath: "nothing remains but two volumes". After a comma "but" begins another thought.
_BUT = re.compile(r"[^.;:!?,]*\bbut\b|[^.;:!?]*\b(?:except|other than|apart from|(?<!to )save)\b", re.IGNORECASE)


def said_to_remain(text: str) -> str | None:
    """Return the first words of a text that say that some of it remains, None where none do."""
    found = [one for sayings, only_now in _SAYINGS for one in sayings.finditer(text) if not _is_taken_back(text, one, only_now=only_now)]
    first = min(found, key=lambda one: one.start(), default=None)
    return None if first is None else " ".join(first[0].split())


def _is_taken_back(text: str, said: re.Match[str], *, only_now: bool) -> bool:
    """Say whether the words before a saying put it in the past, or deny it and those behind it leave it so."""
    before = text[: said.start()]
    if only_now and _PAST.search(before) is not None:
        return True
    return _NOTHING.search(before) is not None and _BUT.match(text, said.end()) is None
