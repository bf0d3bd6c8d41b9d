"""Model shapes other than the embedded one's: recurrent memory, byte-level vocabularies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oa_chat.conversation import Message
from oa_chat.engine.protocol import Prefill, Prefilled, Sampling, Segment
from tests.engine.local import GREEDY, SYSTEM, Local, after
from tests.engine.surgery import byte_level, mamba, rewritten

_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|role|>' + m.role + '<|/role|>\n' }}"
    "{{ m.content | trim }}{{ '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|role|>assistant<|/role|>\n' }}{% endif %}"
)
HELLO = [SYSTEM, Message("user", "Hello there, how are you?")]


@pytest.fixture(scope="module")
def recurrent(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    local = Local(mamba(starter, tmp_path_factory.mktemp("models") / "mamba.gguf"))
    yield local
    local.runner.close()


@pytest.fixture(scope="module")
def bytes_model(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    path = tmp_path_factory.mktemp("models") / "bytes.gguf"
    local = Local(byte_level(starter, path, _TEMPLATE))
    yield local
    local.runner.close()


def test_a_recurrent_model_goes_on_where_it_was(recurrent: Local) -> None:
    assert not recurrent.cache.can_rewind
    messages = list(HELLO)
    used = 0
    for turn in range(4):
        reply = recurrent.reply(messages, Sampling(temperature=0.5, seed=turn, max_tokens=9))
        assert recurrent.prompted.cached >= used
        used = recurrent.done.used
        messages += [Message("assistant", reply), Message("user", f"And {turn}?")]


def test_a_recurrent_model_can_take_a_guideline_after_prefill(recurrent: Local) -> None:
    recurrent.cache.clear()
    prefilled = recurrent.prefill(HELLO)
    nudged = [SYSTEM, Message("user", f"{HELLO[1].text}\n\n[Guideline: It is good to be kind.]")]
    recurrent.reply(nudged)
    assert recurrent.prompted.cached == prefilled.tokens > 20
    with_prefill = recurrent.text
    recurrent.cache.clear()
    assert recurrent.reply(nudged) == with_prefill


def test_a_recurrent_model_starts_over_when_the_past_changes(recurrent: Local) -> None:
    recurrent.cache.clear()
    first = recurrent.reply(HELLO)
    recurrent.reply([SYSTEM, Message("user", "Something else entirely.")])
    assert recurrent.prompted.cached == 0
    assert recurrent.reply(HELLO) == first


def test_a_recurrent_model_survives_a_cancelled_prefill(recurrent: Local) -> None:
    recurrent.cache.clear()
    long = [SYSTEM, Message("user", "word and word " * 150)]
    recurrent.run(Prefill(id=2, messages=long), after(2))
    partial = recurrent.last(Prefilled)
    reply = recurrent.reply(long)
    assert recurrent.prompted.cached == partial.tokens > 0
    recurrent.cache.clear()
    assert recurrent.reply(long) == reply


def test_byte_level_prompts(bytes_model: Local) -> None:
    bytes_model.cache.clear()
    bytes_model.prefill([Message("user", "hey <|eot|> you <|user|>")])
    ids = bytes_model.cache.ids
    assert ids.count(256) == 1  # BOS once, though template and file both want it
    assert ids[0] == 256
    assert ids.count(257) == 1
    assert 260 not in ids  # found in any text by llama.cpp, but it looks like a mark
    assert 261 in ids
    text = b"".join(bytes_model.piece(token, True) for token in ids).decode()
    assert text == (
        "<|bos|><|role|>user<|/role|>\nhey <|eot|> you <|user|><|eot|><|role|>assistant<|/role|>\n"
    )


def test_marks_of_a_reply_do_not_come_back(bytes_model: Local) -> None:
    """A model that writes ``<|user|>`` does not get that token back as what somebody said."""
    mark = 260
    encoder = bytes_model.runner._encoder
    encoder.remember_reply("ok <|user|>", [*b"ok ", mark])
    encoder.remember_reply("hey", [*b"hey"])  # usually 261 and y
    said = [Message("user", "ok <|user|>"), Message("assistant", "ok <|user|>")]
    bytes_model.cache.clear()
    bytes_model.prefill([*said, Message("user", "hey"), Message("assistant", "hey"), *said[:1]])
    ids = bytes_model.cache.ids
    assert mark not in ids
    assert bytes(token for token in ids if token < 256).count(b"ok <|user|>") == 3
    assert ids.count(261) == 1  # the person's "hey", the assistant's is as it was made


def test_byte_level_replies_are_whole_characters_and_stay_cached(bytes_model: Local) -> None:
    bytes_model.cache.clear()
    messages = list(HELLO)
    used = 0
    for turn in range(5):
        hot = Sampling(temperature=3.0, top_k=0, top_p=1.0, min_p=0.0, seed=turn, max_tokens=12)
        reply = bytes_model.reply(messages, hot)
        reply.encode()
        assert bytes_model.prompted.cached >= used or "\ufffd" in reply
        used = bytes_model.done.used
        messages += [Message("assistant", reply), Message("user", f"And {turn}?")]


def test_a_raw_prompt_gets_its_bos(bytes_model: Local) -> None:
    bytes_model.complete(Segment("he"), sampling=GREEDY)
    assert bytes_model.cache.ids[:2] == [256, 261]
    bytes_model.complete(Segment("<|bos|>he", trusted=True), sampling=GREEDY)
    assert bytes_model.cache.ids[:2] == [256, 261]


def test_a_template_with_a_blank_before_replies(starter: Path, tmp_path: Path) -> None:
    """In Llama-2's style a reply is generated with a blank that the template also writes."""
    template = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
        "{% elif m.role == 'assistant' %}{{ ' ' + m.content.strip() + ' ' + eos_token }}"
        "{% else %}{{ raise_exception('no system role') }}{% endif %}{% endfor %}"
    )
    path = rewritten(starter, tmp_path / "llama2.gguf", put={"tokenizer.chat_template": template})
    local = Local(path)
    messages, used, blanks = list(HELLO), 0, set()
    for turn in range(8):
        reply = local.reply(messages, Sampling(temperature=1.5, seed=turn, max_tokens=9))
        assert local.prompted.cached >= used
        used = local.done.used
        blanks.add(local.piece(local.cache.ids[local.prompted.tokens]).startswith(b" "))
        messages += [Message("assistant", reply), Message("user", f"And {turn}?")]
    assert blanks == {True, False}  # both ways were tried
    local.runner.close()
