"""What a gap's criteria ask for, and which words of a person answer them."""

from __future__ import annotations

import pytest

from controlplane.domain.registers.criteria import Asked, asked_of, stated, strangers

CHECKS = ("D234", "D237", "S001")
HOSTS = ("mint-data", "mint-apps", "site")
FINDINGS = ("STOR-001",)


@pytest.mark.parametrize(
    ("criterion", "asked"),
    [
        ("D234", Asked((("D234", ()),), (), word=False)),
        ("D234 on mint-data", Asked((("D234", ("mint-data",)),), (), word=False)),
        ("D237 on mint-data, mint-apps", Asked((("D237", ("mint-data", "mint-apps")),), (), word=False)),
        ("S001 on site", Asked((("S001", ("site",)),), (), word=False)),
        ("STOR-001", Asked((), ("STOR-001",), word=False)),
        # Words beyond what is named take a person, and what is named is judged all the same.
        ("D234 on mint-data and mint-apps once the purge is over.", Asked((("D234", ("mint-data", "mint-apps")),), (), word=True)),
        ("Purged, see D234 on mint-data.", Asked((("D234", ("mint-data",)),), (), word=True)),
        ("STOR-001 is met and S001 too", Asked((("S001", ()),), ("STOR-001",), word=True)),
        ("The disk is larger", Asked((), (), word=True)),
        # In doubt on every host, and a person's to look at.
        ("D234 on both machines", Asked((("D234", ()),), (), word=True)),
        ("D234 on mint-data and others", Asked((("D234", ()),), (), word=True)),
        ("D234 on mint-dat", Asked((("D234", ()),), (), word=True)),
        ("D999", Asked((), (), word=True)),
        ("AD234 and D2345", Asked((), (), word=True)),
    ],
)
def test_what_a_criterion_names_is_judged_and_what_it_says_besides_takes_a_word(criterion: str, asked: Asked) -> None:
    assert asked_of(criterion, checks=CHECKS, hosts=HOSTS, findings=FINDINGS) == asked


@pytest.mark.parametrize(
    ("criterion", "told"),
    [
        ("D999", ["there is no D999 among the checks of this program and of the site: name the right one"]),
        ("D234 on mint-dat", ["there is no mint-dat in policy.yml: name the right one"]),
        ("as STOR-999 says", ["there is no STOR-999 in findings.yml: name the right one"]),
        ("D234 on mint-data", []),
        ("Backups on monday", []),
        ("W8B is closed, VM 212 too", []),
    ],
)
def test_what_looks_like_a_name_and_is_none_is_said(criterion: str, told: list[str]) -> None:
    assert list(strangers(criterion, checks=CHECKS, hosts=HOSTS, findings=FINDINGS)) == told


def test_where_checks_or_hosts_are_not_known_nothing_is_said_of_them() -> None:
    assert list(strangers("D999", checks=None, hosts=(), findings=FINDINGS)) == []
    assert list(strangers("D234 on mint-dat", checks=CHECKS, hosts=(), findings=FINDINGS)) == []


def test_a_statement_repeats_its_criterion_and_says_how_it_was_shown() -> None:
    asked = ("The disk is larger", "The disk is larger: by half")
    found, strange = stated(["The  disk is larger: by half: lsblk says so", "The disk is larger: I saw it", "The disk is larger", "x: y"], asked)
    assert found == {
        "The disk is larger: by half": "The disk is larger: by half: lsblk says so",
        "The disk is larger": "The disk is larger: I saw it",
    }
    assert strange == ("The disk is larger", "x: y")
