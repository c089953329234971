"""Leave secrets on the host: what is taken out of texts and command lines before they become evidence.

In doubt a word is taken out: a bare option may be a switch of one program and wait for its value in another, also for one that begins with `--`.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
_NAMED = r"[\w.-]*(?:pass(?:wd|word|phrase)?|requirepass|masterauth|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|auth)[\w.-]*"
# A name is looked for once in each word, from where that begins: a word of thousands of dashes would take minutes otherwise.
_START = r"(?<![\w.-])"
# user:password@ in a URL
_USERINFO = re.compile(r"(?<=://)[^/\s\"']*@")
# A shell's word: quoted, escaped and plain parts side by side; a quote that is left open reaches to the end of its line.
_WORD = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\\.|[^\s;|&"']|["'][^\n]*)+"""
_GAP = r"(?:\s|\\\n)+"
# NAME=value and NAME: value, quoted or not
_ASSIGNED = re.compile(rf"(?i)({_START}{_NAMED}[\"']?\s*[=:]\s*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;\"']+)")
# --name value and --name=value, as options and as words of a shell command; --switch --name value may be either
_OPTION = re.compile(rf"(?i)({_START}[\w.]*--?{_NAMED}(?:{_GAP}|=))((?:--?{_NAMED}{_GAP})*{_WORD})")
# Redis' own directives, without dashes, and the passwords and their digests among the rules of a user.
_DIRECTIVE = re.compile(rf"(?i)(\b(?:requirepass|masterauth|primaryauth|sentinel-pass|auth-pass{_GAP}\S+){_GAP})({_WORD})")
_ACL = re.compile(r"(?i)\buser\s[^\n]*")
_ACL_RULE = re.compile(r"""(?<=\s)(?:"[<>][^"\n]+"|'[<>][^'\n]+'|\\?[<>][^\s"']+|["']?[#!][0-9a-f]{64}\b)""")
_SHORT = re.compile(r"(?i)(\b(?:redis-cli|mysql|mysqladmin|mariadb)\b[^;|&\n]*?\s-(?:a\s*|p))([^\s;|&]+)")
_CLIENTS = frozenset("redis-cli mysql mysqladmin mariadb".split())
_CLIENT_SHORT = re.compile(r"(?i)(-[ap])\S+")
_OPTION_ALONE = re.compile(rf"(?i)--?{_NAMED}$")
_ASSIGNED_WORD = re.compile(rf"(?is)({_NAMED}=|--?{_NAMED}\s+).+")
# What follows these is hidden up to the next option: rules of a user, or a name and then the password.
_LONG = frozenset(["--user", "auth-pass"])
_BARE = frozenset(["requirepass", "masterauth", "primaryauth", "sentinel-pass"])
_ENV_NAME = re.compile(rf"(?i){_NAMED}$")

# In fstab, as the role fstab shows it: whatever follows a secret's name in its line, because a password may hold commas and blanks; what comments
# say; //user:password@host, and program#user:password@host.
_FSTAB_NAME = r"(?:pass|pw|secret|token|key|auth|user|login|command)[\w.-]*"
_FSTAB_ASSIGNED = re.compile(rf"(?im)({_FSTAB_NAME}[\"']?[ \t]*=[ \t]*)\S.*$")
_FSTAB_COMMENT = re.compile(rf"(?im)^([-+ ]?[ \t]*#.*?{_FSTAB_NAME}.*?[=:][ \t]*)\S.*$")
_FSTAB_USERINFO = re.compile(r"(?<=//)\S*@|(?<=#)\S*:\S*@|[^\s/#]+:[^\s/]*@")


def fstab_without_secrets(text: str) -> str:
    """Return fstab's text, or what is said of it, without what can be a password or a user's name; a path to credentials stays."""
    for pattern in (_FSTAB_COMMENT, _FSTAB_ASSIGNED):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return _FSTAB_USERINFO.sub(f"{HIDDEN}@", text)


def without_secrets(text: str) -> str:
    """Return the text with passwords in URLs, in assignments, after options and in a Redis user's rules replaced."""
    text = _USERINFO.sub(f"{HIDDEN}@", text)
    for pattern in (_ASSIGNED, _OPTION, _DIRECTIVE, _SHORT):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return _ACL.sub(lambda line: _ACL_RULE.sub(HIDDEN, line[0]), text)


def command_without_secrets(command: list[str], environment: list[str]) -> list[str]:
    """Return a container's command line without the values of secret options, nor those of its secret variables wherever they occur."""
    pairs = (pair.partition("=") for pair in environment)
    secrets = [value for name, _, value in pairs if len(value) >= 4 and _ENV_NAME.search(name)]
    clean: list[str] = []
    is_awaited = is_long = is_client = False
    for word in command:
        is_value = is_awaited or (is_long and not word.startswith("--"))
        clean.append(HIDDEN if is_value else _word_without_secrets(scrub(word, secrets), is_client=is_client))
        # Also of one that was hidden: it may have been a switch's neighbour, and name an option itself.
        name = word.strip().lower()
        is_client = is_client or word.rpartition("/")[2] in _CLIENTS
        is_awaited = bool(_OPTION_ALONE.match(name)) or name in _LONG | _BARE or (is_client and name == "-a")
        is_long = name in _LONG or (is_long and is_value)
    return clean


def _word_without_secrets(word: str, *, is_client: bool) -> str:
    for pattern in (_ASSIGNED_WORD, _CLIENT_SHORT) if is_client else (_ASSIGNED_WORD,):
        if found := pattern.fullmatch(word):
            return f"{found[1]}{HIDDEN}"
    return without_secrets(word)


def daemon_json_without_secrets(text: str | None) -> str | None:
    """Return daemon.json's text, exact but for credentials in URLs."""
    return None if text is None else _USERINFO.sub(f"{HIDDEN}@", text)


def scrub(data: Any, secrets: list[str]) -> Any:
    """Return JSON-ready data with every occurrence of the given secrets replaced."""
    if isinstance(data, str):
        for secret in secrets:
            if secret:
                data = data.replace(secret, HIDDEN)
        return data
    if isinstance(data, list):
        return [scrub(entry, secrets) for entry in data]
    if isinstance(data, dict):
        return {key: scrub(value, secrets) for key, value in data.items()}
    return data
