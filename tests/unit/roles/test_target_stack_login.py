"""Root's login at a registry, from Docker's own configuration: whose it is, and that no doubt is taken for none."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import stack_login
from controlplane_target.stack_login import LoginUnknown, header_for

SECRET = "hunter2:and-more"
HUB = "https://index.docker.io/v1/"
BASIC = {"auth": base64.b64encode(f"ann:{SECRET}".encode()).decode()}
IMAGE = "registry.test:5000/shop/web@sha256:" + "0" * 64


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root's home, and `bin` on the PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / ".docker").mkdir()
    monkeypatch.setattr(stack_login, "ENVIRONMENT", {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)})
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


def configured(home: Path, **said: Any) -> None:
    (home / ".docker" / "config.json").write_text(json.dumps(said))


def helper(home: Path, text: str) -> None:
    program = home / "bin" / "docker-credential-vault"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def login(image: str = IMAGE) -> dict[str, str] | None:
    found = header_for(image)
    return None if found is None else dict(json.loads(base64.urlsafe_b64decode(found)))


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (IMAGE, "registry.test:5000"),
        (IMAGE, "https://registry.test:5000"),
        (IMAGE, "https://registry.test:5000/v2/"),
        ("localhost/web", "localhost"),
        ("postgres@sha256:1", HUB),
        ("shop/web", HUB),
        ("docker.io/shop/web", HUB),
    ],
)
def test_the_login_is_that_of_the_image_s_registry(home: Path, image: str, named: str) -> None:
    configured(home, auths={"elsewhere.test": {"auth": "eDp5"}, named: BASIC})
    assert (login(image) or {})["username"] == "ann"
    assert (login(image) or {})["password"] == SECRET


def test_a_token_is_sent_as_one(home: Path) -> None:
    configured(home, auths={"registry.test:5000": {"identitytoken": SECRET}})
    assert login() == {"identitytoken": SECRET, "serveraddress": "registry.test:5000"}


def test_who_never_logged_in_has_none(home: Path) -> None:
    assert login() is None
    for said in ({}, {"auths": {}}, {"auths": {"elsewhere.test": BASIC}}, {"auths": {"registry.test:5000": {}}}):
        configured(home, **said)
        assert login() is None, said


@pytest.mark.parametrize("kind", ["credHelpers", "credsStore"])
def test_a_helper_is_asked_on_its_standard_input(home: Path, kind: str) -> None:
    configured(home, **({"credsStore": "vault"} if kind == "credsStore" else {"credHelpers": {"registry.test:5000": "vault"}}))
    helper(home, f"""[ "$*" = get ] && [ "$(cat)" = registry.test:5000 ] && echo '{{"Username": "ann", "Secret": "{SECRET}"}}'""")
    assert login() == {"username": "ann", "password": SECRET, "serveraddress": "registry.test:5000"}
    helper(home, f"""cat >/dev/null; echo '{{"Username": "<token>", "Secret": "{SECRET}"}}'""")
    assert login() == {"identitytoken": SECRET, "serveraddress": "registry.test:5000"}
    helper(home, "echo 'credentials not found in native keychain'; exit 1")
    assert login() is None


@pytest.mark.parametrize("text", [f"echo {SECRET}; exit 2", f"echo '{SECRET}'", "echo '{}'", "echo []"])
def test_a_helper_that_does_not_say_is_a_doubt_without_a_secret(home: Path, text: str) -> None:
    configured(home, credsStore="vault")
    helper(home, text)
    with pytest.raises(LoginUnknown) as doubt:
        login()
    assert SECRET not in str(doubt.value)


def test_what_can_t_be_read_is_a_doubt_without_a_secret(home: Path) -> None:
    configured(home, credsStore="absent")
    with pytest.raises(LoginUnknown, match="docker-credential-absent can't be asked"):
        login()
    (home / ".docker" / "config.json").write_text(f'{{"{SECRET}"')
    with pytest.raises(LoginUnknown) as doubt:
        login()
    assert SECRET not in str(doubt.value)
    configured(home, auths={"registry.test:5000": {"auth": "no base64 " + SECRET}})
    with pytest.raises(LoginUnknown) as doubt:
        login()
    assert SECRET not in str(doubt.value)
