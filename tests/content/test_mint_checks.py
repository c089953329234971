"""The example site's own checks: green on the site as it ships, and each test of them red, in so many words, once one thing is broken."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "inventory/mint"
CHECKS = {path.stem.split("_")[1].upper(): path for path in sorted((SITE / "checks").glob("test_*.py"))}
STORAGE = ["D235", "D236", "D237", "D238", "D239"]
OWN = ["D174", "D195", "D196", "D197", "D198", "D199", "D203", "D204", "D205", "D222", "D225", "D226", "D227"]

SERVICES, STACKS, PROVIDERS, SECRETS = "registry/services.yml", "registry/stacks.yml", "registry/providers.yml", "registry/secrets.yml"
AUTHORITY, ALERTS, BASELINE, CLAIMS = "registry/authority.yml", "registry/alerts.yml", "registry/baseline.yml", "registry/claims.yml"
LAST, STATUS = "snapshots/2026-02-24.json", "STATUS.md"
GREEN = "CAP-20260224-181502__gates.run__R4c1e"
SECRET = "correct-horse-battery"


class Break(NamedTuple):
    """One thing that is broken in a copy of the site, and what which test of which check has to say then."""

    check: str
    test: str
    file: str
    old: str
    new: str
    words: str


BREAKS = [
    # D174
    Break("D174", "each_service_states_every_onboarding_field", SERVICES,
          "  redis:\n    owner: platform\n", "  redis:\n",
          f"{SERVICES}: services.redis.owner is missing: write which team is called"),
    Break("D174", "each_service_states_every_onboarding_field", SERVICES,
          "health: {command: redis-cli ping}", "health: {}",
          f"{SERVICES}: services.redis.health says not how its health is asked: write one of path and command"),
    Break("D174", "each_service_states_every_onboarding_field", SERVICES,
          "port: 3341", 'port: "3341"',
          f"{SERVICES}: services.quote-page.port is no port: write the number that quote-page listens on"),
    Break("D174", "each_service_states_every_onboarding_field", SERVICES,
          "port: 3342\n    health: {path: /health}\n    data_class: internal", "port: 3342\n    health: {path: /health}\n    data_class: open",
          f"{SERVICES}: services.pricing.data_class is open: write one of customer, internal, none, payment"),
    Break("D174", "each_service_states_every_onboarding_field", SERVICES,
          "external: [bank-statements]", "external: bank-statements",
          f"{SERVICES}: services.payment.external is no list: write [NAME, ...], or leave it out"),
    Break("D174", "services_and_stack_map_agree_on_who_runs_where", STACKS,
          ", payment, finance-adapter]", ", payment]",
          f"{SERVICES}: services.finance-adapter is onboarded for mint-apps on mint-apps, {STACKS} has it nowhere: mend whichever is wrong"),
    Break("D174", "services_and_stack_map_agree_on_who_runs_where", STACKS,
          ", payment, finance-adapter]", ", payment, finance-adapter, billing]",
          f"{STACKS}: stacks.mint-apps.services names billing: onboard it in {SERVICES}"),
    Break("D174", "policy_and_stack_map_declare_the_same_stacks", STACKS,
          "dir: /opt/stacks/mint-data", "dir: /srv/mint-data",
          f"{STACKS}: mint-data on mint-data in /opt/stacks/mint-data is missing: policy.yml declares it"),
    Break("D174", "policy_and_stack_map_declare_the_same_stacks", SERVICES,
          "container: mint-modules-minio", "container: minio",
          "policy.yml: hosts.mint-data.services.mint-modules-minio is no onboarded container of that host: onboard it"),
    Break("D174", "no_two_services_of_a_host_share_a_port_or_a_container", SERVICES,
          "port: 3343", "port: 3342",
          f"{SERVICES}: services.shipping.port is 3342, which is pricing's: give shipping one of its own"),
    Break("D174", "policy_and_stack_map_declare_the_same_stacks", STACKS,
          "    dir: /opt/stacks/mint-apps\n", "",
          f"{STACKS}: stacks.mint-apps.dir is missing: write it"),
    # D195
    Break("D195", "each_zone_has_a_name_of_its_own_and_covers_something", AUTHORITY,
          "zone: queues", "zone: artwork",
          f"{AUTHORITY}: zones has artwork twice: merge the two, or rename one"),
    Break("D195", "subjects_and_folders_are_written_in_the_one_way_that_can_be_compared", AUTHORITY,
          "mint-data:/mnt/data/mint-data/redis", "mint-data:/mnt/data/mint-data/x/../redis",
          f"{AUTHORITY}: zone queues: folder mint-data:/mnt/data/mint-data/x/../redis is no host:/path without .., * and a last /"),
    Break("D195", "subjects_and_folders_are_written_in_the_one_way_that_can_be_compared", AUTHORITY,
          "[job, session]", "[job, Session]",
          f"{AUTHORITY}: zone queues: subject Session is no dotted name in small letters: write it as order.intake"),
    Break("D195", "no_subject_has_two_authorities", AUTHORITY,
          "[job, session]", "[job, order.intake]",
          f"{AUTHORITY}: zones trade and queues overlap in subjects: order, order.intake. Give it to one of them, and take it out of the other"),
    Break("D195", "no_folder_has_two_authorities", AUTHORITY,
          "mint-data:/mnt/data/mint-data/redis", "mint-data:/mnt/data/mint-data",
          f"{AUTHORITY}: zones trade and queues overlap in folders: mint-data:/mnt/data/mint-data/postgres, mint-data:/mnt/data/mint-data. Give it"),
    Break("D195", "no_subject_has_two_authorities", AUTHORITY,
          "subjects: [upload]", "subject: [upload]",
          f"{AUTHORITY}: zones.3.subjects is missing: write it"),
    # D196
    Break("D196", "mail_and_calendar_are_both_registered", PROVIDERS,
          "kind: calendar", "kind: mail",
          f"{PROVIDERS}: mail_and_calendar has the kinds ['mail']: register one mail and one calendar at least"),
    Break("D196", "each_mail_and_calendar_provider_is_started_by_hand", PROVIDERS,
          "started_by: operator\n    sync_command: order", "started_by: cron\n    sync_command: order",
          f"{PROVIDERS}: mail_and_calendar.office-mail.started_by is cron: write operator, and let nothing else start it"),
    Break("D196", "each_mail_and_calendar_provider_is_started_by_hand", PROVIDERS,
          "kind: mail\n", "kind: mail\n    every: 5m\n",
          f"{PROVIDERS}: mail_and_calendar.office-mail.every starts it without a person: remove it"),
    Break("D196", "each_mail_and_calendar_provider_is_started_by_hand", PROVIDERS,
          "sync_command: order-intake sync-mail", "sync_command: mailctl sync",
          f"{PROVIDERS}: mail_and_calendar.office-mail.sync_command is no command of order-intake, its home: write what the operator types"),
    Break("D196", "no_timer_of_a_stack_starts_a_sync", STACKS,
          "command: order-intake nudge-stuck", 'command: "order-intake  sync-mail --all"',
          f"{STACKS}: stacks.storefront.timers: nudge-stuck-orders runs the sync of office-mail: remove the timer, an operator starts it"),
    # D197
    Break("D197", "each_sync_pulls_and_changes_nothing_there", PROVIDERS,
          "sync-calendar\n    sync: {direction: pull,", "sync-calendar\n    sync: {direction: both,",
          f"{PROVIDERS}: mail_and_calendar.office-calendar.sync.direction is both: write pull, and configure office-calendar so"),
    Break("D197", "each_sync_asks_for_scopes_that_read_only", PROVIDERS,
          "[mail.read]", "[mail.read, mail.send]",
          f"{PROVIDERS}: mail_and_calendar.office-mail.scopes has mail.send, which doesn't end with .read or .readonly: ask the provider"),
    Break("D197", "each_sync_asks_for_scopes_that_read_only", PROVIDERS,
          "[mail.read]", "[]",
          f"{PROVIDERS}: mail_and_calendar.office-mail.scopes is empty: what is not asked for is granted as the provider likes"),
    # D198
    Break("D198", "each_home_is_a_service_of_the_stack_map", PROVIDERS,
          "home: {stack: mint-apps, service: shipping}", "home: {stack: mint-data, service: shipping}",
          f"{PROVIDERS}: mail_and_calendar.office-calendar.home is shipping in mint-data, which {STACKS} doesn't run: name the service"),
    Break("D198", "home_and_service_name_each_other", SERVICES,
          "external: [office-mail]", "external: []",
          f"{SERVICES}: services.order-intake.external lacks office-mail, whose home it is: add it"),
    # D199
    Break("D199", "each_write_stays_with_us", PROVIDERS,
          "{service: postgres, what: table mail_inbox}", "{url: https://sheets.example.net/inbox, what: a sheet}",
          f"{PROVIDERS}: mail_and_calendar.office-mail.writes.0 is told by url, not by one of service and path: keep it in a service of ours"),
    Break("D199", "each_write_stays_with_us", PROVIDERS,
          "path: /opt/stacks/mint-apps/runtime/", "path: /opt/stacks/mint-apps/../../mnt/",
          f"{PROVIDERS}: mail_and_calendar.office-calendar.writes.1 goes to /opt/stacks/mint-apps/../../mnt/shipping-calendar, not below /opt"),
    Break("D199", "each_write_stays_with_us", PROVIDERS,
          "service: postgres, what: table pickup", "service: airtable, what: table pickup",
          f"{PROVIDERS}: mail_and_calendar.office-calendar.writes.0 goes to airtable, no service of {STACKS}"),
    # D203
    Break("D203", "no_provider_is_asked_for_more_than_reading", PROVIDERS,
          "operations: [fetch]", "operations: [fetch, book]",
          f"{PROVIDERS}: others.carrier-rates.operations has book, which may write: take it out, a person does that at the provider"),
    Break("D203", "no_secret_for_a_provider_opens_it_for_writing", SECRETS,
          "MINT_BANK_READ_KEY: {owner: finance, access: read", "MINT_BANK_READ_KEY: {owner: finance, access: write",
          f"{SECRETS}: secrets.MINT_BANK_READ_KEY.access is not read, and {PROVIDERS}: others.bank-statements uses it"),
    Break("D203", "no_service_talks_to_a_provider_that_nobody_registered", SERVICES,
          "external: [supplier-catalogue]", "external: [supplier-catalogue, supplier-orders]",
          f"{SERVICES}: services.suppliers.external has supplier-orders: register it in {PROVIDERS}, with what is done there"),
    # D204
    Break("D204", "each_required_secret_has_a_reference", SECRETS,
          "  MINT_REDIS_PASSWORD: {", "  MINT_REDIS_SECRET: {",
          f"{SECRETS}: secrets.MINT_REDIS_PASSWORD is missing, policy.yml: hosts.mint-data.services.mint-modules-redis.auth.password_env needs it"),
    Break("D204", "each_required_secret_has_a_reference", SERVICES,
          "secrets: [MINT_MINIO_APP_KEY]", "secrets: [MINT_MINIO_FILES_KEY]",
          f"{SECRETS}: secrets.MINT_MINIO_FILES_KEY is missing, {SERVICES}: services.files-api.secrets needs it: add where it is kept"),
    Break("D204", "each_entry_is_a_reference_and_no_value", SECRETS,
          '"vault:kv/mint/mail#read_token"', SECRET,
          f"{SECRETS}: secrets.MINT_MAIL_READ_TOKEN.reference is no env:NAME, vault:PATH#KEY or file:/PATH: write where it is"),
    Break("D204", "each_entry_is_a_reference_and_no_value", SECRETS,
          "{owner: finance, access: read,", f"{{owner: finance, access: read, note: {SECRET},",
          f"{SECRETS}: secrets.MINT_BANK_READ_KEY has not owner, access and reference alone: a value has no place here"),
    Break("D204", "each_entry_is_a_reference_and_no_value", SECRETS,
          "MINT_REDIS_PASSWORD: {owner: platform, access: write", "MINT_REDIS_PASSWORD: {owner: platform, access: any",
          f"{SECRETS}: secrets.MINT_REDIS_PASSWORD.access is neither read nor write: write which of the two it opens"),
    Break("D204", "no_file_of_the_site_has_a_value", SERVICES,
          "container: pricing", f"container: pricing\n    environment: [{{password: {SECRET}}}]",
          f"{SERVICES}: services.pricing.environment.0.password looks like the value of a secret: have it changed"),
    Break("D204", "no_file_of_the_site_has_a_value", PROVIDERS,
          "https://rates.carrier", f"https://mint:{SECRET}@rates.carrier",
          f"{PROVIDERS}: others.carrier-rates.endpoint looks like the value of a secret: have it changed"),
    # D205
    Break("D205", "each_snapshot_names_the_same_schema", LAST,
          "mint.state/1", "mint.state/2",
          "snapshots are of 2 schemas: {'mint.state/1': ['snapshots/2026-02-22.json', 'snapshots/2026-02-23.json'], 'mint.state/2': ['"),
    Break("D205", "each_snapshot_has_the_keys_and_types_of_the_first", LAST,
          '"service": "shipping", "running": true', '"service": "shipping", "running": "yes"',
          f"{LAST}: hosts.0.services.6.running is str, not bool, as snapshots/2026-02-22.json has it: take it again, or give both a new schema"),
    Break("D205", "each_snapshot_has_the_keys_and_types_of_the_first", LAST,
          '"gaps": 0, "loops": 0', '"gaps": 0',
          f"{LAST}: open.loops is missing, as snapshots/2026-02-22.json has it"),
    Break("D205", "each_snapshot_is_of_the_day_in_its_name_and_of_a_later_run_than_the_one_before", LAST,
          "2026-02-24T18", "2026-02-25T18",
          f"{LAST}: taken_at is 2026-02-25T18:15:02Z, run {GREEN}: name the file and the run by the day on which it was taken"),
    # D222
    Break("D222", "each_quote_alert_is_there_once_and_from_the_quote_sender", ALERTS,
          "event: quote.expired, sender: quote-desk", "event: quote.expired, sender: order-desk",
          f"{ALERTS}: alerts: quote.expired comes from order-desk: let quote-desk send it, the one sender of quotes"),
    Break("D222", "each_quote_alert_is_there_once_and_from_the_quote_sender", ALERTS,
          "event: quote.expired", "event: quote.priced",
          f"{ALERTS}: alerts has quote.priced twice: the customer is told twice; remove one"),
    Break("D222", "nobody_else_has_the_quote_senders_address", ALERTS,
          "address: orders@mint.example.org", "address: Quotes@mint.example.org",
          f"{ALERTS}: senders.order-desk.address is that of quote-desk: give it one of its own"),
    Break("D222", "only_the_senders_service_sends_quote_alerts_and_it_sends_all_of_them", SERVICES,
          "sends: [order.accepted, order.stuck]", "sends: [order.accepted, order.stuck, quote.priced]",
          f"{SERVICES}: services.order-intake.sends has quote.priced: only quote-page tells about quotes"),
    Break("D222", "only_the_senders_service_sends_quote_alerts_and_it_sends_all_of_them", SERVICES,
          "sends: [order.accepted, order.stuck]", "sends: quote.priced",
          f"{SERVICES}: services.order-intake.sends has quote.priced: only quote-page tells about quotes"),
    Break("D222", "nobody_else_has_the_quote_senders_address", ALERTS,
          "{address: orders@mint.example.org, service: order-intake}", "{service: order-intake}",
          f"{ALERTS}: senders.order-desk.address is missing: write it"),
    # D225
    Break("D225", "the_baseline_is_all_of_the_sites_own_checks_but_this_one", BASELINE,
          "D222, D226, D227]", "D222, D226]",
          f"{BASELINE}: required lacks D227: add it, and run the pack again"),
    Break("D225", "each_required_check_was_green_in_the_run_of_that_day", BASELINE,
          "D204: green", "D204: red",
          f"{BASELINE}: last_green.results.D204 is red: make it green and write the new run, before other work"),
    Break("D225", "each_required_check_was_green_in_the_run_of_that_day", BASELINE,
          "day: 2026-02-24", "day: 2026-02-23",
          f"{BASELINE}: last_green.run {GREEN} is no run of 2026-02-23: write the key and the day (UTC) of one and the same run"),
    Break("D225", "no_open_work_began_before_the_baseline_was_green", BASELINE,
          "started: 2026-02-25", "started: 2026-02-23",
          f"{BASELINE}: work LOOP-MINT-FRESH-SLATE-INFRA-HARDENING-20260225 began on 2026-02-23, the baseline is green since 2026-02-24: stop it"),
    Break("D225", "no_open_work_began_before_the_baseline_was_green", BASELINE,
          f"started: 2026-02-26\n    baseline: {GREEN}", "started: 2026-02-26",
          f"{BASELINE}: work LOOP-STORAGE-BOOT-DRIVE-AUDIT-20260226: baseline is None, not {GREEN}: compare its findings with that run"),
    Break("D225", "no_open_work_began_before_the_baseline_was_green", BASELINE,
          "    state: open\n    started: 2026-02-26", "    started: 2026-02-26",
          f"{BASELINE}: work.1.state is missing: write it"),
    # D226
    Break("D226", "each_claim_has_the_run_that_showed_it_and_that_runs_day", CLAIMS,
          "accepts a valid one, run: CAP-20260223-143740__gates.run__R91fa, day: 2026-02-23", "accepts a valid one",
          f"{CLAIMS}: claims.order-intake has run None and day None: write the key and the day (UTC) of the one run that showed it"),
    Break("D226", "each_claim_has_the_run_that_showed_it_and_that_runs_day", CLAIMS,
          "says: takes and returns jobs on mint-data, ", "",
          f"{CLAIMS}: claims.redis.says is missing: write what the run showed"),
    Break("D226", "each_service_that_is_called_live_has_a_claim", SERVICES,
          "port: 3345\n    health: {path: /health}\n    data_class: payment\n    status: staged",
          "port: 3345\n    health: {path: /health}\n    data_class: payment\n    status: live",
          f"{SERVICES}: services.payment.status is live, {CLAIMS} has no claim payment: stamp one, or write staged"),
    Break("D226", "each_line_of_a_page_that_says_live_names_its_claim", STATUS,
          "finance-adapter are staged: they run", "finance-adapter are Live: they run",
          f"{STATUS}:7 says that something is live and names no claim: add [claim:NAME] of {CLAIMS}, or say what was seen"),
    Break("D226", "each_line_of_a_page_that_says_live_names_its_claim", STATUS,
          "[claim:files-api]", "[claim:artwork]",
          f"{STATUS}:6 names the claim artwork, which {CLAIMS} lacks: stamp it there"),
    # D227
    Break("D227", "each_host_is_live_or_legacy_and_no_name_is_both", AUTHORITY,
          "aliases: [mint-data.example.org]", "aliases: [mint-data.example.org, Mint-Legacy]",
          f"{AUTHORITY}: hosts has mint-legacy as live and as legacy: give the name to one machine"),
    Break("D227", "each_host_is_live_or_legacy_and_no_name_is_both", AUTHORITY,
          "docker-host: {state: legacy, ", "docker-host: {",
          f"{AUTHORITY}: hosts.docker-host.state is missing: write live or legacy"),
    Break("D227", "no_zone_stack_or_service_stands_on_a_legacy_host_or_on_one_that_nobody_knows", AUTHORITY,
          "host: mint-data, service: minio", "host: mint-legacy, service: minio",
          f"{AUTHORITY}: zone artwork: authority.host: mint-legacy is legacy: move what stands there to a live host, or name the live one"),
    Break("D227", "no_zone_stack_or_service_stands_on_a_legacy_host_or_on_one_that_nobody_knows", AUTHORITY,
          "mint-data:/mnt/data/mint-data/redis", "docker-host:/var/lib/redis",
          f"{AUTHORITY}: zone queues: folder docker-host:/var/lib/redis: docker-host is legacy"),
    Break("D227", "the_policy_places_data_on_live_hosts_only", AUTHORITY,
          "mint-data: {state: live", "mint-data: {state: legacy",
          f"policy.yml: hosts.mint-data is not live in {AUTHORITY}: take it out of the policy"),
    Break("D227", "each_authority_is_the_host_that_its_service_runs_on", AUTHORITY,
          "host: mint-data, service: redis", "host: mint-apps, service: redis",
          f"{AUTHORITY}: zone queues: authority is redis on mint-apps, where registry/services.yml doesn't have it: name who answers"),
]  # fmt: skip


def copy_of_the_site(folder: Path) -> Path:
    shutil.copytree(SITE, folder, ignore=shutil.ignore_patterns("__pycache__", "state"))
    return folder


def outcomes(folder: Path, tests: Iterable[Path | str]) -> dict[tuple[str, str], str]:
    """Run files, or tests of files, by one pytest of their own; return by folder of `folder` and name what each failed with, "" if it passed."""
    report = folder / "report.xml"
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    # Rewriting the asserts of each copy would take longer than everything else together.
    command = [sys.executable, "-m", "pytest", "-q", "--assert=plain", "-p", "no:cacheprovider", f"--junitxml={report}", *map(str, tests)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr + report.read_text()
    return {
        (case.attrib["classname"].split(".")[0], case.attrib["name"]): "".join(child.attrib.get("message", child.tag) for child in case)
        for case in ET.parse(report).getroot().iter("testcase")  # noqa: S314 - written by the line above
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    folder = tmp_path_factory.mktemp("whole")
    return outcomes(folder, sorted((copy_of_the_site(folder / "shipped") / "checks").glob("test_*.py")))


@pytest.fixture(scope="module")
def one_thing_broken(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """Break each thing in a copy of its own and run the test that it is for; all in one pytest, because starting it is what takes time."""
    folder, tests = tmp_path_factory.mktemp("broken"), []
    for i, case in enumerate(BREAKS):
        site = copy_of_the_site(folder / f"case{i}")
        text = (site / case.file).read_text("utf-8")
        assert text.count(case.old) == 1, f"{case.file} has {case.old!r} {text.count(case.old)} times"
        (site / case.file).write_text(text.replace(case.old, case.new), "utf-8")
        tests.append(f"{site}/checks/{CHECKS[case.check].name}::test_{case.test}")
    return outcomes(folder, tests)


def test_the_site_passes_all_of_its_own_checks_as_it_ships(whole: dict[tuple[str, str], str]) -> None:
    assert {test: message for test, message in whole.items() if message} == {}
    assert list(CHECKS) == OWN


@pytest.mark.parametrize("number", range(len(BREAKS)), ids=lambda number: f"{BREAKS[number].check}-{BREAKS[number].test}-{number}")
def test_breaking_one_thing_fails_in_so_many_words(one_thing_broken: dict[tuple[str, str], str], number: int) -> None:
    case = BREAKS[number]
    message = one_thing_broken[f"case{number}", f"test_{case.test}"]
    assert message.startswith("AssertionError: ")
    assert case.words in message


def test_there_is_no_test_that_nothing_breaks(whole: dict[tuple[str, str], str]) -> None:
    assert sorted({name for _, name in whole}) == sorted({f"test_{case.test}" for case in BREAKS})
    assert {case.check for case in BREAKS} == set(CHECKS)


def test_yaml_that_asks_for_a_program_is_refused_and_starts_none(tmp_path: Path) -> None:
    site = copy_of_the_site(tmp_path / "site")
    for path in site.glob("registry/*.yml"):
        path.write_text(path.read_text("utf-8") + f"\nmore: !!python/object/apply:os.mkdir [{tmp_path}/made]\n", "utf-8")
    files = [path for check, path in CHECKS.items() if check != "D205"]  # snapshots are JSON
    seen = outcomes(tmp_path, [site / "checks" / path.name for path in files])
    refused = [message for message in seen.values() if message]
    assert len(refused) >= len(files)
    assert [message for message in refused if "yaml.constructor.ConstructorError" not in message] == []
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_needs_pytest_and_yaml_alone_and_reads_yaml_as_data(check: str) -> None:
    tree = ast.parse(CHECKS[check].read_text("utf-8"))
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imports |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imports - sys.stdlib_module_names <= {"pytest", "yaml"}
    assert imports.isdisjoint({"os", "subprocess", "socket", "time"})
    assert {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml"
    } <= {"safe_load"}
    assert 1 <= sum(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in tree.body) <= 4


def test_gates_name_each_check_once_and_the_pack_in_its_order() -> None:
    gates = yaml.load((SITE / "gates.yml").read_text("utf-8"), Loader=yaml.SafeLoader)  # noqa: TID251 - our own file
    assert {check: gate["file"] for check, gate in gates["checks"].items()} == {check: f"checks/{path.name}" for check, path in CHECKS.items()}
    assert {gate["severity"] for gate in gates["checks"].values()} == {"high", "medium", "low"}
    assert all(gate.keys() == {"title", "severity", "file"} and gate["title"] for gate in gates["checks"].values())
    assert gates["packs"] == {"mint": {"checks": STORAGE + OWN}}
    assert gates["promotion"] == {"runs": 3, "interval": "24h"}
