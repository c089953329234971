"""The words that a container's command gives its Redis, through an image's entry point, a shell's -c or a script.

Rules:
- Only what is read surely is told. A script that does more than hand its words on, sets what it starts with, or works on the server afterwards is a doubt.
- Passwords are among the words: no fault repeats one.

Source: docker-entrypoint.sh of the images redis 5 to 8 and valkey 7.2 to 9.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence

_SERVERS = ("redis-server", "valkey-server")
_SHELLS = ("sh", "bash", "ash", "dash")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_MARK = re.compile(r"[();<>|&]+")
# After these a command begins, and with these the server's own may.
_BEGIN = frozenset([";", "&&", "||", "|", "&", "then", "else", "do", "{"])
_STARTERS = frozenset(["exec", "gosu", "su-exec", "setpriv", "nohup", "tini", "dumb-init", "nice", "ionice", "numactl", "taskset", "stdbuf"])
# How an entry point ends that starts what it is given; Valkey's adds what a variable has.
_HANDS_ON = re.compile(r'.*"\$@"(?P<more> \$VALKEY_EXTRA_FLAGS)?')
_OWN = re.compile(r'set -- (?P<is_named>(?:redis|valkey)-server )?"\$@"(?: --loadmodule \S+| --protected-mode no)?$')
Read = Callable[[str], bytes]


def server_words(command: Sequence[str], environment: Mapping[str, str], folder: str, read: Read) -> list[str] | None:
    """Return the words after `redis-server`, None where they can't be told. Raises `OSError`, `ValueError`."""
    for index, word in enumerate(command[:-1]):
        if index and re.fullmatch(r"-[a-z]*c", word) and os.path.basename(command[index - 1]) in _SHELLS:
            return _of_shell(command[index + 1], environment, command[index + 3 :])
    at = next((index for index, word in enumerate(command) if os.path.basename(word) in _SERVERS), None)
    if at is not None:
        added = _added(command[:at], environment, folder, read)
        return None if added is None else [*command[at + 1 :], *added]
    text = _script(command[0], environment, folder, read)
    if len(command) > 1 and (command[1].startswith("-") or command[1].endswith(".conf")):
        added = _added(command[:1], environment, folder, read)
        if added is not None and any((own := _OWN.search(line)) and own["is_named"] for line in _lines(text)):
            return [*command[1:], *added]
    return _of_shell(text, environment, command[1:])


def _added(ahead: Sequence[str], environment: Mapping[str, str], folder: str, read: Read) -> list[str] | None:
    """Return the words that what stands ahead of the server adds, None where that is a script that may do anything. Raises `OSError`."""
    found: list[str] = []
    for number, word in enumerate(ahead):
        try:
            text = _script(word, environment, folder, read)
        except FileNotFoundError:
            if number == 0:
                raise
            continue  # a wrapper's own argument, such as a user's name
        added = _added_by(_lines(text), environment) if text else []
        if added is None:
            return None
        found += added
    return found


def _added_by(lines: list[str], environment: Mapping[str, str]) -> list[str] | None:
    last = _HANDS_ON.fullmatch(lines[-1]) if lines and lines[-1].startswith('exec "$@"') else None
    if last is None:
        return None
    for line in lines:
        own = _OWN.search(line)
        starts = re.search(r"\bexec\b", line) and not _HANDS_ON.fullmatch(line)
        names = "-server" in line and not own and "[ " not in line
        if starts or names or "-cli" in line or (re.search(r"\bset --", line) and not own):
            return None
    return environment.get("VALKEY_EXTRA_FLAGS", "").split() if last["more"] else []


def _lines(script: str) -> list[str]:
    lines = [line.strip() for line in script.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _script(program: str, environment: Mapping[str, str], folder: str, read: Read) -> str:
    """Return a script's text, empty for a program that is none. Raises `FileNotFoundError`."""
    places = [folder] if "/" in program else environment.get("PATH", _PATH).split(":")
    for place in places:
        try:
            data = read(os.path.normpath(os.path.join(place, program)))
        except OSError:
            continue
        except ValueError:
            return ""  # too large for a script
        return data.decode("utf-8", "surrogateescape") if data.startswith(b"#!") else ""
    raise FileNotFoundError(program)


def _of_shell(script: str, environment: Mapping[str, str], arguments: Sequence[str]) -> list[str] | None:
    """Return the words of a script that names the server once, as a command of its own: any other can't be read without being run."""
    lines = _lines(script)
    named = [line for line in lines if "-server" in line]
    if len(named) != 1 or any("-cli" in line for line in lines) or re.search(r"'[^']*\$[^']*'|\\\$|`|<<", named[0]):
        return None
    if "$(" in named[0].partition("-server")[2]:
        return None
    lexer = shlex.shlex(named[0], posix=True, punctuation_chars=True)
    # One within a word begins no comment in a shell.
    lexer.whitespace_split, lexer.commenters = True, ""
    words = list(lexer)
    starts = [index for index, word in enumerate(words) if os.path.basename(word) in _SERVERS and "=" not in word]
    if len(starts) != 1 or not _is_command(words, starts[0]):
        return None
    found: list[str] = []
    for word in words[starts[0] + 1 :]:
        if _MARK.fullmatch(word) or word.startswith("#"):
            # A number ahead of a redirection may be a descriptor's.
            return None if ("<" in word or ">" in word) and found and found[-1].isdigit() else found
        if word == "$@":
            found += arguments
            continue
        told = _filled(word, environment, script)
        if told is None:
            return None
        found.append(told)
    return found


def _is_command(words: list[str], at: int) -> bool:
    begin = max((index for index, word in enumerate(words[:at]) if word in _BEGIN), default=-1) + 1
    return begin == at or words[begin] in _STARTERS


def _filled(word: str, environment: Mapping[str, str], script: str) -> str | None:
    """Return a word with its variables' values, None where a shell might make another one of it, or others."""
    if any(mark in word for mark in ("$*", "${")) and not _VARIABLE.fullmatch(word):
        return None
    for match in _VARIABLE.finditer(word):
        name = match.group(1) or match.group(2)
        # One that the script itself sets is a doubt; so is one that is split into words unless it is quoted, or is none.
        if not environment.get(name) or re.search(rf"\b{name}=", script) or re.search(r"[\s*?\[]", environment[name]):
            return None
    return _VARIABLE.sub(lambda match: environment[match.group(1) or match.group(2)], word)
