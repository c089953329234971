"""Passwords of services, read on the controller when they are needed and kept nowhere.

Rules:
- What can't be read is a reason in place of the password: it makes that one service UNKNOWN and fails nothing else.
- No reason holds a secret, nor what a file says.
- What goes to Ansible lies in memory that has a name only while a run lasts: in no file, no argument and no environment.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from controlplane.adapters.memory_files import InMemory
from controlplane.adapters.strict_yaml import parse_document
from controlplane.domain.desired import DesiredHost
from controlplane.domain.services import SecretSource

VAULT: Final = "vault.yml"
MOST_BYTES: Final = 4096
_MOST_VAULT_BYTES: Final = 1 << 20
_VAULT_SECONDS: Final = 60
# The collector logs in to these; of PostgreSQL it is the server's own user, and the others it does not ask.
_KINDS: Final = ("redis",)
Told = dict[str, dict[str, str]]


class _UnreadableError(Exception):
    """A password could not be read; the message says why, and what to do."""


class SiteSecrets:
    """The passwords that one site's policy names, for one collection: its vault is decrypted once at most."""

    def __init__(self, site: Path, environment: Mapping[str, str]) -> None:
        self._site = site.absolute()
        self._environment = environment
        self._vault: dict[str, object] | _UnreadableError | None = None

    def of(self, desired: DesiredHost | None) -> Told:
        """Return {service: {"password": …} or {"why": the reason why there is none}} of one host.

        A service whose `password_env` is not set here is left out: its container may have that variable.
        """
        found: Told = {}
        for name, service in sorted(desired.services.items()) if desired else ():
            if service.kind not in _KINDS or service.auth is None:
                continue
            try:
                password = self._password(service.auth)
            except _UnreadableError as error:
                found[name] = {"why": str(error)}
            else:
                if password is not None:
                    found[name] = {"password": password}
        return found

    def secret(self, source: SecretSource) -> dict[str, str]:
        """Return {"password": …} or {"why": the reason why there is none} of a secret that is used here, on the controller."""
        try:
            found = self._password(source)
        except _UnreadableError as error:
            return {"why": str(error)}
        if found is None:
            return {"why": f"the controller's environment variable {source.password_env} is not set: export it"}
        return {"password": found}

    def _password(self, auth: SecretSource) -> str | None:
        if auth.password_env is not None:
            value = self._environment.get(auth.password_env)
            return None if value is None else _checked(value, f"the controller's environment variable {auth.password_env}")
        if auth.password_file is not None:
            path = self._site / auth.password_file
            return _checked(_private_text(path), f"the password file {path}")
        return self._of_vault(str(auth.vault))

    def _of_vault(self, name: str) -> str:
        if self._vault is None:
            try:
                self._vault = _decrypted(self._site / VAULT, self._environment)
            except _UnreadableError as error:
                self._vault = error
        if isinstance(self._vault, _UnreadableError):
            raise self._vault
        if name not in self._vault:
            raise _UnreadableError(f"{self._site / VAULT} has no variable {name}: add it with ansible-vault edit")
        value = self._vault[name]
        if not isinstance(value, str):
            raise _UnreadableError(f"{name} in {self._site / VAULT} is no text: write it in quotes, with ansible-vault edit")
        return _checked(value, f"{name} in {self._site / VAULT}")


def _checked(value: str, what: str) -> str:
    if not value:
        raise _UnreadableError(f"{what} is empty: write the password there")
    if len(value.encode("utf-8", "surrogateescape")) > MOST_BYTES:
        raise _UnreadableError(f"{what} holds more than {MOST_BYTES} bytes, which is no password: name the right one")
    if not value.isprintable():
        raise _UnreadableError(f"{what} holds a line break or a control character: write the password alone, on one line")
    return value


def _private_text(path: Path) -> str:
    """Return the first line of a file that only its owner can read. Raises `_UnreadableError`."""
    try:
        # Not blocking: a pipe by that name would wait for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
            info = os.fstat(stream.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise _UnreadableError(f"the password file {path} is no regular file: name a file")
            if info.st_mode & 0o077:
                mode = stat.S_IMODE(info.st_mode)
                raise _UnreadableError(f"the password file {path} has mode {mode:04o}, others than its owner may use it: chmod 600 {path}")
            raw = stream.read(MOST_BYTES + 3)
    except FileNotFoundError:
        raise _UnreadableError(f"the password file {path} does not exist on the controller: create it with mode 0600") from None
    except OSError as error:
        raise _UnreadableError(f"the password file {path} can't be read ({error.strerror}): check its owner and mode") from None
    try:
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _UnreadableError(f"the password file {path} is not UTF-8: write the password as plain text") from None


def _decrypted(path: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Return the variables of a file that ansible-vault encrypted; it comes through a pipe, and its password is found as Ansible finds it."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_MOST_VAULT_BYTES + 1)
    except OSError as error:
        raise _UnreadableError(f"{path} can't be read ({error.strerror}): create it with ansible-vault create {path}") from None
    if not head.startswith(b"$ANSIBLE_VAULT;"):
        raise _UnreadableError(f"{path} is not encrypted: run ansible-vault encrypt {path}")
    if len(head) > _MOST_VAULT_BYTES:
        raise _UnreadableError(f"{path} is larger than {_MOST_VAULT_BYTES} bytes: keep only passwords there")
    program = Path(sys.executable).parent / "ansible-vault"
    quiet = {"ANSIBLE_DEBUG": "0", "ANSIBLE_VERBOSITY": "0", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            [program, "decrypt", "--output", "-", path],
            env={**environment, **quiet},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VAULT_SECONDS,
            check=False,
            # Without a terminal it can't ask for the password in the midst of our own output.
            start_new_session=True,
        )
    except OSError as error:
        raise _UnreadableError(f"{path} could not be decrypted: {program} can't be started ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise _UnreadableError(f"{path} could not be decrypted: ansible-vault gave no answer within {_VAULT_SECONDS} s") from None
    if done.returncode != 0:
        said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "ERROR" in line]
        why = said[-1].partition("]: ")[2] or said[-1] if said else "it gave no reason"
        # Ansible names the file before the reason (core 2.21) or after it (2.19); here it is named already.
        why = why.removeprefix(f"Failed to decrypt {str(path)!r}: ").removesuffix(f" for {path}")
        advice = "Name the file with its password in ANSIBLE_VAULT_PASSWORD_FILE, or in ansible.cfg"
        raise _UnreadableError(f"{path} could not be decrypted: {why[:300].rstrip('.')}. {advice}")
    document = parse_document(done.stdout.decode("utf-8", "replace"), str(path), multiline=True)
    if document.faults or not isinstance(document.data, dict):
        # Its faults may quote what it says.
        raise _UnreadableError(f'{path} is no plain mapping of names to passwords: write each as name: "password", with ansible-vault edit')
    return document.data


@contextmanager
def in_memory(told: Mapping[str, Told]) -> Iterator[dict[str, str]]:
    """Give {host: a path that this user's processes can read what that host is told from} while the block runs, for hosts that are told anything."""
    told = {host: services for host, services in told.items() if services}
    if not told:
        yield {}
        return
    with InMemory(json.dumps(told).encode()) as held:
        yield dict.fromkeys(told, str(held.path))
