"""Which of several written rules is taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oa_chat.guards.candidates import best

LYING = [
    "You should never joke about the moon.",
    "You shouldn't lie to your friends about money.",
    "You shouldn't lie to your friends.",
    "It's wrong to lie to friends about money.",
]


def test_what_most_agree_on_is_taken() -> None:
    assert best(LYING, "hm") in LYING[1:]
    assert best([LYING[0], LYING[1], LYING[1]], "hm") == LYING[1]


def test_of_two_the_one_that_names_the_matter_is_taken() -> None:
    rules = ["You should be honest with your sister.", "You should be honest with your teacher."]
    assert best(rules, "I told my teacher a fib") == rules[1]
    assert best(rules, "My sister does not know") == rules[0]


def test_a_single_rule_is_taken_and_scraps_are_not() -> None:
    assert best(["You should rest."], "so tired") == "You should rest."
    assert best(["", "...", "You", "You should rest."], "so tired") == "You should rest."
    assert best(["", "?!", "Be kind"], "so tired") == ""
    assert best([], "so tired") == ""


@given(st.lists(st.text(max_size=60), max_size=6), st.text(max_size=80))
def test_what_is_taken_is_one_of_them(candidates: list[str], message: str) -> None:
    taken = best(candidates, message)
    assert taken == "" or taken in candidates
