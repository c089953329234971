"""A small stack on a lab machine: a registry of its own there, builds in it, and what a deployment of them is asked for."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.lab.conftest import LabMachine
from tests.lab.playing import RUN

KEY = RUN.format("release.deploy", 1)
TOOL, TOOLS = Path(__file__).parents[2] / "roles/target_run/files/controlplane_target", "/root/tools"
DIR, PLACE, SECRET = "/opt/stacks/till", "/mnt/data/till", "canary-9f3b7d"
ENV = f"TOKEN={SECRET}\nPLACE={PLACE}\n"
COMPOSE = """# the till, and the page before it
name: till
services:
  till:
    image: 127.0.0.1:5000/shop/till:${TAG:-none}
    container_name: till
    command: [serve-app, till, "3400"]
    environment: {TOKEN: "${TOKEN}"}
    restart: unless-stopped
    healthcheck: {test: [CMD, bash, -c, "exec 3<>/dev/tcp/127.0.0.1/3400"], interval: 1s, timeout: 5s, retries: 20}
    volumes: [{type: bind, source: "${PLACE}", target: /srv/till}, "kept:/kept"]
  page:
    image: 127.0.0.1:5000/shop/page
    command: [serve-app, page, "3341"]
    env_file: .env
    restart: unless-stopped
volumes: {kept: {}}
"""
_CONFIG = 'version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: "127.0.0.1:5000"}\n'
_BUILD = """
container=$(docker create lab/services:1 true)
docker commit --change "ENV RELEASE=$2" ${3:+--change "$3"} ${4:+--change "VOLUME $4"} "$container" "127.0.0.1:5000/shop/$1:$2" > /dev/null
docker rm "$container" > /dev/null
docker push --quiet "127.0.0.1:5000/shop/$1:$2" > /dev/null
docker image inspect -f '{{index .RepoDigests 0}}' "127.0.0.1:5000/shop/$1:$2"
docker rmi "127.0.0.1:5000/shop/$1:$2" > /dev/null
"""
HEALTHCHECK = 'HEALTHCHECK --interval=1s --timeout=5s CMD bash -c "exec 3<>/dev/tcp/127.0.0.1/3341"'


class Till:
    """The stack on one machine, whose registry is a unit there: `registry.service`."""

    def __init__(self, host: LabMachine, folder: Path) -> None:
        self.host, self.folder = host, folder
        host.run(
            ["sh", "-c", "cat > /usr/local/bin/docker-registry && chmod 755 /usr/local/bin/docker-registry"], stdin=Path("/usr/bin/docker-registry")
        )
        host.run(["sh", "-c", "cat > /root/registry.yml"], stdin=_CONFIG.encode())
        self.start_registry()
        host.sh(f"mkdir -p {PLACE} && echo kept > {PLACE}/file")
        self.images = self.build("1")

    def start_registry(self) -> None:
        self.host.sh(
            "systemd-run --quiet --unit=registry docker-registry serve /root/registry.yml;"
            " for try in $(seq 50); do bash -c 'exec 3<>/dev/tcp/127.0.0.1/5000' 2>/dev/null && exit; sleep 0.1; done; exit 1"
        )

    def build(self, release: str, *, page: str = HEALTHCHECK, volume: str = "") -> dict[str, str]:
        """Push a build of both services, and forget it here; return the images, pinned by digest."""
        return {
            name: self.host.sh(f"set -- {name} {release} {shlex.join(change)}{_BUILD}").strip()
            for name, change in (("till", ("", "")), ("page", (page, volume)))
        }

    def variables(self, **changes: Any) -> dict[str, Any]:
        """Return the role's variables for release 1, and put the environment file where the controller has it."""
        env = changes.pop("env", ENV)
        digest = changes.pop("told_digest", "hmac-sha256:" + "e" * 64)
        self.folder.mkdir(parents=True, exist_ok=True)
        told = self.folder / "told.json"
        told.write_text(json.dumps({self.host.name: {"release": {"env": env, "digest": digest}}}))
        told.chmod(0o600)
        return {
            "compose_stack_run": KEY,
            "compose_stack_rollback_of": KEY,
            "compose_stack_stack": "till",
            "compose_stack_environment": "staging",
            "compose_stack_manifest": "sha256:" + "1" * 64,
            "compose_stack_manifest_name": "v1",
            "compose_stack_project": "till",
            "compose_stack_dir": DIR,
            "compose_stack_files": [{"name": "compose.yml", "text": COMPOSE}],
            "compose_stack_images": self.images,
            "compose_stack_env_digest": "hmac-sha256:" + "e" * 64,
            "compose_stack_told": str(told),
            "compose_stack_places": [PLACE],
            "compose_stack_wait_s": 60,
            **{f"compose_stack_{name}": value for name, value in changes.items()},
        }

    def lay_down(self) -> None:
        """Put the tool where `ask` finds it, as a play does for its time."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(TOOL, "controlplane_target", filter=lambda one: None if "__pycache__" in one.name else one)
            # What of PyYAML the action lays down beside it.
            tar.addfile(tarfile.TarInfo("controlplane_target/yaml/__init__.py"))
            for name in ("error", "tokens", "events", "nodes", "reader", "scanner", "parser", "composer", "resolver"):
                tar.add(Path(yaml.__file__).parent / f"{name}.py", f"controlplane_target/yaml/{name}.py")
        done = self.host.run(["sh", "-c", f"mkdir -p {TOOLS} && tar -C {TOOLS} -x"], stdin=packed.getvalue())
        assert done.returncode == 0, done

    def ask(self, verb: str, variables: Mapping[str, Any]) -> tuple[int, str]:
        """Call one verb of the tool that `lay_down` put there; return its exit code and its message."""
        names = ("stack", "environment", "manifest", "manifest_name", "project", "dir", "files", "images", "env_digest", "places", "wait_s")
        asked = {name: variables[f"compose_stack_{name}"] for name in names}
        asked["told"] = json.loads(Path(variables["compose_stack_told"]).read_text())[self.host.name]
        done = self.host.run(
            ["python3", "-I", "-S", "-X", "utf8", f"{TOOLS}/controlplane_target", "compose-stack", verb, "--run", KEY],
            stdin=json.dumps(asked).encode(),
        )
        return done.returncode, done.stderr.strip() or done.stdout.strip()

    def runs(self) -> dict[str, str]:
        """Return, by container, which release it says that it is, and how it fares."""
        read = "import json, sys; print(json.dumps({one['Name'][1:]: [one['Config']['Env'], one['State']] for one in json.load(sys.stdin)}))"
        own = "docker ps -aq --filter label=com.docker.compose.project=till"
        found = json.loads(self.host.sh(f'test -z "$({own})" && echo "{{}}" || docker inspect $({own}) | python3 -c "{read}"'))
        return {
            name: f"{dict(word.split('=', 1) for word in words)['RELEASE']} {(state.get('Health') or {}).get('Status', state['Status'])}"
            for name, (words, state) in found.items()
        }

    def journal(self, key: str = KEY) -> dict[str, Any]:
        return dict(json.loads(self.host.sh(f"cat /var/lib/controlplane/{key}/state.json")))

    def state(self) -> str:
        """Return all that a refusal must leave alone: the folder with its bytes, and the containers."""
        return self.host.sh(
            f"[ ! -e {DIR} ] || {{ find {DIR} -printf '%p %m %U %G\\n' | sort; find {DIR} -type f -exec sha256sum {{}} + | sort; }};"
            " docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}}'; docker volume ls -q"
        )
