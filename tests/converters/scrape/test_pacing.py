"""The pace of requests, against a clock that only the tests move."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from converters.errors import SourceError
from converters.scrape.pacing import Answer, Pace, Unanswered

_START = 1_700_000_000.0


class FakeClock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return sum(self.slept)

    def wall(self) -> float:
        return _START + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Case:
    """A pace, what it said and how it slept, and a server that answers from a list."""

    def __init__(self, *replies: tuple[int, dict[str, str]] | str, least: float = 0.0) -> None:
        self.clock = FakeClock()
        self.told: list[tuple[str, float]] = []
        self.replies = list(replies)
        self.pace = Pace(
            lambda why, until: self.told.append((why, until)),
            self.clock,
            least=least,
            tries=4,
            chance=random.Random(1),
        )

    def ask(self, fault: Callable[[object], str] = lambda _: "") -> object:
        return self.pace.ask("here", self._send, fault)

    def _send(self) -> Answer:
        reply = self.replies.pop(0)
        if isinstance(reply, str):
            raise Unanswered(reply)
        return Answer(reply[0], reply[1], reply)


def _limits(left: str, reset: str) -> dict[str, str]:
    return {"x-ratelimit-remaining": left, "x-ratelimit-reset": reset}


def test_requests_are_spread_over_what_is_left_of_the_window() -> None:
    case = Case((200, _limits("50.0", "100")), (200, _limits("2", "100")), (200, {}), (200, {}))
    for _ in range(4):
        case.ask()
    assert case.clock.slept == pytest.approx([2.0, 10.0])
    assert case.told == [
        ("the server's rate limit", _START + 2),
        ("the server's rate limit", pytest.approx(_START + 12)),
    ]


def test_a_used_up_window_is_waited_out_and_told() -> None:
    case = Case((200, _limits("0.0", "417")), (200, {}))
    case.ask()
    case.ask()
    assert case.clock.slept == pytest.approx([417])
    assert case.told == [("the server's rate limit", _START + 417)]


def test_the_least_pause_holds_without_headers() -> None:
    case = Case((200, {}), (200, {}), least=3.0)
    case.ask()
    case.ask()
    assert case.clock.slept == pytest.approx([3.0])


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"retry-after": "37"}, 37),
        ({"retry-after": format_datetime(datetime.fromtimestamp(_START + 90, UTC), True)}, 90),
        ({"retry-after": "Wed, 01 Jan 2020 00:00:00 GMT"}, 0),
        (_limits("0", "240"), 240),
        (_limits("0", str(int(_START) + 60)), 60),
    ],
)
def test_a_429_waits_as_long_as_it_says(said: dict[str, str], seconds: float) -> None:
    case = Case((429, said), (200, {}))
    assert case.ask() == (200, {})
    assert sum(case.clock.slept) == pytest.approx(seconds, abs=0.2)
    if seconds:
        assert "here answered 429" in case.told[0][0]


@pytest.mark.parametrize("said", ["soon", "nan", "-1e999", ""])
def test_a_429_that_says_nonsense_is_waited_out_by_the_backoff(said: str) -> None:
    case = Case((429, {"retry-after": said}), (200, {}))
    assert case.ask() == (200, {})
    assert 0.5 <= sum(case.clock.slept) <= 1.0


def test_a_server_that_asks_for_hours_ends_the_run() -> None:
    case = Case((429, {"retry-after": "7200"}))
    with pytest.raises(SourceError, match="120 minutes") as caught:
        case.ask()
    assert case.clock.slept == []
    assert "same command" in caught.value.hint


def test_failures_wait_about_twice_as_long_each_time_up_to_the_limit() -> None:
    case = Case("dropped it", (503, {}), (502, {}), (500, {}))
    with pytest.raises(SourceError, match="here answered 500; it was tried 4 times"):
        case.ask()
    first, second, third = case.clock.slept
    assert 0.5 <= first <= 1 <= second <= 2 <= third <= 4


def test_an_answer_with_a_fault_is_asked_for_again() -> None:
    case = Case((200, {"a": "bad"}), (200, {"a": "good"}))
    answer = case.ask(lambda reply: "is odd" if reply[1]["a"] == "bad" else "")
    assert answer == (200, {"a": "good"})
    assert len(case.clock.slept) == 1


def test_other_refusals_are_for_the_caller() -> None:
    case = Case((403, {}))
    assert case.ask() == (403, {})
    assert case.clock.slept == []
