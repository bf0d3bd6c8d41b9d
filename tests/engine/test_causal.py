"""The causal runner on the real embedded model, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oa_chat.conversation import Message
from oa_chat.engine.native import lib
from oa_chat.engine.protocol import (
    Classify,
    Done,
    Piece,
    Prefill,
    Prefilled,
    Progress,
    Sampling,
    Segment,
)
from oa_chat.errors import ContextFull, EngineError, ModelUnreadable, WrongModelKind
from tests.engine.local import GREEDY, HELLO, LONG, SYSTEM, Local, after
from tests.engine.surgery import renamed_architecture, rewritten, tiny


@pytest.fixture(scope="module")
def loaded(starter: Path) -> Iterator[Local]:
    local = Local(starter)
    yield local
    local.runner.close()


@pytest.fixture
def chat(loaded: Local) -> Local:
    """The model with an empty cache."""
    loaded.cache.clear()
    return loaded


def test_info(chat: Local) -> None:
    info = chat.info
    assert (info.name, info.kind, info.context) == ("oa-chat starter", "causal", 512)
    assert (info.threads, info.device, info.has_template, info.note) == (1, "CPU", True, "")


def test_greedy_is_the_same_every_time(chat: Local) -> None:
    first = chat.reply(HELLO)
    assert first
    assert first == first.lstrip()
    assert chat.reply(HELLO) == first
    assert chat.done.stop in ("complete", "length")


def test_a_seed_repeats_a_reply(chat: Local) -> None:
    warm = Sampling(temperature=1.5, seed=7, max_tokens=20)
    assert chat.reply(HELLO, warm) == chat.reply(HELLO, warm)
    assert chat.done.seed == 7
    chat.reply(HELLO, Sampling(max_tokens=1))
    first = chat.done.seed
    chat.reply(HELLO, Sampling(max_tokens=1))
    assert chat.done.seed != first


def test_answers_come_in_order_and_count(chat: Local) -> None:
    chat.reply(HELLO, LONG)
    kinds = [type(answer).__name__ for answer in chat.answers]
    assert kinds[0] == "Prompted"
    assert kinds[1] == "Progress"
    assert kinds[-1] == "Done"
    pieces = [answer for answer in chat.answers if isinstance(answer, Piece)]
    assert pieces[0].tokens <= 3  # the first is not held back
    assert chat.done.stop == "length"
    assert chat.done.used == 512 - 1  # the last token is not evaluated any more
    assert chat.done.tokens == 512 - chat.prompted.tokens
    assert "<|im_" not in chat.text


def test_twenty_turns_evaluate_only_what_is_new(starter: Path) -> None:
    local = Local(starter, context=4096)
    messages = [SYSTEM]
    used = 0
    for turn in range(20):
        messages.append(Message("user", f"This is message {turn}. Do you like music?"))
        sampling = Sampling(temperature=1.0, seed=turn, max_tokens=12)
        reply = local.reply(messages, sampling)
        assert local.prompted.cached >= used  # all of the last turn, its reply included
        assert local.prompted.tokens - local.prompted.cached < 60
        assert local.prompted.skipped == 0
        used = local.done.used
        messages.append(Message("assistant", reply))
    local.runner.close()


def test_a_prefilled_message_costs_nothing_again(chat: Local) -> None:
    prefilled = chat.prefill(HELLO)
    assert prefilled.cached == 0
    with_prefill = chat.reply(HELLO)
    assert chat.prompted.cached == chat.prompted.tokens == prefilled.tokens
    assert not any(isinstance(answer, Progress) for answer in chat.answers)
    chat.cache.clear()
    assert chat.reply(HELLO) == with_prefill


def test_a_guideline_keeps_the_users_text(chat: Local) -> None:
    prefilled = chat.prefill(HELLO)
    nudged = Message("user", f"{HELLO[1].text}\n\n[Guideline: It is good to be kind.]")
    chat.reply([SYSTEM, nudged])
    end_of_turn = 6  # <|im_end|> \n <|im_start|> assistant \n, and a blank
    assert chat.prompted.cached >= prefilled.tokens - end_of_turn - 1
    assert "[Guideline: It is good" in chat.prompted.tail


def test_cancelled_between_tokens(chat: Local) -> None:
    text = chat.reply(HELLO, LONG, cancelled=after(5))
    assert chat.done.stop == "cancelled"
    assert chat.done.tokens <= 5
    # The partial reply goes on in the transcript, from the cache.
    used = chat.done.used
    chat.reply([*HELLO, Message("assistant", text), Message("user", "And?")])
    assert chat.prompted.cached >= used


def test_cancelled_prefill_keeps_what_it_did(chat: Local) -> None:
    long = [SYSTEM, Message("user", "word and word " * 60)]
    chat.run(Prefill(id=2, messages=long), after(2))
    partial = chat.last(Prefilled)
    whole = chat.prefill(long)
    assert 0 < partial.tokens < whole.tokens
    assert whole.cached == partial.tokens
    first = chat.reply(long)
    chat.cache.clear()
    assert chat.reply(long) == first


def test_cancelled_before_the_first_token(chat: Local) -> None:
    assert chat.reply(HELLO, cancelled=lambda: True) == ""
    assert chat.last(Done).stop == "cancelled"
    assert chat.done.tokens == 0


def test_overflow_drops_whole_turns_and_says_so(chat: Local) -> None:
    messages = [SYSTEM]
    skipped, seen = 0, []
    for turn in range(14):
        messages.append(Message("user", f"Message {turn}: " + "I like to talk. " * 6))
        reply = chat.reply(messages, GREEDY, skipped)
        assert chat.prompted.tokens <= 512 - 16
        assert chat.prompted.skipped >= skipped
        skipped = chat.prompted.skipped
        seen.append(skipped)
        messages.append(Message("assistant", reply))
    assert seen[0] == 0
    assert seen[-1] > 0
    assert len(set(seen)) <= 5  # not at every turn
    kept = chat.cache.ids
    text = b"".join(chat.piece(token) for token in kept).decode()
    assert "friendly assistant" in text
    assert "Message 13:" in text
    assert "Message 0:" not in text


def test_a_prefill_keeps_as_much_room_as_its_reply(chat: Local) -> None:
    few = Sampling(temperature=0, max_tokens=8)
    long = Message("user", "word " * 460)
    with pytest.raises(ContextFull):
        chat.prefill([SYSTEM, long])
    prefilled = chat.prefill([SYSTEM, long], max_tokens=8)
    chat.reply([SYSTEM, long], few)
    assert 512 - 64 < prefilled.tokens == chat.prompted.cached <= 512 - 8
    # Nor are turns left out for a prefill that the reply has room for.
    turns = [*HELLO, Message("assistant", "Fine."), Message("user", "word " * 424)]
    assert chat.prefill(turns).skipped == 1
    assert chat.prefill(turns, max_tokens=8).skipped == 0
    chat.reply(turns, few)
    assert chat.prompted.skipped == 0


def test_too_long_a_message(chat: Local) -> None:
    with pytest.raises(ContextFull, match=r"needs \d+ tokens.*512"):
        chat.reply([SYSTEM, Message("user", "word " * 600)])
    assert chat.reply(HELLO)


def test_a_failed_evaluation_forgets_the_cache(
    chat: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = chat.reply(HELLO)
    chat.cache.clear()
    with monkeypatch.context() as patch:
        patch.setattr(lib, "llama_decode", lambda *_: -3)
        with pytest.raises(EngineError, match="-3"):
            chat.reply(HELLO)
    assert chat.cache.ids == []
    assert chat.reply(HELLO) == expected


def test_complete_is_greedy_and_stops_at_strings(chat: Local) -> None:
    prompt = Segment("<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n", trusted=True)
    whole = chat.complete(prompt)
    assert chat.complete(prompt) == whole
    word = whole.split()[2]
    stopped = chat.complete(prompt, stop=[word])
    assert whole.startswith(stopped)
    assert word not in stopped
    assert chat.done.stop == "complete"
    with pytest.raises(EngineError, match="empty"):
        chat.complete(Segment(""))
    with pytest.raises(ContextFull):
        chat.complete(Segment("word " * 600))


def test_a_repeat_penalty_changes_the_reply(chat: Local) -> None:
    plain = chat.reply(HELLO, Sampling(temperature=0, max_tokens=40))
    assert chat.reply(HELLO, Sampling(temperature=0, max_tokens=40, repeat_penalty=2.0)) != plain


def test_requests_that_make_no_sense(chat: Local) -> None:
    with pytest.raises(EngineError, match="Classify"):
        chat.run(Classify(id=9, passages=[]))
    for messages in ([], [SYSTEM], [*HELLO, Message("assistant", "Hi")]):
        with pytest.raises(EngineError, match="end with a user"):
            chat.reply(messages)


def test_context_wishes(starter: Path) -> None:
    large = Local(starter, context=2048)
    assert large.info.context == 2048
    assert "trained with 512" in large.info.note
    large.runner.close()
    small = Local(starter, context=200)
    assert small.info.context == 200
    with pytest.raises(ContextFull) as caught:
        small.reply([SYSTEM, Message("user", "word " * 300)])
    assert "--context" in caught.value.hint
    small.runner.close()


def test_without_a_chat_template_chatml_is_used(starter: Path, tmp_path: Path) -> None:
    path = rewritten(starter, tmp_path / "plain.gguf", drop={"tokenizer.chat_template"})
    local = Local(path)
    assert not local.info.has_template
    assert "ChatML" in local.info.note
    assert local.reply(HELLO)
    local.runner.close()


def test_wrong_models_are_refused_before_native_code(tmp_path: Path, guard_file: Path) -> None:
    for path in (guard_file, tiny(tmp_path / "t5.gguf", "t5")):
        with pytest.raises(WrongModelKind, match="not a chat model"):
            Local(path)


def test_an_unknown_architecture_is_named(tmp_path: Path, starter: Path) -> None:
    path = renamed_architecture(starter, tmp_path / "new.gguf", b"lamma")
    with pytest.raises(ModelUnreadable, match="does not know the architecture 'lamma'"):
        Local(path)


def test_a_model_without_its_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match="cannot load"):
        Local(tiny(tmp_path / "hollow.gguf"))
