"""The collector and the machine read the words that a Redis is told alike, as Redis itself does."""

from __future__ import annotations

from itertools import product

import pytest
from controlplane_target import redis_options, redis_told

from controlplane.adapters.collector import redis_config

# One word each, of every kind that tells Redis something else.
KINDS = ("--save", "--SAVE", "--save ", "--sentinel", "--requirepass", "--hz 5", "--a=b", "--", "-", "yes", "")
WORDS = {
    (): [],
    ("--maxmemory", "1gb", "--maxmemory", "2gb"): [("maxmemory", ["1gb"]), ("maxmemory", ["2gb"])],
    ("--appendonly yes", "--hz=5"): [("appendonly", ["yes"]), ("hz=5", [])],
    ("--APPENDONLY", "yes"): [("appendonly", ["yes"])],
    ("--user", "late", "on", "nopass", "+get"): [("user", ["late", "on", "nopass", "+get"])],
    ("--requirepass", "--secret", "--hz", "5"): [("requirepass", ["--secret"]), ("hz", ["5"])],
    ("--requirepass", "--appendonly", "--appendonly", "no"): [("requirepass", ["--appendonly"]), ("appendonly", ["no"])],
    ("--requirepass ", "--secret"): [("requirepass", ["--secret"])],
    ("--hz 5", "--requirepass", "--"): [("hz", ["5"]), ("requirepass", ["--"])],
    ("--save", "60 1", "--SAVE", "--hz", "5"): [("save", ["60 1"]), ("save", [""]), ("hz", ["5"])],
    ("--save", "60 1", "--save"): [("save", ["60 1"]), ("save", [""])],
    ("--sentinel", "--hz", "5"): [("sentinel", []), ("hz", ["5"])],
    ("--requirepass 'a b'", r"--masterauth a\b", r'--masteruser "a\x41"'): [
        ("requirepass", ["a b"]),
        ("masterauth", [r"a\b"]),
        ("masteruser", ["aA"]),
    ],
}
LINES = ["requirepass pa\\ss\r", 'masterauth "a\\x41\\"b" ', "masteruser 'it\\'s'", "dbfilename a\\ b", 'save ""', "a\tb", ""]


@pytest.mark.parametrize("words", WORDS)
def test_the_words_of_a_command_become_the_same_directives(words: tuple[str, ...]) -> None:
    assert redis_config.parse_words(list(words)) == (None, WORDS[words])
    assert redis_told._of_words(list(words)) == WORDS[words]


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_the_same_words_are_names_to_both(length: int) -> None:
    for words in product(KINDS, repeat=length):
        assert redis_config.are_names(list(words)) == redis_options.are_names(words), words


@pytest.mark.parametrize("line", LINES)
def test_a_line_has_the_same_words_for_both(line: str) -> None:
    assert redis_config._split(line) == redis_told._split(line)


@pytest.mark.parametrize("line", ["requirepass 'open", 'requirepass "open', "a'b'c", '"a"b'])
def test_a_line_that_redis_would_not_read_is_read_by_neither(line: str) -> None:
    for split in (redis_config._split, redis_told._split):
        with pytest.raises(ValueError, match="a quote is not closed"):
            split(line)


def test_both_know_the_same_other_names() -> None:
    assert redis_config.OTHER_NAMES == redis_told._OTHER_NAMES
