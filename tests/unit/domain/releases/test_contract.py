"""A contract declares each variable in a comment above it, and gives a secret no value."""

# ruff: noqa: E501 - rows of a table stand whole
from __future__ import annotations

import pytest

from controlplane.domain.releases.contract import Contract, Variable, read_contract, wrong_type

SOUND = """\
# What staging needs.

# PORT: int, required — where it listens
PORT=3400
# LEVEL: one-of debug|info
# (debug says more)
LEVEL=info
# DATABASE_PASSWORD: text, required, secret
DATABASE_PASSWORD=
# SITE: url - where customers are sent
SITE=https://shop.example.org
# DATA: path, optional
DATA=/mnt/data/shop
# DEBUG: bool
DEBUG=
"""


def faults(text: str) -> list[str]:
    found, wrong = read_contract(text, "c")
    assert (found is None) == bool(wrong)
    return [str(fault) for fault in wrong]


def contract(text: str) -> Contract:
    found, wrong = read_contract(text, "c")
    assert wrong == ()
    assert found is not None
    return found


def test_a_contract_says_of_each_variable_what_it_is() -> None:
    found = contract(SOUND)
    assert found.by_name()["PORT"] == Variable(name="PORT", kind="int", required=True, about="where it listens", value="3400", line=4)
    assert found.by_name()["LEVEL"].choices == ("debug", "info")
    assert (found.by_name()["SITE"].about, found.by_name()["SITE"].required) == ("where customers are sent", False)
    assert found.secrets == {"DATABASE_PASSWORD"}


def test_what_compose_files_are_judged_by_is_no_secret_and_nothing_that_the_real_file_alone_has() -> None:
    assert contract(SOUND).known() == {
        "PORT": "3400",
        "LEVEL": "info",
        "DATABASE_PASSWORD": None,
        "SITE": "https://shop.example.org",
        "DATA": "/mnt/data/shop",
        "DEBUG": None,
    }


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("# PORT: int", "# PORT: itn", "c:3: PORT: what stands there is no type"),
        ("# PORT: int, required", "# PORT: int, needed", "c:3: PORT: something there says nothing"),
        ("# PORT: int, required", "# PORT: int, required, required", "c:3: PORT: says twice"),
        ("# PORT: int, required", "# PORT: int, required, optional", "c:3: PORT: says twice"),
        ("# PORT: int, required", "# PORT:", "c:3: PORT: what stands there is no type"),
        ("# PORT: int, required — where it listens\n", "", "c:3: PORT: has no declaration: write '# PORT: TYPE, required' above it"),
        ("# PORT: int, required — where it listens\n", "# PROT: int, required\n", "c:4: PORT: has no declaration"),
        ("PORT=3400\n", "", "c:3: PORT: is declared, and no line PORT= follows right below"),
        ("PORT=3400\n", "\nPORT=3400\n", "c:5: PORT: has no declaration"),
        ("# PORT: int", "# PORT: int\n# PORT: int", "c:5: PORT: is declared 2 times"),
        ("PORT=3400", "PORT=many", "c:4: PORT: is not of type int: write a whole number in plain digits"),
        ("PORT=3400", "PORT=3400 # where", "c:4: PORT: holds ' #', behind which Compose reads a comment"),
        ("PORT=3400", "PORT=TODO", "c:4: PORT: has a value that only stands for one"),
        ("one-of debug|info", "one-of debug", "c:5: LEVEL: what stands there is no type"),
        ("LEVEL=info", "LEVEL=warn", "c:7: LEVEL: is not of type one-of: write one of debug, info"),
        ("DATABASE_PASSWORD=\n", "DATABASE_PASSWORD=hunter2hunter2\n", "c:9: DATABASE_PASSWORD: is a secret and has a value here"),
        ("text, required, secret\nDATABASE_PASSWORD=\n", "text, required\nDATABASE_PASSWORD=\n", "c:8: DATABASE_PASSWORD: is a secret by its name"),
        (
            "text, required, secret\nDATABASE_PASSWORD=\n",
            "text, required\nDATABASE_PASSWORD=Hunter2Really9\n",
            "c:8: DATABASE_PASSWORD: is a secret by its name",
        ),
        ("text, required, secret", "int, required, secret", "c:8: DATABASE_PASSWORD: a secret of type int can be guessed"),
        ("SITE=https://", "SITE=", "c:11: SITE: is not of type url"),
        ("SITE=https://shop.example.org", "SITE=https://<your-domain>", "c:11: SITE: is not of type url"),
        ("SITE=https://shop.example.org", "SITE='https://${DOMAIN}'", "c:11: SITE: is not of type url"),
        ("SITE=https://", "SITE=https://shop:Hunter2Really9@", "c:11: SITE: has a password in it, which everybody reads here"),
        ("DATA=/mnt/data/shop", "DATA=/mnt/../etc", "c:13: DATA: is not of type path"),
        ("DEBUG=\n", "DEBUG=yes\n", "c:15: DEBUG: is not of type bool: write true or false"),
        ("PORT=3400", "PORT=3400\n# PORT: int\nPORT=1", "c:6: PORT: is there twice"),
    ],
)
def test_a_contract_that_is_malformed_is_told_where_it_is(old: str, new: str, told: str) -> None:
    assert old in SOUND
    found = faults(SOUND.replace(old, new, 1))
    assert any(fault.startswith(told) for fault in found), found
    assert not any("hunter2" in fault for fault in found)


def test_a_contract_without_a_variable_is_none() -> None:
    assert faults("# nothing: yet\n") == ["c: declares no variable: write one, or a line such as '# TZ: text' with 'TZ=UTC' below"]


def test_prose_that_looks_like_a_declaration_is_prose() -> None:
    assert faults("# Note: fill this in first\n\n# A: text\nA=b\n") == []


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", ["0", "-1", "3400"], ["", "03", "1.5", "1e3", "１", "+1", "0x1"]),
        ("bool", ["true", "false"], ["True", "1", "yes", ""]),
        ("url", ["https://a.example.org", "redis://:pw@h:6379/1", "postgresql://u:p@h/db", "https://robot$mint:p@h", "https://h/{id}", "redis://:a<b>$c@h"], ["https://<host>", "https://${HOST}/x", "https://$HOST", "https://{{host}}", "https://<user>:p@h", "https://h/<path>", "https://h/${PATH}", "a.example.org", "https://", "http://h:x", "http://a b", "/x"]),
        ("path", ["/", "/mnt/data"], ["mnt", "/a//b", "/a/", "/a/../b", "/a\x07"]),
        ("text", ["", "anything"], []),
    ],
)  # fmt: skip
def test_each_type_takes_what_it_says(kind: str, good: list[str], bad: list[str]) -> None:
    variable = Variable.model_validate({"name": "A", "kind": kind})
    assert [value for value in good if wrong_type(variable, value)] == []
    assert [value for value in bad if not wrong_type(variable, value)] == []
