"""Root's own `docker login` at a registry, as Docker's command would send it to the daemon; read for one question and kept nowhere.

Source: docker/cli, cli/config/configfile and cli/config/credentials; the header is X-Registry-Auth of Docker's API.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
from pathlib import Path
from typing import Any

from .command import ENVIRONMENT

_HUB = "https://index.docker.io/v1/"
_LIMIT_S = 20


class LoginUnknown(Exception):  # noqa: N818 - a doubt, not a fault
    """There may be a login, and it can't be read; the message says why, and holds no secret."""


def header_for(image: str) -> str | None:
    """Return the header's value for an image's registry, None where root has no login there. Raises `LoginUnknown`."""
    registry = registry_of(image)
    file = Path(ENVIRONMENT["HOME"], ".docker", "config.json")
    try:
        held = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        raise LoginUnknown(f"{file} can't be read ({type(fault).__name__})") from None
    helper = (held.get("credHelpers") or {}).get(registry) or held.get("credsStore")
    login = _from_helper(str(helper), registry) if helper else _from_file(held.get("auths") or {}, registry, file)
    return None if login is None else base64.urlsafe_b64encode(json.dumps({**login, "serveraddress": registry}).encode()).decode()


def registry_of(image: str) -> str:
    """Return the registry as logins name it: the first part of the name, where that is no part of a repository on Docker's own."""
    first, slash, _ = image.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return first if is_host and first not in ("docker.io", "index.docker.io") else _HUB


def _from_file(auths: dict[str, Any], registry: str, file: Path) -> dict[str, str] | None:
    named = {_host(name): one for name, one in auths.items()}
    one = auths.get(registry) or named.get(_host(registry))
    if not one:
        return None
    if one.get("identitytoken"):
        return {"identitytoken": str(one["identitytoken"])}
    try:
        user, colon, password = base64.b64decode(str(one.get("auth") or ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise LoginUnknown(f"the login at {registry} in {file} is no base64 of a name and a password") from None
    return {"username": user, "password": password.rstrip("\0")} if colon else None


def _host(name: str) -> str:
    return name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0]


def _from_helper(helper: str, registry: str) -> dict[str, str] | None:
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, "get"], input=registry, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise LoginUnknown(f"{program} can't be asked ({type(fault).__name__})") from None
    if done.returncode != 0:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        raise LoginUnknown(f"{program} ended with {done.returncode}")
    try:
        said = json.loads(done.stdout)
        user, secret = str(said["Username"]), str(said["Secret"])
    except (ValueError, KeyError, TypeError):
        raise LoginUnknown(f"{program} answered something else than a login") from None
    return {"identitytoken": secret} if user == "<token>" else {"username": user, "password": secret}
