"""What clients get beside OpenAI's fields."""

from __future__ import annotations

from dataclasses import replace

from oa_chat.guards.stages import Staging, combined
from oa_chat.policies.shelf import Shelf
from oa_chat.policy import decide_message
from oa_chat.serving.answers import verdict_fields
from oa_chat.verdict import Severity, unreadable
from tests.scripted import verdict


def test_what_each_of_two_guards_said_is_told() -> None:
    first = replace(verdict(Severity.CAUTION), guard="fast")
    both = combined(first, unreadable("strong", "it broke"), Staging("always"))
    policy = Shelf().load("strict").policy
    fields = verdict_fields(both, decide_message("hm", both, policy))
    told = [
        (stage["guard"], stage["asked"], stage["severity"], stage["failure"], stage["counts"])
        for stage in fields["stages"]
    ]
    assert told == [("fast", True, 3, "", False), ("strong", True, None, "it broke", True)]
    assert fields["action"] == "hold"
    alone = combined(first, None, Staging("flagged"), "strong")
    skipped = verdict_fields(alone, decide_message("hm", alone, policy))["stages"][1]
    assert (skipped["guard"], skipped["asked"], skipped["level"]) == ("strong", False, None)
    assert skipped["why"]
