"""Whether a value only stands for one that somebody still has to write."""

from __future__ import annotations

import re

_WORDS = frozenset(["todo", "tbd", "fixme", "changeme", "changeit", "replaceme", "placeholder", "dummy", "fillme"])
_PHRASE = re.compile(r"(^|[^a-z])(change|replace|fill|insert|enter)[-_ .]?(me|this|here)([^a-z]|$)|^your[-_ .][a-z]|^example[-_ .]?(value|only)")
_MARKED = re.compile(r"<[^<>]*>|\{\{.*\}\}|\.{3,}|…|\*{3,}|_{3,}|-{3,}|\?+")
# What images and tutorials start with; whoever tries has tried these first.
_KNOWN = frozenset(
    [
        "admin", "admin123", "administrator", "default", "guest", "letmein", "minio", "minio123", "minioadmin", "passw0rd", "passwd", "password",
        "password1", "password123", "postgres", "qwerty", "redis", "root", "secret", "secret123", "test", "test123", "testing", "tester", "user",
        "welcome", "12345678", "123456789", "1234567890", "0123456789", "example",
    ]
)  # fmt: skip
SHORTEST_SECRET = 8


def is_placeholder(value: str) -> bool:
    """Say whether a value stands for another, such as changeme, xxx, <password> or TODO."""
    text = value.strip().lower()
    words = re.split(r"[^a-z0-9]+", text)
    return bool(_MARKED.fullmatch(text) or any(word in _WORDS or re.fullmatch(r"x{3,}", word) for word in words) or _PHRASE.search(text))


def why_no_secret(name: str, value: str) -> str:
    """Say why a value is no secret, empty where nothing speaks against it; the value itself is never said."""
    if len(value) < SHORTEST_SECRET:
        return f"has fewer than {SHORTEST_SECRET} characters, so that it can be guessed and not be searched for: make a longer one"
    if value.lower() in _KNOWN or value.lower() == name.lower() or len(set(value)) <= 2:
        return "is what everybody tries first: make one at random, such as with 'openssl rand -hex 24'"
    return ""
