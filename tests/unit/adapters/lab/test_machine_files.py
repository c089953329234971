"""What is written down about a machine, and what starts it."""

from pathlib import Path

import pytest

from controlplane.adapters.lab.cgroups import hierarchies
from controlplane.adapters.lab.home import LabHome, MachineFiles
from controlplane.adapters.lab.machine import way_to
from controlplane.adapters.lab.processes import Process
from controlplane.adapters.lab.records import MachineSpec, Record, read_record, read_spec, write_record, write_spec
from controlplane.adapters.lab.ssh import entry, ssh_argv
from controlplane.adapters.lab.supervise import nspawn_argv

SPEC = MachineSpec(engine="26", image_store="graph", boot_bytes=1, data_bytes=1, data_disk="own", boot_device="/dev/loop5", data_device="/dev/loop6")


@pytest.fixture
def home(tmp_path: Path) -> LabHome:
    return LabHome(tmp_path)


@pytest.fixture
def files(home: LabHome) -> MachineFiles:
    made = home.machine("db")
    made.path.mkdir(parents=True)
    return made


def test_spec_and_record_come_back_as_they_were_written(files: MachineFiles) -> None:
    record = Record(supervisor=Process(pid=1, started=2), boots=3)
    write_spec(files, SPEC)
    write_record(files, record)
    assert (read_spec(files), read_record(files)) == (SPEC, record)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"supervisor": 5}', b'{"other": 1}'])
def test_a_record_that_is_unreadable_says_that_nothing_runs(files: MachineFiles, content: bytes) -> None:
    files.record.write_bytes(content)
    assert read_record(files) == Record()
    assert not read_record(files).running()


def test_the_machine_gets_exactly_its_own_disks(files: MachineFiles) -> None:
    binds = [word for word in nspawn_argv(files, SPEC) if word.startswith("--bind")]
    assert binds == ["--bind=/dev/loop5", "--bind=/dev/loop6"]
    alone = nspawn_argv(files, SPEC.model_copy(update={"data_device": ""}))
    assert [word for word in alone if word.startswith("--bind")] == ["--bind=/dev/loop5"]


def test_ssh_pins_the_host_key_and_enters_the_machines_namespace(home: LabHome, files: MachineFiles) -> None:
    lines = [line.strip() for line in entry(home, files, way_to(files)).splitlines()]
    assert "StrictHostKeyChecking yes" in lines
    assert f"UserKnownHostsFile {files.path}/known_hosts" in lines
    assert "HostKeyAlias controlplane-lab-db" in lines
    assert f"ProxyCommand nsenter --net=/run/netns/{home.tag}-db nc 127.0.0.1 22" in lines


def test_words_of_a_remote_command_arrive_as_they_are(home: LabHome) -> None:
    assert ssh_argv(home, "db", ["sh", "-c", "echo '$HOME'; id"])[-1] == "sh -c 'echo '\"'\"'$HOME'\"'\"'; id'"


def test_cgroup_hierarchies_are_read_from_mountinfo() -> None:
    text = (
        "25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "26 25 0:23 / /sys/fs/cgroup/cpu rw shared:1 - cgroup cgroup rw,cpu\n"
        "27 25 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    assert hierarchies(text) == [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/unified")]
