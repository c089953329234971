"""The files of a release: read strictly and below releases/ alone, secrets from private files, and one field written without touching a byte beside."""

# ruff: noqa: E501 - messages stand whole, so that a search finds them

from __future__ import annotations

import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest

from controlplane.adapters.release_files import ReleaseFolder
from controlplane.adapters.release_key import keyed_digest
from controlplane.adapters.site_files import SiteFolder
from controlplane.domain.errors import InputInvalidError, RefusedError, RunFailedError
from controlplane.usecases.check_policy import check_policy
from tests.fakes.release_site import DIGEST, FILES, PASSWORD, make_site, write

MANIFEST = "releases/shop/manifests/one.yml"
RUN = "CAP-20260101-000000__release.smoke__R0abc"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return make_site(tmp_path / "site")


@pytest.fixture
def files(site: Path) -> ReleaseFolder:
    return ReleaseFolder(site)


def told(site: Path, call: object) -> list[str]:
    """Return the faults that a call is refused with, named from the site."""
    with pytest.raises(InputInvalidError) as refused:
        call()  # type: ignore[operator]
    return [str(fault).removeprefix(f"{site}/") for fault in refused.value.faults]


def policy_faults(site: Path) -> list[str]:
    return told(site, lambda: check_policy(SiteFolder(site), run_inventory=False))


def test_a_release_is_read_as_it_is_written(files: ReleaseFolder) -> None:
    assert files.stacks() == ("shop",)
    assert files.spec("shop").environments["staging"].env_file == "shop/.env.staging"
    assert [one.name for one in files.manifests("shop")] == ["one"]
    assert [(one.name, one.text) for one in files.compose("shop", "production")] == [
        ("compose.yml", FILES["releases/shop/compose.yml"]),
        ("compose.production.yml", FILES["releases/shop/compose.production.yml"]),
    ]
    assert [one.data["name"] for one in files.parsed("shop", "production")] == ["shop-staging", "shop"]
    assert files.contract("shop", "staging").secrets == {"PASSWORD"}
    assert files.env_file("shop", "staging") == "releases/shop/.env.staging"


def test_a_site_with_a_release_is_valid(site: Path) -> None:
    assert check_policy(SiteFolder(site), run_inventory=False).hosts == 1
    assert SiteFolder(site).read(run_inventory=False).governance.checked_releases()["shop"].loop == "LOOP-SHOP"


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("shop.yml", "goal:", "gaol:", "releases/shop.yml:1: gaol: unknown key: did you mean 'goal'?"),
        ("shop.yml", "hosts: [web1]\n    project: shop\n", "hosts: [web2]\n    project: shop\n", "releases/shop.yml:11: environments.production.hosts.0: web2 is no host of policy.yml"),
        ("shop.yml", "hosts: [web1]\n    project: shop\n", "hosts: [web1, web1]\n    project: shop\n", "releases/shop.yml:11: environments.production.hosts.1: web1 is named twice"),
        ("shop.yml", "project: shop\n", "project: store\n", "releases/shop.yml:12: environments.production.project: hosts.web1.stacks of policy.yml has no project store"),
        ("shop.yml", "project: shop-staging\n", "project: shop\n", "releases/shop.yml:12: environments.production.project: is the project of staging on web1 too"),
        ("shop.yml", "[shop/compose.yml]", "[shop/none.yml]", "releases/shop.yml:7: environments.staging.compose.0: shop/none.yml is no file below releases/"),
        ("shop.yml", "[shop/compose.yml]", "[../policy.yml]", "releases/shop.yml:7: environments.staging.compose.0: '../policy.yml' leaves the site folder"),
        ("shop.yml", "[shop/compose.yml]", "[/etc/compose.yml]", "releases/shop.yml:7: environments.staging.compose.0: /etc/compose.yml does not lie below releases/"),
        ("shop.yml", "[shop/compose.yml]", "[shop/compose.release.yml]", "releases/shop.yml:7: environments.staging.compose.0: compose.release.yml can't be a compose file's name"),
        ("shop.yml", "[shop/compose.yml]", "[shop/.env]", "releases/shop.yml:7: environments.staging.compose.0: .env can't be a compose file's name"),
        ("shop.yml", "[shop/compose.yml]", "[shop/compose.yml, compose.yml]", "releases/shop.yml:7: environments.staging.compose.1: is called as compose.0"),
        ("shop.yml", "contract: shop/.env.staging.example", "contract: shop/.env.production.example", "releases/shop.yml:8: environments.staging.contract: shop/.env.production.example is no contract of staging"),
        ("shop.yml", "[shop/smoke/test_web.py], urls: {web: \"http://10.0.0.1:81\"}", "[shop/smoke/web.py]", "releases/shop.yml:9: environments.staging.smoke.files.0: web.py is no pytest file"),
        ("shop.yml", "10.0.0.1:80", "10.0.0.1:81/", "releases/shop.yml:15: environments.production.smoke.urls.web: http://10.0.0.1:81/ is an address of staging too: name where production is reached"),
        ("shop.yml", "shop/web}", "shop/web:1}", "releases/shop.yml:2: images.web: registry.example.org/shop/web:1 has a tag or a digest"),
        ("shop.yml", "registry.example.org/shop/web}", "bot:Kanarienvogel@r.org/web}", "releases/shop.yml:2: images.web: …@r.org/web has a tag"),
        ("shop.yml", "pack: records", "pack: record", "releases/shop.yml:16: promotion.pack: there is no pack record in gates.yml"),
        ("shop.yml", "LOOP-SHOP", "LOOP-SHIP", "releases/shop.yml:17: loop: there is no LOOP-SHIP in registers/loops.yml"),
        ("shop.yml", "goal: the shop\n", "goal: the shop\ngoal: x\n", "releases/shop.yml:2: goal: is there twice"),
        ("shop/manifests/one.yml", "stack: shop", "stack: ship", "releases/shop/manifests/one.yml:2: stack: is ship, and the file lies among the manifests of shop"),
        ("shop/manifests/one.yml", "  web:", "  api:", "releases/shop/manifests/one.yml:5: images: lacks web, which releases/shop.yml releases"),
        ("shop/manifests/one.yml", "  web:", "  api:", "releases/shop/manifests/one.yml:6: images.api: is not released by releases/shop.yml"),
        ("shop/manifests/one.yml", "shop/web@", "other/web@", "releases/shop/manifests/one.yml:6: images.web: is of another repository than registry.example.org/shop/web"),
        ("shop/manifests/one.yml", f"@{DIGEST}", ":latest", "releases/shop/manifests/one.yml:6: images.web: 'registry.example.org/shop/web:latest' pins no image"),
        ("shop/manifests/one.yml", "stack:", "stak: x\nstack:", "releases/shop/manifests/one.yml:2: stak: unknown key"),
    ],
)  # fmt: skip
def test_a_fault_of_a_release_is_said_where_it_stands(site: Path, name: str, old: str, new: str, fault: str) -> None:
    text = FILES[f"releases/{name}"]
    assert old in text
    write(site, f"releases/{name}", text.replace(old, new, 1))
    found = policy_faults(site)
    assert any(one.startswith(fault) for one in found), found


def test_a_loop_that_was_absorbed_is_no_loop_of_a_release(site: Path) -> None:
    text = "loops:\n  LOOP-SHOP: {title: the shop, status: absorbed, absorbed_by: LOOP-ALL}\n  LOOP-ALL: {title: all of it}\n"
    write(site, "registers/loops.yml", text)
    found = policy_faults(site)
    assert found == ["releases/shop.yml:17: loop: LOOP-SHOP was absorbed by LOOP-ALL, and its gaps with it: name that one"]
    write(site, "registers/loops.yml", "loops: {LOOP-SHOP: {title: the shop, status: closed, closed: {at: now, by: ops}}}\n")
    assert check_policy(SiteFolder(site), run_inventory=False)


def test_a_second_stack_may_not_have_the_first_ones_project_and_both_are_told(site: Path) -> None:
    write(site, "releases/store.yml", FILES["releases/shop.yml"])
    told = "environments.{}.project: is the project of {} on web1 too"
    for stack, other in (("shop", "store"), ("store", "shop")):
        for name, line in (("staging", 6), ("production", 12)):
            assert any(fault.startswith(f"releases/{stack}.yml:{line}: {told.format(name, other)}") for fault in policy_faults(site))


def test_a_file_that_is_called_as_no_stack_or_manifest_is_a_fault(site: Path) -> None:
    write(site, "releases/My Shop.yml", FILES["releases/shop.yml"])
    write(site, "releases/shop/manifests/One.yml", FILES[MANIFEST])
    found = policy_faults(site)
    assert any(one.startswith("releases/My Shop.yml: 'My Shop' is no name of a stack") for one in found)
    assert any(one.startswith("releases/shop/manifests/One.yml: 'One' is no name of a manifest") for one in found)


def test_a_file_that_leads_out_of_releases_is_refused(site: Path) -> None:
    outside = write(site, "elsewhere.yml", "name: x\n")
    (site / "releases/shop/compose.yml").unlink()
    (site / "releases/shop/compose.yml").symlink_to(outside)
    assert any("shop/compose.yml leads out of releases/ by a symbolic link" in fault for fault in policy_faults(site))


def test_what_is_not_there_is_told_with_what_there_is(site: Path, files: ReleaseFolder) -> None:
    assert told(site, lambda: files.spec("shpo")) == ["releases: there is no stack shpo: write shpo.yml there, or name one of shop"]
    assert told(site, lambda: files.manifest("shop", "two")) == [
        "releases/shop/manifests: there is no manifest two: write two.yml there, or name one of one"
    ]
    assert told(site, lambda: files.manifest("shop", "../../shop"))[0].startswith("releases/shop/manifests: there is no manifest ../../shop")


def test_manifests_come_in_the_order_in_which_they_were_built(site: Path, files: ReleaseFolder) -> None:
    for name, moment in (("a", "2026-03-01T00:00:00+02:00"), ("b", "2026-02-28T23:00:00Z"), ("c", "2025-12-31T00:00:00Z")):
        write(site, f"releases/shop/manifests/{name}.yml", FILES[MANIFEST].replace("2026-01-01T00:00:00Z", moment))
    assert [one.name for one in files.manifests("shop")] == ["c", "one", "a", "b"]


def test_another_manifests_fault_is_not_in_the_way_of_one(site: Path, files: ReleaseFolder) -> None:
    write(site, "releases/shop/manifests/two.yml", "stack: [\n")
    assert files.manifest("shop", "one").manifest.commit == "0123abc"
    assert told(site, lambda: files.manifests("shop"))[0].startswith("releases/shop/manifests/two.yml:2: ")


def test_the_digests_of_smoke_tests_are_of_all_that_decides_what_they_ask(site: Path, files: ReleaseFolder) -> None:
    decide = ["conftest.py", "shop/smoke/conftest.py", "shop/smoke/flow.py", "shop/smoke/test_web.py"]
    for name in (*decide, "shop/smoke/test_of_nobody.py", "shop/other/flow.py", "../conftest.py"):
        write(site, f"releases/{name}", "# first\n")
    before = files.smoke_digests("shop", "staging")
    assert list(before) == decide
    assert set(before.values()) == {hashlib.sha256(b"# first\n").hexdigest()}
    for name in decide:
        write(site, f"releases/{name}", "# second\n")
        assert files.smoke_digests("shop", "staging")[name] == hashlib.sha256(b"# second\n").hexdigest()


def test_a_module_beside_smoke_tests_that_can_t_be_read_is_told(site: Path, files: ReleaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert told(site, lambda: files.smoke_digests("shop", "staging")) == [
        "releases/shop/smoke/test_web.py: can't be read (Permission denied): check its owner and mode"
    ]


def test_marking_a_manifest_as_tested_adds_one_line_and_leaves_every_other_byte(site: Path, files: ReleaseFolder) -> None:
    before = files.manifest("shop", "one").manifest.digest
    files.mark_tested("shop", "one", RUN)
    assert (site / MANIFEST).read_text() == f"{FILES[MANIFEST]}tested_by: {RUN}\n"
    files.mark_tested("shop", "one", RUN.replace("abc", "abd"))
    assert (site / MANIFEST).read_text() == f"{FILES[MANIFEST]}tested_by: {RUN.replace('abc', 'abd')}\n"
    assert files.manifest("shop", "one").manifest.digest == before


def test_marking_leaves_the_mode_and_refuses_a_link(site: Path, files: ReleaseFolder) -> None:
    path = site / MANIFEST
    path.chmod(0o640)
    files.mark_tested("shop", "one", RUN)
    assert path.stat().st_mode & 0o777 == 0o640
    path.rename(path.with_name("real.yml"))
    path.symlink_to("real.yml")
    with pytest.raises(RefusedError, match=r"is a symbolic link.*Nothing was changed"):
        files.mark_tested("shop", "one", RUN)


def test_the_text_of_the_environment_file_is_given_as_it_is(files: ReleaseFolder) -> None:
    assert files.env_text("shop", "staging") == f"DATA=/srv/shop\nPASSWORD={PASSWORD}\n"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700, 0o620])
def test_an_environment_file_that_others_may_use_is_refused_by_its_mode(site: Path, files: ReleaseFolder, mode: int) -> None:
    (site / "releases/shop/.env.staging").chmod(mode)
    assert told(site, lambda: files.env_text("shop", "staging"))[0].startswith(f"releases/shop/.env.staging: has mode {mode:04o}")
    text, faults = files.env_seen("shop", "staging")
    assert (text is not None, len(faults)) == (True, 1)


def test_an_environment_file_that_is_none_is_refused(site: Path, files: ReleaseFolder) -> None:
    path = site / "releases/shop/.env.staging"
    path.write_bytes(b"A=\xff\n")
    assert told(site, lambda: files.env_text("shop", "staging")) == ["releases/shop/.env.staging:1: is not UTF-8: save it as UTF-8"]
    path.write_bytes(b"x" * (256 * 1024 + 1))
    assert told(site, lambda: files.env_text("shop", "staging"))[0].startswith("releases/shop/.env.staging: is larger than 256 KiB")
    path.rename(path.with_name("real"))
    path.symlink_to("real")
    assert told(site, lambda: files.env_text("shop", "staging")) == ["releases/shop/.env.staging: is a symbolic link: put the file itself there"]
    path.unlink()
    assert told(site, lambda: files.env_text("shop", "staging"))[0].startswith("releases/shop/.env.staging: does not exist: copy its contract there")
    os.mkfifo(path)
    assert told(site, lambda: files.env_text("shop", "staging")) == ["releases/shop/.env.staging: is no regular file: write one"]


def test_an_environment_file_behind_a_linked_folder_is_refused(site: Path, files: ReleaseFolder, tmp_path: Path) -> None:
    (site / "releases/shop").rename(tmp_path / "away")
    (site / "releases/shop").symlink_to(tmp_path / "away")
    assert any("leads out of releases/ by a symbolic link" in fault for fault in told(site, lambda: files.env_text("shop", "staging")))


def test_the_digest_tells_a_change_and_no_value(site: Path, files: ReleaseFolder) -> None:
    first = files.env_digest("shop", "staging")
    assert first.startswith("hmac-sha256:")
    assert first == ReleaseFolder(site).env_digest("shop", "staging")
    (site / "releases/shop/.env.staging").write_text("A=1\n")
    assert files.env_digest("shop", "staging") != first
    key = site / "state/release-key"
    assert (key.stat().st_mode & 0o777, len(key.read_bytes())) == (0o600, 32)


def test_two_sites_have_digests_that_tell_nothing_of_each_other(tmp_path: Path) -> None:
    assert keyed_digest(tmp_path / "a", b"x") != keyed_digest(tmp_path / "b", b"x")


def _digest(state: str) -> str:
    return keyed_digest(Path(state), b"x")


def test_processes_that_need_the_first_key_at_once_agree_on_one(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(_digest, [str(tmp_path / "state")] * 12))) == 1


def test_a_key_that_is_none_or_that_others_read_is_refused(tmp_path: Path) -> None:
    _digest(str(tmp_path))
    (tmp_path / "release-key").chmod(0o644)
    assert told(tmp_path, lambda: keyed_digest(tmp_path, b"x"))[0].startswith("release-key: has mode 0644")
    (tmp_path / "release-key").chmod(0o600)
    (tmp_path / "release-key").write_bytes(b"short")
    with pytest.raises(RunFailedError, match="is no key of this program"):
        keyed_digest(tmp_path, b"x")
