"""The verbs of the tool on the target that change nothing there, by who asks them."""

from __future__ import annotations

# Waiting doesn't either, and is told the claim so that it prolongs no other play's lease.
ASKED_BY_ROLES = {
    ("bootstrap", "prove"),
    ("bootstrap", "refuse"),
    ("data-disk", "look"),
    ("docker-root", "prove"),
    ("docker-root", "refuse"),
    ("docker-root", "wait"),
    ("fstab", "look"),
    ("hygiene", "prove"),
    ("hygiene", "refuse"),
    ("persistent-path", "prove"),
    ("persistent-path", "refuse"),
    ("persistent-path", "wait"),
    ("purge", "prove"),
    ("purge", "refuse"),
    ("redis", "prove"),
    ("redis", "refuse"),
    ("tmp", "prove"),
    ("tmp", "refuse"),
}
ASKED_BY_OTHERS = {("bare", "look"), ("lease", "show"), ("state", None)}
