"""Work for workers that must be ended, or fails."""

from __future__ import annotations


def add(first: int, second: int) -> int:
    return first + second


def forever() -> None:
    while True:
        pass


def large() -> int:
    return len(bytearray(4 * 2**30))


def broken() -> None:
    raise ValueError("no such thing")


class OddError(Exception):
    """It can be pickled, and not read again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def odd() -> None:
    raise OddError("od", "d")


def printed() -> str:
    print("to nobody")
    return "said"
