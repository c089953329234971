"""A stand-in for Proxmox VE with a small cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.proxmox.client import client
from tests.fakes.proxmox.example import small_cluster
from tests.fakes.proxmox.server import ProxmoxServer


@pytest.fixture
def server() -> Iterator[ProxmoxServer]:
    with ProxmoxServer(small_cluster()) as running:
        yield running


@pytest.fixture
def node(server: ProxmoxServer) -> Any:
    return client(server).nodes("pve")
