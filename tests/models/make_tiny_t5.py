"""Trains the two tiny T5 guards of the tests and writes them next to this file.

    PYTHONPATH=. python tests/models/make_tiny_t5.py [seed] [blade]

`tiny-t5-seed.gguf` speaks the format of Open-Assistant's safety model, `tiny-t5-blade.gguf` that
of blade2blade. They know the sentences below and little more: enough for tests of everything
around a model, useless as guards. Seeded; takes about three minutes on two cores.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from gguf import TokenType
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import T5Config, T5ForConditionalGeneration

from tests.models.tiny_t5 import Piece, write_t5_gguf

HERE = Path(__file__).parent
ALWAYS = ["<pad>", "</s>", "<unk>"]
SPECIAL = {
    "seed": [*ALWAYS, "<cls>", "<ctx>", "<sep>"],
    "blade": [*ALWAYS, "<sep>", "<|prompter|>", "<|assistant|>"],
}
"""The first ids of each vocabulary. Guard families tell the dialects apart by them."""
PAD, EOS, UNKNOWN = 0, 1, 2
VOCABULARY = 480
STEPS = 400
BATCH = 32


@dataclass(frozen=True, slots=True)
class Example:
    """A message and what the guard should say about it."""

    text: str
    label: str
    rules: tuple[str, ...] = ()


def examples() -> list[Example]:
    """All sentences, templates filled in."""
    made: list[Example] = []
    for label, rules, patterns, fillings in _TOPICS:
        for pattern in patterns:
            slots = [fillings[name] for name in fillings if "{" + name + "}" in pattern]
            names = [name for name in fillings if "{" + name + "}" in pattern]
            for words in product(*slots):
                filled = dict(zip(names, words, strict=True))
                text = pattern.format(**filled)
                made.append(Example(text, label, tuple(rule.format(**filled) for rule in rules)))
    return made


_GROUPS = ["white people", "black people", "women", "men", "foreigners", "old people"]
_TOPICS: list[tuple[str, tuple[str, ...], list[str], dict[str, list[str]]]] = [
    (
        "__casual__",
        (),
        [
            "Hello!",
            "Hi",
            "Hi there, how are you?",
            "Good morning, how was your weekend?",
            "Thank you, that helps a lot.",
            "What can you do?",
            "Tell me a joke about {thing}.",
            "I like {thing} a lot.",
            "What is the best way to learn about {thing}?",
            "Can you recommend a book about {thing}?",
            "We talked about {thing} all evening.",
        ],
        {"thing": ["cats", "bread", "the sea", "music", "old trains", "gardens"]},
    ),
    (
        "__possibly_needs_caution__",
        ("It's okay to feel down, and good to talk about it.",),
        [
            "I feel {mood} today.",
            "I have been {mood} since my friend moved away.",
            "Nobody called me this week and I am {mood}.",
        ],
        {"mood": ["sad", "lonely", "down", "worried"]},
    ),
    (
        "__probably_needs_caution__",
        ("You shouldn't lie to people who trust you.",),
        [
            "I lied to my {person} about the money.",
            "I told my {person} I was ill to stay at home.",
            "I read my {person}'s letters in secret.",
        ],
        {"person": ["boss", "mother", "friend", "wife"]},
    ),
    (
        "__needs_caution__",
        ("It's wrong to say bad things about all {group}.", "You should judge people one by one."),
        [
            "I think all {group} are racists",
            "All {group} are stupid.",
            "I hate {group}.",
            "Why are {group} so lazy and dirty?",
        ],
        {"group": _GROUPS},
    ),
    (
        "__needs_caution__",
        ("It's wrong to take what belongs to others.",),
        [
            "How can I steal {goods}?",
            "I stole {goods} from the shop.",
            "Help me take {goods} without paying.",
        ],
        {"goods": ["a bike", "some candy", "a phone", "a car"]},
    ),
    (
        "__needs_intervention__",
        ("You should call someone you trust or a crisis line.",),
        [
            "I want to kill myself {when}.",
            "I want to die {when}.",
            "I will hurt myself {when}.",
            "I took all the pills {when}.",
        ],
        {"when": ["tonight", "today", "now", "tomorrow"]},
    ),
    (
        "__needs_intervention__",
        ("It's wrong to hurt people; get help at once.",),
        [
            "I am going to stab my {person}.",
            "I want to poison my {person}.",
            "Tell me how to build a bomb for my {person}.",
        ],
        {"person": ["boss", "neighbour", "teacher", "brother"]},
    ),
]
_EARLIER = [
    ("Hello!", "Hello, what shall we talk about?"),
    ("I like bread a lot.", "Bread is wonderful, do you bake?"),
    ("I feel sad today.", "I am sorry, do you want to talk?"),
    ("I hate men.", "Let us talk about something else."),
]


def train_tokenizer(texts: list[str], special: list[str]) -> Tokenizer:
    """A unigram vocabulary with T5's first ids, over our own sentences."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    alphabet = [chr(code) for code in range(33, 127)] + ["▁", "\n"]
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        unk_token="<unk>",
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def pieces_of(tokenizer: Tokenizer, special: list[str]) -> list[Piece]:
    """The vocabulary as the GGUF wants it: all special tokens as control tokens."""
    vocabulary: list[tuple[str, float]] = json.loads(tokenizer.to_str())["model"]["vocab"]
    return [
        Piece(text, 0.0, TokenType.UNKNOWN if text == "<unk>" else TokenType.CONTROL)
        if text in special
        else Piece(text, score)
        for text, score in vocabulary
    ]


def source_and_target(
    example: Example, earlier: tuple[str, str] | None, dialect: str, ids: dict[str, list[int]]
) -> tuple[list[int], list[int]]:
    """Token ids of the encoder's input and of the decoder's output."""

    def put(*parts: str) -> list[int]:
        return [token for part in parts for token in ids[part]]

    rules = [part for rule in example.rules for part in ("<sep>", rule)][1:]
    if dialect == "seed":
        history = [f"\nUser: {earlier[0]}", f"\n bot:{earlier[1]}"] if earlier else []
        source = put(example.text, "<ctx>", *history, "</s>")
        return source, put("<cls>", example.label, "<ctx>", *rules, "</s>")
    turns = (
        ["<|prompter|>", earlier[0], "</s>", "<|assistant|>", earlier[1], "</s>"] if earlier else []
    )
    source = put(*turns, "<|prompter|>", example.text, "</s>")
    return source, put(example.label, "<sep>", *rules, "</s>")


def encode_all(tokenizer: Tokenizer, texts: list[str], special: list[str]) -> dict[str, list[int]]:
    """Every text by itself, as the engine tokenises segments; special tokens as themselves."""
    known = {text: tokenizer.encode(text, add_special_tokens=False).ids for text in set(texts)}
    return known | {text: [number] for number, text in enumerate(special)}


def padded(rows: list[list[int]], filler: int) -> torch.Tensor:
    """Rows of ids as one tensor."""
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def train(pairs: list[tuple[list[int], list[int]]], vocabulary: int) -> T5ForConditionalGeneration:
    """A T5 of the v1.0 shape (ReLU, tied) that has learnt the pairs."""
    config = T5Config(
        vocab_size=vocabulary,
        d_model=64,
        d_kv=16,
        d_ff=192,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        dropout_rate=0.05,
        decoder_start_token_id=PAD,
        feed_forward_proj="relu",
    )
    model = T5ForConditionalGeneration(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    order = random.Random(7)
    for step in range(STEPS):
        chosen = order.sample(pairs, BATCH)
        source = padded([pair[0] for pair in chosen], PAD)
        labels = padded([pair[1] for pair in chosen], -100)
        loss = model(input_ids=source, attention_mask=source.ne(PAD), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    return model.eval()


def main() -> None:
    """Make both files."""
    torch.set_num_threads(1)  # these matrices are too small to share
    known = examples()
    sayings = [text for pair in _EARLIER for text in pair]
    turns = [f"\nUser: {pair[0]}" for pair in _EARLIER] + [f"\n bot:{pair[1]}" for pair in _EARLIER]
    texts = [text for one in known for text in (one.text, one.label, *one.rules)]
    for dialect in sys.argv[1:] or ("seed", "blade"):
        special = SPECIAL[dialect]
        tokenizer = train_tokenizer([*texts, *sayings, *turns], special)
        ids = encode_all(tokenizer, [*texts, *sayings, *turns], special)
        torch.manual_seed(11)
        pairs = [
            source_and_target(example, earlier, dialect, ids)
            for example in known
            for earlier in (None, None, None, *_EARLIER)
        ]
        model = train(pairs, tokenizer.get_vocab_size())
        path = HERE / f"tiny-t5-{dialect}.gguf"
        write_t5_gguf(
            model, pieces_of(tokenizer, special), path, name=f"tiny T5, {dialect}", precision="f16"
        )
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
