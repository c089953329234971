"""Docker's answers, whole and otherwise, over a socket of our own."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.collector import docker, engine, inside, store
from controlplane.adapters.collector.main import PROBES
from controlplane.adapters.collector.supervise import Absent, Probe, ProbeError, run_probes

Answer = Callable[[str], bytes | None]
Serve = Callable[[Answer], None]


def _http(body: Any, *, code: int = 200, length: int | None = None) -> bytes:
    data = json.dumps(body).encode()
    return f"HTTP/1.0 {code} X\r\nApi-Version: 1.45\r\nContent-Length: {len(data) if length is None else length}\r\n\r\n".encode() + data


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Answer each request for a path by bytes; None keeps silent."""
    where = tmp_path / "docker.sock"
    monkeypatch.setattr(engine, "SOCKETS", (str(where),))
    listener = socket.socket(socket.AF_UNIX)

    def start(answer: Answer) -> None:
        listener.bind(str(where))
        listener.listen(20)

        def one(connection: socket.socket) -> None:
            with connection:
                path = connection.recv(65536).split(b" ")[1].decode()
                said = answer(path)
                if said is None:
                    time.sleep(30)
                else:
                    connection.sendall(said)

        def loop() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()

    yield start
    listener.close()


def _answers(table: dict[str, Any]) -> Answer:
    def answer(path: str) -> bytes:
        if path == "/_ping":
            return _http("OK")
        path = path.removeprefix("/v1.44")
        return _http(table[path]) if path in table else _http({"message": "no such thing"}, code=404)

    return answer


CANARY = "c4nary-Zx9"
INSPECTION = {
    "Id": "abc",
    "Name": "/db",
    "Image": "sha256:1",
    "Path": "redis-server",
    "Args": ["--requirepass", CANARY],
    "Config": {
        "Image": "redis:7",
        "Env": [f"REDIS_PASSWORD={CANARY}"],
        "Labels": {"com.docker.compose.project": "p", "com.docker.compose.project.config_files": "/a.yml,/b.yml"},
    },
    "HostConfig": {"RestartPolicy": {"Name": "always"}, "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}}, "Tmpfs": {"/run/": ""}},
    "State": {"Status": "exited", "Running": False, "Pid": 0, "StartedAt": "t"},
    "Mounts": [
        {"Type": "volume", "Name": "v", "Source": "/var/lib/docker/volumes/v/_data", "Destination": "/data/", "RW": True},
        {"Type": "bind", "Source": "/srv/x", "Destination": "/x", "RW": False},
        {"Type": "volume", "Name": "gone", "Source": "/var/lib/docker/volumes/gone/_data", "Destination": "/g", "RW": True},
    ],
    "GraphDriver": {"Data": {"UpperDir": "/var/lib/docker/overlay2/q/diff"}},
}
INFO = {
    "ServerVersion": "26",
    "DockerRootDir": "/var/lib/docker",
    "Driver": "overlay2",
    "LoggingDriver": "json-file",
    "Containers": 1,
    "ContainersRunning": 0,
    "Images": 1,
}
TABLE = {
    "/containers/json?all=1": [{"Id": "abc", "Names": ["/db"], "ImageID": "sha256:1", "Mounts": [{"Name": "v"}]}, {"Id": "removed"}],
    "/containers/json?all=1&size=1": [{"Id": "abc", "SizeRw": 77}],
    "/containers/abc/json": INSPECTION,
    "/volumes": {
        "Volumes": [{"Name": "v", "Driver": "local", "Mountpoint": "/m", "Options": {"type": "none", "o": "bind", "device": "/mnt/data/v"}}]
    },
    "/images/json": [{"Id": "sha256:1", "RepoTags": ["redis:7"], "RepoDigests": ["redis@sha256:2"], "Created": 1700000000, "Size": 5}],
    "/system/df": {
        "LayersSize": 9,
        "BuildCache": [{"Size": 3, "Shared": False}, {"Size": 4, "Shared": True}],
        "Volumes": [
            {"Name": "v", "Driver": "local", "UsageData": {"Size": 2}},
            {"Name": "nfs", "Driver": "local", "Options": {"type": "nfs"}, "UsageData": {"Size": -1}},
        ],
    },
}


def test_a_container_is_told_with_its_mounts_where_they_really_land(serve: Serve) -> None:
    serve(_answers(TABLE))
    [container] = docker.docker_containers({}, {})
    places = {mount["destination"]: mount["host_path"] for mount in container["mounts"]}
    assert places == {"/data": "/mnt/data/v", "/x": "/srv/x", "/g": None}
    assert container["writable_bytes"] == 77
    assert container["upper_dir"] == "/var/lib/docker/overlay2/q/diff"
    assert container["compose_files"] == ["/a.yml", "/b.yml"]
    assert container["tmpfs"] == ["/run"]


def test_no_password_of_a_container_is_told(serve: Serve) -> None:
    serve(_answers(TABLE))
    assert CANARY not in json.dumps(docker.docker_containers({}, {}))


def test_volumes_images_and_usage_are_told_in_bytes(serve: Serve) -> None:
    serve(_answers(TABLE | {"/containers/json?all=1": TABLE["/containers/json?all=1"][:1]}))  # type: ignore[index]
    [volume] = docker.docker_volumes({}, {})
    assert (volume["in_use_by"], volume["options"]["device"]) == (["db"], "/mnt/data/v")
    [image] = docker.docker_images({}, {})
    assert image == {"id": "sha256:1", "tags": ["redis:7"], "digests": ["redis@sha256:2"], "created": 1700000000, "size": 5, "containers": 1}
    usage = docker.docker_usage({}, {})
    assert usage == {"images": 9, "build_cache": 3, "volumes": 2, "volume_bytes": {"v": 2}, "build_cache_records": 2}


def test_an_image_without_a_name_has_none(serve: Serve) -> None:
    nameless = {"Id": "sha256:1", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"], "Created": 1, "Size": 5}
    serve(_answers(TABLE | {"/images/json": [nameless], "/containers/json?all=1": []}))
    [image] = docker.docker_images({}, {})
    assert (image["tags"], image["digests"]) == ([], [])


def test_more_images_than_are_looked_at_are_not_told_in_part(serve: Serve) -> None:
    serve(_answers(TABLE | {"/images/json": TABLE["/images/json"] * (docker.MOST_IMAGES + 1)}))  # type: ignore[operator]
    with pytest.raises(ProbeError, match="Docker holds 5001 images, more than the 5000 that are looked at"):
        docker.docker_images({}, {})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "does not speak HTTP"),
        (b"\x00\x01garbage\r\n\r\n", "does not speak HTTP"),
        (_http({}, length=500), "was cut short"),
        (b"HTTP/1.0 200 OK\r\nApi-Version: 1.44\r\n\r\nnot json", "is no JSON"),
        (_http({"message": "broken"}, code=500), "with 500"),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", "named no API version"),
    ],
)
def test_garbage_from_docker_is_a_failed_probe(serve: Serve, said: bytes, reason: str) -> None:
    serve(lambda _path: said)
    for probe in (docker.docker_info, docker.docker_containers, docker.docker_usage):
        with pytest.raises(ProbeError, match=reason):
            probe({}, {})


def test_a_docker_that_hangs_runs_into_the_probe_s_limit(serve: Serve) -> None:
    serve(lambda _path: None)
    record = json.loads(run_probes([Probe("docker_info", docker.docker_info, 0.4)], {})["docker_info"])
    assert (record["status"], record["data"]) == ("timeout", None)


def test_an_info_that_lacks_what_we_need_is_a_failed_probe(serve: Serve) -> None:
    serve(_answers({"/info": {"ServerVersion": "26"}}))
    record = json.loads(run_probes([Probe("docker_info", docker.docker_info)], {})["docker_info"])
    assert (record["status"], record["error"]) == ("failed", "KeyError: 'DockerRootDir'")


def test_a_size_that_is_left_out_is_nothing_only_where_there_is_no_image(serve: Serve) -> None:
    serve(_answers({"/system/df": {"Images": [], "Containers": [], "Volumes": [], "BuildCache": [], "ImageUsage": {}}}))
    assert docker.docker_usage({}, {})["images"] == 0


@pytest.mark.parametrize("gone", ["Images", "BuildCache", "Volumes"])
def test_a_list_that_docker_leaves_out_is_a_failed_probe_and_one_that_is_null_is_empty(serve: Serve, gone: str) -> None:
    answer = {"LayersSize": 1, "Images": None, "BuildCache": None, "Volumes": None}
    serve(_answers({"/system/df": answer, "/system/df?type=image&type=build-cache": answer, "/containers/json?all=1": []}))
    assert docker.docker_usage({}, {})["volume_bytes"] == {}
    assert store.docker_store({"store": True}, {}) == {"images": [], "cache": [], "logs": [], "releases": []}
    del answer[gone]
    look = docker.docker_usage if gone == "Volumes" else store.docker_store
    record = json.loads(run_probes([Probe("it", look)], {"store": True})["it"])
    assert (record["status"], record["error"]) == ("failed", f"KeyError: '{gone}'")


def test_a_build_record_has_its_parents_however_docker_spells_them() -> None:
    held = {"ID": "a", "Size": 1, "InUse": False, "Shared": False}
    told = [store.cache_record({**held, **parents})["parents"] for parents in ({" Parents": ["c", "b"]}, {"Parents": ["b"]}, {"Parent": "b"}, {})]
    assert told == [["b", "c"], ["b"], ["b"], []]


def test_a_volume_whose_size_docker_can_t_tell_is_not_nothing(serve: Serve) -> None:
    serve(_answers({"/system/df": {"LayersSize": 1, "Volumes": [{"Name": "v", "Driver": "local", "UsageData": {"Size": -1}}]}}))
    with pytest.raises(ProbeError, match="could not tell the size of v"):
        docker.docker_usage({}, {})


@pytest.mark.parametrize("said", ["0B", "1.2kB", "3.63GB (92%)", "", None])
@pytest.mark.parametrize(
    "answer",
    [
        lambda said: {"LayersSize": said, "Volumes": [], "BuildCache": []},
        lambda said: {"LayersSize": 1, "Volumes": [], "BuildCache": [{"Size": said}]},
        lambda said: {"LayersSize": 1, "BuildCache": [], "Volumes": [{"Name": "v", "Driver": "local", "UsageData": {"Size": said}}]},
    ],
    ids=["layers", "cache", "volume"],
)
def test_a_size_for_people_is_a_failed_probe_and_never_nothing(serve: Serve, answer: Callable[[Any], dict[str, Any]], said: str | None) -> None:
    serve(_answers({"/system/df": answer(said)}))
    record = json.loads(run_probes([Probe("docker_usage", docker.docker_usage)], {})["docker_usage"])
    assert (record["status"], record["data"]) == ("failed", None)


@pytest.mark.parametrize("told", [{}, {"BuildCache": []}, {"Images": [{"Id": "sha256:1"}]}, {"LayersSize": 1, "BuildCache": [{"Shared": False}]}])
def test_a_size_that_is_left_out_is_a_failed_probe_too(serve: Serve, told: dict[str, Any]) -> None:
    serve(_answers({"/system/df": {"Volumes": [], "BuildCache": [], **told}}))
    with pytest.raises(KeyError, match="Size"):
        docker.docker_usage({}, {})


@pytest.mark.parametrize(("said", "written"), [({}, 0), ({"SizeRw": 5}, 5), ({"SizeRw": -1}, None)])
def test_a_writable_layer_that_docker_could_not_measure_has_no_size(serve: Serve, said: dict[str, int], written: int | None) -> None:
    serve(_answers(TABLE | {"/containers/json?all=1&size=1": [{"Id": "abc"} | said]}))
    [container] = docker.docker_containers({}, {})
    assert container["writable_bytes"] == written


def test_sizes_that_take_minutes_are_lost_alone_and_after_a_limit_of_their_own(serve: Serve) -> None:
    told = TABLE | {"/info": INFO, "/containers/json?all=1": TABLE["/containers/json?all=1"][:1]}  # type: ignore[index]
    serve(lambda path: None if "/system/df" in path else _answers(told)(path))
    probes = [probe for probe in PROBES if probe.name in ("docker_info", "docker_containers", "docker_volumes", "docker_images", "docker_usage")]
    assert 0 < next(probe.limit for probe in probes if probe.name == "docker_usage") <= 20
    records = {name: json.loads(record) for name, record in run_probes(probes, {"limits": {"docker_usage": 1}}).items()}
    assert {name: record["status"] for name, record in records.items()} == {
        "docker_info": "ok",
        "docker_containers": "ok",
        "docker_volumes": "ok",
        "docker_images": "ok",
        "docker_usage": "timeout",
    }


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Look for an engine below a folder alone, in which there is none."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setattr(engine, "FOLDERS", (f"{tmp_path}/opt/docker",))
    monkeypatch.setattr(engine, "UNIT_FOLDERS", (f"{tmp_path}/units",))
    monkeypatch.setattr(engine, "SOCKETS", (f"{tmp_path}/docker.sock",))
    monkeypatch.setattr(engine, "OTHERS", (f"{tmp_path}/snap",))
    monkeypatch.setattr(engine, "USER_SOCKETS", f"{tmp_path}/user/*/docker.sock")
    monkeypatch.setattr(engine, "running", lambda _name: None)
    return tmp_path


@pytest.mark.parametrize(
    "sign",
    [
        "bin/dockerd",
        "bin/dockerd-current",
        "opt/docker/dockerd",
        "units/docker.service",
        "units/docker.socket",
        "units/snap.docker.dockerd.service",
        "docker.sock",
        "snap",
        "user/1000/docker.sock",
    ],
)
def test_any_sign_of_an_engine_makes_it_unknown_and_not_absent(bare: Path, sign: str) -> None:
    assert not engine.is_installed()
    (bare / sign).parent.mkdir(parents=True, exist_ok=True)
    (bare / sign).symlink_to("/nonexistent/what it leads to")
    assert engine.is_installed()
    with pytest.raises(ProbeError, match="the daemon is not running, or listens elsewhere"):
        docker.docker_info({}, {})


@pytest.mark.usefixtures("bare")
def test_a_daemon_that_runs_from_wherever_is_a_sign_of_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "running", lambda name: ["/srv/own/dockerd"] if name == "dockerd" else None)
    with pytest.raises(ProbeError, match="listens elsewhere"):
        docker.docker_info({}, {})


@pytest.mark.parametrize("folder", ["/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system", "/run/systemd/transient"])
def test_units_are_looked_for_where_systemd_looks(folder: str) -> None:
    assert folder in engine.UNIT_FOLDERS


def test_a_client_alone_is_no_engine(bare: Path) -> None:
    (bare / "bin").mkdir()
    (bare / "bin" / "docker").touch()
    with pytest.raises(Absent, match="no Docker engine is installed"):
        docker.docker_info({}, {})


def test_a_process_is_known_by_its_name_and_only_where_it_is_ours() -> None:
    name = Path("/proc/self/comm").read_text().strip()
    assert engine.running(name) is not None
    assert engine.running("no-such-daemon") is None


def test_a_host_without_an_engine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "is_installed", lambda: False)
    monkeypatch.setattr(inside, "is_installed", lambda: False)
    with pytest.raises(Absent, match="no Docker engine is installed"):
        docker.docker_info({}, {})
    with pytest.raises(Absent, match="no Docker engine is installed"):
        inside.look_into({}, None, lambda _i, _s: {}, lambda _w: {})


def test_an_engine_that_does_not_run_is_unknown_not_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "is_installed", lambda: True)
    monkeypatch.setattr(engine, "SOCKETS", ("/nonexistent/docker.sock",))
    with pytest.raises(ProbeError, match="the daemon is not running"):
        docker.docker_info({}, {})
