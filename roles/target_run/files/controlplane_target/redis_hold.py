"""Hold all writes to a Redis for as long as the body runs, and not a moment longer than somebody keeps asking for it.

Source: CLIENT PAUSE … WRITE, Redis 6.2. Reads, BGSAVE and CONFIG go on; a client that writes waits and gets its answer afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .faults import FailedFault
from .redis_client import Redis

# Should this process be killed, clients wait for so long at most.
_PAUSE_S, _AGAIN_S = 30, 10.0


@contextmanager
def writes_held(redis: Redis) -> Iterator[None]:
    """Hold writes; `redis` is a connection for this alone. It may go away meanwhile, with its server. Raises `RedisError` where this user may not."""
    over = threading.Event()

    def pause() -> None:
        redis.ask("CLIENT", "PAUSE", str(_PAUSE_S * 1000), "WRITE")

    def again() -> None:
        with suppress(OSError, FailedFault):
            while not over.wait(_AGAIN_S):
                pause()

    pause()
    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(OSError, FailedFault):
            redis.ask("CLIENT", "UNPAUSE")
        redis.close()
