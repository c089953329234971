"""What the tests of releases stand on: the storefront's services really work together, its stub really passes for healthy, its registry is real."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.adapters.lab.lab import Lab
from tests.lab.conftest import LabMachine
from tests.releases.builds import Builder
from tests.releases.hosts import fill, give_docker_a_disk, make_room
from tests.releases.registry import Registry
from tests.releases.site import DIR, FILES, ReleaseSite

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.long]

Make = Callable[..., LabMachine]
UP = f"cd {DIR} && docker compose -f compose.yml -f compose.release.yml up -d --wait --wait-timeout 90 --quiet-pull"
LARGE = 24 * 2**20


def put(machine: LabMachine, name: str, content: bytes | Path) -> None:
    done = machine.run(["install", "-D", "-m", "0600", "/dev/stdin", f"{DIR}/{name}"], stdin=content)
    assert done.returncode == 0, done


def deploy(machine: LabMachine, images: dict[str, str]) -> None:
    """Let Compose alone run a build, healthy."""
    put(machine, "compose.release.yml", json.dumps({"services": {service: {"image": image} for service, image in images.items()}}).encode())
    machine.sh(UP)


def asked(machine: LabMachine, sql: str) -> list[str]:
    """Return what the database says, word by word."""
    done = machine.run(["docker", "exec", "storefront-postgres-1", "psql", "-U", "postgres", "-qAtc", sql])
    assert done.returncode == 0, done
    return done.stdout.split()


def test_a_good_build_passes_the_smoke_tests_and_a_healthy_stub_fails_them(machine: Make, lab: Lab, registry: Registry, tmp_path: Path) -> None:
    host, build = machine(data_disk=False, services=False), Builder(registry, lab.home)
    good, stub, next_one = build.good("1.0.0"), build.stub("1.1.0", "order-intake"), build.good("2.0.0", migration=True)
    registry.open_to(host)
    with ReleaseSite(tmp_path, host) as site:
        put(host, "compose.yml", FILES / "compose.yml")
        put(host, ".env", site.releases / "storefront/.env.staging")
        deploy(host, good)
        assert site.running("staging") == good
        said = site.smoke("staging")
        assert (said.returncode, "6 passed" in said.stdout) == (0, True), said.stdout
        # Each order has its seed, and the seed's brief lies in the object store.
        assert asked(host, "select count(*) from orders join seeds on seeds.id = orders.seed and seeds.order_id = orders.id") == ["1"]
        assert "artwork" in host.sh("docker exec storefront-objects-1 find /data -name '*seeds*'")

        deploy(host, stub)
        assert site.running("staging") == stub
        said = site.smoke("staging")
        assert (said.returncode, "3 failed, 3 passed" in said.stdout) == (1, True), said.stdout

        deploy(host, next_one)
        assert site.smoke("staging").returncode == 0
        deploy(host, good)
        assert site.running("staging") == good
        assert site.smoke("staging").returncode == 0
        # What a migration did stays when its build goes.
        assert asked(host, "select name from migrations where service = 'order-intake' order by name") == ["0001-orders", "0002-priority"]
        assert asked(host, "select count(*) from orders") == ["3"]


def test_a_registry_is_known_by_its_ca_and_can_die_in_the_middle_of_a_pull(machine: Make, lab: Lab, registry: Registry) -> None:
    host, build = machine(services=False), Builder(registry, lab.home)
    small, large = build.good("1.0.0")["quote-page"], build.good("1.1.0", ballast=LARGE)["quote-page"]
    give_docker_a_disk(host)
    registry.open_to(host, trusted=False)
    pull = ["docker", "pull", "-q"]
    assert "certificate signed by unknown authority" in host.run([*pull, small]).stderr
    registry.trust_on(host)
    registry.stop_after(LARGE)
    assert host.run([*pull, small]).returncode != 0
    assert registry.is_down()
    registry.start()
    assert host.run([*pull, small]).stdout.strip() == small

    fill(host, leave=LARGE // 2)
    assert "no space left on device" in host.run([*pull, large]).stderr
    make_room(host)
    assert host.run([*pull, large]).stdout.strip() == large
