"""The files of a new site: valid as they stand, with comments that say what to change."""

from __future__ import annotations

SITE = """\
# The site. Everything that is commented out shows its default or an example.
name: {name}
inventory: hosts.yml          # any Ansible inventory: a file, a folder, a script or a plugin's configuration
timezone: UTC                 # IANA name, such as Europe/Berlin: for windows, and for the last day of a waiver
approval: self                # none, self (the operator signs the plan), other (somebody else does; needs allowed_signers)
# allowed_signers: allowed_signers   # who may approve, operate and author: one key a line, ssh's own format
# signing_key: ~/.ssh/id_ed25519
# windows: [{{days: [sat, sun], start: 22:00, end: 04:00}}]
# backup_gate: {{command: [/usr/local/bin/backup-proof], max_age: 24h}}
retention: 7d                 # how long retired data stay before they can be purged
evidence_max_age: 1h          # older evidence is UNKNOWN
"""

HOSTS = """\
# Ansible inventory. Only connection variables are read from it (ansible_host, ansible_user, ansible_port, ...).
all:
  children:
    servers:
      hosts:
        web1: {ansible_host: web1.example.org}
        db1: {ansible_host: db1.example.org}
"""

POLICY = """\
# Where each machine keeps its data. `controlplane policy check` lists every fault, `controlplane policy show --host db1`
# prints what holds for one machine, `controlplane policy suggest` drafts hosts from live machines.
version: 1

defaults:
  thresholds: {root_used_warn: 80%, root_used_fail: 90%, disk_used_warn: 80%, images: 15GB, build_cache: 10GB, volumes: 30GB,
               tmp_file: 10MB, writable_layer: 500MB}

groups:                       # Ansible groups: host over group over defaults
  servers:
    docker: {log: {max_size: 10MB, max_files: 3}}

tiers:
  boot-only: {data: boot}     # stateless
  data-disk: {data: disk}     # a block device of its own
  # nfs: {data: nfs}          # exports with mount entries of their own

hosts:
  web1:
    tier: boot-only

  db1:
    tier: data-disk
    disks:
      # Name the disk by serial, wwn, by_id, by_path or uuid; `lsblk -o NAME,SERIAL,SIZE` on the machine shows them.
      - {serial: CHANGE-ME, min_size: 10GB, max_size: 500GB, filesystem: ext4, mount: /mnt/data, options: [noatime]}
    docker: {data_root: /mnt/data/docker, containerd_root: /mnt/data/containerd}
    services:                 # by container name
      postgres:
        kind: postgres        # or minio, redis, files
        data: /var/lib/postgresql/data
        place: /mnt/data/services/postgres   # or volume: NAME
        durability: {fsync: true, full_page_writes: true}

# waivers:
#   - {check: D237, host: web1, reason: cache is pruned weekly, approved_by: ops, expires: 2030-12-31}
"""


GATES = """\
# Checks that run together, and how each is earned from report to enforce. `controlplane gates run storage` judges a pack,
# `controlplane gates status` shows how each check stands, `controlplane gates promote` proposes a change of this file.
packs:
  storage: {checks: [D235, D236, D237, D238, D239]}

promotion: {runs: 3, interval: 24h}   # what a check has to show before it may be enforced

# The site's own checks: a pytest file each, run in the same packs once a pack names them.
# checks:
#   S001: {title: every service has an owner, severity: medium, file: checks/test_s001_owners.py}

# Written by 'gates promote' and 'gates demote'; a check without a mode only reports.
# modes:
#   D235: {db1: enforce}

# Drift that belongs to a STOR finding although its checks and surfaces don't say so.
# expected:
#   - {check: D236, host: db1, surface: "redis:cache", stor: STOR-001}
"""

GAPS = """\
# What is missing: a record each, by id. `controlplane gaps file` adds one, `controlplane gaps close` closes it on recorded runs.
# GAP-OP-1: {title: Redis keeps nothing durable, status: open, loops: [LOOP-STORAGE-20260101]}
gaps: {}
"""

LOOPS = """\
# Lines of work: a record each, by id. `controlplane loops file` adds one; a gap names the loops that it is worked on in.
# LOOP-STORAGE-20260101: {title: Data sits on boot drives, status: open}
loops: {}
"""

FINDINGS = """\
# What an audit found: a record each, by id. A finding names its gaps, and the checks, hosts and surfaces on which it shows.
# STOR-001: {title: Redis is not durable, severity: high, gaps: [GAP-OP-1], checks: [D236], hosts: [db1], surfaces: ["redis:*"]}
findings: {}
"""


def site_template(name: str) -> dict[str, str]:
    """Return the files of a new site by their path in its folder; `name` is a valid site name."""
    return {"site.yml": SITE.format(name=name), "hosts.yml": HOSTS, "policy.yml": POLICY, "gates.yml": GATES} | {
        f"registers/{name}.yml": text for name, text in (("gaps", GAPS), ("loops", LOOPS), ("findings", FINDINGS))
    }
