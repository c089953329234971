"""Data of a container's own layer lie at their place on the data disk, each as it was, and Compose mounts them there, a surface with them."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

FILE = """# the shop
name: shop
services:
  shop:
    image: lab/services:1   # pinned
    volumes: [{type: bind, source: /mnt/data/shop, target: /srv/shop, bind: {create_host_path: false}}, SPOOL]
    container_name: shop
""".replace("SPOOL", "{type: bind, source: /mnt/data/shop-spool, target: /var/spool/shop, bind: {create_host_path: false}}")


def test_they_lie_where_the_policy_says_and_the_file_says_so() -> None:
    found = verdicts()
    assert (found["service:shop"], found["write_surface:shop:/var/spool/shop"]) == ("MET", "MET")
    assert on_machine("cat /opt/stacks/shop/compose.yml").startswith(FILE)


def test_the_service_has_them_all() -> None:
    on_machine("docker exec -i shop sh -c 'cd /srv/shop && sha256sum --check --quiet -' < /root/parts")


def test_a_surface_that_the_container_had_not_made_is_bound_with_owner_and_mode_by_the_same_new_container() -> None:
    assert on_machine("stat -c '%u:%g %a' /mnt/data/shop-spool; docker exec shop ls -A /var/spool/shop") == "4242:4343 750\n"
    assert on_machine("docker ps -aq | wc -l; docker inspect -f '{{.RestartCount}}' shop") == "1\n0\n"


def test_owners_modes_links_holes_and_attributes_are_kept() -> None:
    seen = on_machine(
        "cd /mnt/data/shop; stat -c '%n %u:%g %a %h %F' part01 part02 deep deep/pipe deep/leads-away; readlink deep/leads-away; "
        "stat -c '%s %b' sparse; ls -b | grep two; getfacl -cpn part03 | grep 4444; getfattr -n user.colour --only-values part04"
    )
    assert seen.splitlines() == [
        "part01 4242:4343 644 2 regular file",
        "part02 4242:4343 4711 1 regular file",
        "deep 4242:4343 2750 2 directory",
        "deep/pipe 4242:4343 644 1 fifo",
        "deep/leads-away 4242:4343 777 1 symbolic link",
        "/etc/shadow",
        "1073741824 0",
        "two\\nlines",
        "user:4444:r--",
        "green",
    ]


def test_what_the_layer_held_is_kept_although_its_container_is_gone() -> None:
    kept = on_machine("python3 -c \"import json; print(json.load(open('/var/lib/controlplane/retired.json'))['retired'][0]['path'])\"").strip()
    on_machine(f"cd {kept}/srv/shop && sha256sum --check --quiet /root/parts")


def test_nothing_of_the_run_is_left_mounted_or_enabled() -> None:
    assert on_machine("findmnt -rno TARGET | grep ^/run/controlplane || true; ls /etc/systemd/system | grep controlplane-settle || true") == ""
