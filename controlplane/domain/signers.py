"""Who may sign what: a role is a list of namespaces in the site's allowed signers, which ssh-keygen itself enforces.

A line without `namespaces` has every role.
"""

from __future__ import annotations

APPROVALS = "controlplane-approval@v1"
RECEIPTS = "controlplane-receipt@v1"
HEADS = "controlplane-head@v1"
PROPOSALS = "controlplane-proposal@v1"

ROLES = {
    "approver": (APPROVALS,),
    "operator": (RECEIPTS, HEADS),
    "author": (PROPOSALS,),
}


def role_of(namespace: str) -> str:
    """Return the role that signs in that namespace."""
    return next((role for role, names in ROLES.items() if namespace in names), namespace)
