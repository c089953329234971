"""What compose files would do, judged without Docker: each rule by a file that breaks it alone, told with file and line."""

# ruff: noqa: E501 - messages stand whole, so that a search finds them
from __future__ import annotations

import pytest

from controlplane.adapters.compose_yaml import parse_compose
from controlplane.domain.releases.compose_said import Asked, ComposeFile
from controlplane.domain.releases.compose_view import ComposeView, compose_view

DIGEST = "sha256:" + "a" * 64
ASKED = Asked(
    project="shop",
    dir="/opt/stacks/shop",
    images={"web": "registry.example.org/shop/web", "api": "registry.example.org/shop/api"},
    known={"DATA": "/mnt/data/shop", "TAG": None, "DB_PASSWORD": None, "SCALE": "2"},
    secrets=frozenset(["DB_PASSWORD"]),
)
HEALTH = "healthcheck: {test: [CMD, probe]}"
SOUND = f"""\
name: shop
services:
  web:
    restart: unless-stopped
    {HEALTH}
    depends_on: [api]
    volumes: ["./runtime:/run/web", "cache:/cache"]
  api:
    image: registry.example.org/shop/api:${{TAG}}
    restart: always
    {HEALTH}
    depends_on: {{db: {{condition: service_healthy}}}}
    environment: {{DB_PASSWORD: "${{DB_PASSWORD}}", LEVEL: info}}
    volumes:
      - {{type: bind, source: "${{DATA}}/files", target: /files, read_only: true}}
      - {{type: tmpfs, target: /tmp/x}}
  db:
    image: postgres@{DIGEST}
    restart: "unless-stopped"
    healthcheck: {{test: pg_isready, interval: 5s}}
    volumes: ["${{DATA}}/pg:/var/lib/postgresql/data"]
volumes:
  cache:
"""


def view(*texts: str, asked: Asked = ASKED) -> ComposeView:
    found, faults = _viewed(*texts, asked=asked)
    assert [str(fault) for fault in faults] == []
    assert found is not None
    return found


def faults(*texts: str, asked: Asked = ASKED) -> list[str]:
    found, wrong = _viewed(*texts, asked=asked)
    assert (found is None) == bool(wrong)
    return [str(fault) for fault in wrong]


def _viewed(*texts: str, asked: Asked) -> tuple[ComposeView | None, tuple[object, ...]]:
    documents = [parse_compose(text, f"compose.{number}.yml") for number, text in enumerate(texts, 1)]
    assert [fault for document in documents for fault in document.faults] == []
    return compose_view([ComposeFile(document.file, document.data, document) for document in documents], asked)


def test_a_project_is_seen_whole_in_the_order_in_which_it_starts() -> None:
    found = view(SOUND)
    assert [service.name for service in found.services] == ["db", "api", "web"]
    assert [(service.image, service.networks, service.after) for service in found.services] == [
        (f"postgres@{DIGEST}", ("default",), ()),
        (None, ("default",), ("db",)),
        (None, ("default",), ("api",)),
    ]
    assert {name: [(one.source, one.target, one.read_only, one.line) for one in binds] for name, binds in found.binds().items()} == {
        "db": [("/mnt/data/shop/pg", "/var/lib/postgresql/data", False, 21)],
        "api": [("/mnt/data/shop/files", "/files", True, 15)],
        "web": [("/opt/stacks/shop/runtime", "/run/web", False, 7)],
    }
    assert {name: [(one.key, one.name, one.target) for one in volumes] for name, volumes in found.volumes().items()} == {
        "web": [("cache", "shop_cache", "/cache")]
    }
    assert found.places() == ("/mnt/data/shop/files", "/mnt/data/shop/pg", "/opt/stacks/shop/runtime")
    assert found.deciding == ("DATA",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        # The project
        ("name: shop\n", "", "compose.1.yml:1: name: is missing, so the folder's name would make the project: write name: shop"),
        ("name: shop\n", "name: shops\n", "compose.1.yml:1: name: is not the project of this environment: write name: shop"),
        ("name: shop\n", "name: ${DATA}\n", "compose.1.yml:1: name: is not the project of this environment"),
        # Health and restart
        (f"    {HEALTH}\n    depends_on: [api]", "    depends_on: [api]", "compose.1.yml:3: services.web.healthcheck: is missing: write a healthcheck with a test"),
        ("{test: [CMD, probe]}\n    depends_on: [api]", "{interval: 5s}\n    depends_on: [api]", "compose.1.yml:5: services.web.healthcheck: is missing"),
        ("[CMD, probe]}\n    depends_on: [api]", "[NONE]}\n    depends_on: [api]", "compose.1.yml:5: services.web.healthcheck.test: takes the healthcheck away"),
        ("[CMD, probe]}\n    depends_on: [api]", "[probe]}\n    depends_on: [api]", "compose.1.yml:5: services.web.healthcheck.test: is no test"),
        ("[CMD, probe]}\n    depends_on: [api]", "[CMD]}\n    depends_on: [api]", "compose.1.yml:5: services.web.healthcheck.test: is no test"),
        ("{test: pg_isready", '{test: ""', "compose.1.yml:20: services.db.healthcheck.test: is no test"),
        ("{test: pg_isready", "{disable: true, test: pg_isready", "compose.1.yml:20: services.db.healthcheck.disable: takes the healthcheck away"),
        ("{test: pg_isready", "{tset: x, test: pg_isready", "compose.1.yml:20: services.db.healthcheck.tset: is not known here"),
        ("    restart: always\n", "", "compose.1.yml:8: services.api.restart: is missing, so the service would not come back after a reboot"),
        ("restart: always", "restart: no", "compose.1.yml:10: services.api.restart: is no, so the service would not come back"),
        ("restart: always", "restart: false", "compose.1.yml:10: services.api.restart: is no, so the service would not come back"),
        ("restart: always", 'restart: "no"', "compose.1.yml:10: services.api.restart: is no, so the service would not come back"),
        ("restart: always", "restart: on-failure", "compose.1.yml:10: services.api.restart: is on-failure, so the service would not come back"),
        ("restart: always", "restart: on-failure:3", "compose.1.yml:10: services.api.restart: is on-failure:3, so the service would not come back"),
        ("restart: always", "restart: sometimes", "compose.1.yml:10: services.api.restart: 'sometimes' is no restart policy"),
        ("restart: always", "restart: ${TAG}", "compose.1.yml:10: services.api.restart: can't be told here: it needs TAG, of which the contract says no value"),
        ("restart: always", "restart: always\n    deploy: {restart_policy: {condition: none}}", "compose.1.yml:11: services.api.deploy.restart_policy: would override restart"),
        # Images
        (f"image: postgres@{DIGEST}", "image: postgres:17", "compose.1.yml:18: services.db.image: 'postgres:17' can be moved to another image: pin it by digest"),
        (f"image: postgres@{DIGEST}", "image: postgres@sha256:abc", "compose.1.yml:18: services.db.image: 'postgres@sha256:abc' can be moved"),
        (f"    image: postgres@{DIGEST}\n", "", "compose.1.yml:17: services.db.image: is missing: this service is not among the released images"),
        (f"image: postgres@{DIGEST}", "image: postgres:${TAG}", "compose.1.yml:18: services.db.image: can't be told here"),
        ("  web:\n", "  page:\n", "compose.1.yml:2: services: has no service web, which is released"),
        ("    restart: always\n", "    restart: always\n    build: .\n", "compose.1.yml:11: services.api.build: builds an image on the machine"),
        ("    restart: always\n", "    restart: always\n    pull_policy: always\n", "compose.1.yml:11: services.api.pull_policy: is 'always', and a release pulls what its manifest names"),
        ("    restart: always\n", "    restart: always\n    pull_policy: build\n", "compose.1.yml:11: services.api.pull_policy: is 'build'"),
        ("    restart: always\n", "    restart: always\n    pull_policy: daily\n", "compose.1.yml:11: services.api.pull_policy: is 'daily'"),
        # Mounts
        ('"cache:/cache"', "/cache", "compose.1.yml:7: services.web.volumes.1: is an anonymous volume, which the next container would not get again"),
        ('"cache:/cache"', "{type: volume, target: /cache}", "compose.1.yml:7: services.web.volumes.1: is an anonymous volume"),
        ('"cache:/cache"', "{type: volume, source: cach, target: /cache}", "compose.1.yml:7: services.web.volumes.1: mounts the volume cach, which is not declared"),
        ('"cache:/cache"', '"cach:/cache"', "compose.1.yml:7: services.web.volumes.1: mounts the volume cach, which is not declared"),
        ('"cache:/cache"', '"cache:/cache:rw:z"', "compose.1.yml:7: services.web.volumes.1: is no SOURCE:TARGET"),
        ('"cache:/cache"', '"cache::ro"', "compose.1.yml:7: services.web.volumes.1: is no SOURCE:TARGET"),
        ('"cache:/cache"', '"cache:/cache:odd"', "compose.1.yml:7: services.web.volumes.1: has the option 'odd', which is not known here"),
        ('"cache:/cache"', '"c:/cache"', "compose.1.yml:7: services.web.volumes.1: has a source of one letter"),
        ('"cache:/cache"', '"cache:cache"', "compose.1.yml:7: services.web.volumes.1: has no absolute target"),
        ('"cache:/cache"', '"~/cache:/cache"', "compose.1.yml:7: services.web.volumes.1: begins with ~"),
        ('"cache:/cache"', '"${TAG}/cache:/cache"', "compose.1.yml:7: services.web.volumes.1: can't be told here: it needs TAG"),
        ('"cache:/cache"', '"cache:/run/web/."', "compose.1.yml:7: services.web.volumes.1: mounts at /run/web as /run/web does, written otherwise"),
        ('"cache:/cache"', "{type: npipe, source: x, target: /cache}", "compose.1.yml:7: services.web.volumes.1.type: has no type that is judged here"),
        ('"cache:/cache"', "{source: cache, target: /cache}", "compose.1.yml:7: services.web.volumes.1.type: has no type that is judged here"),
        ('"cache:/cache"', "{type: bind, target: /cache}", "compose.1.yml:7: services.web.volumes.1.source: is missing"),
        ('"cache:/cache"', "{type: volume, source: cache, target: /cache, src: x}", "compose.1.yml:7: services.web.volumes.1.src: is not known here"),
        ('"cache:/cache"', "7", "compose.1.yml:7: services.web.volumes.1: is no text: write it in quotes"),
        ('volumes: ["./runtime', 'tmpfs: /cache\n    volumes: ["./runtime', "compose.1.yml:7: services.web.tmpfs: mounts at /cache, as volumes does"),
        ("  cache:\n", "  cache: {driver: nfs}\n", "compose.1.yml:23: volumes.cache.driver: is another driver than local"),
        ("  cache:\n", '  cache: {driver_opts: {type: nfs, o: "addr=nas", device: ":/x"}}\n', "compose.1.yml:23: volumes.cache.driver_opts: makes a volume whose data lie where this can't be judged"),
        ("  cache:\n", "  cache: {size: 1}\n", "compose.1.yml:23: volumes.cache.size: is not known here"),
        # Secrets and what is deployed
        ('"${DB_PASSWORD}"', "hunter2hunter2", "compose.1.yml:13: services.api.environment.DB_PASSWORD: DB_PASSWORD is a secret and has a value here"),
        ('"${DB_PASSWORD}"', '"${DB_PASSWORD:-hunter2hunter2}"', "compose.1.yml:13: services.api.environment.DB_PASSWORD: gives the secret DB_PASSWORD a default"),
        ("LEVEL: info", "REDIS_TOKEN: hunter2hunter2", "compose.1.yml:13: services.api.environment.REDIS_TOKEN: REDIS_TOKEN is a secret and has a value here"),
        # What Compose has by itself on the host
        ('"${DATA}/pg:/var', '"${HOME:-/mnt/data/shop}/pg:/var', "compose.1.yml:21: services.db.volumes.0: uses HOME, which Compose has by itself on the host"),
        ("LEVEL: info", 'LEVEL: "${LC_ALL-C}"', "compose.1.yml:13: services.api.environment.LEVEL: uses LC_ALL, which Compose has by itself"),
        ("LEVEL: info", 'LEVEL: "${TAG:-${COMPOSE_PROJECT_NAME}}"', "compose.1.yml:13: services.api.environment.LEVEL: uses COMPOSE_PROJECT_NAME, which Compose has"),
        ("LEVEL: info", "PATH: ", "compose.1.yml:13: services.api.environment.PATH: uses PATH, which Compose has by itself"),
        ("LEVEL: info", "LEVEL: $$HOME", ""),
        ("volumes:\n  cache:\n", "volumes:\n  cache:\nsecrets: {a: {environment: HOME}}\n", "compose.1.yml:24: secrets.a.environment: uses HOME, which Compose has"),
        # What is written out as a default is written out.
        ("LEVEL: info", 'PGPASSWORD: "${PG_SECOND:-Hunter2Really9}"', "compose.1.yml:13: services.api.environment.PGPASSWORD: PGPASSWORD is a secret and has a value here"),
        ("LEVEL: info", 'PGPASSWORD: "${PG_SECOND:-${DB_PASSWORD:+Hunter2Really9}}"', "compose.1.yml:13: services.api.environment.PGPASSWORD: PGPASSWORD is a secret and has a value here"),
        ("LEVEL: info", 'PGPASSWORD: "${PG_SECOND:-${DB_PASSWORD}}"', ""),
        ("LEVEL: info", 'PGPASSWORD: "${PG_SECOND:-}"', ""),
        ("LEVEL: info", 'LEVEL: "${PG_PW:-Hunter2Really9}"', "compose.1.yml:13: services.api.environment.LEVEL: gives the secret PG_PW a default"),
        ("LEVEL: info", "LEVEL: $LEVEL", "compose.1.yml:13: services.api.environment.LEVEL: needs LEVEL, which the contract does not declare"),
        ("LEVEL: info", "LEVEL: ", "compose.1.yml:13: services.api.environment.LEVEL: takes LEVEL from the environment, and the contract does not declare it"),
        ("    restart: always\n", "    restart: always\n    env_file: [.env, extra.env]\n", "compose.1.yml:11: services.api.env_file.1: 'extra.env' is not deployed"),
        ("    restart: always\n", "    restart: always\n    env_file: {path: extra.env}\n", "compose.1.yml:11: services.api.env_file.path: 'extra.env' is not deployed"),
        ("volumes:\n  cache:\n", "volumes:\n  cache:\nsecrets: {a: {file: ./a}}\n", "compose.1.yml:24: secrets.a.file: takes it from what is not deployed"),
        ("volumes:\n  cache:\n", "volumes:\n  cache:\nsecrets: {a: {environment: NONE}}\n", "compose.1.yml:24: secrets.a.environment: is not in the contract"),
        ("volumes:\n  cache:\n", "volumes:\n  cache:\nconfigs: {a: }\n", "compose.1.yml:24: configs.a: says not where it comes from"),
        # What is not understood
        ("    restart: always\n", "    restart: always\n    extends: {service: db}\n", "compose.1.yml:11: services.api.extends: takes over what stands elsewhere"),
        ("    restart: always\n", "    restart: always\n    profiles: [debug]\n", "compose.1.yml:11: services.api.profiles: leaves the service out unless"),
        ("    restart: always\n", "    restart: always\n    volumes_from: [db]\n", "compose.1.yml:11: services.api.volumes_from: takes over what another container mounts"),
        ("    restart: always\n", "    restart: always\n    use_api_socket: true\n", "compose.1.yml:11: services.api.use_api_socket: hands the engine's socket"),
        ("    restart: always\n", "    restart: always\n    restrat: x\n", "compose.1.yml:11: services.api.restrat: is not known here, so what it does can't be judged"),
        ("name: shop\n", "name: shop\ninclude: [other.yml]\n", "compose.1.yml:2: include: brings in files that are not judged here"),
        ("name: shop\n", "name: shop\nserivces: {}\n", "compose.1.yml:2: serivces: is not known here"),
        ("LEVEL: info", 'LEVEL: "${DATA"', "compose.1.yml:13: services.api.environment.LEVEL: holds ${ without its }"),
        ("  db:\n", "  db: x\n  dc:\n", "compose.1.yml:17: services.db: says nothing of the service"),
        # That it runs, and with whom
        ("    restart: always\n", "    restart: always\n    scale: 0\n", "compose.1.yml:11: services.api.scale: is no number of containers from 1 on"),
        ("    restart: always\n", "    restart: always\n    deploy: {replicas: 0}\n", "compose.1.yml:11: services.api.deploy.replicas: is no number of containers"),
        ("    restart: always\n", "    restart: always\n    deploy: {mode: replicated-job}\n", "compose.1.yml:11: services.api.deploy.mode: runs the service once"),
        ("    restart: always\n", "    restart: always\n    networks: [back]\n", "compose.1.yml:11: services.api.networks: joins back, which is not declared"),
        ("    restart: always\n", "    restart: always\n    network_mode: host\n", "compose.1.yml:2: services: give the released services no network that all of them join (web: default; api: none)"),
        ("    restart: always\n", "    restart: always\n    network_mode: container:other\n", "compose.1.yml:11: services.api.network_mode: leans on a container that is not of this stack"),
        ("    restart: always\n", "    restart: always\n    network_mode: edge\n", "compose.1.yml:11: services.api.network_mode: is none of bridge, host, none and service:NAME"),
        ("volumes:\n  cache:\n", "volumes:\n  cache:\nnetworks: {edge: {external: true, name: edge, nonsense: 1}}\n", "compose.1.yml:24: networks.edge.nonsense: is not known here"),
        ("volumes:\n  cache:\n", "volumes:\n  cache:\nnetworks: {edge: edge}\n", "compose.1.yml:24: networks.edge: is no mapping"),
        ("volumes:\n  cache:\n", 'volumes:\n  cache:\nnetworks: {edge: {name: "${TAG}"}}\n', "compose.1.yml:24: networks.edge.name: can't be told here: it needs TAG"),
        ("volumes:\n  cache:\n", "volumes:\n  cache:\nnetworks: {edge: {external: {name: x}}}\n", "compose.1.yml:24: networks.edge.external: is no text"),
        ("volumes:\n  cache:\n", "volumes:\n  cache:\nnetworks: {edge: {internal: true, attachable: false, driver: bridge, ipam: {}, labels: {}, x-of: us}}\n", ""),
        ("    restart: always\n", "    restart: always\n    networks: {default: {alias: [x]}}\n", "compose.1.yml:11: services.api.networks.default.alias: is not known here"),
        ("    restart: always\n", "    restart: always\n    networks: {default: {aliases: x}}\n", "compose.1.yml:11: services.api.networks.default.aliases: is no list"),
        ("depends_on: [api]", "depends_on: [apis]", "compose.1.yml:6: services.web.depends_on: waits for apis, and there is no such service"),
        ("    healthcheck: {test: pg_isready", "    depends_on: [web]\n    healthcheck: {test: pg_isready", "compose.1.yml:6: services.web.depends_on: waits in a ring: web → db → api → web"),
        ("    restart: always\n", "    restart: always\n    container_name: a b\n", "compose.1.yml:11: services.api.container_name: 'a b' is no name of a container"),
        ("    restart: always\n", "    restart: always\n    container_name: web\n", ""),
    ],
)  # fmt: skip
def test_each_rule_is_broken_by_a_file_that_breaks_it(old: str, new: str, told: str) -> None:
    assert old in SOUND
    found = faults(SOUND.replace(old, new, 1))
    if not told:
        assert found == []
        return
    assert any(fault.startswith(told) for fault in found), found
    assert not any("hunter2" in fault for fault in found)


def test_two_containers_of_one_name_are_refused() -> None:
    named = SOUND.replace("    restart: always\n", "    restart: always\n    container_name: x\n").replace(
        "  db:\n", "  db:\n    container_name: x\n"
    )
    assert faults(named) == ["compose.1.yml:19: services.db.container_name: is the name of the container of api: give each its own"]


def test_a_network_of_its_own_is_shared_by_all_that_join_it() -> None:
    text = SOUND.replace("    restart: unless-stopped\n", "    restart: unless-stopped\n    networks: [front, back]\n")
    text = (
        text.replace("    restart: always\n", "    restart: always\n    networks: {back: {aliases: [x]}}\n")
        + "networks: {front: , back: {internal: true}}\n"
    )
    assert [service.networks for service in view(text).services] == [("default",), ("back",), ("front", "back")]
    assert faults(text.replace("networks: {back: {aliases: [x]}}", "networks: [default]")) == [
        "compose.1.yml:2: services: give the released services no network that all of them join (web: front, back; api: default): join them to one"
    ]


def test_what_a_service_answers_to_is_told_by_the_network_s_name_in_docker() -> None:
    text = SOUND.replace("    restart: unless-stopped\n", "    restart: unless-stopped\n    networks: [default, kept]\n").replace(
        "    restart: always\n",
        "    restart: always\n    container_name: Shop-Api\n    networks: {default: , edge: {aliases: [intake]}, outside: }\n",
    )
    declared = "networks: {kept: {name: shop-kept}, edge: {external: true, name: proxy}, outside: {external: true}}\n"
    over = "services: {api: {hostname: orders, networks: {edge: {aliases: [orders-api]}}}}\nnetworks: {edge: {name: edge}}\n"
    found = {service.name: {one.network: one.names for one in service.answers} for service in view(text + declared, over).services}
    own = ("api", "orders", "shop-api")
    assert found == {
        "db": {"shop_default": ("db",)},
        "web": {"shop_default": ("web",), "shop-kept": ("web",)},
        "api": {"shop_default": own, "edge": ("api", "intake", "orders", "orders-api", "shop-api"), "outside": own},
    }


def test_later_files_lie_over_earlier_ones_as_compose_lays_them() -> None:
    over = """\
services:
  web: {volumes: ["other:/cache", "./more:/more"], restart: always, networks: [default]}
  db: {healthcheck: {test: [CMD, other]}, image: , volumes: }
volumes: {other: {name: kept, external: true}}
"""
    found = view(SOUND, over)
    web = next(service for service in found.services if service.name == "web")
    assert [(one.source, one.target, one.file) for one in web.binds] == [
        ("/opt/stacks/shop/runtime", "/run/web", "compose.1.yml"),
        ("/opt/stacks/shop/more", "/more", "compose.2.yml"),
    ]
    assert [(one.name, one.target, one.external) for one in web.volumes] == [("kept", "/cache", True)]
    assert next(service for service in found.services if service.name == "db").image == f"postgres@{DIGEST}"


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ("services: {web: {restart: no}}", "compose.2.yml:1: services.web.restart: is no"),
        ("services: {web: {healthcheck: {disable: true}}}", "compose.2.yml:1: services.web.healthcheck.disable: takes the healthcheck away"),
        ("services: {web: {volumes: [/anonymous]}}", "compose.2.yml:1: services.web.volumes.0: is an anonymous volume"),
        ("services: {new: {image: x}}", "compose.2.yml:1: services.new.image: 'x' can be moved"),
        ("services: {web: {volumes: {a: b}}}", "compose.2.yml:1: services.web.volumes: is no list, so what it means can't be judged"),
        ("name: other", "compose.2.yml:1: name: is not the project of this environment"),
        ("[]", "compose.2.yml:1: is no mapping"),
    ],
)
def test_a_later_file_is_judged_where_it_stands(over: str, told: str) -> None:
    found = faults(SOUND, over)
    assert any(fault.startswith(told) for fault in found), found


@pytest.mark.parametrize(
    ("more", "stops_with"),
    [
        ("depends_on: {db: {condition: service_healthy}}", ()),
        ("depends_on: {db: {condition: service_healthy, restart: true}}", ("db",)),
        ('depends_on: {db: {condition: service_healthy, restart: "false"}}', ()),
        ("links: [db]", ("db",)),
        ('links: ["db:database"]', ("db",)),
        # What depends_on says itself counts for a link, and for no namespace: that goes with its owner.
        ("links: [db]\n    depends_on: [db]", ()),
        ("ipc: service:db\n    depends_on: [db]", ("db",)),
        ("pid: service:db", ("db",)),
        ("uts: service:db", ("db",)),
        ("cgroup: service:db", ("db",)),
        ("pid: host", ()),
    ],
)
def test_what_compose_stops_along_with_another_service_is_told(more: str, stops_with: tuple[str, ...]) -> None:
    text = SOUND.replace("depends_on: {db: {condition: service_healthy}}", more)
    found = {service.name: service for service in view(text).services}
    assert found["api"].stops_with == stops_with
    assert set(stops_with) <= set(found["api"].after)
    assert found["web"].stops_with == found["db"].stops_with == ()


def test_what_a_later_file_says_of_a_dependency_counts() -> None:
    over = "services: {api: {depends_on: {db: {restart: true}}}}\n"
    assert {one.name: one.stops_with for one in view(SOUND, over).services}["api"] == ("db",)


def test_a_service_that_lives_in_another_s_network_goes_with_it() -> None:
    sidecar = f"services: {{side: {{image: side@{DIGEST}, restart: always, {HEALTH}, network_mode: 'service:web'}}}}\n"
    assert {one.name: one.stops_with for one in view(SOUND, sidecar).services}["side"] == ("web",)


def test_the_same_file_twice_is_the_same_project() -> None:
    once = view(SOUND)
    twice = view(SOUND, SOUND)
    assert [(service.name, service.networks, [one.name for one in service.volumes]) for service in twice.services] == [
        (service.name, service.networks, [one.name for one in service.volumes]) for service in once.services
    ]
    assert twice.places() == once.places()


def test_the_last_name_is_the_projects() -> None:
    assert view(SOUND.replace("name: shop", "name: other"), "name: shop").project == "shop"


def test_a_volume_that_binds_a_directory_is_that_bind() -> None:
    text = SOUND.replace("  cache:\n", "  cache: {driver: local, driver_opts: {type: none, o: 'bind,ro', device: /mnt/data/cache/}}\n")
    [bind] = [one for one in view(text).binds()["web"] if one.volume]
    assert (bind.source, bind.target, bind.read_only, bind.volume) == ("/mnt/data/cache", "/cache", True, "cache")


def test_a_bind_that_leaves_the_projects_folder_is_told_where_it_leads() -> None:
    assert view(SOUND.replace("./runtime", "../../runtime")).places()[-1] == "/opt/runtime"


def test_anchors_and_merge_keys_are_written_out() -> None:
    text = SOUND.replace("name: shop\n", f"name: shop\nx-base: &base\n  restart: always\n  {HEALTH}\n").replace(
        f"    restart: unless-stopped\n    {HEALTH}\n", "    <<: *base\n"
    )
    assert view(text).services[-1].name == "web"
    assert "compose.1.yml:3: services.web.restart: is no" in faults(text.replace("restart: always", "restart: no", 1))[0]


def test_what_a_service_only_reads_is_what_it_writes_to_nowhere() -> None:
    text = SOUND.replace('"./runtime:/run/web", "cache:/cache"', '"./runtime:/run/web:ro", "./runtime:/run/rw", "cache:/cache:ro", "./in:/in:ro"')
    reads = {service.name: service.reads for service in view(text).services}
    assert (reads["web"], reads["db"], reads["api"]) == (("/opt/stacks/shop/in", "shop_cache"), (), ("/mnt/data/shop/files",))


def test_what_compose_has_by_itself_is_no_variable_of_the_contract_either() -> None:
    known = ASKED._replace(known={**ASKED.known, "HOME": "/mnt/data/shop"})
    [fault] = faults(SOUND.replace("${DATA}/pg", "${HOME}/pg"), asked=known)
    assert "uses HOME, which Compose has by itself on the host, whatever .env or a default says" in fault
