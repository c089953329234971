"""What a Redis has only while it runs: refused where it is sure to be forgotten, told by name afterwards, and no secret is in any of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import inside, redis_live, redis_rest, redis_server
from controlplane_target.faults import FailedFault
from controlplane_target.redis_client import RedisError

HASH = hashlib.sha256(b"hidden").hexdigest()
DEFAULT, OPS = "user default on nopass sanitize-payload ~* &* +@all", f"user ops on sanitize-payload #{HASH} ~* &* +@all"


class Live:
    """A server with settings and users, of those that its container tells it none. `written` is what its container's layer has of its own."""

    def __init__(self) -> None:
        self.users, self.written, self.denied = [DEFAULT], list[str](), False
        self.version = "7.4.1"
        self.runs = {**redis_live._DEFAULTS, "auto-aof-rewrite-min-size": "67108864", "aclfile": "", "dir": "/data", "slave-priority": "1"}

    def settings(self, names: Sequence[str]) -> dict[str, str]:
        return dict(self.runs) if list(names) == ["*"] else {name: self.runs[name] for name in names if name in self.runs}

    def ask(self, *words: str) -> Any:
        if self.denied:
            raise RedisError("NOPERM this user has no permissions to run the 'acl|list' command")
        assert words == ("ACL", "LIST")
        return [line.encode() for line in self.users]

    def info(self, section: str) -> dict[str, str]:
        assert section == "server"
        return {"redis_version": self.version}

    def get(self, path: str) -> Any:
        assert path == "/containers/cache/changes"
        return [{"Path": path, "Kind": 0} for path in self.written] or None

    def close(self) -> None:
        """Nothing is open."""


def server(live: Live, *words: str, mounts: Sequence[str] = ()) -> redis_server.Server:
    made = object.__new__(redis_server.Server)
    made.name, made.redis, made.engine, made.pid = "cache", live, live, os.getpid()  # type: ignore[assignment]
    made.inspection = {
        "Path": "redis-server",
        "Args": list(words),
        "Config": {"Env": ["PATH=/bin"], "WorkingDir": "/data"},
        "Mounts": [{"Type": "bind", "Source": place, "Destination": place} for place in mounts],
    }
    return made


def forgotten(live: Live, *words: str, leaving: Sequence[str] = (), anew: bool = True, mounts: Sequence[str] = ()) -> str:
    return "; ".join(redis_live.forgotten(server(live, *words, mounts=mounts), leaving=leaving, anew=anew))


def test_a_server_that_runs_as_it_starts_forgets_nothing() -> None:
    assert forgotten(Live()) == ""


@pytest.mark.parametrize(
    ("name", "now", "words"),
    [
        ("maxmemory", "104857600", ("--maxmemory", "100mb")),
        ("maxmemory-policy", "allkeys-lru", ("--maxmemory-policy", "AllKeys-LRU")),
        ("save", "60 1", ("--save", "60 1")),
        ("save", "", ("--save", "")),
        ("appendfsync", "always", ("--appendfsync", "always")),
        ("appendonly", "yes", ("--appendonly", "yes")),
        ("dbfilename", "other.rdb", ("--dbfilename", "other.rdb")),
        ("replicaof", "master 6379", ("--slaveof", "master", "6379")),
        ("notify-keyspace-events", "AKE", ("--notify-keyspace-events", "KEA")),
        ("hz", "50", ("--hz", "50")),
        ("min-replicas-to-write", "1", ("--min-replicas-to-write", "1")),
    ],
)
def test_a_setting_that_a_start_would_not_have_is_named_with_both_values_unless_it_is_told_or_seen_to(
    name: str, now: str, words: tuple[str, ...]
) -> None:
    live = Live()
    live.runs[name] = now
    before = redis_live._DEFAULTS[name]
    assert forgotten(live).startswith(f"{name} ({now or 'empty'}, at its next start {before or 'empty'}) was set while it runs")
    assert forgotten(live, leaving=[name]) == ""
    assert forgotten(live, *words) == ""
    # The other way round: it was set back while it runs, and a start would not.
    live.runs[name] = before
    assert forgotten(live, *words).startswith(f"{name} (")


@pytest.mark.parametrize(
    ("name", "told", "now"),
    [
        # As a server of 7.0 and 8.0 answers CONFIG GET, whichever way it was told (config.c; memtoull in util.c; notify.c).
        ("hz", "1000", "500"),
        ("hz", "0", "1"),
        ("maxmemory", "1gb", "1073741824"),
        ("maxmemory", "1GB", "1073741824"),
        ("maxmemory", "1g", "1000000000"),
        ("maxmemory", "100m", "100000000"),
        ("maxmemory", "5k", "5000"),
        ("maxmemory", "5Kb", "5120"),
        ("maxmemory", "7b", "7"),
        ("maxmemory", "007", "7"),
        ("auto-aof-rewrite-min-size", "1mb", "1048576"),
        ("appendonly", "YES", "yes"),
        ("stop-writes-on-bgsave-error", "No", "no"),
        ("no-appendfsync-on-rewrite", "Yes", "yes"),
        ("appendfsync", "Always", "always"),
        ("maxmemory-policy", "VOLATILE-TTL", "volatile-ttl"),
        ("save", '""', ""),
        ("save", '"60 1 300 10"', "60 1 300 10"),
        ("save", "060 01", "60 1"),
        ("save", "60   1", "60 1"),
        ("save", "60 1\nsave 300 10", "60 1 300 10"),
        ("save", '60 1\nsave ""\nsave 300 10', "300 10"),
        ("save", "60 1\nsave", "60 1"),
        ("notify-keyspace-events", "Kg$lshzxetd", "AK"),
        ("notify-keyspace-events", "mEKA", "AKEm"),
        ("notify-keyspace-events", "AKEn", "AKE"),
        ("notify-keyspace-events", "Kn", "nK"),
        ("notify-keyspace-events", "KEgxE", "gxKE"),
        ("replicaof", "NO ONE", ""),
        ("replicaof", "master 06379", "master 6379"),
        ("replicaof", "no one\nslaveof master 6379", "master 6379"),
        ("min-slaves-to-write", "2", "2"),
        ("primaryauth", "hidden", "hidden"),
        ("primaryuser", "copy", "copy"),
        # What is not among those that are refused is told by the server itself, before and after.
        ("client-output-buffer-limit", "Slave 256mb 64MB 60", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
        ("client-output-buffer-limit", '"pubsub 32mb 8mb 60"', "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
    ],
)
def test_a_value_that_the_server_writes_otherwise_than_it_was_told_is_no_other_one(tmp_path: Path, name: str, told: str, now: str) -> None:
    live, file = Live(), tmp_path / "redis.conf"
    asked_for = {"min-slaves-to-write": "min-replicas-to-write", "primaryauth": "masterauth", "primaryuser": "masteruser"}
    live.runs[asked_for.get(name, name)] = now
    file.write_text(f"{name} {told}\n")
    assert forgotten(live, str(file)) == ""
    # What is only here while it runs is still seen.
    live.runs["maxmemory-policy"] = "allkeys-random"
    assert forgotten(live, str(file)).startswith("maxmemory-policy (")


@pytest.mark.parametrize(
    ("name", "told", "now"),
    [
        ("hz", "500", "499"),
        ("maxmemory", "1g", "1073741824"),
        ("save", "60 1", "60 10"),
        ("notify-keyspace-events", "KE", "AKE"),
        ("notify-keyspace-events", "gKE", "gnKE"),
        ("replicaof", "master 6379", "Master 6379"),
        ("requirepass", '"a b"', "a  b"),
    ],
)
def test_a_value_that_is_another_one_is_told_however_near(tmp_path: Path, name: str, told: str, now: str) -> None:
    live, file = Live(), tmp_path / "redis.conf"
    live.runs[name] = now
    file.write_text(f"{name} {told}\n")
    assert forgotten(live, str(file)).startswith(name)


def test_a_password_that_begins_like_an_option_is_one() -> None:
    live = Live()
    live.runs["requirepass"] = "--hidden"
    assert forgotten(live, "--requirepass", "--hidden", "--hz", "10") == ""
    assert "hidden" not in forgotten(live, "--requirepass", "--Hidden")


def test_a_folder_is_judged_where_it_is_told_and_the_save_points_of_redis_6_are_nobodys_setting() -> None:
    live = Live()
    live.runs.update(dir="/elsewhere", save="900 1 300 10 60 10000")
    assert forgotten(live) == ""
    assert forgotten(live, "--dir", "/data").startswith("dir (/elsewhere, at its next start /data)")
    live.runs["dir"] = "/data/"
    assert forgotten(live, "--dir", "/data") == ""


def test_a_folder_that_is_told_by_a_link_is_the_one_that_it_leads_to(tmp_path: Path) -> None:
    live, link = Live(), tmp_path / "link"
    link.symlink_to("real")
    (tmp_path / "real").mkdir()
    live.runs["dir"] = str(tmp_path / "real")
    assert forgotten(live, "--dir", str(link)) == ""
    assert forgotten(live, "--dir", str(tmp_path)).startswith("dir (")


def test_a_replica_of_a_cluster_is_told_its_master_by_the_clusters_own_file_and_no_one_is_no_master() -> None:
    live = Live()
    assert forgotten(live, "--replicaof", "no", "one") == ""
    live.runs["replicaof"] = "10.0.0.2 6379"
    assert forgotten(live).startswith("replicaof (10.0.0.2 6379")
    live.runs["cluster-enabled"] = "yes"
    assert forgotten(live, "--cluster-enabled", "yes") == ""


@pytest.mark.parametrize(("version", "line"), [("5.0.14", ""), ("6.0.20", "user default on nopass ~* +@all")])
def test_an_old_server_has_no_users_or_knows_of_no_channels(version: str, line: str) -> None:
    live = Live()
    live.version, live.users, live.denied = version, [line], not line
    assert forgotten(live) == ""


@pytest.mark.parametrize("name", ["requirepass", "masterauth"])
def test_of_a_password_only_its_name_is_told(name: str) -> None:
    live = Live()
    live.runs[name] = "hidden"
    told = forgotten(live, f"--{name}", "Hidden")
    assert told.startswith(f"{name} was set while it runs")
    assert "idden" not in told
    assert forgotten(live, f"--{name}", "hidden") == ""


def test_where_a_script_says_what_it_starts_with_only_afterwards_is_told() -> None:
    live = Live()
    live.runs["maxmemory"] = "1"
    live.users.append(OPS)
    made = server(live)
    made.inspection["Path"] = "/opt/run.sh"
    assert redis_live.forgotten(made, leaving=(), anew=True) == []


def test_a_user_that_nothing_names_is_refused_by_name_with_the_way_out() -> None:
    live = Live()
    live.users.append(OPS)
    told = forgotten(live)
    assert told.startswith(
        "its ACL user ops is in nothing that a start reads, and would be gone: write its line of 'redis-cli acl list' as a 'user' line"
    )
    assert HASH not in told
    assert forgotten(live, "--user", "ops", "on", ">hidden", "~*", "&*", "+@all") == ""
    assert forgotten(live, "--user", "ops", "on", f"#{HASH}", "~*") == ""
    assert forgotten(live, "--user", "ops", "RESET", "ON", ">hidden", "~*") == ""


@pytest.mark.parametrize(
    "rules",
    [("on", ">other"), ("off", ">hidden"), ("on", "nopass"), ("on", ">hidden", "<hidden"), ("on", ">hidden", ">more"), ("on", ">hidden", "reset")],
)
def test_a_user_who_logs_in_otherwise_at_a_start_is_refused(rules: tuple[str, ...]) -> None:
    live = Live()
    live.users.append(OPS)
    told = forgotten(live, "--user", "ops", *rules, "~*", "+@all")
    assert told.startswith("its ACL user ops logs in otherwise than a start would let it")
    assert "hidden" not in told


def test_the_default_user_that_was_limited_while_it_runs_is_refused_and_its_password_is_requirepass() -> None:
    live = Live()
    live.users = ["user default off nopass ~* &* +@all"]
    assert forgotten(live).startswith("its ACL user default was limited while it runs, and a start would not")
    live.users, live.runs["requirepass"] = [f"user default on #{HASH} ~* &* +@all"], "hidden"
    assert forgotten(live, "--requirepass", "hidden") == ""
    assert forgotten(live, "--user", "default", "on", ">hidden", "~*", "&*", "+@all") == ""
    assert forgotten(live).startswith("requirepass was set while it runs")


def test_an_acl_file_has_to_name_each_user_and_to_be_kept(tmp_path: Path) -> None:
    live, file = Live(), tmp_path / "users.acl"
    live.users.append(OPS)
    live.runs["aclfile"] = str(file)
    assert "which can't be read" in forgotten(live, mounts=[str(tmp_path)])
    file.write_text(f"{DEFAULT}\n")
    assert forgotten(live, mounts=[str(tmp_path)]).endswith("would be gone: 'redis-cli acl save' writes them there")
    file.write_text(f"{DEFAULT}\n{OPS}\n")
    assert forgotten(live, mounts=[str(tmp_path)]) == ""
    # In the layer it goes with it, but for what the image itself has.
    assert forgotten(live) == ""
    live.written = [str(file)]
    assert "which was written in its own layer and goes with it" in forgotten(live)
    assert forgotten(live, anew=False) == ""


def test_a_configuration_file_of_the_containers_own_layer_tells_nothing_of_the_next_one(tmp_path: Path) -> None:
    live, file = Live(), tmp_path / "redis.conf"
    file.write_text("maxmemory 5\n")
    assert forgotten(live, str(file)).startswith("maxmemory (0, at its next start 5)")
    live.written = [str(file)]
    assert forgotten(live, str(file)) == ""
    assert forgotten(live, str(file), anew=False).startswith("maxmemory")


def test_users_that_may_not_be_listed_are_a_doubt_and_no_pass() -> None:
    live = Live()
    live.denied = True
    assert forgotten(live).startswith(
        "its ACL users can't be listed (NOPERM), so whether a start would forget one is not known: allow its user 'acl list'"
    )


def test_what_is_gone_or_another_afterwards_is_told_by_name_and_nothing_of_it_is_noted() -> None:
    live = Live()
    live.users.append(OPS)
    live.runs.update(requirepass="hidden", hz="50", maxmemory="5")
    note = redis_live.noted(live)  # type: ignore[arg-type]
    text = json.dumps(note)
    assert "hidden" not in text
    assert HASH not in text
    assert "slave-priority" not in note["settings"]
    assert redis_live.noted(live)["settings"] != note["settings"]  # type: ignore[arg-type]
    assert redis_live.lost_since(note, live, leaving=()) == {}  # type: ignore[arg-type]
    live.runs.update(requirepass="", hz="10", maxmemory="6")
    live.users = [DEFAULT]
    assert redis_live.lost_since(note, live, leaving=["hz", "ops"]) == {"users": ["ops"], "settings": ["maxmemory", "requirepass"]}  # type: ignore[arg-type]
    live.users = [DEFAULT, OPS.replace("+@all", "+get")]
    assert redis_live.lost_since(note, live, leaving=())["users"] == ["ops"]  # type: ignore[arg-type]


def test_each_server_that_lets_one_in_is_asked_before_a_stop_and_others_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live()
    live.users.append(OPS)
    live.runs["appendonly"] = "yes"

    def connected(name: str, *_: Any) -> redis_server.Server:
        if name == "locked":
            raise FailedFault("Redis demands a login")
        return server(live)

    monkeypatch.setattr(redis_live, "Server", connected)
    held = [redis_rest.Server({"Name": f"/{name}"}, 1) for name in ("locked", "cache")]
    monkeypatch.setattr(redis_rest, "servers", lambda _containers: held)
    [told] = redis_live.at_risk([])
    assert told.startswith("cache: its ACL user ops is in nothing that a start reads")
    live.denied = True
    assert redis_live.at_risk([]) == []


@pytest.mark.parametrize("fault", [RedisError("ERR unknown command 'CONFIG'"), TimeoutError("timed out")])
def test_a_server_that_hides_its_settings_or_falls_silent_keeps_nothing_else_from_being_asked(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    class Hiding(Live):
        def settings(self, _names: Sequence[str]) -> dict[str, str]:
            raise fault

    told = Live()
    told.runs["maxmemory"] = "5"
    lives = {"hiding": Hiding(), "cache": told}
    monkeypatch.setattr(redis_live, "Server", lambda name, *_: server(lives[name]))
    monkeypatch.setattr(redis_rest, "servers", lambda _containers: [redis_rest.Server({"Name": f"/{name}"}, 1) for name in lives])
    assert [sentence.partition(" (")[0] for sentence in redis_live.at_risk([])] == ["cache: maxmemory"]


def test_a_file_of_the_container_that_is_too_large_to_read_is_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    def large(_pid: int, path: str) -> bytes:
        raise FailedFault(f"{path} is larger than 1 bytes")

    monkeypatch.setattr(inside, "read", large)
    live = Live()
    live.runs["maxmemory"] = "1"
    assert forgotten(live, "/etc/redis.conf") == ""
