"""Token ids of prompts: no control tokens from text, the same ids at every turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oa_chat.engine.model import LONGEST_CHUNK, chunks
from oa_chat.engine.native import Model, open_model
from oa_chat.engine.prompt_tokens import PromptEncoder
from oa_chat.segment import Segment


@pytest.fixture(scope="module")
def model(starter: Path) -> Iterator[Model]:
    model = open_model(starter, 0)
    yield model
    model.close()


def _controls(model: Model, ids: list[int]) -> list[int]:
    return [token for token in ids if model.is_control(token)]


_TEXTS = st.lists(
    st.one_of(
        st.text(max_size=6),
        st.sampled_from(
            ["<|im_end|>", "<|im_start|>", "</s>", "<s>", "<unk>", "<0x0A>", "<|im_", "\n"]
        ),
    ),
    max_size=6,
).map("".join)


@settings(max_examples=200, deadline=None)
@given(text=_TEXTS, continues=st.booleans())
def test_untrusted_text_has_no_control_tokens(model: Model, text: str, continues: bool) -> None:
    before = Segment("<|im_start|>user\n" if continues else "<|im_end|>", trusted=True)
    encoder = PromptEncoder(model)
    start = encoder.encode([before]).ids
    ids = encoder.encode([before, Segment(text)]).ids
    assert ids[: len(start)] == start
    assert _controls(model, ids[len(start) :]) == []
    written = b"".join(model.piece(token) for token in ids[len(start) :]).decode()
    expected = text.encode("utf-8", "replace").decode()
    assert written in (expected, f" {expected}")
    assert written == expected or not continues


def test_trusted_text_has_control_tokens(model: Model) -> None:
    ids = PromptEncoder(model).encode([Segment("<|im_start|>user\n</s>", trusted=True)]).ids
    assert _controls(model, ids) == [3, 2]


def test_text_goes_on_without_a_blank(model: Model) -> None:
    whole = model.tokenize("<|im_start|>user\nHello there<|im_end|>", special=True)
    pieces = [
        Segment("<|im_start|>user\n", trusted=True),
        Segment("Hello there"),
        Segment("<|im_end|>", trusted=True),
    ]
    encoded = PromptEncoder(model).encode(pieces)
    assert encoded.ids == whole  # as if it had been tokenised as one
    assert encoded.newest_end == len(whole) - 1


def test_a_generated_reply_keeps_its_tokens(model: Model) -> None:
    encoder = PromptEncoder(model)
    usual = model.tokenize("Hello", continues=True)
    letters = [token for letter in "Hello" for token in model.tokenize(letter, continues=True)]
    assert usual != letters
    encoder.remember_reply(" Hello", letters)
    assert encoder.encode([Segment("Hello", reply=True)]).ids == letters
    assert encoder.encode([Segment("Hello", trusted=True)]).ids != letters
    assert encoder.encode([Segment("Hello")]).ids != letters  # a person says the same
    # Of two ways, the one that the cache holds.
    encoder.remember_reply("Hello", usual)
    assert encoder.encode([Segment("Hello", reply=True)], cached=letters).ids == letters
    assert encoder.encode([Segment("Hello", reply=True)], cached=usual).ids == usual


def test_control_tokens_of_a_reply_are_not_remembered(model: Model) -> None:
    encoder = PromptEncoder(model)
    encoder.remember_reply("a", [3, 8115, 4])
    assert encoder.encode([Segment("a", reply=True)]).ids == [8115]
    encoder.remember_reply("b", [3, 4])
    assert encoder.encode([Segment("b", reply=True)]).ids == model.tokenize("b")


def test_user_defined_marks_are_cut(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phi's files hold ``<|user|>`` as a user-defined token, which is found in any text."""
    mark = 7000
    real_tokenize, real_piece = Model.tokenize, Model.piece

    def tokenize(
        self: Model, text: str, special: bool = False, *, continues: bool = False
    ) -> list[int]:
        head, found, tail = text.partition("<|user|>")
        ids = real_tokenize(self, head, special, continues=continues) if head else []
        return [*ids, mark, *tokenize(self, tail)] if found else ids

    monkeypatch.setattr(Model, "tokenize", tokenize)
    monkeypatch.setattr(Model, "is_user_defined", lambda _, token: token == mark)
    monkeypatch.setattr(
        Model,
        "piece",
        lambda self, token, special=False: (
            b"<|user|>" if token == mark else real_piece(self, token, special)
        ),
    )
    ids = PromptEncoder(model).encode([Segment("say <|user|> and <|user|>")]).ids
    assert mark not in ids
    assert b"".join(model.piece(token) for token in ids) == b" say <|user|> and <|user|>"


def test_long_texts_are_read_in_chunks_and_give_the_usual_tokens(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "word and\n\n  word, or 3.5 words. " * 1000
    hard = "\x00\ud7ff\U0010ffff" * 30_000
    whole = model._tokenize(text, False, False)
    read: list[int] = []
    real = Model._tokenize

    def tokenize(self: Model, text: str, add_special: bool, parse_special: bool) -> list[int]:
        read.append(len(text))
        return real(self, text, add_special, parse_special)

    monkeypatch.setattr(Model, "_tokenize", tokenize)
    ids = model.tokenize(text)
    assert b"".join(model.piece(token) for token in ids).decode() == f" {text}"
    assert ids == whole
    model.tokenize(hard)
    # llama.cpp takes quadratic time: short calls, and each character in one of them.
    assert max(read) <= LONGEST_CHUNK + 1
    assert sum(read) <= len(text) + len(hard) + len(read)
    assert "".join(chunks(hard)) == hard
