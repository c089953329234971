"""What speaks against a release: each doubt by its name, and nothing against what is as it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command, stack_containers, stack_judge, stack_names, stack_places
from controlplane_target.faults import RefusedFault
from controlplane_target.mounts import Mount
from controlplane_target.stack_judge import Bind
from controlplane_target.stack_request import Request, parse

from controlplane.adapters.release_files import ReleaseFolder
from controlplane.domain.releases.compose_keys import why_of_the_host
from controlplane.domain.releases.values import EnvironmentName
from tests.unit.roles.stack_host import DIGEST, ref

CHECK = {"test": ["CMD", "true"], "interval": "1s"}
TEXT = "name: shop\nservices: {web: {image: x}}\n"


def asked(**changes: Any) -> dict[str, Any]:
    plain = {
        "stack": "shop",
        "environment": "staging",
        "manifest": "sha256:1",
        "manifest_name": "v1",
        "project": "shop",
        "dir": "/opt/stacks/shop",
        "files": [{"name": "compose.yml", "text": TEXT}],
        "images": {"web": ref("web")},
        "env_digest": DIGEST,
        "places": [],
        "wait_s": 60,
        "told": {"release": {"env": "WORD=canary\n", "digest": DIGEST}},
    }
    return plain | changes


def request(**changes: Any) -> Request:
    return parse(asked(**changes))


def config(**service: Any) -> dict[str, Any]:
    return {"name": "shop", "services": {"web": {"restart": "always", "healthcheck": CHECK, **service}}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"told": {}}, "its environment file did not come along"),
        ({"told": {"release": {"env": "WORD=canary\n", "digest": "hmac-sha256:0"}}}, "is not the one that the plan was made with"),
        (
            {"told": {"release": {"why": "the environment file /x has mode 0644"}}},
            "compose_stack refused for shop: the environment file /x has mode 0644",
        ),
    ],
)
def test_another_environment_file_than_the_plan_s_is_refused_and_none_of_it_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedFault, match=said) as told:
        request(**changes)
    assert "canary" not in str(told.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"dir": "stacks"},
        {"dir": "/opt/../etc"},
        {"dir": "/"},
        {"project": "Shop"},
        {"files": []},
        {"files": [{"name": "../compose.yml", "text": ""}]},
        {"files": [{"name": ".env", "text": ""}]},
        {"files": [{"name": "compose.release.yml", "text": ""}]},
        {"files": [{"name": "a.yml", "text": ""}, {"name": "a.yml", "text": ""}]},
        {"images": {}},
        {"images": {"web": "shop/web:1"}},
        {"images": {"we\nb": ref("web")}},
        {"manifest_name": "v1\nservices:"},
        {"places": ["data"]},
        {"image": {}},
    ],
)
def test_a_request_that_is_none_is_no_request(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        request(**changes)


def test_the_images_come_last_and_a_service_s_name_is_no_other_word_of_yaml() -> None:
    held = request(images={"on": ref("web"), "1.0": ref("db")})
    assert list(held.contents) == [".env", "compose.yml", "compose.release.yml"]
    assert held.contents["compose.release.yml"].decode().partition("services:\n")[2] == (
        f'  "1.0":\n    image: "{ref("db")}"\n  "on":\n    image: "{ref("web")}"\n'
    )
    assert held.as_told.argv("config")[2:] == [
        *("--project-name", "shop", "--project-directory", "/opt/stacks/shop"),
        *("--file", "/opt/stacks/shop/compose.yml", "--file", "/opt/stacks/shop/compose.release.yml"),
        *("--env-file", "/opt/stacks/shop/.env", "config"),
    ]


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"restart": None}, "web has no restart policy"),
        ({"restart": "no"}, "web has no restart policy"),
        ({"deploy": {"restart_policy": {"condition": "none"}}}, "web has no restart policy"),
        ({"restart": "on-failure"}, "web has the restart policy on-failure, so it stays down after a reboot"),
        ({"restart": "on-failure:3"}, "web has the restart policy on-failure:3, so it stays down after a reboot"),
        ({"deploy": {"restart_policy": {"condition": "on-failure"}}}, "web has the restart policy on-failure"),
        ({"healthcheck": {"disable": True}}, "web has no healthcheck"),
        ({"healthcheck": {"test": ["NONE"]}}, "web has no healthcheck"),
        ({"build": {"context": "."}}, "web has a build"),
        ({"volumes": [{"type": "volume", "target": "/data"}]}, "web has an anonymous volume at /data"),
    ],
)
def test_each_doubt_about_a_service_is_told(service: dict[str, Any], said: str) -> None:
    [found] = stack_judge.of_the_stack(config(**service))
    assert found.startswith(said)


@pytest.mark.parametrize(
    "service",
    [
        {},
        {"restart": "unless-stopped"},
        {"restart": None, "deploy": {"restart_policy": {"condition": "any"}}},
        # Its image may have one.
        {"healthcheck": None},
        {"healthcheck": {"interval": "5s"}},
        {"volumes": [{"type": "volume", "source": "kept", "target": "/data"}, {"type": "tmpfs", "target": "/memory"}]},
    ],
)
def test_nothing_speaks_against_what_is_as_it_should_be(service: dict[str, Any]) -> None:
    assert stack_judge.of_the_stack(config(**service)) == []


def test_an_image_s_healthcheck_counts_unless_the_service_has_none_or_its_own() -> None:
    checked, bare, off = ({"Config": {"Healthcheck": held}} for held in ({"Test": ["CMD", "true"]}, None, {"Test": ["NONE"]}))
    without = config(healthcheck=None)["services"]["web"]
    assert stack_judge.of_the_image("web", without, checked) == []
    assert [stack_judge.of_the_image("web", without, image)[0][:22] for image in (bare, off)] == ["web has no healthcheck"] * 2
    assert stack_judge.of_the_image("web", config()["services"]["web"], bare) == []


def test_an_image_s_volume_at_which_nothing_is_mounted_is_an_anonymous_one() -> None:
    """PostgreSQL 18 declares another path than the one that the old file mounts."""
    image = {"Config": {"Volumes": {"/var/lib/postgresql": {}, "/cache/": {}}}}
    mounted = [{"type": "bind", "source": "/mnt/data/db", "target": "/var/lib/postgresql/data"}]
    found = stack_judge.of_the_image("web", config(volumes=mounted, tmpfs=["/cache:size=1m"])["services"]["web"], image)
    assert [one.partition(", and")[0] for one in found] == ["the image of web declares a volume at /var/lib/postgresql"]


def test_what_a_stack_binds_is_each_path_that_a_volume_a_secret_or_a_service_names() -> None:
    read = {
        **config(volumes=[{"type": "bind", "source": "/a", "target": "/a"}, {"type": "bind", "source": "/b", "target": "/b", "read_only": True}]),
        "volumes": {"bound": {"driver_opts": {"o": "bind", "device": "/c/"}}, "kept": None},
        "secrets": {"key": {"file": "/d"}, "told": {"environment": "WORD"}},
    }
    assert stack_judge.binds(read) == [
        Bind("/a", "web", True),
        Bind("/b", "web", False),
        Bind("/c", "volume bound", True),
        Bind("/d", "secret key", False),
    ]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["services: {}\n"], "no compose file has a name of its own"),
        (["name: ${NAME}\n"], "takes the project's name from a variable (${NAME})"),
        (["name: other\n"], "names the project other, not shop"),
        ([TEXT, "name: other\n"], "b.yml names the project other, not shop"),
        (["name: shop\nname: other\n"], "the file has name twice"),
        (["name: other\n", "name: ${NAME}\n"], "b.yml takes the project's name from a variable (${NAME})"),
    ],
)
def test_a_name_that_is_not_surely_the_project_s_is_refused(texts: list[str], said: str) -> None:
    files = [{"name": f"{letter}.yml", "text": text} for letter, text in zip("ab", texts, strict=False)]
    [found] = stack_names.of_the_name(request(files=files), None)
    assert said in found


def test_of_several_files_the_last_one_that_has_a_name_counts() -> None:
    texts = ["name: shop-staging\n", TEXT, "services: {}\n"]
    files = [{"name": f"{letter}.yml", "text": text} for letter, text in zip("abc", texts, strict=True)]
    assert stack_names.of_the_name(request(files=files), "shop") == []


def shipped() -> list[tuple[Path, str, EnvironmentName]]:
    """Return each environment of each release of the sites that are shipped."""
    sites = sorted(path for path in (Path(__file__).parents[3] / "inventory").iterdir() if path.is_dir())
    found = [
        (site, stack, where) for site in sites for stack in ReleaseFolder(site).stacks() for where in ReleaseFolder(site).spec(stack).environments
    ]
    assert (sites[-1], "storefront", "production") in found
    return found


@pytest.mark.parametrize(("site", "stack", "where"), shipped())
def test_the_name_of_each_shipped_release_is_the_one_that_its_host_takes(site: Path, stack: str, where: EnvironmentName) -> None:
    releases = ReleaseFolder(site)
    project = releases.spec(stack).environments[where].project
    files = [one.model_dump() for one in releases.compose(stack, where)]
    assert stack_names.of_the_name(request(project=project, files=files), project) == []


def test_what_compose_reads_as_the_name_counts_as_well() -> None:
    assert stack_names.of_the_name(request(), "shop") == []
    assert stack_names.of_the_name(request(), "other") == ["Compose reads the project's name as other, not shop as the files say"]


def test_each_bind_source_has_to_be_there_and_where_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, link, away = tmp_path / "place", tmp_path / "link", tmp_path / "away"
    place.mkdir()
    link.symlink_to(place)
    monkeypatch.setattr(stack_places, "FSTAB", tmp_path / "fstab")
    assert stack_places.of_the_binds([Bind(str(place), "web", True), Bind(str(link), "web", False)], [str(place)]) == []
    found = stack_places.of_the_binds([Bind(str(link), "web", True), Bind(str(away), "web", True), Bind(str(away), "db", False)], [])
    assert [one.partition(":")[0] for one in found] == [
        f"{away}, which web, db binds, is not there, and Docker would make it, empty, on the disk that is",
        f"{link}, which web binds, leads to {place} by a symbolic link",
    ]
    (tmp_path / "fstab").write_text(f"# data\nUUID=1 {tmp_path} ext4 nofail 0 2\nUUID=2 {tmp_path}/other ext4 noauto 0 2\n")
    [found] = stack_places.of_the_binds([], [str(place)])
    assert f"and {tmp_path}, where it belongs by {tmp_path}/fstab, is not mounted" in found
    disk = Mount("8:1", "/", str(tmp_path), "ext4", "/dev/sda1", "rw", False)
    monkeypatch.setattr(stack_places.mounts, "read", lambda: [Mount("8:0", "/", "/", "ext4", "/dev/sda0", "rw", False), disk])
    assert stack_places.of_the_binds([], [str(place)]) == []


def test_a_bind_that_may_be_written_to_has_to_be_a_place_of_the_plan() -> None:
    mounts = [
        {"type": "bind", "source": "/root/uploads", "target": "/a"},
        {"type": "bind", "source": "/mnt/data/web", "target": "/b"},
        {"type": "bind", "source": "/etc/web", "target": "/c", "read_only": True},
        {"type": "volume", "source": "bound", "target": "/d"},
    ]
    bound = {name: {"driver_opts": {"o": "bind", "device": f"/srv/{name}"}} for name in ("bound", "unused")}
    found = stack_places.unplanned(stack_judge.written({**config(volumes=mounts), "volumes": bound}), ["/mnt/data/web"])
    assert [one.partition(", so")[0] for one in found] == [
        "/root/uploads, which web binds and may write to, is no place that the plan names",
        "/srv/bound, which volume bound binds and may write to, is no place that the plan names",
    ]


def test_every_variable_that_compose_gets_here_is_refused_by_the_controller() -> None:
    assert [name for name in command.ENVIRONMENT if not why_of_the_host(name)] == []


def container(name: str, **more: Any) -> dict[str, Any]:
    """Return a container of the project, made from its folder."""
    labels = {"project": "shop", "service": name, "project.working_dir": "/opt/stacks/shop", **more.pop("labels", {})}
    return {
        "Id": f"id-{name}",
        "Name": f"/{name}",
        "Image": "sha256:1",
        "Config": {"Image": "x", "Labels": {f"com.docker.compose.{key}": value for key, value in labels.items() if value}},
        "HostConfig": {},
        "State": {"Running": True, "Health": {"Status": "healthy"}},
        "Mounts": [],
        **more,
    }


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([container("web", labels={"project.working_dir": "/opt/old"})], "web of project shop runs from /opt/old, not from /opt/stacks/shop"),
        ([container("web", labels={"project": "shops"})], "web of project shops runs from /opt/stacks/shop: under the name shop"),
        ([container("till", labels={"project": "", "service": ""})], "web is to be called till, and another container has that name"),
        (
            [container("web"), container("beside", labels={"project": ""}, HostConfig={"NetworkMode": "container:id-web"})],
            "beside lives in the namespaces of web",
        ),
        ([container("web", Mounts=[{"Type": "volume", "Name": "f" * 64, "Destination": "/data"}])], "web has data in an anonymous volume at /data"),
    ],
)
def test_each_container_that_stands_in_the_way_is_named(others: list[dict[str, Any]], said: str) -> None:
    [found] = stack_containers.in_the_way(others, config(container_name="till"), request())
    assert found.startswith(said)


def test_the_project_s_own_containers_and_strangers_are_in_nobody_s_way() -> None:
    named = [{"Type": "volume", "Name": "kept", "Destination": "/data"}]
    once = container("run", labels={"oneoff": "True", "project.working_dir": "/root"})
    others = [container("web", Mounts=named), once, container("stranger", labels={"project": "other", "project.working_dir": "/opt/other"})]
    assert stack_containers.in_the_way(others, config(), request()) == []
    assert [one.name for one in stack_containers.of_project(others, "shop")] == ["web"]


@pytest.mark.parametrize(
    ("state", "demand"),
    [
        ({"Running": True, "Health": {"Status": "healthy"}}, "healthy"),
        ({"Running": True, "Health": {"Status": "starting"}}, "healthy"),
        ({"Running": True}, "running"),
        ({"Running": True, "Health": {"Status": "unhealthy"}}, "nothing"),
        ({"Running": True, "Restarting": True}, "nothing"),
        ({"Running": False}, "nothing"),
    ],
)
def test_of_what_did_not_run_well_before_nothing_is_demanded_afterwards(state: dict[str, Any], demand: str) -> None:
    assert [one.demand for one in stack_containers.of_project([container("web", State=state)], "shop")] == [demand]
