"""Print how `policy check` grows with the number of hosts: 10,000 hosts may take at most 12 times what 1,000 take."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOST = """\
  host-{n:05d}:
    tier: data-disk
    disks:
      - {{serial: DATA{n:05d}, min_size: 3GB, max_size: 200GB, filesystem: ext4, mount: /mnt/data, options: [noatime]}}
    docker: {{data_root: /mnt/data/docker, containerd_root: /mnt/data/containerd, log: {{max_size: 10MB, max_files: 3}}}}
    services:
      postgres: {{kind: postgres, data: /var/lib/postgresql/data, place: /mnt/data/services/postgres, durability: {{fsync: true}}}}
      redis:
        kind: redis
        data: /data
        place: /mnt/data/services/redis
        durability: {{appendonly: true, appendfsync: everysec, save: "3600 1 300 100 60 10000"}}
    stacks: [{{project: services, dir: /opt/stacks/services}}]
"""


def write_site(folder: Path, hosts: int) -> None:
    """Write a site of `hosts` hosts."""
    folder.mkdir()
    (folder / "site.yml").write_text("name: large\n")
    names = [f"        host-{n:05d}: {{ansible_host: 10.{n // 65536}.{n // 256 % 256}.{n % 256}}}" for n in range(hosts)]
    (folder / "hosts.yml").write_text("all:\n  children:\n    fleet:\n      hosts:\n" + "\n".join(names) + "\n")
    policy = ["version: 1\ngroups: {fleet: {thresholds: {root_used_warn: 60%}}}\ntiers: {data-disk: {data: disk}}\nhosts:\n"]
    policy += [HOST.format(n=n) for n in range(hosts)]
    (folder / "policy.yml").write_text("".join(policy))


def median_s(folder: Path, runs: int) -> float:
    """Return the median wall time of `policy check` as a user runs it."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "controlplane", "policy", "check", "--site", str(folder)], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print medians and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        write_site(small, 1_000)
        write_site(large, 10_000)
        one, ten = median_s(small, 5), median_s(large, 3)
    print(f"policy check: 1,000 hosts {one:.2f} s, 10,000 hosts {ten:.2f} s, ratio {ten / one:.1f} (limit 12)")
    sys.exit(ten / one > 12)


if __name__ == "__main__":
    main()
