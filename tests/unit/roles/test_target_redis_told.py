"""What a Redis is told at its next start, from its container's words and files."""

from __future__ import annotations

import pytest
from controlplane_target import redis_told
from controlplane_target.redis_told import Told

CONF = b"""# the shop's
maxmemory 100mb
user ops on >secret ~* +@all
include /etc/more.conf
save 60 1
"""
SCRIPT = b'#!/bin/sh\n# redis-server is started below\ncd /data\nexec setpriv redis-server --dir "$DIR" "$@"\n'
# As the images redis:7 and redis:8 have it, and valkey:9.
ENTRYPOINT = b"""#!/bin/sh
set -e

# first arg is `-f` or `--some-option`
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
	set -- redis-server "$@"
fi

if [ "$1" = 'redis-server' -a "$(id -u)" = '0' ]; then
	exec gosu redis "$0" "$@"
fi
if [ "$1" = 'redis-server' ]; then
	echo "Starting Redis Server"
	for module in "$modules_dir"/*.so; do
		set -- "$@" --loadmodule "$module"
	done
fi

exec "$@"
"""
VALKEY = ENTRYPOINT.replace(b"redis-server", b"valkey-server").replace(b'\n\nexec "$@"', b'\n\nexec "$@" $VALKEY_EXTRA_FLAGS')
STACK = b"""#!/usr/bin/dumb-init /bin/sh
CMD=${BASEDIR}/bin/redis-server
${CMD} \\
${CONFFILE} \\
--dir ${REDIS_DATA_DIR} \\
${REDIS_ARGS}
"""
FILES = {"/etc/redis.conf": CONF, "/etc/more.conf": b'maxmemory 1gb\nsave 900 1\nslaveof "other" 6379\n', "/usr/bin/serve-redis": SCRIPT}
FILES |= {"/usr/bin/docker-entrypoint.sh": ENTRYPOINT, "/usr/bin/valkey-entrypoint.sh": VALKEY, "/stack.sh": STACK, "/usr/bin/tini": b"\x7fELF"}
ENVIRONMENT = {"DIR": "/data", "PATH": "/bin:/usr/bin", "ARGS": "--maxmemory 5 --requirepass hidden", "VALKEY_EXTRA_FLAGS": "--hz 50"}


def read(path: str) -> bytes:
    if path not in FILES:
        raise FileNotFoundError(path)
    return FILES[path]


def told(*command: str) -> Told | None:
    return redis_told.told(command, ENVIRONMENT, "/etc", read)


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        (("redis-server",), {}),
        (("redis-server", "--maxmemory", "1gb", "--maxmemory", "2gb"), {"maxmemory": "2gb"}),
        (("docker-entrypoint.sh", "redis-server", "--save", "60 1", "--save", "900 1"), {"save": "60 1 900 1"}),
        (("docker-entrypoint.sh", "--save", "60 1", "--save", ""), {"save": ""}),
        (("redis-server", "--appendonly yes", "--hz=5"), {"appendonly": "yes", "hz=5": ""}),
        (("serve-redis", "--appendonly", "yes"), {"dir": "/data", "appendonly": "yes"}),
        (("sh", "-c", 'exec redis-server --maxmemory 5 --dir "${DIR}" && true'), {"maxmemory": "5", "dir": "/data"}),
        (("tini", "--", "docker-entrypoint.sh", "redis-server", "--hz", "5"), {"hz": "5"}),
        (("valkey-entrypoint.sh", "valkey-server", "--save", ""), {"save": "", "hz": "50"}),
        (("valkey-entrypoint.sh", "--save", ""), {"save": "", "hz": "50"}),
        (("sh", "-c", 'exec redis-server "$@"', "--", "--appendonly", "yes"), {"appendonly": "yes"}),
        (("sh", "-c", "redis-server --requirepass ab#cd --hz 5 # ours"), {"requirepass": "ab#cd", "hz": "5"}),
        (("redis-server", r"--requirepass a\b"), {"requirepass": r"a\b"}),
        # The first word after a bare name is its value, but for the one that may have none.
        (("redis-server", "--requirepass", "--secret", "--hz", "5"), {"requirepass": "--secret", "hz": "5"}),
        (("redis-server", "--requirepass", "--hz", "--hz", "5"), {"requirepass": "--hz", "hz": "5"}),
        (("redis-server", "--hz 5", "--requirepass", "--"), {"hz": "5", "requirepass": "--"}),
        (("redis-server", "--save", "60 1", "--SAVE", "--hz", "5"), {"save": "", "hz": "5"}),
        (("redis-server", "--save", "60 1", "--save"), {"save": ""}),
        (
            ("redis-server", "/etc/redis.conf", "--masterauth", "--maxmemory", "--maxmemory", "1"),
            {"maxmemory": "1", "save": "900 1 60 1", "replicaof": "other 6379", "masterauth": "--maxmemory"},
        ),
    ],
)
def test_options_are_read_however_the_server_is_started(command: tuple[str, ...], settings: dict[str, str]) -> None:
    found = told(*command)
    assert found is not None
    assert found.settings == settings


@pytest.mark.parametrize("file", ["/etc/redis.conf", "redis.conf"])
def test_a_file_is_read_with_those_that_it_includes_in_their_place_and_the_words_over_it(file: str) -> None:
    found = told("redis-server", file, "--maxmemory", "2gb", "--user", "late", "on", "nopass", "+get")
    assert found is not None
    assert found.settings == {"maxmemory": "2gb", "save": "900 1 60 1", "replicaof": "other 6379"}
    assert found.users == {"ops": ["on", ">secret", "~*", "+@all"], "late": ["on", "nopass", "+get"]}


@pytest.mark.parametrize(
    "command",
    [
        ("some-binary",),
        ("redis-server", "/gone.conf"),
        ("sh", "-c", "redis-server $(cat options)"),
        ("sh", "-c", "redis-server & redis-server"),
        ("sh", "-c", "redis-server --port $PORT_OF_THE_SCRIPT"),
        ("sh", "-c", "redis-server $ARGS"),
        ("sh", "-c", "redis-server --requirepass '$DIR'"),
        ("sh", "-c", "DIR=/other; redis-server --dir $DIR"),
        ("sh", "-c", "redis-server --appendonly yes 2>&1 | tee log"),
        ("sh", "-c", "redis-server --daemonize yes && redis-cli config set maxmemory 5 && sleep inf"),
        ("sh", "-c", "CMD=$(which redis-server)\n$CMD $ARGS"),
        ("sh", "-c", "cat /etc/redis.conf | redis-server -"),
        ("redis-server", "-", "--hz", "5"),
        ("redis-server", "--requirepass", "-"),
        ("/stack.sh",),
        ("gone.sh", "redis-server"),
        ("redis-server", "--save", "60 1", "--requirepass 'unclosed"),
    ],
)
def test_what_cannot_be_told_surely_is_not_known(command: tuple[str, ...]) -> None:
    assert told(*command) is None


@pytest.mark.parametrize(
    "more",
    [
        b'exec "$@" --requirepass "$(cat /run/secrets/password)"\n',
        b'exec redis-server /etc/redis.conf "$@"\n',
        b'set -- "$@" --requirepass "$(cat /run/secrets/password)"\nexec "$@"\n',
        b'"$@" &\nredis-cli config set maxmemory 5\nwait\n',
        b'if true; then\nexec redis-server --hz 50\nfi\nexec "$@"\n',
    ],
)
def test_an_entry_point_that_does_more_than_hand_its_words_on_is_a_doubt(monkeypatch: pytest.MonkeyPatch, more: bytes) -> None:
    monkeypatch.setitem(FILES, "/usr/bin/docker-entrypoint.sh", ENTRYPOINT.replace(b'\n\nexec "$@"\n', b"\n\n" + more))
    assert told("docker-entrypoint.sh", "redis-server", "--appendonly", "yes") is None
    assert told("docker-entrypoint.sh", "--appendonly", "yes") is None


def test_a_line_is_read_as_redis_itself_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"""requirepass pa\\ss\r
masterauth "a\\x41\\"b" \nmasteruser 'it\\'s'\ndbfilename a\\ b
"""
    monkeypatch.setitem(FILES, "/etc/odd.conf", text)
    found = told("redis-server", "/etc/odd.conf")
    assert found is not None
    assert found.settings == {"requirepass": r"pa\ss", "masterauth": 'aA"b', "masteruser": "it's", "dbfilename": r"a\ b"}


@pytest.mark.parametrize("text", [b"include /etc/*.conf\n", b"include /etc/loop.conf\n", b"requirepass 'unclosed\n"])
def test_a_file_that_cannot_be_followed_is_not_known(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setitem(FILES, "/etc/loop.conf", text)
    assert told("redis-server", "/etc/loop.conf") is None


def test_an_acl_file_names_its_users_and_nothing_else() -> None:
    assert redis_told.of_aclfile("user ops on #ab ~*\n# user x on\n\nuser default off\nuser\n") == {"ops": ["on", "#ab", "~*"], "default": ["off"]}
