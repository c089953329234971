"""A secret is found by its value in any spelling, or by a form that its issuer made to be found; what only looks random is not."""

# Every token below is made up, and put together here, so that this file holds none.
from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.releases.secret_forms import MOST_FOUND, OVERLAP, is_secret_name, look_through, needles_of

SECRET = "Kanarienvogel 77/ab+01="
A36 = "a1B2" * 9
TOKENS = {
    "a private key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA",
    "a private key in one line": '"-----BEGIN ' + 'PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA"',
    "an age key": "AGE-SECRET-" + "KEY-1" + "Q" * 58,
    "an AWS access key": "AK" + "IA" + "Z7" * 8,
    "an AWS secret key": "aws_secret_" + "access_key = " + "a1B2" * 10,
    "a GitHub token": "gh" + "p_" + A36,
    "a GitHub token of the new form": "github" + "_pat_" + A36,
    "a GitLab token": "gl" + "pat-" + "a1B2" * 5,
    "a Slack token": "xo" + "xb-123456789012-abcdef",
    "a Slack webhook": "https://hooks.slack.com/" + "services/T0AB/B0CD/" + "a1B2" * 6,
    "a Stripe key": "sk_" + "live_" + "a1B2" * 6,
    "a Google key": "AI" + "za" + "a1B2_" * 7,
    "an npm token": "np" + "m_" + A36,
    "a PyPI token": "py" + "pi-Ag" + "a1B2" * 15,
    "a Docker Hub token": "dckr" + "_pat_" + "a1B2" * 7,
    "an OpenAI key": "sk-" + "proj-abcT3Blbk" + "FJ" + "a1B2" * 5,
    "an Anthropic key": "sk-" + "ant-api03-" + "a1B2" * 10,
    "a SendGrid key": "S" + "G." + "a1B2" * 5 + "ab." + "a1B2" * 10 + "abc",
    "a Twilio key": "S" + "K" + "0a1b" * 8,
    "a HashiCorp Vault token": "hv" + "s." + "a1B2" * 6,
    "a DigitalOcean token": "do" + "p_v1_" + "0a1b" * 16,
    "a JSON web token": "ey" + "JhbGciOiJIUzI1NiJ9." + "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0." + "a1B2" * 6,
    "a password in a URL": "postgresql://shop:" + "Nachtigall31@db/shop",
    "a password in a URL without a user": "redis://" + ":Nachtigall31@cache:6379/0",
    "a password in a URL whose host is a variable": "postgres://u:" + "Nachtigall31@${DB}/x",
    "a password in a URL whose host is a template": "postgres://u:" + "Nachtigall31@{{ db }}/x",
    "a password in a URL whose user is a variable": "postgres://${DB_USER}:" + "Nachtigall31@db/x",
    "a PuTTY key": "PuTTY-User-" + "Key-File-3: ssh-ed25519",
}


def found(text: bytes | str, *, forms: bool = True, secrets: dict[str, list[str]] | None = None) -> list[tuple[int, str, bool]]:
    raw = text.encode() if isinstance(text, str) else text
    return [tuple(one) for one in look_through([raw] if raw else [], needles_of(secrets or {"PASSWORD": [SECRET]}), forms=forms)]


@pytest.mark.parametrize("name", sorted(TOKENS))
def test_a_token_is_found_by_its_form_and_not_where_forms_are_not_asked_for(name: str) -> None:
    text = f"# first\nkey: {TOKENS[name]} and more\n"
    [(line, what, known)] = found(text)
    assert (line, known) == (2, False)
    assert what.split()[:3] == name.split()[:3] or name == "a PuTTY key"
    assert TOKENS[name] not in what
    assert found(text, forms=False) == []


@pytest.mark.parametrize(
    "text",
    [
        "AK" + "IAIOSFODNN7EXAMPLE",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----\nMIIEpAIBAAKCAQEA",
        "https://user@host/x",
        "postgresql://shop:${PASSWORD}@db/shop",
        "postgresql://shop:<password>@db/shop",
        "postgresql://shop:password@db/shop",
        "postgresql://shop:DB_PASSWORD@db/shop",
        "redis://:@cache/1",
        "redis://:${PASSWORD}@${CACHE}/1",
        "redis://:$PASSWORD@cache/1",
        "redis://:<password>@<host>/1",
        "redis://:{{ password }}@cache/1",
        "redis://:PASSWORD@cache/NUMBER",
        "http://${HOST}:3400/x@y",
        "5f1c0d9be7a24c83916e0f4d27b6a1583ce9d042",
        "sha256:" + "0a1b" * 16,
        "glorious-morning-with-a-long-name",
        "ghp_short",
    ],
)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "PGPASSWORD", "SECRET_KEY", "STRIPE_API_KEY", "AWS_SECRET_ACCESS_KEY", "SESSION_SIGNING_KEY", "ENCRYPTION_KEY",
     "MINIO_ACCESS_KEY", "SECRET_KEY_BASE", "AUTH_KEY", "RAILS_MASTER_KEY", "accesskey", "GITHUB_TOKEN"],
)  # fmt: skip
def test_a_variable_is_a_secret_by_its_name(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "PUBLIC_KEY", "SORT_KEY", "KEY", "TOKENS", "PASSWORD_FILE", "SIGNING_KEY_ROTATION", "MONKEY"])
def test_a_name_that_only_holds_such_a_word_is_none(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "spelled", [SECRET, quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode(), base64.b64encode(SECRET.encode()).decode().rstrip("=")]
)
def test_a_known_value_is_found_in_each_spelling(spelled: str) -> None:
    assert found(f"a\nb\nx={spelled}\n", forms=False) == [(3, "the value of PASSWORD", True)]


@pytest.mark.parametrize("user", ["", "u", "us", "usr", "shop"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("secret", [SECRET, "??>>??>>~~"])
def test_a_known_value_is_found_in_base64_whatever_stands_before_and_behind_it(secret: str, encode: Callable[[bytes], bytes], user: str) -> None:
    for behind in ("", "\n", ":x", "@@@"):
        encoded = encode(f"{user}:{secret}{behind}".encode()).decode()
        assert found(f'"auth": "{encoded}"', forms=False, secrets={"PASSWORD": [secret]}) == [(1, "the value of PASSWORD", True)]


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(1, 50))
def test_a_known_value_is_found_wherever_it_lies_and_however_the_bytes_come(before: bytes, after: bytes, size: int) -> None:
    text = before + SECRET.encode() + after
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    lines = {one.line for one in look_through(pieces, needles_of({"PASSWORD": [SECRET]}), forms=True) if one.known}
    assert before.count(b"\n") + 1 in lines


def test_a_token_across_two_pieces_is_found_once_with_its_line() -> None:
    text = b"\n" * 5000 + b"x" * (OVERLAP - 20) + b"\n" + TOKENS["a GitHub token"].encode() + b"\n" + b"y\n" * 9000
    for cut in range(5000 + OVERLAP - 20, 5000 + OVERLAP + 45):
        assert [tuple(one) for one in look_through([text[:cut], text[cut:]], (), forms=True)] == [(5002, "a GitHub token", False)]


def test_a_file_full_of_secrets_is_told_by_its_first() -> None:
    assert len(found(f"{SECRET}\n" * 1000)) == MOST_FOUND


def test_many_of_one_hide_no_other() -> None:
    token = TOKENS["a GitHub token"]
    told = found(f"{token}\n" * 30 + f"{SECRET}\n" * 30 + "Nachtigall31\n", secrets={"PASSWORD": [SECRET], "LAST": ["Nachtigall31"]})
    assert [sum(what == name for _, what, _ in told) for name in ("a GitHub token", "the value of PASSWORD")] == [MOST_FOUND, MOST_FOUND]
    assert told[-1] == (61, "the value of LAST", True)
    many = look_through([f"{token}\n".encode() * 30, f"{SECRET}\n".encode()], needles_of({"PASSWORD": [SECRET]}), forms=True)
    assert many[-1] == (31, "the value of PASSWORD", True)
