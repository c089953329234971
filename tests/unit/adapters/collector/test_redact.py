"""Secrets stay on the host."""

from __future__ import annotations

import pytest

from controlplane.adapters.collector.redact import command_without_secrets, daemon_json_without_secrets, scrub, without_secrets

CANARY = "c4nary-Zx9"


@pytest.mark.parametrize(
    "command",
    [
        ["redis-server", "--requirepass", CANARY],
        ["redis-server", f"--requirepass {CANARY}"],
        ["redis-server", "--masterauth", CANARY, "--appendonly", "yes"],
        ["redis-server", "--user", "default", "on", f">{CANARY}", "~*"],
        ["sh", "-c", f'redis-server --requirepass "{CANARY}" --appendonly yes'],
        ["sh", "-c", f"redis-cli -a {CANARY} ping"],
        ["app", f"--db-password={CANARY}"],
        ["app", f"postgres://user:{CANARY}@db/app"],
        ["env", f"API_TOKEN={CANARY}", "app"],
        ["app", CANARY],
    ],
)
def test_no_way_to_write_a_password_on_a_command_line_gets_through(command: list[str]) -> None:
    assert CANARY not in " ".join(command_without_secrets(command, [f"APP_SECRET={CANARY}", "PATH=/bin"]))


def test_the_other_words_of_a_command_stay() -> None:
    assert command_without_secrets(["redis-server", "--requirepass", "x", "--appendonly", "yes"], []) == [
        "redis-server",
        "--requirepass",
        "***",
        "--appendonly",
        "yes",
    ]


def test_texts_of_files_lose_only_their_passwords() -> None:
    text = f"//nas/x /mnt/x cifs user=me,password={CANARY},uid=0 0 0\nUUID=1 /mnt/data ext4 nofail 0 2\n"
    assert without_secrets(text) == "//nas/x /mnt/x cifs user=me,password=***,uid=0 0 0\nUUID=1 /mnt/data ext4 nofail 0 2\n"
    assert CANARY not in without_secrets(f'[Service]\nEnvironment="HTTP_PROXY=http://u:{CANARY}@proxy:1/"\n')


def test_a_drop_in_without_secrets_is_left_to_the_byte() -> None:
    text = "[Unit]\nRequiresMountsFor=/mnt/data\nAssertPathIsMountPoint=/mnt/data\nAfter=network-online.target\n"
    assert without_secrets(text) == text


def test_daemon_json_keeps_its_text_but_for_credentials_in_urls() -> None:
    assert daemon_json_without_secrets(f'{{"proxies": {{"http-proxy": "http://u:{CANARY}@p"}}}}') == '{"proxies": {"http-proxy": "http://***@p"}}'
    assert daemon_json_without_secrets(None) is None


def test_known_secrets_are_taken_out_wherever_they_occur() -> None:
    assert scrub({"a": [f"x{CANARY}y", 1, None]}, [CANARY, ""]) == {"a": ["x***y", 1, None]}
