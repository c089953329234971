"""What a Redis container will read at its next start: its command line over its configuration file."""

from __future__ import annotations

import glob
import os
import re
import shlex
from typing import Callable

# Only these are ever reported; passwords, users and ACLs are not among them.
KEPT = frozenset(
    "appendonly appendfsync appendfilename appenddirname save dir dbfilename no-appendfsync-on-rewrite auto-aof-rewrite-percentage "
    "auto-aof-rewrite-min-size aof-load-truncated aof-use-rdb-preamble stop-writes-on-bgsave-error rdb-save-incremental-fsync maxmemory "
    "maxmemory-policy port unixsocket replicaof".split()
)
_SERVERS = ("redis-server", "valkey-server")
_STOP = frozenset([";", "&&", "||", "|", "&", ">", ">>", "<", "2>&1", ")"])
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
MOST_INCLUDES = 32
Directive = tuple[str, list[str]]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=False, posix=True)
    except ValueError:
        return line.split()


def parse_file(path: str, read: Callable[[str], str], depth: int = 0) -> list[Directive]:
    """Return the directives of a configuration file in order, those of its includes in their place. Raises OSError."""
    found: list[Directive] = []
    for line in read(path).splitlines():
        words = [] if line.lstrip().startswith("#") else _words(line)
        if not words:
            continue
        if words[0].lower() == "include" and len(words) > 1:
            if depth >= MOST_INCLUDES:
                raise OSError(f"{path} includes too deep")
            for included in sorted(glob.glob(words[1])) if glob.has_magic(words[1]) else [words[1]]:
                found += parse_file(included, read, depth + 1)
        else:
            found.append((words[0].lower(), words[1:]))
    return found


def server_words(command: list[str], environment: dict[str, str], script_of: Callable[[str], str | None]) -> list[str] | None:
    """Return the words after `redis-server` in a container's command, through an image's entry point, a shell's -c or a script.

    `script_of` returns the text of a program that is a script, else None. None where the words can't be told.
    """
    for index, word in enumerate(command):
        if os.path.basename(word) in _SERVERS:
            return command[index + 1 :]
    for index, word in enumerate(command[:-1]):
        if word in ("-c", "-ec", "-lc", "-euc", "-exc") and os.path.basename(command[index - 1]) in ("sh", "bash", "ash", "dash"):
            return _shell_words(command[index + 1], environment, [])
    if len(command) > 1 and "entrypoint" in command[0] and (command[1].startswith("-") or command[1].endswith(".conf")):
        return command[1:]
    text = script_of(command[0])
    return None if text is None else _shell_words(text, environment, command[1:])


def _shell_words(script: str, environment: dict[str, str], arguments: list[str]) -> list[str] | None:
    # Only a script that names the server once, on a line of its own, can be read without being run.
    lines = [line for line in script.replace("\\\n", " ").splitlines() if "-server" in line and not line.lstrip().startswith("#")]
    if len(lines) != 1 or any(mark in lines[0].partition("-server")[2] for mark in ("`", "$(", "<<")):
        return None
    lexer = shlex.shlex(lines[0], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return None
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
            found.append(_VARIABLE.sub(lambda match: environment.get(match.group(1) or match.group(2), ""), word))
    return found


def parse_words(words: list[str]) -> tuple[str | None, list[Directive]]:
    """Return the configuration file that the words name, and the directives of the options after it."""
    file = None
    rest = words
    if rest and not rest[0].startswith("-"):
        file, rest = rest[0], rest[1:]
    found: list[Directive] = []
    for word in rest:
        if word.startswith("--"):
            name, *values = _words(word[2:]) or [""]
            found.append((name.lower(), values))
        elif found:
            found[-1][1].append(word)
    return file, found


def effective(directives: list[Directive], *, saves: list[str] | None = None) -> dict[str, str]:
    """Return the settings that are left when each directive has replaced the one before; `save` lines add up, an empty one clears them."""
    settings: dict[str, str] = {}
    points: list[str] | None = saves
    for name, values in directives:
        if name not in KEPT:
            continue
        if name == "save":
            spread = [part for value in values for part in value.split()]
            points = (points or []) + spread if spread else []
        else:
            settings[name] = " ".join(values)
    if points is not None:
        settings["save"] = " ".join(points)
    return settings


def secrets_of(directives: list[Directive]) -> list[str]:
    """Return the passwords among the directives, to open the connection and to keep them out of everything."""
    return [value for name, values in directives if name in ("requirepass", "masterauth") for value in values if value]
