"""What a message shows of an address: nothing that may be a password or a token."""

from __future__ import annotations

import pytest

from controlplane.domain.names import shown_address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://shop.example.org/health", "http://shop.example.org/health"),
        ("http://shop.example.org/?token=abc", "http://shop.example.org/?…"),
        ("http://shop.example.org/#abc\ndef", "http://shop.example.org/#…"),
        ("http://shop.example.org/?a=b@c", "http://…@c"),
        ("https://ann:abc@shop.example.org/?token=abc", "https://…@shop.example.org/?…"),
        ("bot:abc@registry.example.org/web", "…@registry.example.org/web"),
        ("abc@registry.example.org/web", "…@registry.example.org/web"),
        ("web@sha256:abc", "web@sha256:abc"),
        ("registry.example.org/web@sha256:abc", "registry.example.org/web@sha256:abc"),
        ("shop.example.org:80/?token=abc", "shop.example.org:80/?…"),
        ("is this a name?", "is this a name?"),
    ],
)
def test_an_address_is_shown_without_login_query_and_fragment(text: str, shown: str) -> None:
    assert shown_address(text) == shown
