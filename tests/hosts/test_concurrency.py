"""The limits of calls to a host: how many at once, and what happens after a failure."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from ftkit.backends.hosted.concurrency import ConcurrencyLimiter, RateLimiter
from ftkit.backends.hosted.retry import RetryPolicy


def test_results_come_in_order_and_no_more_calls_run_than_the_limit() -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def call(index: int) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01 * (5 - index % 5))
        with lock:
            running[0] -= 1
        return index * index

    assert ConcurrencyLimiter(3).map(call, 12) == [index * index for index in range(12)]
    assert most[0] == 3
    assert ConcurrencyLimiter(3).map(call, 0) == []


def test_after_a_failure_no_call_begins() -> None:
    begun, stopped = [], threading.Event()

    def call(index: int) -> None:
        begun.append(index)
        if index == 1:
            raise OSError("refused")
        stopped.wait(5)

    with pytest.raises(OSError, match="refused"):
        ConcurrencyLimiter(2).map(call, 50, on_stop=stopped.set)
    assert len(begun) <= 3


def test_coroutines_of_one_event_loop_share_the_limit() -> None:
    limiter, most = ConcurrencyLimiter(2), 0

    async def main() -> None:
        running = 0

        async def call() -> None:
            nonlocal running, most
            async with limiter.slot():
                running += 1
                most = max(most, running)
                await asyncio.sleep(0.01)
                running -= 1

        await asyncio.gather(*(call() for _ in range(8)))

    asyncio.run(main())
    asyncio.run(main())
    assert most == 2


def test_calls_keep_to_the_limits_per_minute() -> None:
    never = threading.Event()
    pace, started = RateLimiter(requests_per_minute=1200), time.monotonic()
    for _ in range(4):
        pace.wait(never)
    assert time.monotonic() - started >= 3 * 0.05
    pace, started = RateLimiter(tokens_per_minute=6000), time.monotonic()
    pace.wait(never)
    pace.add_tokens(20)
    pace.wait(never)
    assert time.monotonic() - started >= 0.2


def test_the_delay_grows_and_a_hosts_word_goes_first() -> None:
    policy = RetryPolicy(longest_s=20.0)
    assert [round(max(policy.delay_s(attempt) for _ in range(50)), 1) <= limit for attempt, limit in
            ((1, 0.5), (2, 1.0), (3, 2.0), (9, 20.0))] == [True] * 4  # fmt: skip
    assert 7.0 <= policy.delay_s(1, 7.0) <= 7.25
    assert policy.delay_s(1, 600.0) <= 40.25
