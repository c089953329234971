"""A site: its folder's site.yml, and what the folder holds once it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from controlplane.domain.desired import DesiredState, resolve
from controlplane.domain.digest import digest_of
from controlplane.domain.durations import Seconds
from controlplane.domain.faults import Place, Source
from controlplane.domain.governance import Governance
from controlplane.domain.inventory import Inventory
from controlplane.domain.machines import Machines
from controlplane.domain.names import PROJECT, AsTuple, Line, check_line, check_name
from controlplane.domain.policy import Policy, policy_digest
from controlplane.domain.site_paths import FilePath
from controlplane.domain.values import Value
from controlplane.domain.waiver_ends import WaiverEnds, ending
from controlplane.domain.windows import Window


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no timezone: write an IANA name such as Europe/Berlin or UTC") from None
    return name


def _store(text: str) -> str:
    check_line(text)
    if text == "sqlite":
        return text
    if not text.startswith("postgresql://"):
        raise ValueError(f"{text!r} is no store: write sqlite, or a URL such as postgresql://controlplane@db.example.org/waves")
    if re.match(r"postgresql://[^/@]*:[^/@]*@", text) or "password=" in text:
        raise ValueError("holds a password: take it out of the URL and put it into ~/.pgpass or $PGPASSWORD")
    return text


class BackupGate(Value):
    """Proof of a restorable backup: a command of the site, or a file whose age counts; exactly one."""

    command: Annotated[tuple[Line, ...], AsTuple] | None = Field(None, description="Command and arguments; exit 0 proves it")
    file: FilePath | None = Field(None, description="File that the backup touches when it is proven restorable")
    max_age: Seconds = Field(86400, description="How old the proof may be")


class Site(Value):
    """What site.yml says. Durations are seconds once read; relative paths are of the site folder."""

    name: Annotated[str, AfterValidator(lambda text: check_name(text, PROJECT, "site name"))] = Field(description="Name of the site")
    inventory: FilePath = Field("hosts.yml", description="Ansible inventory: a file, a folder, a script or a plugin's configuration")
    timezone: Annotated[str, AfterValidator(_timezone)] = Field("UTC", description="IANA name, for windows and expiry of waivers")
    approval: Literal["none", "self", "other"] = Field("self", description="Whether a plan needs an approval, and whose")
    allowed_signers: FilePath | None = Field(None, description="Signers' public keys, in ssh-keygen's allowed_signers format")
    signing_key: FilePath | None = Field(None, description="SSH key that signs approvals and receipts; ~/ is the operator's home")
    windows: Annotated[tuple[Window, ...], AsTuple] = Field((), description="Maintenance windows; none means any time")
    backup_gate: BackupGate | None = Field(None, description="Proof of a backup that waves demand")
    store: Annotated[str, AfterValidator(_store)] = Field("sqlite", description="Where waves are coordinated: sqlite or a postgresql:// URL")
    retention: Seconds = Field(7 * 86400, description="How long retired data stay before they can be purged")
    ready_for: Seconds = Field(86400, description="How long a ready receipt holds")
    evidence_max_age: Seconds = Field(3600, description="Older evidence is UNKNOWN")

    @property
    def retired_for(self) -> timedelta:
        """Return `retention` as a timedelta."""
        return timedelta(seconds=self.retention)

    @property
    def max_age(self) -> timedelta:
        """Return `evidence_max_age` as a timedelta."""
        return timedelta(seconds=self.evidence_max_age)


def site_faults(data: Any) -> Iterator[tuple[Place, str]]:
    """Yield what no single field of site.yml shows."""
    if not isinstance(data, Mapping):
        return
    gate = data.get("backup_gate")
    if isinstance(gate, Mapping) and ("command" in gate) == ("file" in gate):
        yield ("backup_gate",), "write exactly one of command and file: it is what proves the backup"
    if data.get("approval") == "other" and "allowed_signers" not in data:
        yield ("approval",), "other needs allowed_signers: name the file with the keys of those who may approve"


@dataclass(frozen=True)
class SiteContent:
    """All that a site folder says, valid; `inventory` is None where it needs a script or plugin that was not run."""

    folder: str
    site: Site
    policy: Policy
    inventory: Inventory | None
    source: Source
    notes: tuple[str, ...] = ()
    machines: Machines | None = None
    # The texts of the files that machines.yml names, by their names there.
    keys: Mapping[str, str] = field(default_factory=dict)
    governance: Governance = field(default_factory=Governance)
    # Waivers that receipts say are over.
    ended: WaiverEnds = field(default_factory=WaiverEnds)

    @property
    def policy_digest(self) -> str:
        """Return the digest of the policy, and of machines.yml where the site has one: both say what a host has to be."""
        policy = policy_digest(self.policy)
        return policy if self.machines is None else digest_of({"policy": policy, "machines": self.machines.model_dump(mode="json")})

    @property
    def inventory_digest(self) -> str | None:
        """Return the digest of the inventory, None if it was not read."""
        return None if self.inventory is None else digest_of(self.inventory.model_dump(mode="json"))

    def desired(self) -> DesiredState:
        """Return the desired state of every host."""
        state = resolve(self.policy, self.inventory, machines=self.machines, keys=self.keys, timezone=self.site.timezone, source=self.source)
        return ending(self.governance.registered(state), self.ended)
