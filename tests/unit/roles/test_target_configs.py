"""Docker's and containerd's configuration: merged, keeping everything else, and taken back byte for byte."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from controlplane_target import configs, containerd_toml, daemon_json, files
from controlplane_target.faults import RefusedFault
from controlplane_target.root_request import as_json, parse

ROOT = {"data-root": "/mnt/data/docker"}


def test_merging_keeps_every_other_key_in_its_order() -> None:
    text = b'{"b": [1, 2], "a": {"x": null}}'
    assert list(json.loads(daemon_json.merged(text, ROOT)).items()) == [("b", [1, 2]), ("a", {"x": None}), ("data-root", "/mnt/data/docker")]


@pytest.mark.parametrize("text", [None, b"", b"  \n"])
def test_an_absent_or_empty_file_becomes_ours(text: bytes | None) -> None:
    assert daemon_json.merged(text, ROOT) == b'{\n  "data-root": "/mnt/data/docker"\n}\n'


def test_objects_are_merged_key_by_key() -> None:
    text = b'{"log-opts": {"tag": "x", "max-size": "1g"}}'
    merged = json.loads(daemon_json.merged(text, {"log-opts": {"max-size": "10m"}}))
    assert merged == {"log-opts": {"tag": "x", "max-size": "10m"}}


def test_a_text_that_holds_all_of_it_stays_byte_for_byte() -> None:
    text = b'{ "data-root" : "/mnt/data/docker" ,\n\t"z":1}'
    assert daemon_json.merged(text, ROOT) is text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"data-root": "/a", "data-root": "/b"}', "holds 'data-root' twice"),
        (b'{"a": {"b": 1, "b": 2}}', "holds 'b' twice"),
        (b"[1]", "holds no object"),
        (b"{,}", "is no JSON"),
        (b'{"a": "\xff"}', "is no JSON"),
        (b'{"graph": "/var/lib/docker"}', "sets 'graph'"),
    ],
)
def test_a_file_that_can_only_be_guessed_at_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(RefusedFault) as fault:
        daemon_json.merged(text, ROOT)
    assert reason in str(fault.value)
    assert "Nothing was changed." in str(fault.value)


def test_taking_back_in_an_edited_file_touches_our_keys_alone() -> None:
    edited = b'{"data-root": "/mnt/data/docker", "log-driver": "local", "debug": true}'
    before = b'{"log-driver": "json-file"}'
    assert json.loads(daemon_json.without_settings(edited, before, {**ROOT, "log-driver": "local"}) or b"") == {
        "log-driver": "json-file",
        "debug": True,
    }
    assert daemon_json.without_settings(b'{"data-root": "/mnt/data/docker"}', None, ROOT) is None


@pytest.mark.parametrize(
    ("words", "conflict"),
    [
        (["-H", "fd://", "--containerd=/run/containerd/containerd.sock"], None),
        (["--data-root=/srv"], "--data-root=/srv"),
        (["--data-root", "/srv"], "--data-root"),
        (["-g", "/srv"], "-g"),
        (["-g/srv"], "-g/srv"),
        (["--graph=/srv"], "--graph=/srv"),
        (["--log-opt", "max-size=1m"], "--log-opt"),
        (["--log-level=warn"], None),
    ],
)
def test_a_flag_that_stands_in_daemon_json_as_well_is_a_conflict(words: list[str], conflict: str | None) -> None:
    found = daemon_json.conflicts(words, {**ROOT, "log-opts": {}})
    assert [f"started with {conflict}," in line for line in found] == ([True] if conflict else [])


def test_variables_in_exec_start_are_expanded_as_systemd_does() -> None:
    words = daemon_json.expand(["-H", "fd://", "$DOCKER_OPTS", "${ONE}", "$NONE"], {"DOCKER_OPTS": "--data-root /srv --debug", "ONE": "a b"})
    assert words == ["-H", "fd://", "--data-root", "/srv", "--debug", "a b"]


TOML = b'version = 2\n# root = "/no"\nimports = ["/etc/containerd/conf.d/*.toml"]\n\n[plugins]\n  root = "/plugin"\n'


def test_containerds_root_is_one_line_before_the_first_table() -> None:
    assert containerd_toml.root_of(TOML) == "/var/lib/containerd"
    assert containerd_toml.with_root(TOML, "/mnt/c") == TOML.replace(b"\n\n[plugins]", b'\n\nroot = "/mnt/c"\n[plugins]')
    assert containerd_toml.root_of(containerd_toml.with_root(TOML, "/mnt/c")) == "/mnt/c"


@pytest.mark.parametrize("line", [b'root = "/var/lib/containerd"', b"root='/var/lib/containerd'  # here", b'  "root" = "/var/lib/containerd"'])
def test_a_root_that_is_there_is_replaced_in_its_line(line: bytes) -> None:
    text = b"version = 2\n" + line + b'\nstate = "/run/c"\n[grpc]\n'
    assert containerd_toml.with_root(text, "/mnt/c") == b'version = 2\nroot = "/mnt/c"\nstate = "/run/c"\n[grpc]\n'


def test_paths_below_the_old_root_move_along() -> None:
    text = b'version = 2\n[plugins."io.containerd.internal.v1.opt"]\n  path = "/var/lib/containerd/opt"\n  other = "/var/lib/containerd-x"\n'
    moved = containerd_toml.with_root(text, "/mnt/c")
    assert (
        moved
        == b'version = 2\nroot = "/mnt/c"\n[plugins."io.containerd.internal.v1.opt"]\n  path = "/mnt/c/opt"\n  other = "/var/lib/containerd-x"\n'
    )
    assert containerd_toml.with_root(moved, "/var/lib/containerd") == moved.replace(b"/mnt/c", b"/var/lib/containerd")


def test_a_missing_file_becomes_the_smallest_that_containerd_reads() -> None:
    assert containerd_toml.with_root(None, "/mnt/c") == b'version = 2\nroot = "/mnt/c"\n'


def test_the_root_that_is_set_already_leaves_the_bytes() -> None:
    text = b'root = "/mnt/c"\n'
    assert containerd_toml.with_root(text, "/mnt/c") is text


@pytest.mark.parametrize("text", [b'root = "/a"\nroot = "/b"\n', b'root = ["/a"]\n', b'x = """\n[y]\n"""\n', b'root = "/a\\u0041"\n'])
def test_toml_that_is_not_plainly_understood_is_refused(text: bytes) -> None:
    with pytest.raises(RefusedFault, match="Nothing was changed"):
        containerd_toml.with_root(text, "/mnt/c")


def test_the_root_is_read_from_containerds_own_dump() -> None:
    assert containerd_toml.root_in_dump('disabled_plugins = []\nroot = "/mnt/c"\n[plugins]\nroot = "/no"\n') == "/mnt/c"
    assert containerd_toml.root_in_dump("[plugins]\nroot = '/no'\n") is None


def test_a_snapshot_brings_back_bytes_mode_and_absence(tmp_path: Path) -> None:
    path = tmp_path / "etc/docker/daemon.json"
    absent = files.snapshot(path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff one")
    path.chmod(0o640)
    held = files.snapshot(path)
    files.restore(absent)
    assert not path.exists()
    path.parent.rmdir()
    files.restore(held)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"\xff one", 0o640)
    assert [entry.name for entry in path.parent.iterdir()] == ["daemon.json"]


def test_the_way_back_is_byte_for_byte_unless_someone_edited_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "daemon.json"
    path.write_bytes(b'{"debug":true}')
    monkeypatch.setattr(daemon_json, "PATH", str(path))
    request = parse({"moves": [{"kind": "docker", "from": "/var/lib/docker", "to": "/mnt/data/docker"}]})
    forward = configs.pairs(request)
    configs.switch(forward, "after")
    back = configs.pairs_back(forward, request)
    assert base64.b64decode(back[0]["after"]["text"]) == b'{"debug":true}'
    path.write_bytes(b'{"debug": false, "data-root": "/mnt/data/docker"}')
    edited = configs.pairs_back(forward, request)
    assert json.loads(base64.b64decode(edited[0]["after"]["text"])) == {"debug": False}


@pytest.mark.parametrize(
    ("moves", "reason"),
    [
        ([{"kind": "docker", "from": "/var/lib/docker", "to": "/var/lib/docker/new"}], "lie within each other"),
        ([{"kind": "docker", "from": "var/lib/docker", "to": "/mnt/d"}], "no absolute"),
        ([{"kind": "docker", "from": "/var/lib/docker", "to": "/mnt/../d"}], "no absolute"),
        ([{"kind": "docker", "from": "/var/lib/docker", "to": "/mnt/d\n"}], "no absolute"),
        ([{"kind": "podman", "from": "/a/b", "to": "/mnt/d"}], "unknown or there twice"),
        ([{"kind": "docker", "from": "/a/b", "to": "/mnt/d"}, {"kind": "docker", "from": "/a/b", "to": "/mnt/e"}], "unknown or there twice"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(moves: list[dict[str, str]], reason: str) -> None:
    with pytest.raises(RefusedFault, match=reason):
        parse({"moves": moves})


def test_a_request_survives_its_own_form_and_gives_dockerd_strings_for_log_options() -> None:
    request = parse({"moves": [{"kind": "docker", "from": "/a/b", "to": "/mnt/d"}], "daemon_json": {"log-opts": {"max-file": 3}}})
    assert request.settings() == {"log-opts": {"max-file": "3"}, "data-root": "/mnt/d"}
    assert parse(as_json(request)) == request


def test_a_request_whose_data_root_contradicts_its_move_is_refused() -> None:
    with pytest.raises(RefusedFault, match="Make them agree"):
        parse({"moves": [{"kind": "docker", "from": "/a/b", "to": "/mnt/d"}], "daemon_json": {"data-root": "/mnt/e"}})


def test_a_preview_shows_what_changes_and_no_password_of_a_proxy(tmp_path: Path) -> None:
    path = str(tmp_path / "daemon.json")
    before = b'{\n  "proxies": {"http-proxy": "http://ann:secret@proxy:3128"}\n}\n'
    shots = [
        {"path": path, "exists": True, "text": base64.b64encode(text).decode(), "mode": 0o644, "uid": 0, "gid": 0}
        for text in (before, daemon_json.merged(before, ROOT))
    ]

    [planned] = configs.planned([{"before": shots[0], "after": shots[1]}])

    assert (planned["path"], '"data-root": "/mnt/data/docker"' in planned["after"]) == (path, True)
    assert "secret" not in str(planned)
    assert "http://***@proxy:3128" in planned["before"]
    [new] = configs.planned([{"before": {"path": path, "exists": False}, "after": shots[1]}])
    assert new["before"] == ""
