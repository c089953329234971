"""The lab's site has the example site's whole pack: its checks, over registers of the lab's own; each is green as it ships and red once broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.content.test_mint_checks import (
    ALERTS,
    AUTHORITY,
    BREAKS,
    CHECKS,
    GREEN,
    PROVIDERS,
    ROOT,
    SERVICES,
    SITE,
    STACKS,
    Break,
    outcomes,
)

LAB = ROOT / "inventory/lab"
# What the lab's own registers say otherwise than the example's.
OWN = [
    Break("D174", "services_and_stack_map_agree_on_who_runs_where", STACKS,
          "files-api, quote-page]", "files-api, quote-page, billing]",
          f"{STACKS}: stacks.mint-apps.services names billing: onboard it in {SERVICES}"),
    Break("D174", "no_two_services_of_a_host_share_a_port_or_a_container", SERVICES,
          "port: 3500", "port: 3400",
          f"{SERVICES}: services.files-api.port is 3400, which is order-intake's: give files-api one of its own"),
    Break("D196", "no_timer_of_a_stack_starts_a_sync", STACKS,
          "command: quote-page expire-quotes", "command: quote-page  sync-calendar",
          f"{STACKS}: stacks.mint-apps.timers: expire-quotes runs the sync of office-calendar: remove the timer, an operator starts it"),
    Break("D198", "each_home_is_a_service_of_the_stack_map", PROVIDERS,
          "home: {stack: mint-apps, service: quote-page}", "home: {stack: mint-data, service: quote-page}",
          f"{PROVIDERS}: mail_and_calendar.office-calendar.home is quote-page in mint-data, which {STACKS} doesn't run: name the service"),
    Break("D203", "no_provider_is_asked_for_more_than_reading", PROVIDERS,
          "operations: [list, fetch]", "operations: [list, fetch, book]",
          f"{PROVIDERS}: mail_and_calendar.office-calendar.operations has book, which may write: take it out"),
    Break("D203", "no_secret_for_a_provider_opens_it_for_writing", "registry/secrets.yml",
          "LAB_MAIL_READ_TOKEN: {owner: orders, access: read", "LAB_MAIL_READ_TOKEN: {owner: orders, access: write",
          "registry/secrets.yml: secrets.LAB_MAIL_READ_TOKEN.access is not read"),
    Break("D203", "no_service_talks_to_a_provider_that_nobody_registered", SERVICES,
          "external: [office-calendar]", "external: [office-calendar, crm]",
          f"{SERVICES}: services.quote-page.external has crm: register it in {PROVIDERS}"),
    Break("D204", "each_required_secret_has_a_reference", "registry/secrets.yml",
          "  LAB_MAIL_READ_TOKEN: {", "  LAB_MAIL_TOKEN: {",
          f"registry/secrets.yml: secrets.LAB_MAIL_READ_TOKEN is missing, {SERVICES}: services.order-intake.secrets needs it"),
    Break("D204", "each_entry_is_a_reference_and_no_value", "registry/secrets.yml",
          '"env:LAB_MAIL_READ_TOKEN"', "correct-horse",
          "registry/secrets.yml: secrets.LAB_MAIL_READ_TOKEN.reference is no env:NAME, vault:PATH#KEY or file:/PATH: write where it is"),
    Break("D204", "no_file_of_the_site_has_a_value", PROVIDERS,
          "https://caldav", "https://mint:correct-horse@caldav",
          f"{PROVIDERS}: mail_and_calendar.office-calendar.endpoint looks like the value of a secret: have it changed"),
    Break("D205", "each_snapshot_names_the_same_schema", "snapshots/2026-02-24.json",
          "lab.state/1", "lab.state/2", "snapshots are of 2 schemas"),
    Break("D205", "each_snapshot_has_the_keys_and_types_of_the_first", "snapshots/2026-02-24.json",
          '"service": "redis", "running": true', '"service": "redis", "running": "yes"',
          "snapshots/2026-02-24.json: hosts.1.services.2.running is str, not bool"),
    Break("D222", "nobody_else_has_the_quote_senders_address", ALERTS,
          "address: orders@lab.example.org", "address: Quotes@lab.example.org",
          f"{ALERTS}: senders.order-desk.address is that of quote-desk: give it one of its own"),
    Break("D195", "no_folder_has_two_authorities", AUTHORITY,
          "mint-data:/mnt/data/docker/volumes/mint-data_redis", "mint-data:/mnt/data/docker/volumes",
          f"{AUTHORITY}: zones trade and queues overlap in folders"),
    Break("D226", "each_claim_has_the_run_that_showed_it_and_that_runs_day", "registry/claims.yml",
          "says: takes and returns keys on mint-data, ", "",
          "registry/claims.yml: claims.redis.says is missing: write what the run showed"),
    Break("D226", "each_service_that_is_called_live_has_a_claim", SERVICES,
          "status: staged", "status: live",
          f"{SERVICES}: services.files-api.status is live, registry/claims.yml has no claim files-api: stamp one, or write staged"),
    Break("D226", "each_line_of_a_page_that_says_live_names_its_claim", "STATUS.md",
          "files-api is staged", "files-api is live",
          "STATUS.md:7 says that something is live and names no claim"),
]  # fmt: skip


def copy_of_the_lab(folder: Path) -> Path:
    shutil.copytree(LAB, folder, ignore=shutil.ignore_patterns("__pycache__", "state"))
    return folder


def breaks() -> list[Break]:
    """Return what breaks the lab's site: what breaks the example's in a place that both have, and what is the lab's own."""
    taken = {one.test for one in OWN}
    shared = [one for one in BREAKS if one.test not in taken and (LAB / one.file).is_file() and (LAB / one.file).read_text().count(one.old) == 1]
    return [*shared, *OWN]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    folder = tmp_path_factory.mktemp("lab")
    return outcomes(folder, sorted((copy_of_the_lab(folder / "shipped") / "checks").glob("test_*.py")))


def test_the_lab_has_the_checks_and_the_pack_of_the_example_site() -> None:
    mint, lab = ({path.name: path.read_bytes() for path in (site / "checks").iterdir() if path.is_file()} for site in (SITE, LAB))
    assert lab == mint
    said = [yaml.load((site / "gates.yml").read_text(), Loader=yaml.SafeLoader) for site in (SITE, LAB)]  # noqa: TID251 - our own files
    assert said[1] == {**said[0], "promotion": {"runs": 3, "interval": "1s"}}
    assert len(said[1]["packs"]["mint"]["checks"]) == 18


def test_the_lab_passes_all_of_them_as_it_ships(shipped: dict[tuple[str, str], str]) -> None:
    assert {test: message for test, message in shipped.items() if message} == {}
    assert GREEN in (LAB / "registry/baseline.yml").read_text()


def test_each_test_of_them_fails_once_one_thing_of_the_lab_is_broken(
    shipped: dict[tuple[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, tests = tmp_path_factory.mktemp("broken"), []
    cases = breaks()
    for number, case in enumerate(cases):
        site = copy_of_the_lab(folder / f"case{number}")
        text = (site / case.file).read_text()
        assert text.count(case.old) == 1, case
        (site / case.file).write_text(text.replace(case.old, case.new))
        tests.append(f"{site}/checks/{CHECKS[case.check].name}::test_{case.test}")
    seen = outcomes(folder, tests)
    said = {number: seen[f"case{number}", f"test_{case.test}"] for number, case in enumerate(cases)}
    assert {cases[number]: message for number, message in said.items() if cases[number].words not in message} == {}
    assert {f"test_{case.test}" for case in cases} == {name for _, name in shipped}
