"""Releases on two machines, by the command line alone: staged, proven, promoted, found to be bad, taken back by itself and by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.lab.lab import Lab
from tests.lab.canary import found_below, watched_arguments
from tests.lab.conftest import LabMachine
from tests.releases.builds import Builder
from tests.releases.hosts import fill, give_docker_a_disk, make_room
from tests.releases.registry import Registry, missing
from tests.releases.site import DIR, STACK, ReleaseSite, Where

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
MIGRATION = "orders gained a priority, which the release before does not know"
LARGE = 24 * 2**20


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A real registry for the time of the test; skips with its reason where there can be none."""
    if reason := missing():
        pytest.skip(reason)
    with Registry(tmp_path / "registry") as started:
        yield started


def preview(site: ReleaseSite, verb: str, name: str, *, code: int = 3) -> dict[str, Any]:
    """Show what a verb would do, and keep its plan."""
    return dict(site.did("release", verb, STACK, "--manifest", name, "--out", plan_of(site, name, verb), code=code))


def plan_of(site: ReleaseSite, name: str, verb: str = "stage") -> str:
    return str(site.site.parent / f"{verb}-{name}.json")


def carry_out(site: ReleaseSite, verb: str, name: str, *, code: int = 0) -> dict[str, Any]:
    """Plan, approve and carry out what brings a manifest to staging or to production."""
    preview(site, verb, name)
    if site.approval != "none":
        site.did("approve", plan_of(site, name, verb))
    return dict(site.did("release", verb, STACK, "--plan", plan_of(site, name, verb), code=code))


def prove(site: ReleaseSite, name: str) -> None:
    """Bring what a promotion takes: smoke tests in staging, the modules' own commands, production's storage."""
    assert site.did("release", "smoke", STACK, "--env", "staging")["passed"]
    assert site.did("release", "recert", STACK, "--manifest", name)["passed"]
    site.make_ready()


def shut(site: ReleaseSite, name: str) -> set[str]:
    """Return which lines of the gate do not hold, but for window and approval; nothing is changed by looking."""
    receipts, running = site.did("receipts", "list"), site.running("production")
    gate = site.did("release", "promote", STACK, "--manifest", name, "--dry-run", code=4)["gate"]
    assert (site.did("receipts", "list"), site.running("production")) == (receipts, running)
    return {line["name"] for line in gate if line["verdict"] != "MET"} - {"window", "approval"}


def asked(machine: LabMachine, sql: str) -> list[str]:
    done = machine.run(["docker", "exec", "storefront-postgres-1", "psql", "-U", "postgres", "-qAtc", sql])
    assert done.returncode == 0, done
    return done.stdout.split()


def assert_runs(site: ReleaseSite, where: Where, build: dict[str, str]) -> None:
    """The machine runs these digests, and what it runs does what it is for; neither is this program's word."""
    assert site.running(where) == build
    said = site.smoke(where)
    assert said.returncode == 0, said.stdout


def test_a_release_is_proven_promoted_and_taken_back(machine: Make, lab: Lab, registry: Registry, tmp_path: Path) -> None:
    staging, production, build = machine(data_disk=False, services=False), machine(services=False), Builder(registry, lab.home)
    with ReleaseSite(tmp_path, staging, production, approval="self") as site, watched_arguments(site.token) as seen:
        for host in (staging, production):
            registry.open_to(host)
            # A tag that is exported wherever a shell may read it: it names a stub.
            host.sh("echo MINT_TAG=1.1.0 >> /etc/environment")
            assert host.sh("echo $MINT_TAG") == "1.1.0\n"
        site.env["MINT_TAG"] = "1.1.0"
        first, stub = build.good("1.0.0"), build.stub("1.1.0", "order-intake")
        site.write_manifest("v1", first)
        site.write_manifest("v1-stub", stub)
        site.did("release", "check", STACK)
        site.govern()
        site.make_ready(reboot=True)

        preview(site, "stage", "v1")
        said = site.run("release", "stage", STACK, "--plan", plan_of(site, "v1"))
        assert (said.code, "Nothing was changed." in said.err) == (4, True), said
        assert site.running("staging") == {}
        carry_out(site, "stage", "v1")
        assert_runs(site, "staging", first)
        assert shut(site, "v1") == {"smoke", "recert"}
        prove(site, "v1")
        carry_out(site, "promote", "v1")
        assert_runs(site, "production", first)
        assert staging.sh(f"stat -c '%a %U' {DIR}/.env") == "600 root\n"

        a_healthy_stub_goes_no_further_than_staging(site, stub)
        a_build_that_is_bad_in_production_goes_back_by_itself(site, build, first)
        a_release_goes_back_when_it_is_asked_to(site, build, first)

        status = site.did("release", "status", STACK)
        assert {place["environment"]: place["manifest"] for place in status["releases"][0]["environments"]} == {"staging": "v3", "production": "v1"}
        assert site.run("receipts", "verify").code == 0
        assert seen == [], "the token stood in arguments"
        own = {str(site.releases / STACK / f".env.{where}") for where in site.machines}
        assert set(found_below(site.token, site.site)) == own
        for host in (staging, production):
            held = host.run(["grep", "-rlF", site.token, DIR, "/var/lib/controlplane", "/tmp", "/root"]).stdout.split()
            assert set(held) <= {f"{DIR}/.env", *(path for path in held if path.startswith("/var/lib/controlplane/") and path.endswith(".env"))}, held


def a_healthy_stub_goes_no_further_than_staging(site: ReleaseSite, stub: dict[str, str]) -> None:
    carry_out(site, "stage", "v1-stub")
    assert site.running("staging") == stub
    report = site.did("release", "smoke", STACK, "--env", "staging", code=1)
    assert [test["outcome"] for test in report["tests"]].count("failed") == 3
    assert shut(site, "v1-stub") >= {"smoke"}


def a_build_that_is_bad_in_production_goes_back_by_itself(site: ReleaseSite, build: Builder, first: dict[str, str]) -> None:
    """It passes everything in staging."""
    orders = asked(site.machines["production"], "select count(*) from orders")
    site.write_manifest("v2", build.sleeper("2.0.0", migration=True), irreversible=[MIGRATION])
    carry_out(site, "stage", "v2")
    prove(site, "v2")
    result = carry_out(site, "promote", "v2", code=1)
    assert result["outcome"] == "rolled-back"
    assert "v2 was taken back by itself" in " ".join(result["messages"])
    assert MIGRATION in " ".join(result["messages"])
    # What is proven counts orders too.
    assert int(asked(site.machines["production"], "select count(*) from orders")[0]) > int(orders[0])
    assert_runs(site, "production", first)


def a_release_goes_back_when_it_is_asked_to(site: ReleaseSite, build: Builder, first: dict[str, str]) -> None:
    third = build.good("3.0.0", migration=True)
    site.write_manifest("v3", third, irreversible=[MIGRATION])
    carry_out(site, "stage", "v3")
    prove(site, "v3")
    carry_out(site, "promote", "v3")
    assert_runs(site, "production", third)
    told = site.did("release", "rollback", STACK, "--env", "production", "--dry-run", code=3)
    assert (told["leaves"], told["to"], told["not_undone"]) == ("v3", "v1", [f"{MIGRATION} (v3)"])
    assert site.running("production") == third
    assert site.did("release", "rollback", STACK, "--env", "production")["outcome"] == "rolled-back"
    assert_runs(site, "production", first)
    assert "0002-priority" in asked(site.machines["production"], "select name from migrations")


def test_what_would_lose_data_or_stand_half_way_is_refused_and_nothing_that_runs_is_touched(
    machine: Make, lab: Lab, registry: Registry, tmp_path: Path
) -> None:
    host, build = machine(services=False), Builder(registry, lab.home)
    give_docker_a_disk(host)
    registry.open_to(host)
    with ReleaseSite(tmp_path, host) as site:
        first = build.good("1.0.0")
        site.write_manifest("v1", first)
        carry_out(site, "stage", "v1")
        containers = host.sh("docker ps -q --no-trunc | sort")
        for case in (
            an_anonymous_volume_in_a_compose_file,
            an_anonymous_volume_of_an_image,
            a_bind_source_that_is_not_there,
            a_project_in_another_folder,
            a_registry_that_dies_in_the_middle,
            a_disk_that_is_full,
        ):
            case(site, build, registry)
            assert (host.sh("docker ps -q --no-trunc | sort"), site.running("staging")) == (containers, first), case.__name__
        assert host.sh("docker volume ls -q | sort").split() == ["storefront_objects", "storefront_postgres"]
        of_two_at_once_one_is_refused(site, build)


def refused(site: ReleaseSite, *words: str, code: int, told: str) -> None:
    """A verb that ends with that code says so much."""
    said = site.run("release", *words)
    assert (said.code, told in said.out + said.err) == (code, True), said


def an_anonymous_volume_in_a_compose_file(site: ReleaseSite, _build: Builder, _registry: Registry) -> None:
    file = site.releases / STACK / "compose.yml"
    text = file.read_text()
    file.write_text(text.replace('"objects:/data"', '"/data"'))
    refused(site, "stage", STACK, "--manifest", "v1", code=2, told="anonymous")
    file.write_text(text)


def an_anonymous_volume_of_an_image(site: ReleaseSite, build: Builder, _registry: Registry) -> None:
    site.write_manifest("v1-volume", build.good("1.2.0", volume="/srv/uploads"))
    preview(site, "stage", "v1-volume")
    refused(site, "stage", STACK, "--plan", plan_of(site, "v1-volume"), code=1, told="declares a volume at /srv/uploads")


def a_bind_source_that_is_not_there(site: ReleaseSite, _build: Builder, _registry: Registry) -> None:
    bound = [f"{STACK}/compose.yml", f"{STACK}/compose.production.yml"]
    site.write_spec(environments={"staging": site.environment("staging", compose=bound)})
    refused(site, "stage", STACK, "--manifest", "v1", code=4, told="/mnt/data/storefront/postgres")
    site.write_spec()


def a_project_in_another_folder(site: ReleaseSite, _build: Builder, _registry: Registry) -> None:
    policy = site.site / "policy.yml"
    text = policy.read_text()
    policy.write_text(text.replace(DIR, "/opt/stacks/shop"))
    refused(site, "stage", STACK, "--manifest", "v1", code=4, told=f"runs from {DIR}, not from /opt/stacks/shop")
    policy.write_text(text)


def a_registry_that_dies_in_the_middle(site: ReleaseSite, build: Builder, registry: Registry) -> None:
    site.write_manifest("v1-large", build.good("1.3.0", ballast=LARGE))
    preview(site, "stage", "v1-large")
    registry.stop_after(LARGE // 2)
    refused(site, "stage", STACK, "--plan", plan_of(site, "v1-large"), code=1, told="Nothing was changed.")
    assert registry.is_down()
    registry.start()


def a_disk_that_is_full(site: ReleaseSite, _build: Builder, _registry: Registry) -> None:
    fill(site.machines["staging"], leave=LARGE // 2)
    refused(site, "stage", STACK, "--plan", plan_of(site, "v1-large"), code=1, told="no space left")
    make_room(site.machines["staging"])


def of_two_at_once_one_is_refused(site: ReleaseSite, build: Builder) -> None:
    second = build.good("1.4.0")
    site.write_manifest("v2", second)
    preview(site, "stage", "v2")
    both = [site.start("release", "stage", STACK, "--plan", plan_of(site, name)) for name in ("v1-large", "v2")]
    said = [one.communicate(timeout=200) for one in both]
    assert sorted(one.returncode for one in both) == [0, 4], said
    refusal = next(words[1] for one, words in zip(both, said, strict=True) if one.returncode == 4)
    assert "Nothing was changed." in refusal
    won = next(name for one, name in zip(both, ("1.3.0", "1.4.0"), strict=True) if one.returncode == 0)
    assert_runs(site, "staging", second if won == "1.4.0" else build.good("1.3.0", ballast=LARGE))
