"""What a service mounts changes in one entry of its compose file; every other byte stays, and what can't be changed surely is refused."""

from __future__ import annotations

import difflib
import json

import pytest
from controlplane_target.compose_entry import Mount
from controlplane_target.compose_mounts import ComposeMounts
from controlplane_target.faults import RefusedFault

TEXT = """# the shop
services:
  none:
    image: x   # pinned
  short:
    image: x
    volumes:
      - ./conf:/etc/conf:ro   # its settings
      - data:/data            # what it keeps
      - "${CACHE:-/tmp/a:b}:/cache"
    user: "1000"
  long:
    volumes:
    - type: volume
      source: data
      target: /data
      volume: {nocopy: true}

    # what comes next
    - /other
  flow:
    volumes: [/data, "b:/b"]
  empty: {image: x, volumes: []}
  variable:
    volumes: ["a:${WHERE}"]
  twice:
    volumes: [/data, a:/data/]
  only:
    volumes:
      - type: bind
        source: /a
        target: /data
        read_only: true
  options:
    volumes: ["data:/data:ro,Z"]
  unsure:
    volumes: ["data:/data:${MODE:-ro}"]
  folder:
    volumes: [{type: volume, source: data, target: /data, volume: {nocopy: true, subpath: deep}}]
  shared:
    volumes: [{type: bind, source: /a, target: /data, bind: {create_host_path: true, propagation: rshared, selinux: z}}]
  usual:
    volumes: ["data:/data:rw,nocopy"]
  anchored:
    volumes: &shared [/data]
  alias:
    volumes: *shared
volumes:
  data: {}
  named:
    name: other_name
"""
BIND = Mount("bind", "/mnt/data/shop")
LINES = ["type: bind", "source: /mnt/data/shop", "target: /data", "bind: {create_host_path: false}"]
ONE = "{type: bind, source: /mnt/data/shop, target: /data, bind: {create_host_path: false}}"


def changed(service: str, mount: Mount = BIND, text: str = TEXT) -> list[str]:
    """Return the lines that differ, as a diff has them; the result reads as that mount."""
    new = ComposeMounts(text, "compose.yml").with_mount(service, "/data", mount)
    assert "/data" in ComposeMounts(new, "compose.yml").mounts(service)
    return [line for line in difflib.ndiff(text.splitlines(), new.splitlines()) if line[0] in "+-"]


def test_a_service_that_mounts_nothing_gets_its_first_volume() -> None:
    assert changed("none") == [f"+     volumes: [{ONE}]"]
    assert changed("empty") == ["-   empty: {image: x, volumes: []}", f"+   empty: {{image: x, volumes: [{ONE}]}}"]


def test_an_entry_of_the_short_form_is_replaced_and_its_comment_stays() -> None:
    assert changed("short") == [
        "-       - data:/data            # what it keeps",
        f"+       - {LINES[0]}",
        *(f"+         {line}" for line in LINES[1:3]),
        f"+         {LINES[3]}            # what it keeps",
    ]


def test_an_entry_of_the_long_form_is_replaced_and_what_follows_it_stays() -> None:
    lines = changed("long")
    assert [line for line in lines if line[0] == "+"] == [
        "+     - type: bind",
        "+       source: /mnt/data/shop",
        "+       bind: {create_host_path: false}",
    ]
    new = ComposeMounts(TEXT, "f").with_mount("long", "/data", BIND)
    assert "bind: {create_host_path: false}\n\n    # what comes next\n    - /other\n" in new


def test_a_list_on_one_line_stays_on_one() -> None:
    assert changed("flow")[1] == f'+     volumes: [{ONE}, "b:/b"]'
    new = ComposeMounts(TEXT, "f").with_mount("flow", "/c", Mount("volume", "c"))
    assert '    volumes: [/data, "b:/b", {type: volume, source: c, target: /c}]\n' in new


def test_options_that_mean_what_a_new_entry_means_go_with_the_old_one() -> None:
    assert changed("usual")[1] == f"+     volumes: [{ONE}]"


def test_another_mount_stands_below_the_last_one() -> None:
    new = ComposeMounts(TEXT, "f").with_mount("short", "/more", Mount("volume", "more"))
    assert '      - "${CACHE:-/tmp/a:b}:/cache"\n      - type: volume\n        source: more\n        target: /more\n    user:' in new


def test_json_stays_json_and_a_dollar_is_not_read_as_a_variable() -> None:
    text = json.dumps({"services": {"a": {"volumes": ["/data"]}}}, indent=2)
    new = ComposeMounts(text, "f").with_mount("a", "/data", Mount("bind", "/mnt/$x"))
    assert json.loads(new)["services"]["a"]["volumes"] == [
        {"type": "bind", "source": "/mnt/$$x", "target": "/data", "bind": {"create_host_path": False}}
    ]
    with_volume = ComposeMounts(new, "f").with_volume("data", "shop_data")
    assert json.loads(with_volume)["volumes"] == {"data": {"name": "shop_data"}}
    assert json.loads(ComposeMounts(with_volume, "f").with_project("shop"))["name"] == "shop"


def test_a_volume_is_known_by_the_name_that_docker_gives_it() -> None:
    text = ComposeMounts(TEXT, "f")
    assert (text.volume_key("shop_data", "shop"), text.volume_key("other_name", "shop"), text.volume_key("shop_x", "shop")) == ("data", "named", None)


def test_a_volume_is_declared_with_its_name_before_the_others_or_in_a_key_of_its_own() -> None:
    assert "volumes:\n  more:\n    name: shop_more\n  data: {}\n" in ComposeMounts(TEXT, "f").with_volume("more", "shop_more")
    assert ComposeMounts("services:\n  a: {}", "f").with_volume("m", "s_m") == "services:\n  a: {}\nvolumes:\n  m:\n    name: s_m\n"
    with pytest.raises(RefusedFault, match="declares another volume as data already"):
        ComposeMounts(TEXT, "f").with_volume("data", "elsewhere")


def test_the_project_is_pinned_where_its_first_key_stood() -> None:
    text = ComposeMounts(TEXT, "f")
    assert not text.names_project()
    assert text.with_project("shop").startswith("# the shop\nname: shop\nservices:\n")
    assert ComposeMounts("services: {}\n", "f").with_project("yes") == 'name: "yes"\nservices: {}\n'
    assert ComposeMounts("# a\r\nservices: {}\r\n", "f").with_project("shop") == "# a\r\nname: shop\r\nservices: {}\r\n"
    assert ComposeMounts("  services: {}\n", "f").with_project("shop") == "  name: shop\n  services: {}\n"


def test_a_file_whose_lines_end_with_carriage_returns_keeps_to_that() -> None:
    text = TEXT.replace("\n", "\r\n")
    for service in ("none", "short", "long", "empty"):
        new = ComposeMounts(text, "f").with_mount(service, "/data", BIND)
        assert new.replace("\r\n", "\n") == ComposeMounts(TEXT, "f").with_mount(service, "/data", BIND)
        assert "\n" not in new.replace("\r\n", "")
    first = ComposeMounts("services:\r\n  a:\r\n    build: .\r\n", "f").with_mount("a", "/data", Mount("volume", "v"))
    assert first == "services:\r\n  a:\r\n    volumes: [{type: volume, source: v, target: /data}]\r\n    build: .\r\n"


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("variable", "names its target by a variable"),
        ("twice", "mounts /data twice"),
        ("only", "has read_only for /data, which would be lost"),
        ("options", "has Z, ro for /data, which would be lost: take that out"),
        ("unsure", "has $ for /data, which would be lost"),
        ("folder", "has volume.subpath for /data, which would be lost"),
        ("shared", "has bind.propagation, bind.selinux for /data, which would be lost"),
        ("alias", "services.alias.volumes is shared by an anchor"),
        ("anchored", "services.anchored.volumes is shared by an anchor"),
    ],
)
def test_what_could_not_be_changed_surely_is_refused(service: str, reason: str) -> None:
    with pytest.raises(RefusedFault, match="Nothing was changed") as refused:
        ComposeMounts(TEXT, "f").with_mount(service, "/data", BIND)
    assert reason in str(refused.value)
