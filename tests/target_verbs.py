"""The verbs of the tool on the target that change nothing there, by who asks them."""

from __future__ import annotations

# Waiting doesn't either, and is told the claim so that it prolongs no other play's lease.
ASKED_BY_ROLES = {
    ("bootstrap", "prove"),
    ("bootstrap", "refuse"),
    ("compose-stack", "prove"),
    ("compose-stack", "refuse"),
    ("data-disk", "look"),
    ("docker-root", "prove"),
    ("docker-root", "refuse"),
    ("fstab", "look"),
    ("hygiene", "prove"),
    ("hygiene", "refuse"),
    ("persistent-path", "prove"),
    ("persistent-path", "refuse"),
    ("purge", "prove"),
    ("purge", "refuse"),
    ("redis", "prove"),
    ("redis", "refuse"),
    ("tmp", "prove"),
    ("tmp", "refuse"),
}
# By target_run itself, for the roles whose work is a unit of its own.
ASKED_BY_SHARED_WORK = {("compose-stack", "wait"), ("docker-root", "wait"), ("persistent-path", "wait")}
ASKED_BY_OTHERS = {("bare", "look"), ("lease", "show"), ("state", None)}
