"""Redis' options as words of its command line, and as lines of its configuration file: set some, keep every other. Pure.

Source: `redis.conf`, and `main` in server.c, of Redis 7.0 and 8.0; an option's words reach to the next one that begins with `--`, but the first of
them is its value however it begins; the last of two directives holds.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence


class UnclearError(Exception):
    """A command of which can't be said surely what Redis itself is told."""


NAMES = ("appendonly", "appendfsync", "save")
# After these, words are no longer Redis' own.
_SHELLS = re.compile(r"(?:^|/)(?:sh|bash|ash|dash|env)$")
_OF_A_SHELL = "its command is a shell's, so what Redis itself is told can't be changed surely"
_SERVERS = ("redis-server", "valkey-server")
# Without a value these are whole: what follows them is a value only where it does not begin with `--`.
_WHOLE = frozenset(["--save", "--sentinel"])
_SHELL_MARKS = re.compile(r"[;&|<>`\n]|\$\(")


def are_names(words: Sequence[str]) -> list[bool]:
    """Say of each of Redis' own words whether it names an option: one behind a bare name is that one's value, also where it begins with `--`."""
    found: list[bool] = []
    is_awaited = False
    for word in words:
        is_name = word.startswith("--") and not is_awaited
        is_awaited = is_name and len(word.split()) == 1 and word.lower() not in _WHOLE
        found.append(is_name)
    return found


def with_options(command: str | list[str], settings: dict[str, str]) -> str | list[str]:
    """Return the command with these settings: in place of those that it has, else at its end. Raises `UnclearError` where a shell would read it."""
    if isinstance(command, list):
        if command and (_SHELLS.search(command[0]) or any(word in ("-c", "-ec", "-lc") for word in command[:3])):
            raise UnclearError(_OF_A_SHELL)
        return _with_words(command, settings)
    if _SHELL_MARKS.search(command.strip()):
        raise UnclearError(_OF_A_SHELL)
    try:
        words = shlex.split(command)
    except ValueError as fault:
        raise UnclearError(f"its command can't be read as words: {fault}") from fault
    if words and _SHELLS.search(words[0]):
        raise UnclearError(_OF_A_SHELL)
    _names(words, settings)
    text, missing = command.strip(), []
    for name, value in settings.items():
        # Up to the next option, with its quotes; what stands beside it keeps its spelling.
        words_of_it = re.compile(rf"""(?<!\S)--{name}(?:\s+(?!--)(?:"[^"]*"|'[^']*'|[^\s"'$][^\s"']*))*(?!\S)""", re.IGNORECASE)
        found = list(words_of_it.finditer(text))
        for at, one in reversed(list(enumerate(found))):
            text = text[: one.start()] + (f"--{name} {shlex.quote(value)}" if at == 0 else "") + text[one.end() :].lstrip(" " if at else "")
        if not found:
            missing += [f"--{name}", shlex.quote(value)]
    if any(word.lower().startswith(f"--{name} ") for word in words for name in settings):
        raise UnclearError("it names a setting and its value in one quoted word")
    return " ".join([text.strip(), *missing])


def _with_words(words: list[str], settings: dict[str, str]) -> list[str]:
    kept: list[str] = []
    written: set[str] = set()
    dropping = False
    for word, is_name in zip(words, _names(words, settings)):
        if is_name:
            key = _key(word)
            dropping = key in settings
            if dropping and key not in written:
                written.add(key)
                kept += [f"--{key}", settings[key]]
        if not dropping:
            kept.append(word)
    return kept + [word for name, value in settings.items() if name not in written for word in (f"--{name}", value)]


def _names(words: list[str], settings: dict[str, str]) -> list[bool]:
    """Say of each word of a command whether it names an option. Raises `UnclearError` where one that looks like a setting of these is a value."""
    at = next((index + 1 for index, word in enumerate(words) if os.path.basename(word) in _SERVERS), 0)
    found = [*[False] * at, *are_names(words[at:])]
    # It may be a password: which word it is, is not said.
    if any(word.startswith("--") and not is_name and _key(word) in settings for word, is_name in zip(words, found)):
        raise UnclearError("one of its words reads like a setting that is to be changed, and Redis takes it as the value of the option before it")
    return found


def _key(word: str) -> str:
    return word[2:].lower().split(" ", 1)[0].split("=", 1)[0]


def with_directives(text: str, settings: dict[str, str]) -> str:
    """Return a configuration file's text with these settings: in place of the first line that sets one, other such lines go, else at the end.

    In a file that includes others they stand at its end, after whatever those say.
    """
    includes = re.search(r"^[ \t]*include[ \t]", text, re.MULTILINE | re.IGNORECASE) is not None
    if includes and text.endswith("".join(f"{_directive(name, value)}\n" for name, value in settings.items())):
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    kept: list[str] = []
    written: set[str] = set()
    for line in text.splitlines(keepends=True):
        found = re.match(r"[ \t]*([A-Za-z-]+)(?=[ \t\r\n]|$)", line)
        name = found.group(1).lower() if found else ""
        if name not in settings:
            kept.append(line)
        elif name not in written and not includes:
            written.add(name)
            kept.append(f"{_directive(name, settings[name])}{newline}")
    missing = [name for name in settings if name not in written]
    if missing and kept and not kept[-1].endswith("\n"):
        kept[-1] += newline
    return "".join([*kept, *(f"{_directive(name, settings[name])}{newline}" for name in missing)])


def _directive(name: str, value: str) -> str:
    return f"{name} {value or chr(34) * 2}"
