"""Ask libvirt on this host through virsh, with argument lists and standard input alone.

Rules:
- What can't be found out is an error, never an empty answer.
- Nothing here removes a domain; a volume is removed only by `remove_volume`, which its callers may use on what they marked as half made.
"""

from __future__ import annotations

import os
import subprocess
import time
import xml.etree.ElementTree as ET

from ansible.module_utils import vm_provision_shape as shape

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Whoever lost its client still copies: libvirtd goes on by itself, and such a volume can't be touched until it has ended.
_BUSY_S = 600


class LibvirtError(Exception):
    """Say what libvirt, or a program on this host, would not do."""


def run(*argv, stdin=None):
    """Return what a program printed. Raises LibvirtError with its own words."""
    environment = {**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", _PATH)}
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise LibvirtError(f"{argv[0]} can't be started: {error.strerror}") from None
    if done.returncode != 0:
        raise LibvirtError(f"{argv[0]} {argv[4] if argv[0] == 'virsh' else ''} ended with {done.returncode}: {' '.join(done.stderr.split())[:400]}")
    return done.stdout


def _lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


class Libvirt:
    """One libvirt by its URI."""

    def __init__(self, uri):
        """Remember where it is."""
        self.uri = uri

    def virsh(self, *words, stdin=None):
        """Return what virsh printed."""
        return run("virsh", "--quiet", "--connect", self.uri, *words, stdin=stdin)

    def domain(self, name):
        """Return what `read_domain` reads of the domain as it is now, with its state, whether it starts at boot, and `kept`: its stored disks."""
        if name not in _lines(self.virsh("list", "--all", "--name")):
            return None
        seen = shape.read_domain(self.virsh("dumpxml", name))
        kept = shape.read_domain(self.virsh("dumpxml", "--inactive", name))
        started = name in _lines(self.virsh("list", "--all", "--autostart", "--name"))
        return {**seen, "state": self.virsh("domstate", name).strip(), "autostart": started, "kept": kept["disks"]}

    def pools(self):
        """Return the pools by name: whether each is active, its kind, its free bytes, and its volumes by name with their paths."""
        active, found = set(_lines(self.virsh("pool-list", "--name"))), {}
        for name in _lines(self.virsh("pool-list", "--all", "--name")):
            if name not in active:
                found[name] = {"active": False, "kind": "", "free": 0, "volumes": {}}
                continue
            self.refresh(name)
            pool = ET.fromstring(self.virsh("pool-dumpxml", name))  # noqa: S314 - libvirt's own document
            rows = [line.split(None, 1) for line in _lines(self.virsh("vol-list", name))]
            found[name] = {
                "active": True,
                "kind": pool.get("type") or "",
                "free": int(pool.findtext("available") or 0),
                "volumes": {row[0]: row[1] for row in rows if len(row) == 2},
            }
        return found

    def refresh(self, pool):
        """Let libvirt look at the pool again; where a copy is being made there it can't, and needn't."""
        try:
            self.virsh("pool-refresh", pool)
        except LibvirtError as error:
            if "asynchronous jobs" not in str(error):
                raise

    def has_volume(self, pool, volume):
        """Say whether a pool holds a volume of this name right now."""
        self.refresh(pool)
        return volume in [line.split(None, 1)[0] for line in _lines(self.virsh("vol-list", pool))]

    def capacity(self, pool, volume):
        """Return how large the disk in a volume is."""
        for line in _lines(self.virsh("vol-info", "--bytes", volume, "--pool", pool)):
            key, _, value = line.partition(":")
            if key.strip() == "Capacity":
                return int(value.split()[0])
        raise LibvirtError(f"virsh vol-info says no capacity of {volume}")

    def networks(self):
        """Return the names of the active networks."""
        return _lines(self.virsh("net-list", "--name"))

    def set_mark(self, name, namespace, mark, *, running):
        """Write one element of the domain's metadata, where it is kept and where it runs."""
        where = ["--config", "--live"] if running else ["--config"]
        key = "controlplane" if namespace == shape.MACHINE else "controlplane-volumes"
        self.virsh("metadata", name, "--uri", namespace, "--key", key, "--set", mark, *where)

    def create_volume(self, pool, name, size, kind):
        """Make a blank volume; one of that name that is there already is an error."""
        self.virsh("vol-create", pool, "/dev/stdin", stdin=shape.volume_xml(name, size, kind))

    def copy_volume(self, pool, name, size, kind, *, source_pool, source):
        """Make a volume with the content of another, grown to `size`. libvirtd copies: it outlives whoever asked for it."""
        self.virsh("vol-create-from", pool, "/dev/stdin", source, "--inputpool", source_pool, stdin=shape.volume_xml(name, size, kind))
        if self.capacity(pool, name) < size:
            self.virsh("vol-resize", name, str(size), "--pool", pool)

    def upload(self, pool, name, path):
        """Write a file into a volume."""
        self.virsh("vol-upload", name, path, "--pool", pool)

    def remove_volume(self, pool, name):
        """Remove a volume that an interrupted run left half made; while it is still being written, wait."""
        limit = time.monotonic() + _BUSY_S
        while True:
            try:
                self.virsh("vol-delete", name, "--pool", pool)
                return
            except LibvirtError as error:
                if "still being allocated" not in str(error) or time.monotonic() > limit:
                    raise
            time.sleep(2)
