"""The way back brings the data into the container's own layer again, each as it was, and the compose file byte for byte."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_file_is_as_it_was() -> None:
    assert verdicts()["service:shop"] == "DRIFTED"
    text = on_machine("cat /opt/stacks/shop/compose.yml")
    assert "name: shop\n" not in text.replace("container_name: shop\n", "")
    assert "volumes" not in text
    assert on_machine("docker inspect -f '{{json .Mounts}}' shop") == "[]\n"


def test_the_service_has_its_data_with_owners_and_attributes() -> None:
    on_machine("docker exec -i shop sh -c 'cd /srv/shop && sha256sum --check --quiet -' < /root/parts")
    assert on_machine("docker exec shop stat -c '%u:%g %a %h' /srv/shop/part01 /srv/shop/part02 /srv/shop/deep").splitlines() == [
        "4242:4343 644 2",
        "4242:4343 4711 1",
        "4242:4343 2750 2",
    ]
    layer = "cd $(docker inspect -f '{{.GraphDriver.Data.UpperDir}}' shop)/srv/shop"
    assert on_machine(f"{layer}; getfacl -cpn part03 | grep 4444; getfattr -n user.colour --only-values part04") == "user:4444:r--\ngreen"


def test_the_place_is_retired_and_still_holds_them() -> None:
    assert "/mnt/data/shop" in on_machine("cat /var/lib/controlplane/retired.json")
    on_machine("cd /mnt/data/shop && sha256sum --check --quiet /root/parts")
