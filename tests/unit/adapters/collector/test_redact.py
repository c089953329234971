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


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        # Redis takes the first word after a bare name as its value, however that begins.
        (["redis-server", "--requirepass", "--c4nary"], ["redis-server", "--requirepass", "***"]),
        (["--requirepass", "--c4nary", "--appendonly", "no"], ["--requirepass", "***", "--appendonly", "no"]),
        (["--requirepass", "--appendonly", "--appendonly", "no"], ["--requirepass", "***", "--appendonly", "no"]),
        (["--masterauth", "--c4nary", "--hz", "5"], ["--masterauth", "***", "--hz", "5"]),
        (["--MASTERAUTH", "--c4nary"], ["--MASTERAUTH", "***"]),
        (["--requirepass ", "--c4nary"], ["--requirepass ", "***"]),
        (["--primaryauth", "c4nary"], ["--primaryauth", "***"]),
        (["--requirepass=--c4nary", "x"], ["--requirepass=***", "x"]),
        (["--requirepass=a,c4nary;c4nary 'c4nary", "x"], ["--requirepass=***", "x"]),
        (["--requirepass c4nary", "--hz 5"], ["--requirepass ***", "--hz 5"]),
        (["--RequirePass 'c4nary c4nary'", "--hz 5"], ["--RequirePass ***", "--hz 5"]),
        (['--requirepass "a\\"c4nary c4nary', "x"], ["--requirepass ***", "x"]),
        (["PASSWORD=a,c4nary c4nary", "x"], ["PASSWORD=***", "x"]),
        # For another program the first may be a switch, and the second wait for the secret.
        (["app", "--no-auth", "--token", "c4nary", "run"], ["app", "--no-auth", "***", "***", "run"]),
        # A user's rules reach to the next option.
        (["--user", "ops", "on", ">c4nary", "~*", "--hz", "5"], ["--user", "***", "***", "***", "***", "--hz", "5"]),
        (["--USER", "--ops", "on", ">--c4nary", "--hz", "5"], ["--USER", "***", "***", "***", "--hz", "5"]),
        (["--user ops on >c4nary ~*", "--hz", "5"], ["--user ops on *** ~*", "--hz", "5"]),
        (["--user ops on #" + "c0" * 32 + " ~*"], ["--user ops on *** ~*"]),
        (["gosu", "--user", "--user", "ops", "on", ">c4nary"], ["gosu", "--user", *["***"] * 4]),
        (["--sentinel", "auth-pass", "main", "c4nary", "--hz", "5"], ["--sentinel", "auth-pass", "***", "***", "--hz", "5"]),
        (["redis-cli", "config", "set", "requirepass", "c4nary"], ["redis-cli", "config", "set", "requirepass", "***"]),
        (["/usr/bin/redis-cli", "-p", "6379", "-a", "c4nary", "ping"], ["/usr/bin/redis-cli", "-p", "6379", "-a", "***", "ping"]),
        (["mysqladmin", "-uroot", "-pc4nary", "ping"], ["mysqladmin", "-uroot", "-p***", "ping"]),
        (["sh", "-c", "redis-server --requirepass --c4nary --hz 5"], ["sh", "-c", "redis-server --requirepass *** --hz 5"]),
        (["sh", "-c", "redis-server --requirepass=a,c4nary --hz 5"], ["sh", "-c", "redis-server --requirepass=*** --hz 5"]),
        (["sh", "-c", "redis-server --requirepass 'a'\"'\"'c4nary' --hz 5"], ["sh", "-c", "redis-server --requirepass *** --hz 5"]),
        (["sh", "-c", "redis-server --requirepass a\\ c4nary --hz 5"], ["sh", "-c", "redis-server --requirepass *** --hz 5"]),
        (["sh", "-c", 'redis-server --requirepass "a\\"c4nary" --hz 5'], ["sh", "-c", "redis-server --requirepass *** --hz 5"]),
        (["sh", "-c", "redis-server --requirepass 'a c4nary\necho"], ["sh", "-c", "redis-server --requirepass ***\necho"]),
        (["sh", "-c", "redis-server --requirepass \\\n  c4nary --hz 5"], ["sh", "-c", "redis-server --requirepass \\\n  *** --hz 5"]),
        (["sh", "-c", "app --no-auth --token c4nary run"], ["sh", "-c", "app --no-auth *** run"]),
        (["sh", "-c", "redis-server --user ops on '>c4nary c4nary' \\>c4nary ~*"], ["sh", "-c", "redis-server --user ops on *** *** ~*"]),
        (
            ["sh", "-c", "echo user ops on \">c4nary\" > acl; echo requirepass 'c4nary'"],
            ["sh", "-c", "echo user ops on *** > acl; echo requirepass ***"],
        ),
        (["app", "redis://user:p@c4nary@cache/0"], ["app", "redis://***@cache/0"]),
    ],
)
def test_a_value_is_hidden_however_it_is_spelled_and_the_options_after_it_stay(command: list[str], shown: list[str]) -> None:
    assert command_without_secrets(command, []) == shown


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


@pytest.mark.parametrize("text", ["my-password hunter22", "x/--password=hunter22", "(db.password: hunter22)", "--a.b-c-token hunter22"])
def test_a_name_is_known_from_wherever_its_word_begins(text: str) -> None:
    assert "hunter22" not in without_secrets(text)
