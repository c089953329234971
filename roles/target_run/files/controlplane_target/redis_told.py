"""What a Redis is told at its next start: the words after `redis-server` over its configuration file, as its container has them now.

Rules:
- Passwords are among it: nothing of this is shown, written down, or part of a fault.
- What can't be told surely (a script that does more than start the server, a file that is gone) is None, never nothing.

Source: Redis 7.0 and 8.0, config.c: options are read after the file, `save` lines add up and an empty one clears them, the last of others holds.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

_SERVERS = ("redis-server", "valkey-server")
_SHELLS = ("sh", "bash", "ash", "dash")
_STOP = frozenset([";", "&&", "||", "|", "&", ">", ">>", "<", "2>&1", ")"])
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_OLD_NAMES = {"slaveof": "replicaof"}
_MOST_INCLUDES = 32
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Read = Callable[[str], bytes]


class Told(NamedTuple):
    """Settings by name, each as one text; users with the rules that their line has."""

    settings: dict[str, str]
    users: dict[str, list[str]]


def told(command: Sequence[str], environment: Mapping[str, str], folder: str, read: Read) -> Told | None:
    """Return what a container's command tells its server, None where that can't be said. `folder` is where it works, `read` gives its files."""
    try:
        words = _server_words(list(command), environment, read)
        if words is None:
            return None
        file = words.pop(0) if words and not words[0].startswith("-") else None
        directives = [] if file is None else _of_file(os.path.normpath(os.path.join(folder, file)), read, 0)
        return _effective(directives + _of_words(words))
    except (OSError, ValueError):
        return None


def of_aclfile(text: str) -> dict[str, list[str]]:
    """Return the users of an ACL file, each with its rules."""
    lines = [line.split() for line in text.splitlines()]
    return {words[1]: words[2:] for words in lines if len(words) > 1 and words[0].lower() == "user"}


def _effective(directives: list[tuple[str, list[str]]]) -> Told:
    found = Told({}, {})
    for name, values in directives:
        if name == "user" and values:
            found.users[values[0]] = [rule for value in values[1:] for rule in value.split()]
        elif name == "save":
            spread = [part for value in values for part in value.split()]
            found.settings["save"] = " ".join([*found.settings.get("save", "").split(), *spread]) if spread else ""
        else:
            found.settings[_OLD_NAMES.get(name, name)] = " ".join(values)
    return found


def _of_words(words: list[str]) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            name, *values = shlex.split(word[2:]) or [""]
            found.append((name.lower(), values))
        elif found:
            found[-1][1].append(word)
    return found


def _of_file(path: str, read: Read, depth: int) -> list[tuple[str, list[str]]]:
    """Return a configuration file's lines in order, those of its includes in their place. Raises `OSError`, `ValueError`."""
    if depth > _MOST_INCLUDES:
        raise ValueError("it includes too deep")
    found: list[tuple[str, list[str]]] = []
    for line in read(path).decode("utf-8", "surrogateescape").splitlines():
        words = [] if line.lstrip().startswith("#") else shlex.split(line)
        if not words:
            continue
        if words[0].lower() == "include" and len(words) > 1:
            if any(mark in words[1] for mark in "*?["):
                raise ValueError("what it includes is not named")
            found += _of_file(words[1], read, depth + 1)
        else:
            found.append((words[0].lower(), words[1:]))
    return found


def _server_words(command: list[str], environment: Mapping[str, str], read: Read) -> list[str] | None:
    """Return the words after `redis-server`, through an image's entry point, a shell's -c or a script. Raises `ValueError`."""
    for index, word in enumerate(command):
        if os.path.basename(word) in _SERVERS:
            return command[index + 1 :]
    for index, word in enumerate(command[:-1]):
        if index and re.fullmatch(r"-[a-z]*c", word) and os.path.basename(command[index - 1]) in _SHELLS:
            return _of_shell(command[index + 1], environment, [])
    if len(command) > 1 and "entrypoint" in command[0] and (command[1].startswith("-") or command[1].endswith(".conf")):
        return command[1:]
    text = _script(command[0], environment, read)
    return None if text is None else _of_shell(text, environment, command[1:])


def _script(program: str, environment: Mapping[str, str], read: Read) -> str | None:
    folders = [""] if "/" in program else environment.get("PATH", _PATH).split(":")
    for folder in folders:
        try:
            data = read(os.path.join(folder, program))
        except OSError:
            continue
        return data.decode("utf-8", "surrogateescape") if data.startswith(b"#!") else None
    return None


def _of_shell(script: str, environment: Mapping[str, str], arguments: list[str]) -> list[str] | None:
    """Return the words of a script that names the server once, on a line of its own: any other can't be read without being run."""
    lines = [line for line in script.replace("\\\n", " ").splitlines() if "-server" in line and not line.lstrip().startswith("#")]
    if len(lines) != 1 or any(mark in lines[0].partition("-server")[2] for mark in ("`", "$(", "<<")):
        return None
    lexer = shlex.shlex(lines[0], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    starts = [index for index, word in enumerate(words) if os.path.basename(word) in _SERVERS]
    if len(starts) != 1:
        return None
    found: list[str] = []
    for word in words[starts[0] + 1 :]:
        if word in _STOP:
            break
        if word == "$@":
            found += arguments
        elif any(mark in word for mark in ("$*", "${")) and not _VARIABLE.fullmatch(word):
            return None
        else:
            # One that the script itself sets is a doubt.
            if any((match.group(1) or match.group(2)) not in environment for match in _VARIABLE.finditer(word)):
                return None
            found.append(_VARIABLE.sub(lambda match: environment[match.group(1) or match.group(2)], word))
    return found
