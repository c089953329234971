"""Values of an environment file are covered wherever they turn up, as they are and as they look in quotes."""

from __future__ import annotations

import pytest

from controlplane.domain.releases.hiding import hide, unshown, values_of

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
# PASSWORD: text, required, secret
PASSWORD=
# CACHE: url, secret
CACHE=
"""
REAL = """\
DATA=/srv/shop
BUCKET=pictures/of/goods
PASSWORD='abcdEFGH/ij,KLmnop$QRST'
CACHE=redis://:flamingo-7@cache.example.org:6379/1
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'/srv/shop' is none", "'/srv/shop' is none"),
        ("'pictures/of/goods' is none", "'***' is none"),
        ("'pictures' is none", "'pictures' is none"),
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


def test_the_names_of_environments_are_no_secrets() -> None:
    assert hide("environments.staging.hosts", unshown("STAGE=staging\n", "")) == "environments.staging.hosts"
