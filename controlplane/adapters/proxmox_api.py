"""Talk to Proxmox VE's API: where it is, who asks, and what it means when nothing comes back. Reads only.

Rules:
- The certificate is always checked, against the CA that the site names or against those that this machine trusts.
- The token's secret is in the request's header and, for what changes something, in the environment of ansible-playbook; nowhere else.
- Each call has a limit of its own, and no proxy of the operator's shell is in between.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from controlplane.adapters.service_secrets import SiteSecrets
from controlplane.domain.desired import DesiredHost
from controlplane.domain.inventory import here_for
from controlplane.domain.machines import Proxmox

_SECONDS = 10
_PORT = 8006
T = TypeVar("T")


class ApiError(Exception):
    """The API could not be asked; the message says why, and what to do."""


@dataclass(frozen=True)
class Access:
    """One hypervisor and how it is asked. `ca` is the CA's file, None for the CAs that this machine trusts."""

    name: str
    hypervisor: Proxmox
    secret: str = field(repr=False)
    ca: Path | None

    def environment(self) -> dict[str, str]:
        """Return what ansible-playbook is given: the secret is in its environment alone, and the modules read it there."""
        trusted = {"REQUESTS_CA_BUNDLE": str(self.ca)} if self.ca else {}
        return {"PROXMOX_TOKEN_SECRET": self.secret, "NO_PROXY": "*", "no_proxy": "*", **trusted}


def access_to(name: str, hypervisor: Proxmox, *, site: Path, secrets: SiteSecrets) -> Access:
    """Return the way to one hypervisor. Raises `ApiError` where its secret or its CA can't be read."""
    told = secrets.secret(hypervisor.token.secret)
    if "why" in told:
        raise ApiError(f"the secret of token {hypervisor.token.id} can't be read: {told['why']}")
    ca = None if hypervisor.ca is None else site.absolute() / hypervisor.ca
    try:
        if ca is not None:
            ca.read_bytes()
    except OSError as error:
        why = f"the CA's file {ca} can't be read ({error.strerror})"
        raise ApiError(f"{why}: put it there, or correct ca of hypervisor {name} in machines.yml") from None
    return Access(name, hypervisor, told["password"], ca)


def environment_here(desired: Mapping[str, DesiredHost], site: Path, target: str) -> dict[str, str]:
    """Return the environment of a step that works on the controller under the name `target`. Raises `ApiError`."""
    for host in desired.values():
        machine = host.machine
        if machine and machine.hypervisor_name and isinstance(machine.hypervisor, Proxmox) and here_for(machine.hypervisor_name) == target:
            return access_to(machine.hypervisor_name, machine.hypervisor, site=site, secrets=SiteSecrets(site, os.environ)).environment()
    raise ApiError(f"no machine of this site is on the hypervisor that {target} stands for")


class Api:
    """Reads of one hypervisor."""

    def __init__(self, access: Access) -> None:
        try:
            from proxmoxer import ProxmoxAPI  # noqa: PLC0415 - an extra that only sites with Proxmox VE need
        except ImportError:
            raise ApiError("the libraries for Proxmox VE are not installed here: pip install 'controlplane[proxmox]'") from None
        place = urlsplit(access.hypervisor.api)
        user, _, token = access.hypervisor.token.id.partition("!")
        self.access = access
        self._api = ProxmoxAPI(
            place.hostname,
            port=place.port or _PORT,
            user=user,
            token_name=token,
            token_value=access.secret,
            verify_ssl=str(access.ca) if access.ca else True,
            timeout=_SECONDS,
            proxies={"https": ""},
        )

    def read(self, *path: object, **given: object) -> Any:
        """Return what a GET answers. Raises `ApiError`."""
        return self._ask(lambda: _at(self._api, path).get(**given))

    def read_or_none(self, *path: object, **given: object) -> Any:
        """Return what a GET answers, None where the API itself says that there is no such thing. Raises `ApiError` for anything less clear."""
        from proxmoxer import ResourceException  # noqa: PLC0415 - as above

        def ask() -> Any:
            try:
                return _at(self._api, path).get(**given)
            except ResourceException as error:
                if error.status_code == 500 and "does not exist" in f"{error.status_message} {error.content}":
                    return None
                raise

        return self._ask(ask)

    def _ask(self, call: Callable[[], T]) -> T:
        import requests  # noqa: PLC0415 - comes with proxmoxer
        from proxmoxer import AuthenticationError, ResourceException  # noqa: PLC0415

        api, token = self.access.hypervisor.api, self.access.hypervisor.token.id
        try:
            return call()
        except requests.exceptions.SSLError as error:
            raise ApiError(f"{api}: {_untrusted(str(error), self.access)}") from None
        except requests.exceptions.Timeout:
            raise ApiError(f"{api} gave no answer within {_SECONDS} s: see that it runs and is reached from here") from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise ApiError(f"{api} is not reached ({type(error).__name__}): see that it runs, and that the address is right") from None
        except AuthenticationError:
            raise ApiError(f"{api} does not know token {token} with this secret: correct the secret, or make the token anew") from None
        except ResourceException as error:
            raise ApiError(f"{api}: {_refusal(error.status_code, str(error.content or error.status_message), token)}") from None


def _at(place: Any, path: tuple[object, ...]) -> Any:
    for part in path:
        place = place(part)
    return place


def _untrusted(error: str, access: Access) -> str:
    if "CERTIFICATE_VERIFY_FAILED" not in error:
        return "no TLS connection came about: see that the address and the port are those of the API"
    if "match" in error.lower() and "hostname" in error.lower():
        return f"its certificate is for another name: write one that it names as api of hypervisor {access.name} in machines.yml"
    checked = f"the CA in {access.ca}" if access.ca else "a CA that is trusted here"
    return (
        f"its certificate is not signed by {checked}: put the cluster's CA (/etc/pve/pve-root-ca.pem on its nodes) below the site and name it as "
        f"ca of hypervisor {access.name} in machines.yml"
    )


def _refusal(status: int, reason: str, token: str) -> str:
    if status == 401:
        return f"it does not know token {token} with this secret ({reason}): correct the secret, or make the token anew"
    if status == 403:
        return f"token {token} may not look at this ({reason}): give it the privilege, see docs/provision-proxmox.md"
    return f"it answered {status} {reason}"
