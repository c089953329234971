"""An environment file is read as Compose reads it, and where another reader would differ it is refused, without a value in any message."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.releases.dotenv import read_env

CANARY = "Kanarienvogel77ab01"


def faults(text: str) -> list[str]:
    return [str(fault) for fault in read_env(text, ".env").faults]


def test_values_keep_every_sign_that_means_nothing_to_compose() -> None:
    text = "# about\n\nA=1\nB=a b=c#d\nC='$x \\n # y'\nD=\"a 'b' c\"\nE=\nF=''\ng_1=https://x.example.org/?a=b&c=%20\n"
    said = read_env(text, ".env")
    assert said.faults == ()
    assert [(one.name, one.value, one.line) for one in said.entries] == [
        ("A", "1", 3),
        ("B", "a b=c#d", 4),
        ("C", "$x \\n # y", 5),
        ("D", "a 'b' c", 6),
        ("E", "", 7),
        ("F", "", 8),
        ("g_1", "https://x.example.org/?a=b&c=%20", 9),
    ]
    assert said.comments == {1: "about"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"A={CANARY} # c", "A: holds ' #', behind which Compose reads a comment"),
        (f"A=#{CANARY}", "A: begins with #, which Compose takes as the value itself"),
        (f"A= {CANARY}", "A: has a space before or behind its value"),
        (f"A={CANARY} ", "A: has a space before or behind its value"),
        (f"A=${CANARY}", "A: holds $, a backslash or a quote"),
        (f"A={CANARY}\\n", "A: holds $, a backslash or a quote"),
        (f"A={CANARY}'", "A: holds $, a backslash or a quote"),
        (f"A='{CANARY}", "A: is in single quotes and does not end with them"),
        (f"A='{CANARY}' # c", "A: is in single quotes and does not end with them"),
        (f"A='{CANARY}\\'x'", "A: is in single quotes and does not end with them, or holds one"),
        (f'A="{CANARY}', "A: is in double quotes and does not end with them"),
        (f'A="{CANARY}$B"', "A: is in double quotes and does not end with them, or holds a backslash or $"),
        (f'A="{CANARY}\\n"', "A: is in double quotes and does not end with them, or holds a backslash or $"),
        (f"{CANARY}", "is no NAME=VALUE"),
        (f"A: {CANARY}", "is no NAME=VALUE"),
        (f"A = {CANARY}", "is no NAME=VALUE"),
        (f"1A={CANARY}", "is no NAME=VALUE"),
        (f"export A={CANARY}", "begins with export"),
        (f" A={CANARY}", "begins with a space"),
        (f"A={CANARY}\r", "ends in a carriage return"),
        (f"A={CANARY}\x07", "holds a control or direction character"),
        (f"A={CANARY}\u202e", "holds a control or direction character"),
        (f"COMPOSE_FILE={CANARY}", "COMPOSE_FILE: decides how Compose itself works"),
        (f"DOCKER_HOST={CANARY}", "DOCKER_HOST: decides how Compose itself works"),
        (f"PATH={CANARY}", "PATH: decides how Compose itself works"),
    ],
)
def test_what_two_readers_would_read_differently_is_a_fault_without_the_value(line: str, told: str) -> None:
    [fault] = faults(f"# first\n{line}\n")
    assert fault.startswith(f".env:2: {told}"), fault
    assert CANARY not in fault


def test_a_variable_that_is_there_twice_is_a_fault_at_the_second_place() -> None:
    assert faults("A=1\nB=2\nA=3\n") == [".env:3: A: is there twice, first on line 1, and the last one would count: keep one of them"]


# Before a value stands its name, which is shown; so the secret follows one.
@given(st.text(alphabet=st.sampled_from(sorted({*string.printable, "\x1b", "\u202e"} - {"\n"})), max_size=40), st.text(string.printable, max_size=40))
def test_whatever_surrounds_a_secret_no_message_shows_it(before: str, after: str) -> None:
    assert not [fault for fault in faults(f"A={before}{CANARY}{after}\nB=1\n") if CANARY in fault]


@given(st.text(alphabet=string.ascii_letters + string.digits + '$#\\ =:/@%&"{}`!*', max_size=40))
def test_single_quotes_keep_any_value_that_holds_none(value: str) -> None:
    # A backslash before the closing quote would be read as part of it.
    value = value.rstrip("\\")
    said = read_env(f"A='{value}'\n", ".env")
    assert [one.value for one in said.entries] == [value]
