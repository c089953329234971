"""What would lose data or stand half-way in a release: each is refused or comes back clean, and nothing that runs is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.adapters.lab.lab import Lab
from tests.lab.conftest import LabMachine
from tests.lab.operating import Target
from tests.releases.builds import Builder
from tests.releases.hosts import fill, give_docker_a_disk, make_room
from tests.releases.registry import NAME, PASSWORD, USER, Registry
from tests.releases.site import DIR, STACK, ReleaseSite
from tests.releases.steps import assert_runs, carry_out, plan_of, preview

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
LARGE = 24 * 2**20


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
            # First, as long as nothing was tried over the first release.
            a_project_folder_that_was_renamed_on_the_host,
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
        a_controller_that_dies_is_followed_by_another(site, build)
        a_rollback_into_a_folder_that_was_renamed_is_refused(site)
        a_registry_that_asks_for_a_login_gives_to_who_is_logged_in_on_the_host(site, build, registry)


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


def a_project_folder_that_was_renamed_on_the_host(site: ReleaseSite, _build: Builder, _registry: Registry) -> None:
    """What runs goes on, of the same project; a new folder in its place would have no way back to it, and without its files none is taken down."""
    host = site.machines["staging"]
    host.sh(f"mv {DIR} {DIR}.renamed")
    refused(site, "stage", STACK, "--manifest", "v1", code=4, told=f"runs from {DIR}, which is not there: it was renamed or removed")
    told = f"runs from {DIR}, which is not there, and Compose takes it down by the files in it: move it back"
    refused(site, "rollback", STACK, "--env", "staging", "--dry-run", code=4, told=told)
    [status] = site.did("release", "status", STACK, code=3)["releases"]
    [seen] = status["environments"][0]["hosts"]
    assert (seen["verdict"], f"{DIR}/compose.yml is not what was deployed" in seen["reason"]) == ("DRIFTED", True), seen
    assert host.run(["test", "-e", DIR]).returncode == 1
    host.sh(f"mv {DIR}.renamed {DIR}")


def a_registry_that_dies_in_the_middle(site: ReleaseSite, build: Builder, registry: Registry) -> None:
    site.write_manifest("v1-large", build.good("1.3.0", ballast=LARGE))
    preview(site, "stage", "v1-large")
    registry.stop_after(LARGE // 2)
    refused(site, "stage", STACK, "--plan", plan_of(site, "v1-large"), code=1, told="Nothing was changed.")
    known = site.machines["staging"].sh("ls /var/lib/controlplane")
    assert registry.is_down()
    refused(site, "stage", STACK, "--manifest", "v1-large", code=4, told="is not here and can't be pulled: its registry does not answer")
    assert site.machines["staging"].sh("ls /var/lib/controlplane") == known
    registry.start()


def a_disk_that_is_full(site: ReleaseSite, _build: Builder, _registry: Registry) -> None:
    fill(site.machines["staging"], leave=LARGE // 2)
    refused(site, "stage", STACK, "--plan", plan_of(site, "v1-large"), code=1, told="no space left")
    make_room(site.machines["staging"])


def of_two_at_once_one_is_refused(site: ReleaseSite, build: Builder) -> None:
    second = build.good("1.4.0")
    site.write_manifest("v2", second)
    preview(site, "stage", "v2")
    both = {name: site.start("release", "stage", STACK, "--plan", plan_of(site, name)) for name in ("v1-large", "v2")}
    said = {name: one.end() for name, one in both.items()}
    assert sorted(one.code for one in said.values()) == [0, 4], said
    assert all("Nothing was changed." in one.err for one in said.values() if one.code == 4), said
    assert_runs(site, "staging", second if said["v2"].code == 0 else build.good("1.3.0", ballast=LARGE))


def a_controller_that_dies_is_followed_by_another(site: ReleaseSite, build: Builder) -> None:
    """It dies while Compose replaces containers: what goes on says so, goes on by the same command, and is done once."""
    third = build.good("1.5.0")
    site.write_manifest("v3", third)
    preview(site, "stage", "v3")
    words = ("release", "stage", STACK, "--plan", plan_of(site, "v3"))
    running = site.start(*words)
    Target(site.machines["staging"]).wait_for_phase("deploying", running=running)
    running.kill()
    [status] = site.did("release", "status", STACK, code=3)["releases"]
    assert "release stage" in str(status["environments"][0]["goes_on"]), status
    assert site.did(*words)["outcome"] == "done"
    assert_runs(site, "staging", third)
    containers = site.machines["staging"].sh("docker ps -q --no-trunc | sort")
    assert site.did(*words)["deployed"]["changed"] == []
    assert site.machines["staging"].sh("docker ps -q --no-trunc | sort") == containers


def a_rollback_into_a_folder_that_was_renamed_is_refused(site: ReleaseSite) -> None:
    host, runs = site.machines["staging"], site.running("staging")
    host.sh(f"mv {DIR} {DIR}.renamed")
    refused(site, "rollback", STACK, "--env", "staging", "--dry-run", code=4, told=f"{DIR}/.env was changed by somebody since this run")
    host.sh(f"mv {DIR}.renamed {DIR}")
    assert site.running("staging") == runs
    site.did("release", "rollback", STACK, "--env", "staging", "--dry-run", code=3)


def a_registry_that_asks_for_a_login_gives_to_who_is_logged_in_on_the_host(site: ReleaseSite, build: Builder, registry: Registry) -> None:
    """The login is Docker's own on the host; the password is in nothing of ours."""
    host, fourth = site.machines["staging"], build.good("1.6.0")
    runs = site.running("staging")
    site.write_manifest("v4", fourth)
    registry.ask_for_a_login()
    told = f"its registry asks for a login, and root has none there on this host: docker login {NAME}"
    refused(site, "stage", STACK, "--manifest", "v4", "--out", plan_of(site, "v4"), code=4, told=told)
    refused(site, "stage", STACK, "--plan", plan_of(site, "v4"), code=1, told=told)
    assert site.running("staging") == runs
    done = host.run(["env", "HOME=/root", "docker", "login", "--username", USER, "--password-stdin", NAME], stdin=PASSWORD.encode())
    assert done.returncode == 0, done
    preview(site, "stage", "v4")
    assert site.did("release", "stage", STACK, "--plan", plan_of(site, "v4"))["outcome"] == "done"
    assert_runs(site, "staging", fourth)
