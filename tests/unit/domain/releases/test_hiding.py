"""Values of an environment file are covered wherever they turn up, as they are and as they look in quotes."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import pytest

from controlplane.domain.releases.hiding import Hiding, hide, unshown, values_of

ENV = """\
# OLD_PASSWORD=of-last-year
DB_PASSWORD=hunter2-and-more
export API_TOKEN = "quoted token"   # rotated weekly
WITH_HASH=abc#def-ghi
EMPTY=
DEBUG=true
PORT=80
LEVEL=info
KEY="-----BEGIN KEY-----
c29tZSBrZXk=
-----END KEY-----"
JSON={"user": "ann", "note": "it's"}
ESCAPED="first part\\nsecond part"
"""


def test_every_value_of_a_file_is_one_and_each_line_of_a_long_one() -> None:
    values = values_of(ENV)
    for value in (
        "hunter2-and-more",
        "quoted token",
        "abc#def-ghi",
        "info",
        "-----BEGIN KEY-----",
        "c29tZSBrZXk=",
        "first part",
        "second part",
        "of-last-year",
    ):
        assert value in values
    assert not {"", "true", "80"} & set(values)
    assert "KEY-----" not in values
    assert list(values) == sorted(values, key=lambda one: (-len(one), one))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("login with hunter2-and-more failed", "login with *** failed"),
        ("http://ann:hunter2-and-more@db", "http://ann:***@db"),
        ("no information of level info", "no information of level ***"),
        ("port 80 is true", "port 80 is true"),
        ("got 'quoted token', wanted ''", "got '***', wanted ''"),
        ('{"JSON": "{\\"user\\": \\"ann\\", \\"note\\": \\"it\'s\\"}"}', '{"JSON": "***"}'),
        ("first part", "***"),
    ],
)
def test_a_value_is_covered_as_it_is_and_as_it_looks_in_quotes(text: str, shown: str) -> None:
    assert hide(text, values_of(ENV)) == shown


def test_the_longest_value_is_covered_first() -> None:
    assert hide("secret-secret-long", ("secret-secret", "secret-secret-long")) == "***"


CONTRACT = """\
# DATA: path, required
DATA=/srv/shop
# BUCKET: text, required
BUCKET=
# ACCOUNT: text, required
ACCOUNT=
# SEARCH: url, required
SEARCH=
# PASSWORD: text, required, secret
PASSWORD=
# CACHE: url, secret
CACHE=
"""
REAL = """\
DATA=/srv/shop
BUCKET=pictures/of/goods
export ACCOUNT="mint"
SEARCH=https://ann:heron%2B77@search.example.org
UNDECLARED=of-nobody
PASSWORD='abcdEFGH/ij,KLmnop$QRST'
CACHE=redis://:flamingo-7@cache.example.org:6379/1
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'/srv/shop' is none", "'/srv/shop' is none"),
        ("write name: pictures/of/goods-staging", "write name: pictures/of/goods-staging"),
        ("name one of mint", "name one of mint"),
        ("heron%2B77 or heron+77 at search.example.org", "*** or *** at search.example.org"),
        ("'of-nobody' is none", "'***' is none"),
        ("has abcdEFGH/ij,KLmnop$QRST within", "has *** within"),
        ("'abcdEFGH/ij,KLmnop$$QRST' is none", "'***' is none"),
        ("shop/ij,KLmnop$QRST can't be a name", "shop/*** can't be a name"),
        ("has the option 'KLmnop'", "has the option '***'"),
        ("needs QRST", "needs ***"),
        ("'abcdEFGH%2Fij%2CKLmnop%24QRST' is none", "'***' is none"),
        ("flamingo-7 at cache.example.org", "*** at cache.example.org"),
    ],
)
def test_messages_about_a_release_s_files_show_no_part_of_a_secret_and_what_its_contract_shows(text: str, shown: str) -> None:
    assert hide(text, unshown(REAL, CONTRACT)) == shown


@pytest.mark.parametrize("contract", ["", "nonsense\n", CONTRACT.replace("PASSWORD=", "PASSWORD=abcdEFGH")])
def test_what_a_contract_with_faults_says_shows_nothing(contract: str) -> None:
    found = unshown(REAL, contract)
    assert hide("/srv/shop", found) == "***"
    assert hide("KLmnop", found) == "***"
    assert hide("srv", found) == "srv"
    assert hide("pictures/of/goods and mint", found) == "*** and ***"


def test_the_names_of_environments_are_no_secrets() -> None:
    assert hide("environments.staging.hosts", unshown("STAGE=staging\n", "")) == "environments.staging.hosts"


@pytest.mark.parametrize("contract", ["", CONTRACT])
@pytest.mark.parametrize("name", ["REDIS_URL", "DATABASE_URL", "SEARCH", "# OLD_REDIS_URL", "export REDIS_URL"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("redis://:flamingo-7@h:6379/1", "requirepass flamingo-7"),
        ("'redis://:flamingo-7@h:6379/1'", "requirepass flamingo-7"),
        ("redis://:other@h1,redis://:flamingo-7@h2", "requirepass flamingo-7"),
        ("redis://:heron$Flamingo@h", "requirepass heron$$Flamingo"),
        ("redis://:heron$Flamingo@h", "needs Flamingo"),
    ],
)
def test_the_password_within_a_url_is_hidden_alone_too_whatever_its_variable(contract: str, name: str, value: str, said: str) -> None:
    assert hide(said, unshown(f"{name}={value}\n", contract)) == f"{said.partition(' ')[0]} ***"


@pytest.mark.parametrize("contract", ["", CONTRACT])
@pytest.mark.parametrize(
    "line",
    [
        "{}: abcdEFGH/KLmnop",
        "{}:abcdEFGH/KLmnop",
        "{} abcdEFGH/KLmnop",
        "  {} : 'abcdEFGH/KLmnop'",
        "export {}\tabcdEFGH/KLmnop",
        '{}: "abcdEFGH/KLmnop"  # of last year',
    ],
)
def test_a_value_behind_a_colon_or_a_space_is_hidden(contract: str, line: str) -> None:
    found = unshown(f"{line.format('POSTGRES_PASSWORD')}\n", contract)
    assert hide("has abcdEFGH/KLmnop within", found) == "has *** within"
    assert hide("has the option 'KLmnop'", found) == "has the option '***'"
    # Only what a contract declares and the file says as it should is shown.
    assert hide("has abcdEFGH/KLmnop within", unshown(f"{line.format('BUCKET')}\n", contract)) == "has *** within"


@pytest.mark.parametrize("line", ["# BUCKET: text", "# the database", "export POSTGRES_PASSWORD", "export POSTGRES_PASSWORD="])
def test_neither_comments_nor_names_make_words_unreadable(line: str) -> None:
    said = "POSTGRES_PASSWORD of the database is no text"
    assert hide(said, unshown(f"{line}\n", "")) == said


def test_many_values_are_made_ready_once_for_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    compiled: list[str] = []
    compile_it = re.compile

    def counted(value: str, safe: str) -> str:
        made.append(value)
        return quote(value, safe=safe)

    def counted_pattern(pattern: str) -> re.Pattern[str]:
        compiled.append(pattern)
        return compile_it(pattern)

    monkeypatch.setattr("controlplane.domain.releases.hiding.quote", counted)
    # More short ones than the regular expressions that Python keeps.
    values = [f"x{number}" for number in range(1000, 2000)] + [f"secret-{number}" for number in range(1000, 2000)]
    hides = Hiding(values)
    re.purge()
    monkeypatch.setattr(re, "compile", counted_pattern)
    begun = time.process_time()
    shown = [hides.cover(f"x{number} and secret-{number} and xx{number}") for number in range(1000, 1300)]
    assert time.process_time() - begun < 5
    assert shown == [f"*** and *** and xx{number}" for number in range(1000, 1300)]
    assert sorted(made) == sorted(values)
    # One for each short value that turned up.
    assert len(compiled) == 300
