"""Leave secrets on the host: what is taken out of texts and command lines before they become evidence."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
_NAMED = r"[\w.-]*(?:pass(?:wd|word|phrase)?|requirepass|masterauth|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|auth)[\w.-]*"
# user:password@ in a URL
_USERINFO = re.compile(r"(?<=://)[^/@\s\"']*@")
# NAME=value and NAME: value, quoted or not
_ASSIGNED = re.compile(rf"(?i)(\b{_NAMED}[\"']?\s*[=:]\s*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;\"']+)")
# --name value, as options and as words of a shell command
_OPTION = re.compile(rf"(?i)(--?{_NAMED}\s+)(\"[^\"\n]*\"|'[^'\n]*'|[^\s;|&]+)")
_SHORT = re.compile(r"(?i)(\b(?:redis-cli|mysql|mysqladmin|mariadb)\b[^;|&\n]*?\s-(?:a\s*|p))([^\s;|&]+)")
_OPTION_ALONE = re.compile(rf"(?i)--?{_NAMED}$")
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
    """Return the text with passwords in URLs, in assignments and after options replaced."""
    text = _USERINFO.sub(f"{HIDDEN}@", text)
    for pattern in (_ASSIGNED, _OPTION, _SHORT):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def command_without_secrets(command: list[str], environment: list[str]) -> list[str]:
    """Return a container's command line without the values of secret options, nor those of its secret variables wherever they occur."""
    pairs = (pair.partition("=") for pair in environment)
    secrets = [value for name, _, value in pairs if len(value) >= 4 and _ENV_NAME.search(name)]
    clean, hide = [], False
    for word in command:
        if hide and not word.startswith("--"):
            clean.append(HIDDEN)
        else:
            clean.append(without_secrets(scrub(word, secrets)))
        hide = bool(_OPTION_ALONE.match(word)) or word == "--user"
    return clean


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
