"""Loaded into the pytest that runs a release's smoke tests, beside the plugin that gives `host`: where the services are, and what is tested."""

from __future__ import annotations

import pytest

from controlplane.adapters.site_checks_plugin import given


@pytest.fixture(scope="session")
def urls() -> dict[str, str]:
    """Return the address of each service, by its name in the compose file."""
    return dict(given()["urls"])


@pytest.fixture(scope="session")
def environment() -> str:
    """Return the environment: staging or production."""
    return str(given()["release"]["environment"])


@pytest.fixture(scope="session")
def release() -> dict[str, str]:
    """Return what is tested: `stack`, `environment` and `manifest`, the name of the manifest that is deployed."""
    return dict(given()["release"])
