"""An entry of `volumes` in the long form changes key by key: all else in it stays byte for byte, comments too, or it is refused by name."""

from __future__ import annotations

import itertools
import re
from textwrap import indent
from typing import Any

import pytest
import yaml
from controlplane_target.compose_entry import Mount
from controlplane_target.compose_mounts import ComposeMounts
from controlplane_target.faults import RefusedFault

BIND, VOLUME = Mount("bind", "/mnt/data/pg"), Mount("volume", "fast")
HEAD, TAIL = "services:\n  db:\n    volumes:\n", "    # the next one\n    - /other\n    image: x   # pinned\n"


def changed(entry: str, wanted: Mount = BIND, tail: str = TAIL) -> str:
    """Return what becomes of an entry, which is given as it stands below its `volumes`, four columns in."""
    new = ComposeMounts(HEAD + indent(entry, "    ") + tail, "f").with_mount("db", "/data", wanted)
    assert new.startswith(HEAD)
    assert new.endswith(tail)
    return re.sub(r"(?m)^ {4}", "", new[len(HEAD) : len(new) - len(tail)])


def mounted(text: str) -> dict[str, Any]:
    read = yaml.load(text, Loader=yaml.SafeLoader)  # noqa: TID251 - our own text
    [entry] = [one for one in read["services"]["db"]["volumes"] if one != "/other"]
    return dict(entry)


@pytest.mark.parametrize(
    ("entry", "wanted", "after"),
    [
        (
            "- type: volume\n  source: pg   # fast disk\n  # do not move by hand\n  target: /data\n",
            BIND,
            "- type: bind\n  source: /mnt/data/pg   # fast disk\n  # do not move by hand\n  target: /data\n  bind: {create_host_path: false}\n",
        ),
        (
            "- type: volume   # kept\n  source: 'pg'\n  target: /data\n  volume: {nocopy: true}  # empty at first\n",
            BIND,
            "- type: bind   # kept\n  source: /mnt/data/pg\n  target: /data\n  # empty at first\n  bind: {create_host_path: false}\n",
        ),
        (
            "-   volume:\n      nocopy: true\n\n    target: /data # where\n    source: pg\n    type: volume\n",
            BIND,
            "-   target: /data # where\n    source: /mnt/data/pg\n    type: bind\n    bind: {create_host_path: false}\n",
        ),
        (
            "- volume: {nocopy: true}   # first\n  # why\n  type: volume\n  target: /data\n",
            VOLUME,
            "- volume: {nocopy: true}   # first\n  # why\n  type: volume\n  target: /data\n  source: fast\n",
        ),
        (
            "- volume: {nocopy: true}   # first\n  # why\n  type: volume\n  target: /data\n",
            BIND,
            "- # first\n  # why\n  type: bind\n  target: /data\n  source: /mnt/data/pg\n  bind: {create_host_path: false}\n",
        ),
        (
            "- volume: {nocopy: true}\n  # why\n  type: volume\n  target: /data\n",
            BIND,
            "- \n  # why\n  type: bind\n  target: /data\n  source: /mnt/data/pg\n  bind: {create_host_path: false}\n",
        ),
        (
            "- type: bind\n  source: /boot/pg # slow\n  bind:   # mine\n    # never made\n    create_host_path: true # yes\n  target: /data\n",
            BIND,
            "- type: bind\n  source: /mnt/data/pg # slow\n  bind:   # mine\n    # never made\n    create_host_path: false # yes\n  target: /data\n",
        ),
        (
            "- type: bind\n  source: /boot/pg\n  bind:\n    create_host_path: true\n    # below\n  target: /data   # where\n",
            VOLUME,
            "- type: volume\n  source: fast\n    # below\n  target: /data   # where\n",
        ),
        (
            "- type: bind\n  source:   # slow\n    /boot/pg\n  bind: {}\n  target: /data\n",
            BIND,
            "- type: bind\n  source:   # slow\n    /mnt/data/pg\n  bind: {create_host_path: false}\n  target: /data\n",
        ),
        (
            "-\n  # begins here\n  type: volume\n  source: # none\n  target: /data\n",
            VOLUME,
            "-\n  # begins here\n  type: volume\n  source: fast # none\n  target: /data\n",
        ),
    ],
)
def test_every_other_byte_of_an_entry_stays(entry: str, wanted: Mount, after: str) -> None:
    assert changed(entry, wanted) == after
    held = mounted(HEAD + indent(after, "    ") + TAIL)
    assert (held["type"], held["source"], held["target"]) == (wanted.type, wanted.source, "/data")
    assert held.get("bind") == ({"create_host_path": False} if wanted is BIND else None)


GROUPS = [
    "volume: {nocopy: true}   # group",
    "volume:\n  nocopy: true   # group",
    "bind: {create_host_path: true}",
    "bind:\n  create_host_path: true",
]


@pytest.mark.parametrize("wanted", [BIND, VOLUME], ids=["bind", "volume"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_no_order_of_keys_costs_a_comment(wanted: Mount, newline: str) -> None:
    for group in GROUPS:
        keys = ["type: volume   # type", "source: pg # source", "target: /data", group]
        for order in itertools.permutations(keys):
            for tail in ("    - /other\n", ""):
                lines = "\n# between\n".join(order)
                text = HEAD + f"    - {indent(lines, '      ').lstrip()}" + ("\n" + tail if tail else "")
                new = ComposeMounts(text.replace("\n", newline), "f").with_mount("db", "/data", wanted)
                held = mounted(new)
                assert (held["type"], held["source"], held["target"]) == (*wanted, "/data"), new
                assert held.get("bind") == ({"create_host_path": False} if wanted is BIND else None), new
                assert "volume" not in held or wanted is VOLUME
                assert sorted(re.findall(r"#[^\r\n]*", new)) == sorted(re.findall("#.*", text)), new
                assert newline == "\n" or "\n" not in new.replace(newline, "")
                kept = [line for line in text.splitlines() if "target:" in line or line.strip() == "# between" or line in HEAD]
                assert [line for line in new.splitlines() if line in kept or line in HEAD] == kept, new


def test_the_last_line_of_a_file_may_go_without_an_end() -> None:
    text = f"{HEAD}    - type: volume\r\n      source: pg\r\n      target: /data\r\n      volume: {{nocopy: true}}"
    new = ComposeMounts(text, "f").with_mount("db", "/data", BIND)
    assert new.endswith("      target: /data\r\n      bind: {create_host_path: false}\r\n")


@pytest.mark.parametrize(
    ("entry", "wanted", "reason"),
    [
        (
            "- type: volume\n  source: pg\n  target: /data\n  volume:   # how\n    nocopy: true\n",
            BIND,
            "f:7: VOLUMES has a comment within volume, which",
        ),
        ("- type: bind\n  source: /a\n  target: /data\n  bind: {  # how\n    create_host_path: true}\n", VOLUME, "has a comment within bind, which"),
        (
            "- type: bind\n  source: /a\n  target: /data\n  bind: {  # how\n    }\n",
            BIND,
            "has a comment within bind, which would be lost: move it above",
        ),
        ("- {type: volume,   # a volume\n   source: pg, target: /data}\n", BIND, "f:4: VOLUMES has a comment within its braces, which would be lost"),
        ("- type: volume\n  source: &pg pg\n  target: /data\n", BIND, "f:5: VOLUMES shares source by an anchor: write it out for this service"),
        ("- type: volume\n  source: pg\n  target: /data\n  volume: {nocopy: &no true}\n", BIND, "shares volume by an anchor"),
        ("- type: bind\n  source: /a\n  target: /data\n  bind: &made {create_host_path: true}\n", BIND, "shares bind by an anchor"),
        ("- type: &kind volume\n  source: *kind\n  target: /data\n", BIND, "shares source by an anchor"),
        ("- type: volume\n  source: |  # a name\n    pg\n  target: /data\n", BIND, "has source not as a text on a line: write it behind its key"),
        ("- type: volume\n  ? source\n  : pg\n  target: /data\n", BIND, "has source not at the beginning of a line"),
    ],
)
def test_what_would_be_lost_or_is_shared_is_refused_by_name(entry: str, wanted: Mount, reason: str) -> None:
    with pytest.raises(RefusedFault, match="Nothing was changed") as refused:
        changed(entry, wanted)
    assert reason.replace("VOLUMES", "services.db.volumes for /data") in str(refused.value)


@pytest.mark.parametrize("source", ["/a#b", '"/a #b"', "'# c'"])
def test_a_hash_within_a_text_is_no_comment(source: str) -> None:
    assert changed(f"- {{type: bind, source: {source}, target: /data}}\n").startswith("- {type: bind, source: /mnt/data/pg, ")
    assert "source: /mnt/data/pg # slow" in changed(f"- type: bind\n  source: {source} # slow\n  target: /data\n")
