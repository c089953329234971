"""What is brought to a host shares nothing with other releases there: told by `release check`, and nothing is staged or promoted past it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.adapters.release_files import ReleaseFolder
from controlplane.adapters.site_files import SiteFolder
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.releases.values import EnvironmentName
from controlplane.usecases.judge_release import judge_environment, sound_views
from tests.fakes.release_site import FILES, REAL, make_site, write

SECOND = "web1:\n    tier: boot-only\n    stacks: [{project: store, dir: /opt/stacks/store}, "


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_site(tmp_path / "site")


def second_stack(site: Path, project: str, data: str) -> None:
    """Write a stack that has production alone, on the host of the first."""
    text = FILES["releases/shop.yml"].replace("shop/", "store/").replace("registry.example.org/store/", "registry.example.org/shop/")
    start, end = text.index("  staging:"), text.index("  production:")
    write(site, "releases/store.yml", (text[:start] + text[end:]).replace("project: shop\n", f"project: {project}\n"))
    for name in ("compose.yml", "compose.production.yml", ".env.production.example", "smoke/test_web.py"):
        held = FILES[f"releases/shop/{name}"].replace("/srv/shop-production", data).replace("name: shop\n", f"name: {project}\n")
        write(site, f"releases/store/{name}", held.replace("container_name: web", "container_name: store"))
    write(site, "releases/store/.env.production", REAL["releases/shop/.env.production"].replace("/srv/shop-production", data)).chmod(0o600)
    policy = FILES["policy.yml"].replace("web1:\n    tier: boot-only\n    stacks: [", SECOND)
    write(site, "policy.yml", policy.replace("boot_accepted: [", "boot_accepted: [{container: store, path: /data, reason: small}, "))


def refused(site: Path, stack: str, name: EnvironmentName) -> list[str]:
    """Return the faults with which a deployment is refused, from the site's folder."""
    files = ReleaseFolder(site)
    try:
        sound_views(files, stack, name, files.spec(stack), SiteFolder(site).read(run_inventory=False).desired().by_name())
    except InputInvalidError as refusal:
        return [str(fault).removeprefix(f"{site}/") for fault in refusal.faults]
    return []


def change(site: Path, name: str, old: str, new: str) -> None:
    path = site / "releases/shop" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def test_environments_with_places_of_their_own_may_be_brought(site: Path) -> None:
    assert refused(site, "shop", "staging") == refused(site, "shop", "production") == []


@pytest.mark.parametrize(
    ("line", "at", "what"),
    [
        ('["${DATA}:/data"]', 7, "/srv/shop-production"),
        ('["data:/data"]\nvolumes: {data: }', 7, "shop_data"),
    ],
)
def test_production_is_not_brought_with_data_on_the_boot_disk_that_the_policy_names_nowhere_and_staging_is_told_of_them(
    site: Path, line: str, at: int, what: str
) -> None:
    policy = FILES["policy.yml"].replace("container: web,", "container: other,")
    write(site, "policy.yml", policy)
    change(site, "compose.yml", '["${DATA}:/data"]', line)
    [told] = refused(site, "shop", "production")
    assert told == (
        f"releases/shop/compose.yml:{at}: services.web.volumes: {what} would lie on the boot disk of web1, and the policy names it nowhere, so that "
        "the host would not be ready (D236): mount it read-only, or name /data of web under boot_accepted, with why (policy.yml, hosts.web1)"
    )
    files = ReleaseFolder(site)
    judged = judge_environment(files, "shop", "staging", files.spec("shop"), SiteFolder(site).read(run_inventory=False).desired().by_name())
    assert judged.faults == ()
    [compose] = [part for part in judged.parts if part.what == "compose files"]
    assert compose.told.endswith("; on the boot disk, and named nowhere in the policy, so that D236 will drift there: web1 web /data")


class Counting(ReleaseFolder):
    """Notes what is covered beyond what each file covers of its own faults."""

    covered: list[str]

    def covering(self) -> Callable[[str], str]:
        covers = super().covering()
        return lambda text: self.covered.append(text) or covers(text)  # type: ignore[func-returns-value]


def test_each_fault_is_covered_once(site: Path) -> None:
    services = "".join(f"  s{number}:\n    image: i\n    restart: bad-{number}\n" for number in range(50))
    change(site, "compose.yml", "services:\n", f"services:\n{services}")
    files = Counting(site)
    files.covered = []
    judged = judge_environment(files, "shop", "staging", files.spec("shop"), SiteFolder(site).read(run_inventory=False).desired().by_name())
    told = [fault.message for fault in judged.faults if "'bad-7'" in fault.message]
    # Both environments read the file.
    assert len(told) == 1
    assert files.covered.count(told[0]) == 2


def test_neither_environment_is_brought_while_both_write_to_one_directory(site: Path) -> None:
    for name in (".env.production.example", ".env.production"):
        change(site, name, "/srv/shop-production", "/srv/shop/production")
    [staging], [production] = refused(site, "shop", "staging"), refused(site, "shop", "production")
    assert staging.startswith("releases/shop.yml:7: environments.staging.compose: binds /srv/shop on web1, and /srv/shop/production production does")
    assert production.startswith("releases/shop.yml:13: environments.production.compose: binds /srv/shop/production on web1, and /srv/shop staging")


def test_neither_environment_is_brought_while_both_have_one_volume(site: Path) -> None:
    change(site, "compose.yml", '["${DATA}:/data"]', '["data:/data"]\nvolumes: {data: {name: shop_data}}')
    [staging], [production] = refused(site, "shop", "staging"), refused(site, "shop", "production")
    assert "environments.staging.compose: mounts the volume shop_data on web1, as production does: give each its own" in staging
    assert "environments.production.compose: mounts the volume shop_data on web1, as staging does: give each its own" in production


def test_a_volume_that_each_project_has_under_its_own_name_is_two(site: Path) -> None:
    change(site, "compose.yml", '["${DATA}:/data"]', '["data:/data"]\nvolumes: {data: }')
    assert refused(site, "shop", "staging") == []


def test_neither_of_two_stacks_is_brought_while_both_write_to_one_directory(site: Path) -> None:
    second_stack(site, "store", "/srv/shop-production")
    assert refused(site, "shop", "staging") == []
    [shop], [store] = refused(site, "shop", "production"), refused(site, "store", "production")
    assert "environments.production.compose: binds /srv/shop-production on web1, as store (production) does" in shop
    assert "environments.production.compose: binds /srv/shop-production on web1, as shop (production) does" in store


def test_neither_of_two_stacks_is_brought_while_they_have_one_project(site: Path) -> None:
    second_stack(site, "shop", "/srv/store")
    told = "is the project of {} on web1 too, and each would remove the other's services: give each its own"
    assert refused(site, "shop", "production") == [f"releases/shop.yml:12: environments.production.project: {told.format('store')}"]
    assert refused(site, "store", "production") == [f"releases/store.yml:6: environments.production.project: {told.format('shop')}"]
    assert refused(site, "shop", "staging") == []


def test_a_neighbour_whose_files_have_faults_is_named_and_in_nobodys_way(site: Path) -> None:
    write(site, "releases/store.yml", "goal: [")
    write(site, "releases/shop/.env.production.example", "A=1\n")
    files = ReleaseFolder(site)
    judged = judge_environment(files, "shop", "staging", files.spec("shop"), SiteFolder(site).read(run_inventory=False).desired().by_name())
    [beside] = [part for part in judged.parts if part.what == "neighbours"]
    assert (beside.faults, beside.doubts) == ((), ())
    assert beside.told.endswith("not judged, as their files have faults: store, production")
    assert refused(site, "shop", "staging") == []
