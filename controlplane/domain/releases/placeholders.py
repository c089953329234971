"""Whether a value only stands for one that somebody still has to write.

Rules:
- Words and phrases count as words, never as a part of one: a secret made at random holds any letters.
- A phrase is an order or a want that names what is to be written (`set-a-password`), not a sentence that happens to hold one of its words.
- Marks count round the whole value; those that texts and formats use as well, only round the name of what is to be written.
"""

from __future__ import annotations

import re

_WORDS = frozenset(["todo", "fixme", "changeme", "changeit", "replaceme", "replaceit", "placeholder", "dummy", "fillme", "tobereplaced"])
# Short enough to come up at random between two signs: they count among plain words alone.
_SHORT = re.compile(r"tbd|tba|x{3,}")
_NOUN = (
    r"(pass(word|phrase|wd|code)?|pwd|pw|secret|token|credentials?|salt|dsn|(api|access|private|public|secret|signing|encryption)?[-_ .]?key|"
    r"value|string|hash|here)"
)
_KIND = (
    r"(a|an|the|your|my|our|its|this|that|in|with|by|to|as|real|actual|own|new|strong|secure|random|safe|good|long|unique|some|valid|production|prod|"
    r"db|database|admin|root|user|service|api|access|secret|private|app|jwt)"
)
_GAP = "[-_ .]"
_DONE = r"(replaced|changed|filled|set|defined|determined|done|added|provided|generated|announced|decided|written|rotated)"
_PHRASE = re.compile(
    r"(^|[^a-z])(change|replace|fill|insert|enter)[-_ .]?(me|this|here|it)([^a-z]|$)|^your[-_ .][a-z]|^example[-_ .]?(value|only)"
    rf"|(^|[^a-z])to{_GAP}?be{_GAP}?{_DONE}([^a-z]|$)"
    rf"|^(please{_GAP})?(change|replace|fill|insert|enter|put|set|paste|type|add|choose|pick|generate|provide|supply|use|write){_GAP}"
    rf"(({_KIND}{_GAP})+{_NOUN}|{_NOUN}{_GAP}(here|now|please))({_GAP}(here|now|please))*$"
    rf"|^(my|sample|example|fake|some){_GAP}?({_KIND}{_GAP})*{_NOUN}$"
    rf"|^{_NOUN}{_GAP}?((goes|comes|is|needed|required){_GAP}?)?here$"
)
_MARKED = re.compile(
    r"<[\w .,:;'/|()-]*>|\{\{.*\}\}|\$\{[^{}]*\}|\$\([^()]*\)|@@[^@]*@@|\.{3,}|…|\*{3,}|_{3,}|-{3,}|\?+|[•●∙]+"
    rf"|([\[({{<*_]*)(redacted|censored)[\])}}>*_]*"
    rf"|(__|%|@|\[|\{{|#\{{|\(\(|\$)([a-z]+[-_ .])*{_NOUN}([-_ .][a-z]+)*(__|%|@|\]|\}}|\}}#|\)\)|)"
)
# What images and tutorials start with; whoever tries has tried these first.
_KNOWN = frozenset(
    [
        "admin", "admin123", "administrator", "default", "guest", "letmein", "minio", "minio123", "minioadmin", "passw0rd", "passwd", "password",
        "password1", "password123", "postgres", "qwerty", "redis", "root", "secret", "secret123", "test", "test123", "testing", "tester", "user",
        "welcome", "12345678", "123456789", "1234567890", "0123456789", "example",
    ]
)  # fmt: skip
# What a secret is called: as a variable in capitals, or in common words. A passphrase may end in such a word, so its other words have to be known.
_CALLED = re.compile(
    rf"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*_(?i:{_NOUN})"
    rf"|(?i:(({_KIND}|redis|postgres(ql)?|mysql|mariadb|mongo(db)?|minio|s3|cache|smtp|mail|web|site){_GAP}?){{1,4}}{_NOUN})"
)
SHORTEST_SECRET = 8


def is_placeholder(value: str) -> bool:
    """Say whether a value stands for another, such as changeme, xxx, <password>, ${PASSWORD}, set-a-password or TODO."""
    text = value.strip().lower()
    words = [word for word in re.split(r"[^a-z0-9]+", text) if word]
    plain = all(word.isalpha() or word.isdecimal() for word in words)
    return bool(_MARKED.fullmatch(text) or any(word in _WORDS or (plain and _SHORT.fullmatch(word)) for word in words) or _PHRASE.search(text))


def stands_for_secret(value: str) -> bool:
    """Say whether what has to be a secret only stands for one: a placeholder, or what the secret is called, such as DB_PASSWORD or db-password."""
    return is_placeholder(value) or _CALLED.fullmatch(value.strip()) is not None


def why_no_secret(name: str, value: str) -> str:
    """Say why a value is no secret, empty where nothing speaks against it; the value itself is never said."""
    if len(value) < SHORTEST_SECRET:
        return f"has fewer than {SHORTEST_SECRET} characters, so that it can be guessed and not be searched for: make a longer one"
    if value.lower() in _KNOWN or value.lower() == name.lower() or len(set(value)) <= 2:
        return "is what everybody tries first: make one at random, such as with 'openssl rand -hex 24'"
    return ""
