"""`release check`: every fault of a release in one run, with file and line and without a value, over real files and a real git."""

# ruff: noqa: E501 - messages stand whole, so that a search finds them

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.command_line import Run, Said, command_line
from tests.fakes.release_site import FILES, PASSWORD, REAL, Git, commit, make_git, make_site, write

TOKEN = "gh" + "p_" + "a1B2" * 9
# What must be in no output, whatever is wrong.
CANARIES = (PASSWORD, TOKEN, "Nachtigall")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = make_site(tmp_path / "site")
    monkeypatch.setenv("CONTROLPLANE_SITE", str(folder))
    return folder


@pytest.fixture
def git(site: Path) -> Git:
    return make_git(site)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    call = command_line(monkeypatch, capsys)

    def quiet(*argv: str) -> Said:
        said = call(*argv)
        assert not [canary for canary in CANARIES if canary in said.err]
        return said

    return quiet


@pytest.fixture
def found(site: Path, run: Run) -> Callable[..., tuple[int, list[str], dict[tuple[str, str | None], str]]]:
    """Return what calls the verb and gives its exit code, its faults from the site's folder, and the verdict of each check."""

    def call(*argv: str) -> tuple[int, list[str], dict[tuple[str, str | None], str]]:
        said = run("release", "check", "shop", "-o", "json", *argv)
        told: dict[str, Any] = said.json()
        faults = [f"{one['file']}:{one['line']}: {one['field']}: {one['message']}".removeprefix(f"{site}/") for one in told["faults"]]
        assert told["valid"] is (said.code == 0)
        return said.code, faults, {(one["check"], one["environment"]): one["verdict"] for one in told["checks"]}

    return call


Found = Callable[..., tuple[int, list[str], dict[tuple[str, str | None], str]]]
ALL_MET = {
    ("site", None): "met",
    ("release file", None): "met",
    ("manifests", None): "met",
    ("contract", "staging"): "met",
    ("compose files", "staging"): "met",
    ("environment file", "staging"): "met",
    ("neighbours", "staging"): "met",
    ("contract", "production"): "met",
    ("compose files", "production"): "met",
    ("environment file", "production"): "met",
    ("neighbours", "production"): "met",
    ("secrets", None): "met",
}


@pytest.mark.usefixtures("git")
def test_a_release_that_is_sound_is_told_as_such(run: Run, found: Found) -> None:
    assert found() == (0, [], ALL_MET)
    said = run("release", "check", "shop")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "shop: nothing is in the way; no connection was made."
    assert "met      compose files     production  1 service, 1 bind, 0 named volumes" in said.out


@pytest.mark.usefixtures("git")
def test_one_environment_alone_is_judged_alone(site: Path, found: Found) -> None:
    write(site, "releases/shop/.env.production", "nonsense\n").chmod(0o644)
    code, faults, checks = found("--env", "staging")
    assert (code, faults) == (0, [])
    assert ("environment file", "production") not in checks


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        (".env.staging", "DATA=/srv/shop\n", "", "releases/shop/.env.staging:0: DATA: is missing"),
        (".env.staging", "DATA=/srv/shop", "DATA=/srv/elsewhere", "releases/shop/.env.staging:1: DATA: differs from"),
        (".env.staging", "DATA=", "EXTRA=Nachtigall\nDATA=", "releases/shop/.env.staging:1: EXTRA: is not in"),
        (".env.staging", PASSWORD, "", "releases/shop/.env.staging:2: PASSWORD: is empty"),
        (".env.staging", PASSWORD, "changeme", "releases/shop/.env.staging:2: PASSWORD: has a value that only stands for one"),
        (".env.staging", PASSWORD, "Nachtigall # x", "releases/shop/.env.staging:2: PASSWORD: holds ' #'"),
        (".env.staging.example", "PASSWORD=", "PASSWORD=Nachtigall", "releases/shop/.env.staging.example:4: PASSWORD: is a secret and has a value here"),
        (".env.staging.example", "/srv/shop", "/etc/shop", "releases/shop/compose.yml:7: services.web.volumes: /etc/shop lies in /etc"),
        (".env.staging.example", "DATA=/srv/shop", "DATA=", "releases/shop/compose.yml:7: services.web.volumes.0: can't be told here: it needs DATA"),
        ("compose.yml", "restart: always", "restart: no", "releases/shop/compose.yml:4: services.web.restart: is no"),
        ("compose.yml", '"${PASSWORD}"', "Nachtigall", "releases/shop/compose.yml:6: services.web.environment.PASSWORD: PASSWORD is a secret"),
        ("compose.yml", "    restart: always\n", "    restart: always\n    container_name: web\n", "releases/shop.yml:13: environments.production.compose: names a container web on web1, as staging does"),
        ("compose.yml", "name: shop-staging", "name: [", "releases/shop/compose.yml:3: : can't be read as YAML"),
        ("manifests/one.yml", "commit: 0123abc", "commit: Nightly", "releases/shop/manifests/one.yml:3: commit: 'Nightly' is no id of a commit"),
        ("../shop.yml", 'urls: {web: "http://10.0.0.1:81"', 'urls: {api: "http://10.0.0.1:81"', "releases/shop.yml:9: environments.staging.smoke.urls.api: api is no service of the compose files: name one of web"),
        ("../shop.yml", "LOOP-SHOP", "LOOP-SHIP", "releases/shop.yml:17: loop: there is no LOOP-SHIP"),
        ("../../policy.yml", "dir: /opt/stacks/shop-staging", "dir: opt", "policy.yml:6: hosts.web1.stacks.1.dir: 'opt' is not absolute"),
        ("../../policy.yml", "project: shop-staging", "project: staging", "releases/shop.yml:6: environments.staging.project: hosts.web1.stacks of policy.yml has no project shop-staging"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("git")
def test_a_fault_of_any_file_is_told_where_it_stands(site: Path, found: Found, name: str, old: str, new: str, told: str) -> None:
    path = (site / "releases/shop" / name).resolve()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    code, faults, checks = found()
    assert code == 2
    assert any(fault.startswith(told) for fault in faults), faults
    assert "fault" in checks.values()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (".env.staging", None, "its environment file could not be read"),
        (".env.staging", b"\xff", "its environment file could not be read"),
        (".env.staging", f"DATA=/srv/shop\nPASSWORD={PASSWORD} # mine\n".encode(), "1 line of its environment file could not be read"),
        (".env.staging.example", b"A=1\n", "its contract has faults"),
    ],
)
@pytest.mark.usefixtures("git")
def test_secrets_that_can_not_be_told_are_not_said_to_be_nowhere(
    site: Path, found: Found, run: Run, name: str, content: bytes | None, told: str
) -> None:
    path = site / "releases/shop" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    code, _, checks = found()
    assert (code, checks["secrets", None]) == (2, "unknown")
    assert f"unknown: secrets: which secrets staging has can't all be told, {told}, so not all were looked for" in run("release", "check", "shop").out


def test_all_faults_of_all_files_come_in_one_run(site: Path, git: Git, found: Found, run: Run) -> None:
    git("add", "-f", "releases/shop/.env.staging")
    head = commit(git)
    write(site, "notes", f"\n{PASSWORD}\n{TOKEN}\n")
    write(site, "releases/shop/.env.staging", f"PASSWORD={PASSWORD}\nDATA=\n").chmod(0o644)
    write(site, "releases/shop/.env.production.example", "A=1\n")
    write(site, "releases/shop/manifests/two.yml", "stack: ship\n")
    code, faults, checks = found()
    assert code == 2
    for told in (
        "releases/shop/.env.staging:0: : has mode 0644",
        "releases/shop/.env.staging:2: DATA: is empty",
        "releases/shop/.env.staging:0: : is tracked by git",
        f"{head}:releases/shop/.env.staging:0: : is an environment file that was committed",
        f"{head}:releases/shop/.env.staging:2: : holds the value of PASSWORD (staging), and whoever cloned the repository has it",
        "notes:2: : holds the value of PASSWORD (staging): take it out",
        "notes:3: : holds a GitHub token: take it out",
        "releases/shop/.env.production.example:1: A: has no declaration",
        "releases/shop/manifests/two.yml:1: commit: is missing",
    ):
        assert any(fault.startswith(told) for fault in faults), (told, faults)
    assert checks["compose files", "production"] == "unknown"
    assert checks["environment file", "production"] == "unknown"
    said = run("release", "check", "shop")
    assert said.code == 2
    assert "unknown: production compose files: their variables can't be told while the contract has faults" in said.out
    assert said.out.splitlines()[-1] == f"shop: {len(faults)} faults, 4 unknown; no connection was made."


def test_what_could_not_be_looked_at_is_no_pass(site: Path, found: Found, run: Run) -> None:
    code, faults, checks = found()
    assert (code, faults, checks["secrets", None]) == (5, [], "unknown")
    said = run("release", "check", "shop")
    assert f"unknown: secrets: {site} is in no git repository that can be read" in said.out
    assert said.out.splitlines()[-1] == "shop: 1 unknown; no connection was made."


@pytest.mark.usefixtures("git")
def test_an_environment_file_that_is_not_there_is_a_fault(site: Path, found: Found) -> None:
    for name in REAL:
        (site / name).unlink()
    code, faults, _ = found()
    assert code == 2
    assert [fault.split(": does")[0] for fault in faults] == ["releases/shop/.env.production:0: ", "releases/shop/.env.staging:0: "]


@pytest.mark.usefixtures("site")
def test_a_release_that_is_not_there_is_told(run: Run) -> None:
    said = run("release", "check", "shpo")
    assert said.code == 2
    assert "there is no stack shpo: write shpo.yml there, or name one of shop" in said.err


@pytest.mark.usefixtures("git")
def test_an_environment_that_the_release_lacks_is_told(site: Path, run: Run) -> None:
    text = FILES["releases/shop.yml"]
    start, end = text.index("  production:"), text.index("promotion:")
    write(site, "releases/shop.yml", text[:start] + text[end:])
    said = run("release", "check", "shop", "--env", "production")
    assert said.code == 2
    assert "releases/shop.yml:3: environments: has no production: add it, or name one of staging" in said.err


@pytest.mark.usefixtures("git")
def test_a_table_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    lines = run("release", "check", "shop").out.splitlines()
    assert lines[0].split() == ["verdict", "check", "environment", "told"]
    assert max(len(line) for line in lines if "site/" not in line) <= 80
