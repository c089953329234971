"""What a Redis container will read at its next start: its command line over its configuration file.

What can't be told surely is None, never nothing. How words are read has its twin in redis_options.py and redis_told.py of
roles/target_run/files/controlplane_target; a test holds both to the same answers.

Source: `main` in server.c, config.c and sds.c of Redis 7.0 and 8.0. Before 7.0.1 a bare name took no value that begins with `--`, and did not start.
"""

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
    "maxmemory-policy port unixsocket replicaof min-replicas-to-write".split()
)
# Redis' own from before, and Valkey's.
OTHER_NAMES = {"slaveof": "replicaof", "min-slaves-to-write": "min-replicas-to-write", "primaryauth": "masterauth", "primaryuser": "masteruser"}
_SERVERS = ("redis-server", "valkey-server")
_STOP = frozenset([";", "&&", "||", "|", "&", ">", ">>", "<", "2>&1", ")"])
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# Without a value these are whole: what follows them is a value only where it does not begin with `--`.
_WHOLE = frozenset(["--save", "--sentinel"])
_WORD = re.compile(r"""\s*((?:"(?:[^"\\]|\\.)*"(?=\s|$)|'(?:[^'\\]|\\.)*'(?=\s|$)|[^\s"'])+)(?=\s|$)""", re.DOTALL)
_PART = re.compile(r"""("(?:[^"\\]|\\.)*")|('(?:[^'\\]|\\.)*')|([^"']+)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}
MOST_INCLUDES = 32
Directive = tuple[str, list[str]]


def _split(line: str) -> list[str]:
    """Return the words of a line as Redis itself has them: a backslash is one, except in quotes. Raises `ValueError` where a quote is open."""
    found, at, end = [], 0, len(line.rstrip())
    while at < end:
        word = _WORD.match(line, at, end)
        if word is None:
            raise ValueError("a quote is not closed")
        found.append("".join(_unquoted(*part) for part in _PART.findall(word[1])))
        at = word.end()
    return found


def _unquoted(double: str, single: str, plain: str) -> str:
    if double:
        text = _ESCAPE.sub(
            lambda one: bytes([int(one[1], 16)]).decode("utf-8", "surrogateescape") if one[1] else _ESCAPED.get(one[2], one[2]), double[1:-1]
        )
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return single[1:-1].replace("\\'", "'") if single else plain


def parse_file(path: str, read: Callable[[str], str], depth: int = 0) -> list[Directive]:
    """Return the directives of a configuration file in order, those of its includes in their place. Raises OSError."""
    found: list[Directive] = []
    for line in read(path).split("\n"):
        try:
            words = [] if line.lstrip().startswith("#") else _split(line)
        except ValueError as error:
            raise OSError(f"{path} can't be read: {error}") from None
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
    # One within a word begins no comment in a shell.
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:
        return None
    starts = [index for index, word in enumerate(words) if os.path.basename(word) in _SERVERS]
    if len(starts) != 1:
        return None
    found: list[str] = []
    for word in words[starts[0] + 1 :]:
        if word in _STOP or word.startswith("#"):
            break
        if word == "$@":
            found += arguments
        elif any(mark in word for mark in ("$*", "${")) and not _VARIABLE.fullmatch(word):
            return None
        else:
            found.append(_VARIABLE.sub(lambda match: environment.get(match.group(1) or match.group(2), ""), word))
    return found


def are_names(words: list[str]) -> list[bool]:
    """Say of each of Redis' own words whether it names an option: one behind a bare name is that one's value, also where it begins with `--`."""
    found: list[bool] = []
    is_awaited = False
    for word in words:
        is_name = word.startswith("--") and not is_awaited
        is_awaited = is_name and len(word.split()) == 1 and word.lower() not in _WHOLE
        found.append(is_name)
    return found


def parse_words(words: list[str]) -> tuple[str | None, list[Directive]] | None:
    """Return the configuration file that the words name, and the directives of the options after it; None where they can't be told."""
    if "-" in (*words[:1], *words[-1:]):
        # With that it reads more from its standard input.
        return None
    file = None
    rest = words
    if rest and not rest[0].startswith("-"):
        file, rest = rest[0], rest[1:]
    found: list[Directive] = []
    for word, is_name in zip(rest, are_names(rest)):
        if is_name:
            try:
                name, *values = _split(word[2:]) or [""]
            except ValueError:
                return None
            found.append((name.lower(), values))
        elif found:
            found[-1][1].append(word)
    # One that stands alone in a command is an empty one.
    return file, [(name, [""] if name == "save" and not values else values) for name, values in found]


def effective(directives: list[Directive], *, saves: list[str] | None = None) -> dict[str, str]:
    """Return the settings that are left when each directive has replaced the one before; `save` lines add up, an empty one clears them."""
    settings: dict[str, str] = {}
    points: list[str] | None = saves
    for told, values in directives:
        name = OTHER_NAMES.get(told, told)
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
    return [value for name, values in directives if OTHER_NAMES.get(name, name) in ("requirepass", "masterauth") for value in values if value]
