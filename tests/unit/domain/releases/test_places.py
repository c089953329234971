"""What a project mounts lies where the policy of its host allows it."""

from __future__ import annotations

import pytest

from controlplane.domain.desired import DesiredHost
from controlplane.domain.releases.compose_view import Bind, ComposeView, NamedVolume, ServiceView
from controlplane.domain.releases.places import place_faults, unnamed_of, volume_doubt
from controlplane.domain.releases.values import EnvironmentName

DISK = {"serial": "DATA0001", "min_size": 10**9, "max_size": 10**10, "filesystem": "ext4", "mount": "/mnt/data"}
ON_DISK = DesiredHost.model_validate(
    {
        "host": "data1",
        "tier": "d",
        "data": "disk",
        "disks": [DISK],
        "boot_accepted": [{"container": "shop-web-1", "path": "/run/web", "reason": "small"}],
    }
)
ON_BOOT = DesiredHost.model_validate({"host": "apps1", "tier": "b", "data": "boot"})
ON_NFS = DesiredHost.model_validate(
    {
        "host": "nfs1",
        "tier": "n",
        "data": "nfs",
        "nfs": [{"source": "nas:/a", "mount": "/mnt/rw", "mode": "rw"}, {"source": "nas:/b", "mount": "/mnt/ro", "mode": "ro"}],
    }
)


def told(
    host: DesiredHost,
    source: str,
    *,
    read_only: bool = False,
    target: str = "/x",
    container: str | None = None,
    environment: EnvironmentName = "production",
) -> str:
    bind = Bind(source=source, target=target, read_only=read_only, file="compose.yml", line=7)
    view = ComposeView(
        project="shop",
        dir="/opt/stacks/shop",
        services=(ServiceView(name="web", image=None, container=container, networks=(), binds=(bind,)),),
    )
    found = [str(fault) for fault in place_faults(view, host, environment)]
    assert len(found) <= 1
    return found[0].removeprefix("compose.yml:7: services.web.volumes: ") if found else ""


@pytest.mark.parametrize(
    ("host", "source", "read_only", "why"),
    [
        (ON_BOOT, "/opt/stacks/shop/runtime", False, "/opt/stacks/shop/runtime would lie on the boot disk of apps1, and the policy names it nowhere"),
        (ON_BOOT, "/srv/x", False, "/srv/x would lie on the boot disk of apps1, and the policy names it nowhere"),
        (ON_BOOT, "/srv/x", True, ""),
        (ON_BOOT, "/etc/x", False, "/etc/x lies in /etc, which belongs to the system"),
        (ON_BOOT, "/var/lib", False, "/var/lib belongs to the system"),
        (ON_BOOT, "/srv/a b;c", False, "/srv/a b;c holds ';'"),
        (ON_BOOT, "/etc/localtime", True, ""),
        (ON_BOOT, "/var/run/docker.sock", True, "/var/run/docker.sock lies in /var/run, where reading is acting"),
        (ON_BOOT, "/run/docker.sock", True, "/run/docker.sock lies in /run, where reading is acting"),
        (ON_BOOT, "/dev", True, "/dev lies in /dev, where reading is acting"),
        (ON_BOOT, "/opt/stacks/shop", True, "/opt/stacks/shop holds the project's own files, its secrets among them"),
        (ON_BOOT, "/opt", False, "/opt holds the project's own files"),
        (ON_BOOT, "/", True, "/ holds the project's own files"),
        (ON_DISK, "/mnt/data/shop", False, ""),
        (ON_DISK, "/mnt/data", False, "/mnt/data would lie on the boot disk of data1: bind a directory below /mnt/data"),
        (ON_DISK, "/srv/shop", False, "/srv/shop would lie on the boot disk of data1: bind a directory below /mnt/data"),
        (ON_DISK, "/srv/shop", True, ""),
        (ON_NFS, "/mnt/rw/shop", False, ""),
        (ON_NFS, "/mnt/ro/shop", False, "/mnt/ro/shop would lie on the boot disk of nfs1: bind a directory below /mnt/rw"),
    ],
)
def test_a_bind_is_judged_by_the_policy_of_its_host(host: DesiredHost, source: str, read_only: bool, why: str) -> None:
    found = told(host, source, read_only=read_only)
    assert found.startswith(why)
    assert bool(found) == bool(why)


SAID = {"container": "web", "path": "/x"}


@pytest.mark.parametrize(
    ("said", "source", "refused"),
    [
        ({}, "/srv/x", True),
        ({"boot_accepted": [{**SAID, "reason": "small"}]}, "/srv/x", False),
        ({"write_surfaces": [{**SAID, "place": "/srv/x"}]}, "/srv/x", False),
        ({"services": {"web": {"kind": "files", "data": "/x/below", "place": "/srv/x"}}}, "/srv/x", False),
        ({"services": {"web": {"kind": "files", "data": "/x", "place": "/srv/other"}}}, "/srv/x", True),
        ({"services": {"other": {"kind": "files", "data": "/x", "place": "/srv/x"}}}, "/srv/x", True),
        ({"disks": [DISK]}, "/mnt/data/x", False),
    ],
)
def test_what_stays_on_the_boot_disk_has_to_be_named_before_production_has_it(said: dict[str, object], source: str, refused: bool) -> None:
    host = DesiredHost.model_validate({"host": "apps1", "tier": "b", "data": "boot", **said})
    assert bool(told(host, source, container="web")) is refused
    # Staging may have it, and is told.
    assert told(host, source, container="web", environment="staging") == ""
    bind = Bind(source=source, target="/x", read_only=False, file="compose.yml", line=7)
    view = ComposeView(
        project="shop", dir="/opt/stacks/shop", services=(ServiceView(name="web", image=None, container="web", networks=(), binds=(bind,)),)
    )
    assert unnamed_of(view, host) == (("web /x",) if refused else ())


@pytest.mark.parametrize(
    ("host", "environment", "why"),
    [
        (
            ON_BOOT,
            "production",
            "compose.yml:9: services.web.volumes: shop_cache would lie on the boot disk of apps1, and the policy names it nowhere",
        ),
        (ON_NFS, "production", "compose.yml:9: services.web.volumes: shop_cache would lie on the boot disk of nfs1, and the policy names it nowhere"),
        (ON_BOOT, "staging", ""),
        (ON_NFS, "staging", ""),
        # Of a disk's host it is told once for all volumes.
        (ON_DISK, "production", ""),
    ],
)
def test_a_named_volume_lies_in_dockers_root_and_is_judged_there(host: DesiredHost, environment: EnvironmentName, why: str) -> None:
    volume = NamedVolume(key="cache", name="shop_cache", target="/cache", read_only=False, file="compose.yml", line=9)
    view = ComposeView(project="shop", dir="/opt/s", services=(ServiceView(name="web", image=None, container=None, networks=(), volumes=(volume,)),))
    found = [str(fault) for fault in place_faults(view, host, environment)]
    assert len(found) == bool(why)
    assert "".join(found).startswith(why)


def test_what_the_policy_accepts_of_a_container_may_stay_on_the_boot_disk() -> None:
    assert told(ON_DISK, "/srv/shop", target="/run/web/x") == ""
    assert told(ON_DISK, "/srv/shop", target="/run/web/x", container="other").startswith("/srv/shop would lie on the boot disk")
    assert told(ON_DISK, "/srv/shop", target="/run/webs").startswith("/srv/shop would lie on the boot disk")


def test_named_volumes_of_a_host_with_a_data_disk_need_dockers_root_there() -> None:
    volume = NamedVolume(key="cache", name="shop_cache", target="/cache", read_only=False)
    view = ComposeView(project="shop", dir="/opt/s", services=(ServiceView(name="web", image=None, container=None, networks=(), volumes=(volume,)),))
    assert volume_doubt(view, ON_DISK).startswith("shop_cache would lie on the boot disk of data1: name docker.data_root")
    assert volume_doubt(view, ON_BOOT) == ""
    rooted = ON_DISK.model_copy(update={"docker": ON_DISK.docker.model_copy(update={"data_root": "/mnt/data/docker"})})
    assert volume_doubt(view, rooted) == ""
