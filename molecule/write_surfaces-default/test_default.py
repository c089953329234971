"""Both paths are bound to their places, with what was in them, owner and mode, by one new container; nothing else of /tmp is."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

_PATH = "/tmp/uploads"  # noqa: S108 - a path of the container
_SPOOL = "/var/spool/page"


def test_it_is_bound_to_its_place_and_the_file_says_so() -> None:
    found = verdicts()
    assert [found[f"write_surface:page:{path}"] for path in (_PATH, _SPOOL)] == ["MET", "MET"]
    first, second = (
        f"{{type: bind, source: /mnt/data/{place}, target: {path}, bind: {{create_host_path: false}}}}"
        for place, path in (("uploads", _PATH), ("page-spool", _SPOOL))
    )
    assert f"    volumes: [{first}, {second}]\n" in on_machine("cat /opt/stacks/page/compose.yml")


def test_what_was_in_it_is_there_and_what_is_written_next_lies_at_the_place() -> None:
    on_machine("docker exec page sh -c 'echo two > /tmp/uploads/two'")
    assert on_machine("cat /mnt/data/uploads/one /mnt/data/uploads/two; stat -c '%u:%g %a' /mnt/data/uploads /mnt/data/uploads/one") == (
        "one\ntwo\n4242:4343 750\n4242:4343 644\n"
    )
    assert on_machine("docker inspect -f '{{range .Mounts}}{{println .Destination}}{{end}}' page | sort").split() == [_PATH, _SPOOL]
    assert on_machine("stat -c '%u:%g %a' /mnt/data/page-spool; ls -A /mnt/data/page-spool") == "4242:4343 2770\n"


def test_all_that_the_container_wrote_to_its_tmp_is_kept_although_it_is_gone() -> None:
    [record] = json.loads(on_machine("cat /var/lib/controlplane/retired.json"))["retired"]
    assert on_machine(f"cd {record['path']} && cat tmp/uploads/one tmp/other") == "one\nother\n"
