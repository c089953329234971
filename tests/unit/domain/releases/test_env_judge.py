"""A real environment file holds what its contract asks for, and no message shows what it holds."""

# ruff: noqa: E501 - rows of a table stand whole
from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from random import Random
from string import ascii_letters, digits, punctuation

import pytest

from controlplane.domain.releases.contract import read_contract
from controlplane.domain.releases.dotenv import read_env
from controlplane.domain.releases.env_judge import judge_env, secret_values
from controlplane.domain.releases.placeholders import is_placeholder, stands_for_secret, why_no_secret

CONTRACT, _ = read_contract(
    "# PORT: int, required — where it listens\nPORT=3400\n# DATA: path\nDATA=/mnt/data/shop\n# PASSWORD: text, required, secret\nPASSWORD=\n"
    "# CACHE: url, secret\nCACHE=\n# NOTE: text\nNOTE=\n# DEBUG: bool\nDEBUG=\n",
    "contract",
)
SOUND = "PORT=3410\nDATA=/mnt/data/shop\nPASSWORD=Kanarienvogel77ab01\nCACHE=redis://:Nachtigall-31%2Fx@cache:6379/1\nNOTE=\n"


def faults(text: str, deciding: tuple[str, ...] = ("DATA",)) -> list[str]:
    assert CONTRACT is not None
    found = [str(fault) for fault in judge_env(CONTRACT, read_env(text, ".env"), file=".env", contract_file="contract", deciding=deciding)]
    assert not [fault for fault in found if "Kanarienvogel" in fault or "Nachtigall" in fault]
    return found


def test_a_file_that_holds_what_is_asked_for_has_no_fault() -> None:
    assert faults(SOUND) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("PORT=3410\n", "", ".env: PORT: is missing: contract, line 2, asks for it (where it listens)"),
        ("PORT=3410", "PORT=", ".env:1: PORT: is empty: contract, line 2, asks for it (where it listens)"),
        ("PORT=3410", "PORT=many", ".env:1: PORT: is not of type int"),
        ("PORT=3410", "PORT=xxx", ".env:1: PORT: has a value that only stands for one"),
        ("PORT=3410", "PORT=3410 # staging", ".env:1: PORT: holds ' #'"),
        ("NOTE=\n", "NOTE=\nEXTRA=Kanarienvogel\n", ".env:6: EXTRA: is not in contract: declare it there, or take it out"),
        # The rest of a secret that somebody pasted over two lines, as base64 wraps it.
        ("NOTE=\n", "NOTE=\nk3JmXq82LzWnVbTrYpHsQe==\n", ".env:6: the name in this line is not in contract: declare it there, or take it out"),
        ("NOTE=\n", "DEBUG=\n", ".env:5: DEBUG: is empty, and nothing is not of type bool"),
        ("PASSWORD=Kanarienvogel77ab01", "PASSWORD=changeme", ".env:3: PASSWORD: has a value that only stands for one"),
        ("PASSWORD=Kanarienvogel77ab01", "PASSWORD=<password>", ".env:3: PASSWORD: has a value that only stands for one"),
        ("PASSWORD=Kanarienvogel77ab01", "PASSWORD=postgres", ".env:3: PASSWORD: is what everybody tries first"),
        ("PASSWORD=Kanarienvogel77ab01", "PASSWORD=password", ".env:3: PASSWORD: is what everybody tries first"),
        ("PASSWORD=Kanarienvogel77ab01", "PASSWORD=short7", ".env:3: PASSWORD: has fewer than 8 characters"),
        ("PASSWORD=Kanarienvogel77ab01", "PASSWORD=", ".env:3: PASSWORD: is empty: contract, line 6, asks for it"),
        (":Nachtigall-31%2Fx@", "", ".env:4: CACHE: is a secret URL without a password in it"),
        ("Nachtigall-31%2Fx", "short", ".env:4: CACHE: has fewer than 8 characters"),
        ("CACHE=redis", "CACHE=:redis", ".env:4: CACHE: is not of type url"),
        (":Nachtigall-31%2Fx@", ":<PASSWORD>@", ".env:4: CACHE: has a password in it that only stands for one"),
        (
            "redis://:Nachtigall-31%2Fx@cache:6379/1",
            "'redis://:${REDIS_PASSWORD}@h/0'",
            ".env:4: CACHE: has a password in it that only stands for one",
        ),
        (":Nachtigall-31%2Fx@", ":your-password@", ".env:4: CACHE: has a password in it that only stands for one"),
        (":Nachtigall-31%2Fx@", ":set-a-password@", ".env:4: CACHE: has a password in it that only stands for one"),
        (":Nachtigall-31%2Fx@", ":<redacted>@", ".env:4: CACHE: has a password in it that only stands for one"),
        (":Nachtigall-31%2Fx@", ":%3Cpassword%3E@", ".env:4: CACHE: has a password in it that only stands for one"),
        (":Nachtigall-31%2Fx@", "mint:DB_PASSWORD@", ".env:4: CACHE: has a password in it that only stands for one"),
        ("@cache:6379/1", "@<host>:6379/1", ".env:4: CACHE: is not of type url"),
        ("PASSWORD=Kanarienvogel77ab01", "PASSWORD=DB_PASSWORD", ".env:3: PASSWORD: has a value that only stands for one"),
        (
            "PASSWORD=Kanarienvogel77ab01",
            "PASSWORD=jdbc:postgresql://u:<password>@h/db",
            ".env:3: PASSWORD: has a password in it that only stands for one",
        ),
        ("NOTE=\n", "NOTE=redis://:Nachtigall31@cache/1\n", ".env:5: NOTE: has a password in it and is no secret by contract, line 10"),
        ("NOTE=\n", "NOTE=redis://:<password>@cache/1\n", ".env:5: NOTE: has a password in it that only stands for one"),
        ("/mnt/data/shop", "/mnt/other", ".env:2: DATA: differs from contract, line 4, by which the compose files were judged"),
        ("DATA=/mnt/data/shop\n", "", ".env: DATA: is missing: contract, line 4, asks for it"),
    ],
)
def test_each_fault_is_told_with_its_line(old: str, new: str, told: str) -> None:
    assert old in SOUND
    found = faults(SOUND.replace(old, new, 1))
    assert len(found) == 1
    assert found[0].startswith(told), found


def test_what_decides_nothing_may_differ_from_the_contract_and_an_optional_one_be_missing() -> None:
    assert faults(SOUND.replace("/mnt/data/shop", "/mnt/other"), ()) == []
    assert faults(SOUND.replace("DATA=/mnt/data/shop\n", ""), ()) == []


def test_what_is_looked_for_elsewhere_is_each_secret_and_the_password_within_a_url() -> None:
    assert CONTRACT is not None
    found = secret_values(CONTRACT, read_env(SOUND.replace("PASSWORD=Kanarienvogel77ab01", "PASSWORD=short"), ".env"))
    assert found == {"CACHE": ("redis://:Nachtigall-31%2Fx@cache:6379/1", "Nachtigall-31%2Fx", "Nachtigall-31/x")}


@pytest.mark.parametrize(
    "value",
    ["changeme", "ChangeMe", "change-me-please", "please_change_me", "xxx", "xxxxxxxx", "abc-XXX-def", "<password>", "<your key>", "TODO", "tbd", "...",
     "********", "____", "{{ password }}", "your-secret-here", "replace_me", "placeholder", "insert here", "example-value", "…", "???",
     "replace-with-real-password", "insert_password_here", "to-be-replaced", "ToBeReplaced", "set-a-password", "please set a password",
     "put-your-key-here", "enter-your-api-key", "generate-a-random-secret", "use-a-strong-password", "password-goes-here", "my-secret-key",
     "some-secret", "@@PASSWORD@@", "${PASSWORD}", "${DB_PASSWORD:-x}", "$(DB_PASSWORD)", "$PASSWORD", "%PASSWORD%", "__PASSWORD__",
     "@DB_PASSWORD@", "#{DB_PASSWORD}#", "((db-password))", "[your password]", "redacted", "[REDACTED]", "***redacted***", "•••••••"],
)  # fmt: skip
def test_a_placeholder_is_known_as_one(value: str) -> None:
    assert is_placeholder(value)


@pytest.mark.parametrize(
    "value",
    ["exchange.example.org", "Xxq8zT", "a1b2c3", "https://shop.example.org", "thanks for your order", "none", "info", "/mnt/data", "-", "mint_staging",
     "https://tododo.example.org/x", '["a"]', "5f1c0d9be7a24c83", "aXXXb", "set-cookie", "x-api-key", "change-password", "use-hash", "redacted-logs",
     "to be or not to be", "%(message)s", "{message}", "__main__", "[abc]", "/run/secrets/db_password", "qR7-tbd-9fK2xw", "write-through"],
)  # fmt: skip
def test_a_value_that_may_stand_for_real_is_none(value: str) -> None:
    assert not is_placeholder(value)


@pytest.mark.parametrize(
    "value", ["DB_PASSWORD", "POSTGRES_PASSWORD", "S3_SECRET_KEY", "db-password", "your_password", "yourpassword", "redis password", "<password>"]
)
def test_what_a_secret_is_called_stands_for_one(value: str) -> None:
    assert stands_for_secret(value)


@pytest.mark.parametrize("value", ["correct-horse-battery-token", "Kanarienvogel_KEY", "sommer.nacht.hash", "QX7_9KZ", "qR7-tbd-9fK2xw"])
def test_a_passphrase_may_end_in_what_a_secret_is_called(value: str) -> None:
    assert not stands_for_secret(value)


def test_what_was_made_at_random_is_taken_for_no_placeholder() -> None:
    dice, signs = Random(7), ascii_letters + digits + punctuation  # noqa: S311 - the same in each run
    made = [
        value
        for _ in range(4000)
        for value in (
            b64encode(dice.randbytes(24)).decode(),
            urlsafe_b64encode(dice.randbytes(40)).decode().rstrip("="),
            dice.randbytes(24).hex(),
            "".join(dice.choice(ascii_letters) for _ in range(20)),
            "".join(dice.choice(signs) for _ in range(16)),
        )
    ]
    assert [value for value in made if stands_for_secret(value)] == []


def test_a_secret_that_is_its_own_name_or_one_sign_over_and_over_is_none() -> None:
    assert why_no_secret("DATABASE_PASSWORD", "database_password") != ""
    assert why_no_secret("A", "aaaaaaaaab") != ""
    assert why_no_secret("A", "Kanarienvogel") == ""
