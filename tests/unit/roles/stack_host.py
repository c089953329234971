"""A host with a Docker that does as it is told: images, a registry, containers, and a Compose that reads files as YAML and brings them up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command, leg_verbs, services, settle_units, stack_asked, stack_view, stack_watch
from controlplane_target.cancel import Cancel
from controlplane_target.command import Said
from controlplane_target.compose_stack import ComposeStack
from controlplane_target.stack_request import Request, parse
from controlplane_target.state import Home, Run

from controlplane.adapters.strict_yaml import parse_document

DIGEST = "hmac-sha256:" + "e" * 64
CHECKED = {"test": ["CMD", "true"]}


class KilledError(BaseException):
    """The process ends here, as by SIGKILL: nothing of it goes on."""


def ref(name: str, release: str = "1") -> str:
    """Return a pinned image of a service's release."""
    return f"registry.example.org/shop/{name}@sha256:{hashlib.sha256(f'{name}{release}'.encode()).hexdigest()}"


class StackHost:
    """`registry` is what can be pulled, `bad` images never get healthy, `at` is called with what Compose is about to do."""

    path = "/run/docker.sock"

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.home = folder / "stacks/shop", Home(folder / "home")
        self.images: dict[str, dict[str, Any]] = {}
        self.registry = {ref(name, release) for name in ("web", "db") for release in "12"}
        self.bad: set[str] = set()
        self.rows: list[dict[str, Any]] = []
        self.volumes: list[dict[str, Any]] = []
        self.ran: list[list[str]] = []
        self.settling: set[str] = set()
        self.at: Callable[[str], None] = lambda _what: None
        self._made = 0
        monkeypatch.setattr(command, "run", self.run)
        monkeypatch.setattr(stack_watch, "compose", self.compose)
        monkeypatch.setattr(services, "STEADY_S", 0)
        monkeypatch.setattr(stack_view, "DRAFTS", folder / "run")
        monkeypatch.setattr(stack_asked, "FOLDER", folder / "run")
        monkeypatch.setattr(leg_verbs, "assert_leased", lambda _home, _run: None)
        monkeypatch.setattr(settle_units, "install_after", lambda run, _command, _mounts: self.settling.add(run))
        monkeypatch.setattr(settle_units, "uninstall_after", self.settling.discard)

    # What is asked for.

    def asked(self, release: str = "1", *, env: str = "WORD=canary-1\n", **changes: Any) -> dict[str, Any]:
        """Return a request for a release of two services."""
        both: dict[str, Any] = {name: {"image": "x", "restart": "always", "healthcheck": CHECKED} for name in ("web", "db")}
        text = json.dumps({"name": "shop", "services": both})
        plain = {
            "stack": "shop",
            "environment": "staging",
            "manifest": f"sha256:{release * 64}",
            "manifest_name": f"v{release}",
            "project": "shop",
            "dir": str(self.folder),
            "files": [{"name": "compose.yml", "text": text}],
            "images": {"web": ref("web", release), "db": ref("db")},
            "env_digest": DIGEST,
            "wait_s": 5,
            "told": {"release": {"env": env, "digest": DIGEST}},
        }
        return plain | changes

    def request(self, release: str = "1", **changes: Any) -> Request:
        return parse(self.asked(release, **changes))

    def verbs(self) -> ComposeStack:
        return ComposeStack(self.home, self, Cancel())  # type: ignore[arg-type] # as much of an engine as they ask

    def deploy(self, run: Run, request: Request) -> dict[str, Any]:
        """Do what the role does: refuse, and where there is anything to do, prepare, pull, deploy; then prove."""
        verbs = self.verbs()
        done: dict[str, Any] = {"changed": False}
        if not verbs.refuse(run, request)["already"]:
            verbs.prepare(run, request)
            verbs.pull(run, request)
            done = verbs.deploy(run, request)
            verbs.clean_up(run)
        verbs.prove(run, request)
        return done

    def deployed(self) -> Run:
        """Deploy release 1."""
        run = self.home.run("R1")
        assert self.deploy(run, self.request())["changed"] is True
        return run

    def state(self) -> dict[str, Any]:
        """Return the files with their bytes and modes, and what runs."""
        files = {path.name: (path.read_bytes(), path.stat().st_mode & 0o777) for path in sorted(self.folder.glob("*")) if path.is_file()}
        return {
            "files": {**files, **{path.name: (path.read_bytes(), path.stat().st_mode & 0o777) for path in self.folder.glob(".*")}},
            "runs": self.runs(),
        }

    def runs(self) -> dict[str, str]:
        return {row["Config"]["Labels"]["com.docker.compose.service"]: row["Config"]["Image"] for row in self.rows if not _is_once(row)}

    def ran_once(self, service: str) -> dict[str, Any]:
        """Let a container be there that somebody ran once, and that has ended; return it."""
        row = self._container(service, ref(service), ["--project-directory", str(self.folder)], "")
        row["Name"] = f"/shop-{service}-run-1"
        row["Config"]["Labels"]["com.docker.compose.oneoff"] = "True"
        row["State"] = {"Running": False, "Status": "exited", "ExitCode": 0}
        self.rows.append(row)
        return row

    # Docker.

    def call(self, method: str, target: str, **_: Any) -> tuple[int, Any]:
        kind, _, rest = target.lstrip("/").partition("/")
        if method != "GET":
            self.ran.append([method, target])
            if method == "DELETE":
                self.rows = [row for row in self.rows if row["Id"] != rest]
            return 204, None
        name = rest.removesuffix("/json")
        if kind == "images":
            found = self.images.get(name) or next((image for image in self.images.values() if image["Id"] == name), None)
            return (200, found) if found else (404, {"message": "No such image"})
        if kind == "distribution":
            return (200, {}) if name in self.registry else (404, {"message": "manifest unknown"})
        row = next((row for row in self.rows if row["Id"] == name), None)
        return (200, row) if row else (404, {})

    def get(self, target: str, **_: Any) -> Any:
        if target.startswith("/containers/json"):
            told = {"healthy": "Up (healthy)", "unhealthy": "Up (unhealthy)"}
            up = [row for row in self.rows if not _is_once(row)]
            return [
                {
                    "Id": row["Id"],
                    "Names": [row["Name"]],
                    "Labels": row["Config"]["Labels"],
                    "State": "running",
                    "Status": told[row["State"]["Health"]["Status"]],
                }
                for row in up
            ]
        return {"/volumes": {"Volumes": self.volumes}, "/networks": []}[target]

    def info(self) -> dict[str, Any]:
        return {"DockerRootDir": "/"}

    def summaries(self, *_: str) -> list[dict[str, Any]]:
        return [{"Id": row["Id"], "Names": [row["Name"]], "Labels": row["Config"]["Labels"], "State": "running"} for row in self.rows]

    def containers(self) -> list[dict[str, Any]]:
        return list(self.rows)

    # Compose, and `docker pull`.

    def run(self, argv: Sequence[str], **_: Any) -> Said:
        if argv[1] == "pull":
            self.at("pull")
            self.ran.append(list(argv))
            if argv[-1] not in self.registry:
                return Said(1, "", "write /var/lib/docker/tmp/x: no space left on device")
            self.images[argv[-1]] = self.image(argv[-1])
            return Said(0, argv[-1], "")
        self.at("config")
        return Said(0, json.dumps(_merged(argv)), "")

    def image(self, name: str, **config: Any) -> dict[str, Any]:
        return {"Id": f"sha256:id-{name}", "RepoDigests": [name], "Config": config}

    def compose(self, argv: Sequence[str], watch: stack_watch.Watch) -> Said:
        self.ran.append(list(argv))
        words, failed = list(argv), False
        folder = words[words.index("--project-directory") + 1]
        if "down" in words:
            self.at("down")
            named = [words[at + 1] for at, word in enumerate(words) if word in ("--file", "--env-file")]
            if away := [path for path in named if not Path(path).exists()]:
                return Said(1, f"open {away[0]}: no such file or directory", "")
            self.rows = [] if "--remove-orphans" in words else [row for row in self.rows if _is_once(row)]
            watch.look()
            return Said(0, "", "")
        self.at("up")
        services = _merged(words)["services"]
        if "--remove-orphans" in words:
            self.rows = [row for row in self.rows if row["Config"]["Labels"]["com.docker.compose.service"] in services and not _is_once(row)]
        for name, service in services.items():
            made_from = json.dumps([service, Path(folder, ".env").read_text() if Path(folder, ".env").exists() else ""])
            own = [row for row in self.rows if row["Config"]["Labels"]["com.docker.compose.service"] == name and not _is_once(row)]
            if not own or own[0]["made_from"] != made_from:
                self.rows = [row for row in self.rows if row not in own]
                watch.look()
                self.at(f"between {name}")
                self.rows.append(self._container(name, service["image"], words, made_from))
                watch.look()
            failed = failed or service["image"] in self.bad
        return Said(1 if failed else 0, "dependency failed to start: canary-1" if failed else "", "")

    def _container(self, service: str, image: str, words: list[str], made_from: str) -> dict[str, Any]:
        self._made += 1
        files = ",".join(words[at + 1] for at, word in enumerate(words) if word == "--file")
        environment = ",".join(words[at + 1] for at, word in enumerate(words) if word == "--env-file")
        folder = words[words.index("--project-directory") + 1]
        labels = {"project": "shop", "service": service, "project.working_dir": folder, "project.config_files": files, "config-hash": "h"}
        labels["project.environment_file"] = environment
        return {
            "Id": f"c{self._made}",
            "Name": f"/shop-{service}-1",
            "Created": f"2026-01-01T00:00:{self._made:02}Z",
            "Image": self.images[image]["Id"],
            "Config": {"Image": image, "Labels": {f"com.docker.compose.{key}": value for key, value in labels.items()}},
            "HostConfig": {},
            "Mounts": [],
            "State": {"Running": True, "Status": "running", "Health": {"Status": "unhealthy" if image in self.bad else "healthy"}, "ExitCode": 0},
            "made_from": made_from,
        }


def _is_once(row: dict[str, Any]) -> bool:
    """Say whether somebody ran that container once, and it has ended."""
    return "com.docker.compose.oneoff" in row["Config"]["Labels"]


def _merged(argv: Sequence[str]) -> dict[str, Any]:
    """Return what the files say together, later ones over earlier ones."""
    merged: dict[str, Any] = {"services": {}}
    for path in (argv[at + 1] for at, word in enumerate(argv) if word == "--file"):
        said: Any = parse_document(Path(path).read_text(), path).data
        merged["name"] = said.get("name", merged.get("name"))
        for name, service in said["services"].items():
            merged["services"][name] = {**merged["services"].get(name, {}), **service}
        merged.update({key: value for key, value in said.items() if key not in ("name", "services")})
    return merged
