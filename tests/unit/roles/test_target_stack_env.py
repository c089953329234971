"""An environment file of Compose: what it may not set, and that none of its values is ever told."""

from __future__ import annotations

import pytest
from controlplane_target.stack_env import last_words, masked, steering, variables


@pytest.mark.parametrize("name", ["DOCKER_HOST", "DOCKER_CONTEXT", "COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "export DOCKER_HOST"])
def test_what_steers_docker_or_compose_is_refused_by_its_line_and_without_its_value(name: str) -> None:
    [said] = steering(f"# a comment with DOCKER_HOST=x\n\nWORD=1\n{name}=canary-1\n")
    assert f"sets {name.removeprefix('export ')} in line 4" in said
    assert "canary" not in said


def test_what_is_the_services_own_is_not() -> None:
    assert steering("COMPOSE_PROFILES=debug\nDOCKER_INFLUXDB_INIT_MODE=setup\nMY_DOCKER_HOST=tcp://x\nURL=DOCKER_HOST=x\n") == []


@pytest.mark.parametrize(
    "line",
    [
        "WORD=canary",
        'WORD="canary"',
        "WORD='canary'",
        "export WORD=canary",
        "WORD=canary # why",
        'WORD="canary" # why',
        "WORD = canary",
        "canary",
        "WORD=a=canary",
    ],
)
def test_a_value_is_taken_out_of_what_compose_quotes_however_it_is_written(line: str) -> None:
    value = "a=canary" if "a=" in line else "canary"
    assert masked(f"invalid hostPort: 80{value}: near {line!r}", f"ONE=1\n{line}\n").count("canary") == 0


def test_a_line_that_is_no_assignment_is_told_by_its_number_alone() -> None:
    said = 'failed to read /opt/stacks/shop/.env: line 2: unexpected character "-" in variable name near "half-a-canary\\nMORE=1"'
    assert masked(said, "WORD=1\n") == "failed to read /opt/stacks/shop/.env: line 2 is no assignment"


def test_what_goes_on_over_lines_is_masked_line_by_line() -> None:
    text = 'KEY="-----BEGIN\ncanary-body\n-----END"\n'
    assert [one.line for one in variables(text)] == [1, 2, 3]
    assert "canary" not in masked("near canary-body", text)


def test_a_switch_or_a_port_is_no_secret_and_stays_readable() -> None:
    assert masked("80 of 180 ports", "PORT=80\nON=1\n") == "80 of 180 ports"


def test_the_end_of_a_message_has_no_half_of_a_value() -> None:
    said = last_words(f"it begins, canary-one{'.' * 591}end\n", "WORD=canary-one\n")
    assert said.endswith("...end")
    assert "one" not in said
    assert last_words("failed to read /opt/shop/.env: line 2: unexpected near canary" + "." * 700, "") == (
        "failed to read /opt/shop/.env: line 2 is no assignment"
    )


@pytest.mark.parametrize("said", [r'near "two \"words\" \\ ü"', r'msg="near \"two \\\"words\\\" \\\\ ü\""', r'{"near": "two \"words\" \\ \u00fc"}'])
def test_a_value_is_taken_out_as_it_is_escaped_in_quotes(said: str) -> None:
    assert "words" not in masked(said, "WORD='two \"words\" \\ ü'\n")
