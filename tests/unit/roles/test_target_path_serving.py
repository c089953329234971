"""Since when a store can be asked again."""

from __future__ import annotations

import time

from controlplane_target.path_serving import asked


def test_its_first_answer_counts_and_not_when_somebody_looked() -> None:
    said = iter([False, False, True])
    before = time.time()
    with asked(lambda: next(said)) as serving:
        assert serving is not None
        first = serving.since(30)
        time.sleep(0.3)
        again = serving.since(30)
    assert first is not None
    assert before + 0.1 <= first == again < time.time() - 0.2


def test_one_that_does_not_answer_within_the_limit_has_no_such_time_and_is_asked_no_more() -> None:
    count = [0]

    def silent() -> bool:
        count[0] += 1
        return False

    with asked(silent) as serving:
        assert serving is not None
        assert serving.since(0.2) is None
    ended = count[0]
    time.sleep(0.2)
    assert (ended > 1, count[0]) == (True, ended)


def test_what_can_not_even_be_asked_keeps_nobody_waiting() -> None:
    def broken() -> bool:
        raise KeyError("Config")

    began = time.monotonic()
    with asked(broken) as serving:
        assert serving is not None
        assert serving.since(60) is None
    assert time.monotonic() - began < 30


def test_nothing_is_asked_of_what_tells_nothing() -> None:
    with asked(None) as serving:
        assert serving is None
