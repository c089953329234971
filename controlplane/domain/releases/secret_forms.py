"""What a secret looks like in bytes, and where it stands: by its known value, or by the form of a well-known token.

Rules:
- A known value is found as it is, percent-encoded as in a URL, and in base64 as in a credential file, whatever stands before it there.
- A form is one that its issuer made to be found: a prefix of its own, or a key's armour. Nothing is guessed from how random a text looks.
- What is found is named by what it is and by its line; no result holds a value.
- Bytes come in pieces, and pieces overlap: a blob of any size is looked through in the same memory.

The detectors of a library (detect-secrets) were tried: they read lines of text, at a tenth of the speed, ask issuers over the network unless told
not to, and lack some forms below.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

from controlplane.domain.releases.placeholders import stands_for_secret, why_no_secret

# Longer than any token that is looked for by its form.
OVERLAP: Final = 8192
MOST_FOUND: Final = 20
# What documentation shows on purpose.
_SHOWN_ON_PURPOSE: Final = re.compile(rb"EXAMPLE|example")


class Needle(NamedTuple):
    """One spelling of a known secret, and the name by which it is told."""

    name: str
    spelled: bytes


class Form(NamedTuple):
    """One form of tokens. A blob without any of `marks` holds none, which is quickly seen."""

    name: str
    marks: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


class Found(NamedTuple):
    """Something that is a secret, in a 1-based line. `known` says whether it is the very value of an environment file."""

    line: int
    what: str
    known: bool


def _form(name: str, marks: Sequence[bytes], pattern: bytes) -> Form:
    return Form(name, tuple(marks), re.compile(pattern))


FORMS: Final = (
    _form("a private key", [b"PRIVATE KEY"], rb"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[rn])*[A-Za-z0-9+/=:-]{8,}"),
    _form("a private key", [b"PuTTY-User-Key-File-"], rb"PuTTY-User-Key-File-[23]: "),
    _form("an age key", [b"AGE-SECRET-KEY-"], rb"AGE-SECRET-KEY-1[0-9A-Z]{40,80}"),
    _form("an AWS access key", [b"AKIA", b"ASIA", b"ABIA", b"ACCA"], rb"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    _form("an AWS secret key", [b"aws_", b"AWS_"], rb"(?i:aws_secret_access_key)['\"]?\s{0,4}[=:]\s{0,4}['\"]?[A-Za-z0-9/+]{40}\b"),
    _form("a GitHub token", [b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"], rb"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    _form("a GitHub token", [b"github_pat_"], rb"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
    _form("a GitLab token", [b"gl"], rb"\bgl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas|ffct)-[A-Za-z0-9_.=-]{20,300}"),
    _form("a Slack token", [b"xox", b"xapp-"], rb"\b(?:xox[abeoprs]|xapp)-[0-9A-Za-z-]{10,250}"),
    _form("a Slack webhook", [b"hooks.slack.com/services/"], rb"hooks\.slack\.com/services/T[A-Za-z0-9_]+/B[A-Za-z0-9_]+/[A-Za-z0-9_]{16,}"),
    _form("a Stripe key", [b"k_live_"], rb"\b[rs]k_live_[0-9a-zA-Z]{20,250}"),
    _form("a Google key", [b"AIza"], rb"\bAIza[0-9A-Za-z_-]{35}\b"),
    _form("an npm token", [b"npm_"], rb"\bnpm_[A-Za-z0-9]{36}\b"),
    _form("a PyPI token", [b"pypi-Ag"], rb"\bpypi-Ag[A-Za-z0-9_-]{50,500}"),
    _form("a Docker Hub token", [b"dckr_pat_"], rb"\bdckr_pat_[A-Za-z0-9_-]{20,100}"),
    _form("an OpenAI key", [b"T3BlbkFJ"], rb"\bsk-[A-Za-z0-9_-]{0,100}T3BlbkFJ[A-Za-z0-9_-]{20,100}"),
    _form("an Anthropic key", [b"sk-ant-"], rb"\bsk-ant-[a-z0-9]{2,10}-[A-Za-z0-9_-]{32,200}"),
    _form("a SendGrid key", [b"SG."], rb"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b"),
    _form("a Twilio key", [b"SK"], rb"\bSK[0-9a-f]{32}\b"),
    _form("a HashiCorp Vault token", [b"hvs.", b"hvb.", b"hvr."], rb"\bhv[sbr]\.[A-Za-z0-9_-]{24,300}"),
    _form("a DigitalOcean token", [b"_v1_"], rb"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    _form("a JSON web token", [b"eyJ"], rb"\beyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{16,1000}"),
)
_SECRET_BY_NAME: Final = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|_PASS|_PW|_PWD"
    r"|(^|_)(TOKEN|SECRET|SECRET_KEY_BASE|(SECRET|API|PRIVATE|ACCESS|SIGNING|ENCRYPTION|AUTH|MASTER)_?KEY|CREDENTIALS?))$",
    re.IGNORECASE,
)
# User and host may be variables; a password that is one is none.
_IN_URL: Final = re.compile(rb"[a-z][a-z0-9+.-]{1,20}://[^\s:/?#@'\"<>]{0,100}:(?P<password>[^\s:/?#@'\"<>{}$`]{1,200})@[A-Za-z0-9\[${<]")


def needles_of(secrets: Mapping[str, Iterable[str]]) -> tuple[Needle, ...]:
    """Return every spelling of these values, by the names of their variables."""
    found: dict[bytes, str] = {}
    for name, values in secrets.items():
        for value in values:
            for spelled in (value.encode(), quote(value, safe="").encode(), *_in_base64(value.encode())):
                found.setdefault(spelled, name)
    return tuple(Needle(name, spelled) for spelled, name in found.items())


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """Yield what of the base64 of a text that holds these bytes is the same whatever stands around them, for each place and alphabet."""
    for before in range(3):
        # The signs at either end have bits of what stands there.
        sure = slice(-(-before * 8 // 6), (before + len(raw)) * 8 // 6)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + raw)[sure]


def is_secret_name(name: str) -> bool:
    """Say whether a variable is a secret by its name alone."""
    return _SECRET_BY_NAME.search(name) is not None


def look_through(pieces: Iterable[bytes], needles: Sequence[Needle], *, forms: bool) -> tuple[Found, ...]:
    """Return what is found in the bytes that the pieces make up; `forms` asks for tokens by their form too.

    At most `MOST_FOUND` are told of each value and each form: many of one never hide another.
    """
    keep = max([OVERLAP if forms else 0, *(len(needle.spelled) for needle in needles)])
    found: dict[str, set[Found]] = {}
    tail, line = b"", 1
    for piece in pieces:
        held = tail + piece
        for at, what, known in _hits(held, needles, forms=forms):
            told = found.setdefault(what, set())
            if len(told) < MOST_FOUND:
                told.add(Found(line + held.count(b"\n", 0, at), what, known))
        tail = held[-keep:] if keep else b""
        line += held.count(b"\n", 0, len(held) - len(tail))
    return tuple(sorted(one for told in found.values() for one in told))


def _hits(held: bytes, needles: Sequence[Needle], *, forms: bool) -> Iterator[tuple[int, str, bool]]:
    for needle in needles:
        at = held.find(needle.spelled)
        while at >= 0:
            yield at, f"the value of {needle.name}", True
            at = held.find(needle.spelled, at + 1)
    if not forms:
        return
    for form in FORMS:
        if any(mark in held for mark in form.marks):
            for hit in form.pattern.finditer(held):
                if not _SHOWN_ON_PURPOSE.search(hit[0]):
                    yield hit.start(), form.name, False
    if b"://" in held:
        for hit in _IN_URL.finditer(held):
            password = hit["password"].decode("utf-8", "replace")
            if not stands_for_secret(password) and not why_no_secret("password", password):
                yield hit.start(), "a password in a URL", False
