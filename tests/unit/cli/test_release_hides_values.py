"""No value of an environment file is told by what is wrong with a release's files, whichever verb tells it; file and line are."""

# ruff: noqa: E501 - messages stand whole, so that a search finds them

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from controlplane.adapters.env_values import EnvValues
from controlplane.domain.releases.hiding import Hiding
from tests.fakes.command_line import Run, command_line
from tests.fakes.release_site import PASSWORD, make_git, make_site, write

PLAIN = "Kanarienvogel77ab01"
DOLLAR = "Xq7$kT9vLm2pQzW4"
CAPITAL = "Xq7$KT9VLM2PQZW4"
SIGNS = "wJalrXUtn/EMIK7MDENG,bPxRfi:CYzz4Qp=="
# Longer than what a message quotes.
LONG = "".join(f"{number:04x}Zq" for number in range(150))
VERBS = (
    ("release", "check", "shop"),
    ("release", "check", "shop", "-o", "json"),
    ("doctor",),
    ("doctor", "-o", "json"),
    ("release", "status"),
    ("release", "status", "-o", "json"),
    ("release", "status", "shop"),
    ("release", "brief", "shop"),
    ("release", "stage", "shop", "--manifest", "one", "--out", "plan.json"),
    ("release", "promote", "shop", "--dry-run"),
)
CHECK = VERBS[:2]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = make_site(tmp_path / "site")
    monkeypatch.setenv("CONTROLPLANE_SITE", str(folder))
    make_git(folder)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(monkeypatch, capsys)


def _held(secret: str, text: str) -> set[str]:
    """Return each part of five letters of the secret that a text holds."""
    return {part for part in (secret[at : at + 5] for at in range(len(secret) - 4)) if part in text}


def _put(site: Path, secret: str, name: str, old: str, new: str) -> None:
    """Make it the password of staging, and put it where it should not be."""
    write(site, "releases/shop/.env.staging", f"DATA=/srv/shop\nPASSWORD='{secret}'\n").chmod(0o600)
    path = (site / "releases/shop" / name).resolve()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new.replace("SECRET", secret), 1))


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("path", ["?token=SECRET", "#SECRET", "SECRET%20"])
def test_a_secret_in_an_address_is_not_shown_by_any_verb(site: Path, run: Run, path: str, verb: tuple[str, ...]) -> None:
    _put(site, PLAIN, "../shop.yml", "http://10.0.0.1:81", f"http://10.0.0.1:81/{path}")
    said = run(*verb)
    assert said.code != 0
    assert not _held(PLAIN, said.out + said.err)
    if "json" in verb and "check" in verb:
        assert ("releases/shop.yml", 9) in [(one["file"].removeprefix(f"{site}/"), one["line"]) for one in said.json()["faults"]]
    else:
        assert f"{site}/releases/shop.yml:9: environments.staging.smoke.urls.web: 'http://10.0.0.1:81/" in said.out + said.err
        assert "is no address of a service" in said.out + said.err


@pytest.mark.parametrize("path", ["?token=abc4Nachtigall", "#abc4Nachtigall"])
def test_what_nobody_knows_as_a_secret_is_not_shown_in_an_address_either(site: Path, run: Run, path: str) -> None:
    _put(site, PLAIN, "../shop.yml", "http://10.0.0.1:81", f"http://10.0.0.1:81/{path}")
    said = run("release", "check", "shop")
    assert f"releases/shop.yml:9: environments.staging.smoke.urls.web: 'http://10.0.0.1:81/{path[0]}…' is no address" in said.out
    assert "Nachtigall" not in said.out + said.err


@pytest.mark.parametrize("secret", [DOLLAR, CAPITAL])
@pytest.mark.parametrize(
    ("new", "field"),
    [
        ('restart: always\n    command: "SECRET"', "services.web.command"),
        ('restart: always\n    command: "redis-server --requirepass SECRET"', "services.web.command"),
        ('restart: "SECRET"', "services.web.restart"),
        ('restart: always\n    labels: ["a=${SECRET}"]', "services.web.labels.0"),
    ],
)
@pytest.mark.parametrize("verb", CHECK, ids=" ".join)
def test_what_stands_behind_the_dollar_of_a_secret_is_not_shown_as_a_variable(
    site: Path, run: Run, verb: tuple[str, ...], secret: str, new: str, field: str
) -> None:
    _put(site, secret, "compose.yml", "restart: always", new)
    said = run(*verb)
    assert said.code == 2
    assert not _held(secret, said.out + said.err)
    assert field in said.out


def test_the_rest_of_a_secret_whose_file_can_not_be_read_is_not_shown_either(site: Path, run: Run) -> None:
    _put(site, DOLLAR, "compose.yml", "restart: always", 'restart: always\n    command: "SECRET"')
    (site / "releases/shop/.env.staging").unlink()
    said = run("release", "check", "shop")
    assert (
        "releases/shop/compose.yml:5: services.web.command: needs a variable that the contract does not declare, not shown as it may be the rest of a "
        "value: declare it there, or give a default, or write $$ for the sign"
    ) in said.out
    assert not _held(DOLLAR, said.out + said.err)


@pytest.mark.parametrize("secret", [PLAIN, SIGNS, LONG])
@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("compose.yml", "restart: always", 'restart: "SECRET"', "releases/shop/compose.yml:4: services.web.restart: "),
        ("compose.yml", "restart: always", 'restart: always\n    env_file: "SECRET"', "releases/shop/compose.yml:5: services.web.env_file: "),
        ("compose.yml", "restart: always", 'restart: always\n    "SECRET": 1', "releases/shop/compose.yml:5: services.web.***: "),
        ("compose.yml", ":/data", ":/data:ro,SECRET", "releases/shop/compose.yml:7: services.web.volumes.0: "),
        ("compose.yml", "${DATA}:/data", "/etc/SECRET:/data", "releases/shop/compose.yml:7: services.web.volumes"),
        ("compose.yml", "restart: always", "restart: !SECRET always", "releases/shop/compose.yml:4: "),
        ("../shop.yml", "loop: LOOP-SHOP", 'loop: "SECRET"', "releases/shop.yml:17: loop: "),
        ("../shop.yml", "loop: LOOP-SHOP", '"SECRET": LOOP-SHOP', "releases/shop.yml:17: ***: unknown key"),
        ("../shop.yml", "[shop/compose.yml]", '["SECRET"]', "releases/shop.yml:7: environments.staging.compose.0: "),
        ("../shop.yml", "web: registry", '"web": SECRET@registry', "releases/shop.yml:2: images"),
        ("manifests/one.yml", "0123abc", '"SECRET"', "releases/shop/manifests/one.yml:3: commit: "),
        ("manifests/one.yml", "web: registry", '"SECRET": registry', "releases/shop/manifests/one.yml:6: images.***: "),
        (".env.staging.example", "# PASSWORD", "# SECRET", "releases/shop/.env.staging.example:"),
    ],
)
@pytest.mark.parametrize("verb", CHECK, ids=" ".join)
def test_a_secret_that_is_pasted_into_any_field_is_named_by_its_place_alone(
    site: Path, run: Run, verb: tuple[str, ...], secret: str, name: str, old: str, new: str, told: str
) -> None:
    if "!" in new and secret == SIGNS:
        pytest.skip("no tag holds a comma")
    _put(site, secret, name, old, new)
    said = run(*verb)
    assert said.code == 2
    assert not _held(secret, said.out + said.err)
    shown = (
        [f"{one['file']}:{one['line']}: {one['field']}: {one['message']}" for one in said.json()["faults"]]
        if "json" in verb
        else said.out.splitlines()
    )
    assert any(line.startswith(f"{site}/{told}") for line in shown), shown


def test_what_the_contract_says_for_everybody_is_shown(site: Path, run: Run) -> None:
    _put(site, PLAIN, "compose.yml", "restart: always", "restart: /srv/shop")
    told = "services.web.restart: {} is no restart policy: write unless-stopped or always"
    assert told.format("'/srv/shop'") in run("release", "check", "shop").out
    write(site, "releases/shop/.env.staging.example", "A=1\n")
    assert told.format("'/srv/shop'") not in run("release", "check", "shop").out


@pytest.mark.parametrize("line", ["BUCKET=storefront", 'BUCKET="storefront"', "export BUCKET=storefront"])
def test_what_the_contract_declares_as_no_secret_is_shown_though_it_leaves_the_value_open(site: Path, run: Run, line: str) -> None:
    write(site, "releases/shop/.env.staging", f"DATA=/srv/shop\nPASSWORD={PLAIN}\n{line}\n").chmod(0o600)
    path = site / "releases/shop/.env.staging.example"
    path.write_text(f"{path.read_text()}# BUCKET: text, required\nBUCKET=\n")
    compose = site / "releases/shop/compose.yml"
    compose.write_text(compose.read_text().replace("restart: always", "restart: storefront"))
    told = "services.web.restart: {} is no restart policy: write unless-stopped or always"
    assert told.format("'storefront'") in run("release", "check", "shop").out
    path.write_text(path.read_text().replace("BUCKET: text, required", "BUCKET: text, required, secret"))
    assert told.format("'***'") in run("release", "check", "shop").out


@pytest.mark.parametrize("first", ["", "A=1\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_an_environment_file_in_another_encoding_hides_what_is_in_it(site: Path, run: Run, encoding: str, first: str) -> None:
    (site / "releases/shop/.env.staging").write_bytes(f"{first}PASSWORD={PLAIN}\nDATA=/srv/shop\n".encode(encoding))
    path = site / "releases/shop/compose.yml"
    path.write_text(path.read_text().replace("restart: always", f"restart: {PLAIN}"))
    for verb in VERBS:
        said = run(*verb)
        assert not _held(PLAIN, said.out + said.err)


@pytest.mark.parametrize("line", ["REDIS_URL=redis://:SECRET@h:6379/1", "PASSWORD: SECRET", "PASSWORD SECRET"])
@pytest.mark.parametrize("contract", ["# DATA: path, required\nDATA=/srv/shop\n", "nonsense"])
def test_a_secret_is_hidden_however_the_file_says_it(site: Path, run: Run, line: str, contract: str) -> None:
    _put(site, PLAIN, "compose.yml", "restart: always", "restart: SECRET")
    write(site, "releases/shop/.env.staging", f"DATA=/srv/shop\n{line.replace('SECRET', PLAIN)}\n")
    write(site, "releases/shop/.env.staging.example", contract)
    for verb in VERBS:
        said = run(*verb)
        assert not _held(PLAIN, said.out + said.err)


@pytest.mark.parametrize("name", [".env.staging", ".env.test", "deep/er/.env", "live", "linked/.env.staging"])
def test_any_environment_file_below_releases_counts_whatever_its_mode(site: Path, run: Run, name: str) -> None:
    _put(site, "another-one-of-staging", "../shop.yml", "loop: LOOP-SHOP", f"loop: {PLAIN}")
    write(site, f"releases/{name}", f"TOKEN={PLAIN}\n").chmod(0o644)
    write(site, "releases/live.example", "")
    for verb in VERBS:
        said = run(*verb)
        assert not _held(PLAIN, said.out + said.err)


def test_environment_files_are_read_and_made_ready_once_for_many_texts(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Hiding] = []

    def counted(values: Iterable[str]) -> Hiding:
        made.append(Hiding(values))
        return made[-1]

    monkeypatch.setattr("controlplane.adapters.env_values.Hiding", counted)
    covers = EnvValues(site / "releases").cover
    assert covers("") == ""
    assert made == []
    assert {covers(f"{PASSWORD} {number}") for number in range(300)} == {f"*** {number}" for number in range(300)}
    assert len(made) == 1
