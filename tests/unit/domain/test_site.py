from __future__ import annotations

import pytest

from controlplane.adapters.strict_yaml import parse_document
from controlplane.domain.durations import parse_duration
from controlplane.domain.faults import fault_at, validated
from controlplane.domain.site import Site, site_faults


def said(text: str) -> list[str]:
    document = parse_document(text, "site.yml")
    _, found = validated(Site, document.data, document)
    found += [fault_at(document, place, message) for place, message in site_faults(document.data)]
    return [str(fault) for fault in sorted({*found, *document.faults})]


def test_a_name_is_enough_and_the_defaults_are_careful() -> None:
    document = parse_document("name: x\n", "site.yml")
    site, faults = validated(Site, document.data, document)
    assert faults == []
    assert site is not None
    assert (site.approval, site.timezone, site.store, site.retired_for.days, site.max_age.seconds) == ("self", "UTC", "sqlite", 7, 3600)


def test_a_whole_site_has_no_fault() -> None:
    assert said(
        "name: x\ninventory: hosts\ntimezone: Europe/Berlin\napproval: other\nallowed_signers: allowed_signers\nsigning_key: ~/.ssh/id_ed25519\n"
        "windows: [{days: [sat], start: 22:30, end: 04:00}]\nbackup_gate: {command: [proof], max_age: 24h}\n"
        "store: postgresql://u@db.example.org/waves\nretention: 14d\nevidence_max_age: 15m\n"
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("inventory: ../x", "inventory: '../x' leaves the site folder: name a file inside it, or write an absolute path"),
        ("inventory: a/../../x", "inventory: 'a/../../x' leaves the site folder: name a file inside it, or write an absolute path"),
        ("timezone: Mars/Base", "timezone: 'Mars/Base' is no timezone: write an IANA name such as Europe/Berlin or UTC"),
        ("timezone: ../../etc/passwd", "timezone: '../../etc/passwd' is no timezone: write an IANA name such as Europe/Berlin or UTC"),
        ("approval: both", "approval: 'both' is none of the choices: write 'none', 'self' or 'other'"),
        ("approval: other", "approval: other needs allowed_signers: name the file with the keys of those who may approve"),
        ("retention: 7", "retention: 7 has no unit: write it as 15m, 24h or 7d"),
        ("retention: 1w", "retention: '1w' is no duration: write a positive whole number and a unit, such as 15m, 24h or 7d"),
        (
            "windows: [{start: 9:00, end: 10:00}]",
            "windows.0.start: '9:00' is no time of day such as 22:30: it has to match ([01][0-9]|2[0-3]):[0-5][0-9]",
        ),
        ("backup_gate: {max_age: 1d}", "backup_gate: write exactly one of command and file: it is what proves the backup"),
        ("store: mysql://x", "store: 'mysql://x' is no store: write sqlite, or a URL such as postgresql://controlplane@db.example.org/waves"),
        ("store: postgresql://u:secret@db/x", "store: holds a password: take it out of the URL and put it into ~/.pgpass or $PGPASSWORD"),
    ],
)
def test_a_fault_of_the_site_says_where_and_what_to_write(line: str, fault: str) -> None:
    assert said(f"name: x\n{line}\n") == [f"site.yml:2: {fault}"]


def test_durations_are_seconds() -> None:
    assert [parse_duration(text) for text in ("90s", "15m", "24h", "7d")] == [90, 900, 86400, 604800]
