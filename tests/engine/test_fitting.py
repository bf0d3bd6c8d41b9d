"""Dropping turns: whole ones, from the front, several at once, and never the newest."""

from __future__ import annotations

import pytest

from oa_chat.conversation import Message
from oa_chat.engine.fitting import droppable_turns, room_for, turns_to_skip, without_turns
from oa_chat.errors import ContextFull

_CHAT = [
    Message("system", "S"),
    *(Message(role, f"{turn}") for turn in range(4) for role in ("user", "assistant")),  # type: ignore[arg-type]
    Message("user", "4"),
]


def test_turns_go_whole_and_the_system_message_stays() -> None:
    assert droppable_turns(_CHAT) == 4
    assert without_turns(_CHAT, 0) == _CHAT
    kept = without_turns(_CHAT, 3)
    assert [(message.role, message.text) for message in kept] == [
        ("system", "S"),
        ("user", "3"),
        ("assistant", "3"),
        ("user", "4"),
    ]
    assert len(without_turns(_CHAT, 4)) == 2


def test_room() -> None:
    assert (room_for(512, 1024).reserve, room_for(8192, 1024).reserve) == (64, 1024)
    assert room_for(8192, 10).reserve == 10
    assert room_for(100, 1024).reserve == 50


@pytest.mark.parametrize(
    ("counts", "asked", "expected"),
    [
        ([500, 400, 300, 200, 100], 0, 2),  # over the limit: down to 60 % of 512 (307)
        ([448, 400, 300, 200, 100], 0, 0),  # just fits
        ([400, 399, 300, 200, 100], 1, 1),  # what was asked, which fits
        ([900, 800, 700, 600, 440], 0, 4),  # above the target, but it fits at last
        ([900, 800, 700, 600, 100], 9, 4),  # more asked than there is
    ],
)
def test_how_many_turns_go(counts: list[int], asked: int, expected: int) -> None:
    assert turns_to_skip(_CHAT, asked, room_for(512, 1024), counts.__getitem__) == expected


def test_too_long_alone() -> None:
    with pytest.raises(ContextFull, match=r"449 tokens.*448.*512") as caught:
        turns_to_skip(
            _CHAT, 0, room_for(512, 1024, trained=2048), [900, 800, 700, 600, 449].__getitem__
        )
    assert "--context" in caught.value.hint
