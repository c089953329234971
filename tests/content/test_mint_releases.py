"""The example site's release: its files are sound in both environments, it certifies the site too, and its smoke asks its own containers alone."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

SITE = Path(__file__).resolve().parents[2] / "inventory/mint"
RELEASES = SITE / "releases"
SPEC = yaml.load((RELEASES / "storefront.yml").read_text(), Loader=yaml.SafeLoader)  # noqa: TID251 - our own file
SECRETS = {
    "POSTGRES_PASSWORD": "Kanarienvogel77ab01",
    "REDIS_URL": "redis://:Nachtigall31cd02@mint-data.example.org:6379/3",
    "MINIO_ACCESS_KEY": "Rotkehlchen58ef03",
    "MINIO_SECRET_KEY": "Zaunkoenig46gh04",
}


def filled(example: str) -> str:
    """Return an environment file as whoever follows its contract writes it."""
    for name, value in SECRETS.items():
        assert f"\n{name}=\n" in example
        example = example.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    return example


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_what_the_example_says_has_no_fault_once_its_secrets_are_filled_in(tmp_path: Path, environment: str) -> None:
    site = tmp_path / "site"
    shutil.copytree(SITE, site, ignore=shutil.ignore_patterns("state", "__pycache__", ".env.staging", ".env.production"))
    with (site / ".gitignore").open("a") as ignored:
        ignored.write("\n.env.*\n!.env.*.example\n")
    for name in ("staging", "production"):
        file = site / "releases/storefront" / f".env.{name}"
        file.touch(mode=0o600)
        file.write_text(filled((RELEASES / f"storefront/.env.{name}.example").read_text()))
    git = ("git", "-C", str(site), "-c", "user.name=it", "-c", "user.email=it@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "The site")):
        subprocess.run([*git, *words], check=True)
    argv = [sys.executable, "-m", "controlplane", "release", "check", "storefront", "--env", environment, "--site", str(site)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_site_s_pack_and_its_authority_status_are_certified_too() -> None:
    commands = {one["name"]: one["run"] for one in SPEC["recert"]}
    assert commands["pack mint"] == ["controlplane", "gates", "run", "mint"]
    assert commands["authority status"] == ["controlplane", "doctor"]


def test_its_authority_status_is_a_pass_on_the_site_as_it_ships(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(SITE, site, ignore=shutil.ignore_patterns("state", "__pycache__"))
    done = subprocess.run([sys.executable, "-m", "controlplane", "doctor", "--site", str(site)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1].rpartition(": ")[2]) == (0, "GOVERNED"), done.stdout + done.stderr


class Listed(NamedTuple):
    rc: int
    stdout: str


class Machine:
    """A machine with both environments, on which docker lists what has every label that is asked for."""

    HELD = (
        ("storefront", "order-intake", "False", "running"),
        ("storefront", "order-intake", "True", "exited"),
        ("storefront-staging", "order-intake", "False", "restarting"),
        ("another", "order-intake", "False", "exited"),
    )

    def run(self, command: str) -> Listed:
        """Return the states of the containers that the command asks for."""
        asked = {word.partition("=")[2] for word in command.split() if word.startswith("label=")}
        labels = [
            {f"com.docker.compose.{name}={value}" for name, value in zip(("project", "service", "oneoff"), one, strict=False)} for one in self.HELD
        ]
        return Listed(0, "\n".join(one[-1] for one, held in zip(self.HELD, labels, strict=True) if asked <= held))


def test_its_smoke_asks_the_containers_of_its_own_environment_alone() -> None:
    # By path, so that no bytecode is left in the site.
    flow = runpy.run_path(str(RELEASES / "storefront/smoke/test_flow.py"))
    assert {name: one["project"] for name, one in SPEC["environments"].items()} == flow["PROJECTS"]
    ask = flow["test_no_container_of_the_machine_starts_over_and_over"]
    ask(Machine(), "production", "order-intake")
    with pytest.raises(AssertionError, match="order-intake is restarting"):
        ask(Machine(), "staging", "order-intake")
    with pytest.raises(AssertionError, match="files-api has no container in storefront"):
        ask(Machine(), "production", "files-api")
