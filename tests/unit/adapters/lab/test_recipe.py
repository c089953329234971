"""A recipe's digest names its image: what goes in decides it, and nothing else."""

import json

from controlplane.adapters.lab.recipe import golden_digest, services_digest
from controlplane.adapters.lab.stacks import PORTS, apps_stack, compose_text, data_stack


def test_engine_size_and_trimming_decide_the_digest() -> None:
    digests = [golden_digest("26", 1), golden_digest("20.10", 1), golden_digest("26", 2), services_digest(()), services_digest(("x",))]
    assert len(set(digests)) == 5
    assert golden_digest("26", 1) == digests[0]


def test_redis_keeps_its_data_on_an_anonymous_volume_and_the_others_on_named_ones() -> None:
    services = data_stack(redis_aof=False)["services"]
    assert {name: service.get("volumes") for name, service in services.items()} == {
        "postgres": ["postgres:/var/lib/postgresql/data"],
        "minio": ["minio:/data"],
        "redis": ["/data"],
        "import": None,
    }


def test_redis_gets_an_append_only_file_only_when_asked() -> None:
    assert data_stack(redis_aof=False)["services"]["redis"]["command"] == ["serve-redis", "--save", "3600 1"]
    assert data_stack(redis_aof=True)["services"]["redis"]["command"] == ["serve-redis", "--appendonly", "yes"]


def test_a_slow_machine_is_asked_for_its_health_more_seldom() -> None:
    probes = [[s["healthcheck"] for s in data_stack(redis_aof=False, patience=n)["services"].values() if "healthcheck" in s] for n in (1, 8)]
    assert {(probe["interval"], probe["timeout"]) for probe in probes[0]} == {("3s", "5s")}
    assert {(probe["interval"], probe["timeout"]) for probe in probes[1]} == {("24s", "40s")}


def test_every_service_but_the_finished_job_comes_back_after_a_reboot_and_no_image_is_pulled() -> None:
    services = [*data_stack(redis_aof=False)["services"].values(), *apps_stack()["services"].values()]
    assert [s["container_name"] for s in services if s["restart"] != "unless-stopped"] == ["mint-modules-import"]
    assert {s["pull_policy"] for s in services} == {"never"}


def test_ports_are_published_on_the_loopback_only() -> None:
    services = apps_stack()["services"]
    assert {name: service["ports"] for name, service in services.items()} == {name: [f"127.0.0.1:{p}:{p}"] for name, p in PORTS.items()}


def test_the_compose_file_is_the_stack() -> None:
    assert json.loads(compose_text(apps_stack())) == apps_stack()
