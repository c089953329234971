"""Whether what is written of work says that some of it remains.

Rules:
- It has to say so of now: what was still on the boot disk, or had not been moved yet, is how it came about.
- What denies it right before or behind takes it away ("nothing is left", "remaining: none"), and what takes that back in the same breath puts it
  there again ("but two volumes").
- In doubt a word is let through: who reads it is a person, and an entry that is held up without need has to be written anew.
"""

from __future__ import annotations

import re

# How far before and behind a saying is read: no sentence that denies it is longer, and a long text takes no longer than its length.
_NEAR = 200

_SOME = r"(?:some|several|most|(?:a )?few|one|two|three|four|five|six|seven|eight|nine|ten|[1-9]\d*)"
_ENTRIES = r"(?:gap|finding|loop|item|point|question|task|thing)s?"
_ID = r"(?:GAP|STOR|LOOP)-[\w-]+"
# Behind "W8E closed" the same words tell what is done.
_CLAUSE = r"(?<![\w'\u2019,]\s)"
_DONE = r"(?:closed|done|moved|migrated|fixed|mended|finished|complete)"
# Of room and time something is left at all times.
_UNIT = r"(?:[kmgt]?i?b|bytes?|percent|%|inodes?|seconds?|minutes?|hours?|days?|weeks?)(?!\w)"
# What "is left" means by what follows it: "left out", "left as it was", "left in place" speak of a decision.
_GOES_ON = r"to (?:do|be|move|mend|fix|close|decide)|open|over|on|and|but|except|save|other|apart|until|there|here|for later"
_AND_NO_MORE = rf"(?=\s*(?:\Z|[.,;:!?)\n])| (?:{_GOES_ON})\b)"
# Where data must not lie: "still on the data disk" is how it should be.
_DISK = r"(?:boot|root|old|system) (?:disk|device|drive|filesystem|partition)"
_WRONG_PLACE = rf"(?:[\w'\u2019-]+ ){{0,2}}?(?:{_DISK}|old root(?! password)|layer)(?! by (?:policy|decision))"

# What remains so is in order.
_IN_ORDER = r"(?:so|there|closed|fixed|mounted|healthy|stable|valid|as|in (?:place|force|use)|within|after|unused|unchanged|available|free)"

# At any time: "two were left to do" is how an entry tells its end, too.
_EVER = (
    rf"remains?(?! {_IN_ORDER}\b)",
    r"(?<!moved\sthe\s)(?<!closed\sthe\s)(?<!mended\sthe\s)remaining(?!(?: [\w'-]+){0,3} (?:was|were|got)\b)",
    r"still (?:open|to do|missing)",
    r"left (?:to (?:do|move|migrate|copy)|open)",
    r"to-?do|to do(?= ?:)|tbd|unfinished",
    r"not (?:yet )?done",
)
_NOW = (
    rf"(?:{_SOME} )?(?:is|are) (?:still |only )?left{_AND_NO_MORE}",
    # With an article it is what somebody did away with: "purged the three volumes left on vda".
    rf"(?<!\bthe\s)(?<!\bthese\s)(?<!\bthose\s){_SOME} (?:(?:more )?(?!(?:is|are|was|were)\b|{_UNIT})[\w-]+ )?left{_AND_NO_MORE}",
    rf"(?:{_SOME}(?: of (?:the|them|these|it))?|{_ENTRIES}|{_ID}|the (?:rest|others?)) (?:is|are|stays?) (?:still )?open(?! to\b|-)",
    rf"(?:there (?:is|are)|has|have|with) (?:still )?(?:{_SOME}|an?) open {_ENTRIES}",
    rf"{_CLAUSE}{_SOME} open {_ENTRIES}(?! (?:was|were|got|has|have)\b)",
    rf"{_CLAUSE}(?:{_SOME} {_ENTRIES}|{_ID}) open(?=\s*(?:\Z|[.;!?)\n]))",
    rf"open ?: (?:{_ID}|{_SOME}\b)",
    rf"not (?:all|everything|every {_ENTRIES})(?: [\w-]+){{0,4}} (?:is|are|has been|have been) {_DONE}",
    rf"(?P<part>\d+) (?:of|out of) (?!(?P=part)\b)\d+(?: [\w-]+)? (?:is |are )?{_DONE}(?=\s*(?:\Z|[.;!?)\n]))",
    rf"{_SOME} [\w-]+ not (?:moved|migrated)",
    rf"still (?:on|in|uses?|runs? (?:on|from)|writes? to) (?:the|its|their|a) {_WRONG_PLACE}",
    r"follow-?up (?:is )?(?:needed|necessary|due)",
    r"still (?:to be|to come|lies?|sits?|stands? open|needs?|has to|have to|must|waits?|awaits?)",
    r"only [\w-]+ (?:is|are) missing",
    r"(?:has|have)(?: not|n['\u2019]t) (?:been )?moved",
    r"unmoved",
    r"not yet|n['\u2019]t yet|(?:not|n['\u2019]t) (?:been )?[\w-]+ yet|yet to \w+",
    r"(?:is|are) (?:pending|outstanding)",
    r"(?:pending|outstanding)(?=\s*(?:\Z|[.,;:!?)\n]))",
    r"pending (?:the|an?|its|their)",
    r"(?:is|are) (?:not (?:finished|complete)|incomplete)",
)

# What puts it in the past, with the words of time that may stand between: "were, until W8E, still on the boot disk".
_THEN = r"all|both|still|then|left|one|two|at (?:that|the) time|at first|(?:until|before) (?:the )?[\w-]+"
_PAST = rf"\b(?:was|were|been|had|did|lay|sat|found|seen|began|begun|started|opened)(?:(?:,? (?:{_THEN})\b)+,?)?\s*\Z"

# What says that all of it is done.
_WORD = r"(?!(?:and|or|nor|but|while|is|are|was|were)\b)[\w'\u2019/-]+"
_NO = r"(?:no|zero|0|neither|not a(?: single)?|not one)"
# "no volume of the apps", "nothing on the boot disk"; in "no decision on the remaining volumes" the saying is a part of it.
_WHEREOF = rf" of(?: {_WORD}){{1,4}}| (?:on|in)(?! (?:the|its|their|these|those) \Z)(?: {_WORD}){{1,4}}"
_DENIALS = (
    # "no gap is", "no data volume is"; of two words behind "with" the second begins another thought: "with no downtime minio remains".
    rf"(?:{_NO}(?: {_WORD})?|(?<!\bwith\s){_NO} {_WORD} {_WORD}|(?:nothing|none|neither|zero|0)(?: else)?)(?:{_WHEREOF})?",
    rf"neither(?: {_WORD}){{1,4}} nor(?: {_WORD}){{0,5}}",
    r"no longer|not|(?:is|are)n['\u2019]t",
)
# An amount of room or time that is left, or remains, is no work; "40 GB remain on the boot disk" are.
_AMOUNT = rf"\d\s*{_UNIT}(?: free| available)? \Z"
_OF_DATA = r"\b(?:volumes?(?! group)|data|files?|trees?|objects?)\b[^.;:!?]*\Z"
_TO_MOVE = r"[^.;!?]*\bto (?:be|do|move|migrate|copy)\b"
_AND_NO_PLACE = r"\s*(?:\Z|[.,;!?)\n])| (?:free|available)\b"
# And what takes that back in the same breath: "nothing remains but two volumes". After a comma "but" begins another thought.
_BUT = r"[^.;:!?,]*\bbut\b|[^.;:!?]*\b(?:except|other than|apart from|(?<!to\s)save)\b"


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern in which each blank stands for any white space, and one with a question mark for any or none."""
    return re.compile(pattern.replace(" ?", r"\s*").replace(" ", r"\s+"), re.IGNORECASE)


def _any_of(sayings: tuple[str, ...]) -> re.Pattern[str]:
    # A word of its own, unless it is the end of another one: "isn't yet".
    return _compiled(rf"(?:\b|(?<=\w)(?=n['\u2019]t))(?:{'|'.join(sayings)})(?!\w)")


_SAYINGS = ((_any_of(_EVER), False), (_any_of(_NOW), True))
_IS_PAST, _IS_TAKEN_BACK = _compiled(_PAST), _compiled(_BUT)
_IS_AMOUNT, _IS_ALL, _IS_OF_DATA, _IS_TO_MOVE = (_compiled(one) for one in (_AMOUNT, _AND_NO_PLACE, _OF_DATA, _TO_MOVE))
_IS_NONE = _compiled(rf"(?: {_ENTRIES}| work)? ?[:=] ?(?:none|nothing|nil|zero|no|0)\b(?! [a-z])|(?: [\w-]+)? is empty")
_IS_DENIED = _compiled(rf"\b(?:{'|'.join(_DENIALS)})(?: (?:is|are|was|were))?(?: (?:more|still))? \Z")


def said_to_remain(text: str) -> str | None:
    """Return the first words of a text that say that some of it remains, None where none do."""
    found = [one for sayings, only_now in _SAYINGS for one in sayings.finditer(text) if not _is_over(text, one, only_now=only_now)]
    first = min(found, key=lambda one: one.start(), default=None)
    return None if first is None else " ".join(first[0].split())


def _is_over(text: str, said: re.Match[str], *, only_now: bool) -> bool:
    """Say whether the words before a saying put it in the past, or those around it deny it and leave it so."""
    before = text[max(0, said.start() - _NEAR) : said.start()]
    if only_now and _IS_PAST.search(before) is not None:
        return True
    behind = text[said.end() : said.end() + _NEAR]
    is_denied = _IS_DENIED.search(before) is not None or _IS_NONE.match(behind) is not None
    if _IS_AMOUNT.search(before) is not None and _IS_OF_DATA.search(before) is None and _IS_TO_MOVE.match(behind) is None:
        word = said[0].lower()
        is_denied |= word.endswith("left") or (word.startswith("remain") and _IS_ALL.match(behind) is not None)
    return is_denied and _IS_TAKEN_BACK.match(behind.lstrip(" :=")) is None
