"""Settings get into a command and a configuration file, and everything else in them stays."""

from __future__ import annotations

import pytest
from controlplane_target.redis_options import UnclearError, with_directives, with_options

ON = {"appendonly": "yes", "appendfsync": "always", "save": "60 1 30 100"}


@pytest.mark.parametrize(
    ("command", "settings", "wanted"),
    [
        ([], {"appendonly": "yes"}, ["--appendonly", "yes"]),
        (["redis-server"], ON, ["redis-server", "--appendonly", "yes", "--appendfsync", "always", "--save", "60 1 30 100"]),
        (["redis-server", "--APPENDONLY", "no", "--port", "1"], {"appendonly": "yes"}, ["redis-server", "--appendonly", "yes", "--port", "1"]),
        (["redis-server", "--save", "1", "1", "--save", "2", "2", "--x", "y"], {"save": ""}, ["redis-server", "--save", "", "--x", "y"]),
        (["redis-server", "--appendonly no"], {"appendonly": "yes"}, ["redis-server", "--appendonly", "yes"]),
        (["redis-server", "/etc/redis.conf"], {"appendonly": "yes"}, ["redis-server", "/etc/redis.conf", "--appendonly", "yes"]),
        ("redis-server ${MORE}", {"appendonly": "yes"}, "redis-server ${MORE} --appendonly yes"),
        ("redis-server --save '1 1'\n", {"save": "2 2"}, "redis-server --save '2 2'"),
        ("redis-server", {"save": ""}, "redis-server --save ''"),
        ("redis-server --save 60 1 --save 30 2 --port 1", {"save": "1 1"}, "redis-server --save '1 1' --port 1"),
        ('redis-server --pass "${A B}" --appendonly no', {"appendonly": "yes"}, 'redis-server --pass "${A B}" --appendonly yes'),
        ("redis-server --save 1 1 ${MORE}", {"save": "2 2"}, "redis-server --save '2 2' ${MORE}"),
        (["redis-server", "--requirepass", "--pw"], {"save": ""}, ["redis-server", "--requirepass", "--pw", "--save", ""]),
        (
            ["redis-server", "--save", "--appendonly", "no"],
            ON | {"save": ""},
            ["redis-server", "--save", "", "--appendonly", "yes", "--appendfsync", "always"],
        ),
        (["redis-server", "--save", "1 1", "--requirepass", "--pw"], {"save": "2 2"}, ["redis-server", "--save", "2 2", "--requirepass", "--pw"]),
        (["--requirepass", "--pw", "--appendonly", "no"], {"appendonly": "yes"}, ["--requirepass", "--pw", "--appendonly", "yes"]),
        ("redis-server --requirepass --pw --appendonly no", {"appendonly": "yes"}, "redis-server --requirepass --pw --appendonly yes"),
        (["wrap", "--user", "redis-server", "--appendonly", "no"], {"appendonly": "yes"}, ["wrap", "--user", "redis-server", "--appendonly", "yes"]),
    ],
)
def test_options_take_the_place_of_what_is_there_or_the_end(command: str | list[str], settings: dict[str, str], wanted: str | list[str]) -> None:
    assert with_options(command, settings) == wanted
    assert with_options(wanted, settings) == wanted


@pytest.mark.parametrize(
    "command",
    [
        "sh -c 'exec redis-server'",
        ["sh", "-c", "redis-server"],
        ["/bin/bash", "-ec", "redis-server"],
        "redis-server; true",
        "redis-server && x",
        "redis-server $(cat x)",
        "redis-server 'x",
        "a\nb",
        ["x", "-c", "y"],
        "redis-server '--appendonly no'",
    ],
)
def test_what_a_shell_would_read_is_not_touched(command: str | list[str]) -> None:
    with pytest.raises(UnclearError):
        with_options(command, {"appendonly": "yes"})


@pytest.mark.parametrize(
    "command",
    [
        ["redis-server", "--requirepass", "--appendonly", "--hz", "5"],
        ["redis-server", "--masterauth", "--AppendOnly=x"],
        "redis-server --requirepass --appendonly --hz 5",
        "redis-server --requirepass '--appendonly x'",
    ],
)
def test_a_value_that_reads_like_a_setting_of_these_is_refused_and_not_said(command: str | list[str]) -> None:
    with pytest.raises(UnclearError, match=r"^one of its words reads like a setting that is to be changed, and Redis takes it as the value of the"):
        with_options(command, {"appendonly": "yes"})


@pytest.mark.parametrize(
    ("text", "settings", "wanted"),
    [
        ("", {"appendonly": "yes"}, "appendonly yes\n"),
        ("# appendonly no\nport 1", {"appendonly": "yes"}, "# appendonly no\nport 1\nappendonly yes\n"),
        ("AppendOnly no\nport 1\n", {"appendonly": "yes"}, "appendonly yes\nport 1\n"),
        ("save 1 1\nsave 2 2\nsaver x\n", {"save": ""}, 'save ""\nsaver x\n'),
        ("port 1\r\n", {"appendonly": "yes"}, "port 1\r\nappendonly yes\r\n"),
        ("appendonly no\ninclude other.conf\n", {"appendonly": "yes"}, "include other.conf\nappendonly yes\n"),
    ],
)
def test_directives_take_the_place_of_the_first_or_the_end(text: str, settings: dict[str, str], wanted: str) -> None:
    assert with_directives(text, settings) == wanted
    assert with_directives(wanted, settings) == wanted
