"""Vocabularies as llama.cpp wants them, from tokenizer.json or a SentencePiece model.

Four kinds: word pieces ("bert"), byte-level BPE ("gpt2"), unigrams ("t5") and SentencePiece BPE
("llama"). Added tokens become CONTROL tokens: as USER_DEFINED, llama.cpp would find a typed
``<sep>`` in untrusted text. Runs of blanks that were added as mere text stay text.

Whether the ids are the tokenizer's own is not proven here but by `verify_tokens`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from converters.convert.blanks import blanks_map
from converters.convert.source import Value
from converters.convert.tokenizer_files import TokenizerFiles
from converters.errors import ConversionError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # enum llama_token_type
SPACE = "▁"
_LOWEST = -1000.0


@dataclass(slots=True)
class Vocabulary:
    """Tokens by id, and how text is cut into them."""

    model: str
    """"bert", "gpt2", "t5" or "llama"."""
    tokens: list[str]
    types: list[int]
    scores: list[float] = field(default_factory=list)
    extra: dict[str, Value] = field(default_factory=dict)
    """Further keys behind ``tokenizer.ggml.``."""

    def values(self, files: TokenizerFiles, size: int, *, bos: bool, eos: bool) -> dict[str, Value]:
        """The metadata, filled up to the model's `size`. Raises ConversionError.

        `bos` and `eos` say whether a whole text starts and ends with such a token.
        """
        self._add(files, size)
        values: dict[str, Value] = {"model": self.model, "pre": "default", "tokens": self.tokens}
        if self.scores:
            values["scores"] = self.scores
        values["token_type"] = self.types
        values |= self.extra
        names = {"unk": "unknown", "sep": "seperator", "pad": "padding"}
        for role, text in files.roles.items():
            if text in self.tokens:
                values[f"{names.get(role, role)}_token_id"] = self.tokens.index(text)
        for role, stand_in in (("bos", "cls"), ("eos", "sep")):
            if f"{role}_token_id" not in values and files.roles.get(stand_in) in self.tokens:
                values[f"{role}_token_id"] = self.tokens.index(files.roles[stand_in])
        values |= {"add_bos_token": bos, "add_eos_token": eos}
        return {f"tokenizer.ggml.{key}": value for key, value in values.items()}

    def _add(self, files: TokenizerFiles, size: int) -> None:
        """Put added tokens at their ids and fill the rest with unused ones."""
        highest = max([len(self.tokens) - 1, *files.added])
        if highest >= size:
            raise ConversionError(
                f"{files.folder}: the tokenizer has a token {highest}, but the model knows"
                f" {size} (vocab_size of config.json).",
                "Tokenizer and weights must be of the same model.",
            )
        missing = range(len(self.tokens), size)
        self.tokens += [f"[PAD{number}]" for number in missing]
        self.types += [UNUSED] * len(missing)
        if self.scores:
            self.scores += [_LOWEST] * len(missing)
        for number, token in files.added.items():
            if self.types[number] in (UNKNOWN, BYTE):
                continue
            self.tokens[number] = token.text
            blank = not token.special and not token.text.strip()
            unknown = token.text == files.roles.get("unk")
            self.types[number] = USER_DEFINED if blank else UNKNOWN if unknown else CONTROL
            if self.scores:
                self.scores[number] = 0.0


def by_id(files: TokenizerFiles, vocabulary: Any) -> list[str]:
    """The tokens of a table text -> id, in order. Raises ConversionError."""
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise files.wrong("model.vocab", "is missing")
    numbers = [number for number in vocabulary.values() if type(number) is int and number >= 0]
    if len(numbers) < len(vocabulary) or max(numbers) > 2 * len(numbers) + 1000:
        raise files.wrong("model.vocab", "holds ids that make no sense")
    tokens = [f"[PAD{number}]" for number in range(max(numbers) + 1)]
    for text, number in vocabulary.items():
        tokens[number] = text
    return tokens


def word_pieces(files: TokenizerFiles) -> Vocabulary:
    """BERT's vocabulary. llama.cpp marks the start of a word, not its continuation."""
    model = files.section("model")
    if model.get("type") != "WordPiece":
        raise files.wrong("model.type", f"{model.get('type')!r:.40} is not WordPiece")
    prefix = str(model.get("continuing_subword_prefix") or "##")
    special = {token.text for token in files.added.values()} | set(files.roles.values())
    texts = by_id(files, model.get("vocab"))
    tokens = [
        text
        if text in special
        else text.removeprefix(prefix)
        if text.startswith(prefix)
        else SPACE + text
        for text in texts
    ]
    types = [CONTROL if text in special else NORMAL for text in texts]
    unknown = files.roles.get("unk") or str(model.get("unk_token") or "")
    if unknown in texts:
        types[texts.index(unknown)] = UNKNOWN
    normalizer = files.section("normalizer")
    lower = bool(normalizer.get("lowercase", True))
    accents = normalizer.get("strip_accents")
    extra: dict[str, Value] = {
        "normalizer.lowercase": lower,
        "normalizer.strip_accents": lower if accents is None else bool(accents),
    }
    return Vocabulary("bert", tokens, types, extra=extra)


def byte_level_bpe(files: TokenizerFiles, pre: str) -> Vocabulary:
    """GPT-2's kind of vocabulary; `pre` is llama.cpp's name for how text is cut beforehand."""
    model = files.section("model")
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise files.wrong("model.type", f"{model.get('type')!r:.40} is no byte-level BPE")
    tokens = by_id(files, model.get("vocab"))
    merges = [" ".join(pair) for pair in merge_pairs(files)]
    pre_tokenizer = next(_found(files.json.get("pre_tokenizer"), "ByteLevel"), {})
    extra: dict[str, Value] = {
        "pre": pre,
        "merges": merges,
        "add_space_prefix": bool(pre_tokenizer.get("add_prefix_space")),
    }
    return Vocabulary("gpt2", tokens, [NORMAL] * len(tokens), extra=extra)


def merge_pairs(files: TokenizerFiles) -> list[tuple[str, str]]:
    """The merges of a BPE, best first. Raises ConversionError."""
    pairs = []
    for merge in files.section("model").get("merges") or []:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2:
            raise files.wrong("model.merges", f"{merge!r:.60} is no pair")
        pairs.append((str(parts[0]), str(parts[1])))
    return pairs


def unigrams(files: TokenizerFiles) -> Vocabulary:
    """A SentencePiece unigram vocabulary, from tokenizer.json or the SentencePiece model itself."""
    model = files.section("model")
    if not model:
        for name in ("spiece.model", "sentencepiece.bpe.model"):
            if (files.folder / name).is_file():
                return sentence_piece(files, name)
    if model.get("type") != "Unigram":
        raise files.wrong("model.type", f"{model.get('type')!r:.40} is not Unigram")
    rows = model.get("vocab")
    if not isinstance(rows, list) or not all(_is_piece(row) for row in rows):
        raise files.wrong("model.vocab", "is no list of pairs of text and score")
    tokens = [row[0] for row in rows]
    types = [NORMAL] * len(tokens)
    if type(unknown := model.get("unk_id")) is int and 0 <= unknown < len(tokens):
        types[unknown] = UNKNOWN
    if model.get("byte_fallback"):
        pairs = zip(tokens, types, strict=True)
        types = [BYTE if is_byte(text) else type_ for text, type_ in pairs]
    meta = next(_found(files.json.get("pre_tokenizer"), "Metaspace"), {})
    splits = any(True for _ in _found(files.json.get("pre_tokenizer"), "WhitespaceSplit"))
    replaces = any(True for _ in _found(files.json.get("normalizer"), "Replace"))
    extra: dict[str, Value] = {
        "add_space_prefix": meta.get("prepend_scheme", "always") != "never",
        "remove_extra_whitespaces": splits or replaces,
    }
    charsmap = next(_found(files.json.get("normalizer"), "Precompiled"), {})
    if charsmap.get("precompiled_charsmap"):
        extra["precompiled_charsmap"] = _decoded(files, charsmap["precompiled_charsmap"])
    elif splits:
        extra["precompiled_charsmap"] = blanks_map()
    return Vocabulary("t5", tokens, types, [float(row[1]) for row in rows], extra)


def _decoded(files: TokenizerFiles, text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise files.wrong("precompiled_charsmap", f"is not base64: {error}") from error


def _is_piece(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 2
        and isinstance(row[0], str)
        and isinstance(row[1], int | float)
    )


def is_byte(text: str) -> bool:
    """Whether a token such as "<0x0A>" stands for one byte."""
    return len(text) == 6 and text.startswith("<0x") and text.endswith(">")


def _found(section: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    """The steps of one kind in a normaliser or pre-tokeniser, which may be a sequence."""
    if not isinstance(section, dict):
        return
    if section.get("type") == kind:
        yield section
    for name in ("normalizers", "pretokenizers"):
        for step in section.get(name) or []:
            yield from _found(step, kind)


def sentence_piece(files: TokenizerFiles, name: str) -> Vocabulary:
    """The vocabulary of a SentencePiece model file (unigram or BPE)."""
    from converters.extras import require

    require("train", "sentencepiece", "google")
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from sentencepiece import sentencepiece_model_pb2 as pb2

    path = files.folder / name
    proto: Any = pb2.ModelProto()  # type: ignore[attr-defined]
    try:
        proto.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ConversionError(f"{path} is no SentencePiece model: {error}.") from error
    spec = proto.normalizer_spec
    kind = proto.trainer_spec.model_type
    if kind not in (1, 2) or not proto.pieces:
        raise ConversionError(f"{path}: a SentencePiece model of type {kind} is not supported.")
    extra: dict[str, Value] = {
        "add_space_prefix": bool(spec.add_dummy_prefix),
        "remove_extra_whitespaces": bool(spec.remove_extra_whitespaces),
    }
    if kind == 1 and spec.precompiled_charsmap:
        extra["precompiled_charsmap"] = bytes(spec.precompiled_charsmap)
    return Vocabulary(
        "t5" if kind == 1 else "llama",
        [piece.piece for piece in proto.pieces],
        [CONTROL if piece.type == USER_DEFINED else int(piece.type) for piece in proto.pieces],
        [float(piece.score) for piece in proto.pieces],
        extra,
    )


def sentence_piece_bpe(files: TokenizerFiles) -> Vocabulary:
    """Llama's vocabulary, from tokenizer.model or from a BPE with byte fallback.

    llama.cpp merges the pair whose result scores best; from merges, the score is minus the rank.
    """
    if (files.folder / "tokenizer.model").is_file():
        return sentence_piece(files, "tokenizer.model")
    model = files.section("model")
    if model.get("type") != "BPE" or not model.get("byte_fallback"):
        raise files.wrong("model.type", f"{model.get('type')!r:.40} is no BPE with byte fallback")
    tokens = by_id(files, model.get("vocab"))
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merge_pairs(files)):
        ranks.setdefault(left + right, rank)
    scores = [-float(ranks.get(text, len(ranks))) for text in tokens]
    types = [BYTE if is_byte(text) else NORMAL for text in tokens]
    unknown = str(model.get("unk_token") or files.roles.get("unk") or "")
    if unknown in tokens:
        types[tokens.index(unknown)] = UNKNOWN
    meta = next(_found(files.json.get("pre_tokenizer"), "Metaspace"), {})
    prepends = any(True for _ in _found(files.json.get("normalizer"), "Prepend"))
    prefix = meta.get("prepend_scheme", "never") != "never" or prepends
    extra: dict[str, Value] = {"add_space_prefix": prefix}
    return Vocabulary("llama", tokens, types, scores, extra)


def bytes_only(files: TokenizerFiles, first: Sequence[str], size: int) -> Vocabulary:
    """ByT5's vocabulary of single bytes behind the special tokens `first`.

    llama.cpp's SentencePiece BPE falls back to bytes for whatever is no token, so a vocabulary of
    bytes alone is cut byte by byte. It writes blanks as "▁" first, so that is the token of the
    byte 0x20; a typed "▁" (U+2581) is therefore read as a blank, the one difference to ByT5.
    """
    tokens = [*first, *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [CONTROL] * len(first) + [BYTE] * 256
    tokens[len(first) + 0x20] = SPACE
    types[len(first) + 0x20] = NORMAL
    types[first.index("<unk>")] = UNKNOWN
    extra: dict[str, Value] = {"add_space_prefix": False}
    return Vocabulary("llama", tokens, types, [0.0] * len(tokens), extra)
