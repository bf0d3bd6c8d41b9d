"""Tiny random checkpoints of every architecture, with tokenizers trained on our own sentences."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ByT5Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaTokenizer,
)

from converters.convert.corpus import EVERYDAY
from oa_chat.verdict import LABELS

TEXTS = [
    *EVERYDAY,
    "The bread needs to rise for at least four hours, better overnight.",
    "She learned the violin as a child and started again when she turned fifty.",
    "They painted the fence green, which my grandfather did not like at first.",
    "Würden Sie bitte die Tür schließen? Ça va très bien, merci.",
    "你好 世界 今天 天气 Привет мир こんにちは",
    "__casual__ __possibly_needs_caution__ __probably_needs_caution__",
    "__needs_caution__ __needs_intervention__ user: assistant:",
]
WIDTH = 64
_SHAPE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
}
_LABELS: dict[str, Any] = {
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: number for number, label in enumerate(LABELS)},
}


def shaken(model: Any, much: float = 0.2) -> Any:
    """Weights far from their even start, so that mistakes show."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * much)
    return model.eval()


def bert(folder: Path, *, lowercase: bool = True, much: float = 0.2, **settings: Any) -> Path:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    _fast(tokenizer, "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]").save_pretrained(folder)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=128,
        **(_SHAPE | _LABELS | settings),
    )
    torch.manual_seed(1)
    shaken(BertForSequenceClassification(config), much).save_pretrained(folder)
    return folder


def _fast(tokenizer: Tokenizer, *marks: str) -> PreTrainedTokenizerFast:
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, marks, strict=True))
    )


def _byte_level(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def roberta(folder: Path) -> Path:
    tokenizer = _byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        sep_token="</s>",
        pad_token="<pad>",
        cls_token="<s>",
        mask_token="<mask>",
    )
    fast.save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=130,
        type_vocab_size=1,
        **_SHAPE,
        **_LABELS,
    )
    torch.manual_seed(2)
    shaken(RobertaForSequenceClassification(config)).save_pretrained(folder)
    return folder


def modern_bert(folder: Path, pooling: str = "mean") -> Path:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = _byte_level(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    _fast(tokenizer, *special).save_pretrained(folder)
    config = ModernBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        cls_token_id=2,
        sep_token_id=3,
        local_attention=16,
        classifier_pooling=pooling,
        max_position_embeddings=128,
        **(_SHAPE | {"num_hidden_layers": 4}),
        **_LABELS,
    )
    torch.manual_seed(3)
    shaken(ModernBertForSequenceClassification(config)).save_pretrained(folder)
    return folder


def sentence_piece(kind: str, size: int, **settings: Any) -> bytes:
    """A SentencePiece model trained on our sentences."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 3),
        model_writer=written,
        model_type=kind,
        vocab_size=size,
        character_coverage=1.0,
        minloglevel=2,
        hard_vocab_limit=False,
        **settings,
    )
    return written.getvalue()


def xlm_roberta(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    source = folder.parent / "spm.model"
    source.write_bytes(sentence_piece("unigram", 420))
    tokenizer = XLMRobertaTokenizer.from_pretrained(_with(source, "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(folder)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=130,
        type_vocab_size=1,
        **_SHAPE,
        **_LABELS,
    )
    torch.manual_seed(4)
    shaken(XLMRobertaForSequenceClassification(config)).save_pretrained(folder)
    return folder


def _with(source: Path, name: str) -> Path:
    """A folder that holds only this tokenizer file."""
    folder = source.parent / f"{source.stem}-{name}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(source.read_bytes())
    return folder


def t5(
    folder: Path,
    *,
    gated: bool = False,
    marks: tuple[str, ...] = ("<cls>", "<ctx>", "<sep>"),
    **settings: Any,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    source = folder.parent / "t5.model"
    source.write_bytes(
        sentence_piece("unigram", 420, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>")
    )
    tokenizer = T5Tokenizer.from_pretrained(_with(source, "spiece.model"), extra_ids=10)
    tokenizer.add_special_tokens({"additional_special_tokens": list(marks)})
    tokenizer.save_pretrained(folder)
    model = random_t5(-(-len(tokenizer) // 8) * 8, gated=gated, **settings)
    model.save_pretrained(folder)
    return folder


def random_t5(size: int, *, gated: bool, **settings: Any) -> T5ForConditionalGeneration:
    shape: dict[str, Any] = {
        "d_model": WIDTH,
        "d_kv": 16,
        "d_ff": 96,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 4,
        "decoder_start_token_id": 0,
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "tie_word_embeddings": not gated,
    }
    torch.manual_seed(6)
    model = T5ForConditionalGeneration(T5Config(vocab_size=size, **(shape | settings))).eval()
    if gated:  # v1.1 has an output matrix of its own
        model.lm_head.weight = torch.nn.Parameter(torch.randn(size, WIDTH) * 0.3)
    return model


def mt5(folder: Path) -> Path:
    """Of the newer shape under the other name, its output matrix untied."""
    t5(folder, gated=True)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    named = {"architectures": ["MT5ForConditionalGeneration"], "model_type": "mt5"}
    path.write_text(json.dumps(config | named))
    return folder


def t5_from_scratch(folder: Path) -> Path:
    """A unigram of the tokenizers package, without SentencePiece's normaliser."""
    special = ["<pad>", "</s>", "<unk>", "<cls>", "<ctx>", "<sep>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    random_t5(tokenizer.get_vocab_size(), gated=False).save_pretrained(folder)
    return folder


def t5_of_old(folder: Path) -> Path:
    """As transformers 4 saved it: the SentencePiece model, and no tokenizer.json."""
    t5(folder)
    added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    (folder / "tokenizer.json").unlink()
    config = {
        "tokenizer_class": "T5Tokenizer",
        "extra_ids": 10,
        "additional_special_tokens": [entry["content"] for entry in added if entry["id"] > 2],
        "added_tokens_decoder": {str(entry.pop("id")): entry for entry in added},
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "spiece.model").write_bytes((folder.parent / "t5.model").read_bytes())
    return folder


def byt5(folder: Path) -> Path:
    tokenizer = ByT5Tokenizer()
    tokenizer.save_pretrained(folder)
    random_t5(384, gated=True).save_pretrained(folder)
    return folder


TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}"
)


def llama(folder: Path, *, tied: bool = True, groups: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    data = sentence_piece(
        "bpe", 520, byte_fallback=True, user_defined_symbols="<|im_start|>,<|im_end|>"
    )
    (folder / "tokenizer.model").write_bytes(data)
    from transformers import LlamaTokenizer

    tokenizer = LlamaTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        num_key_value_heads=groups,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        eos_token_id=tokenizer.eos_token_id,
        **_SHAPE,
    )
    torch.manual_seed(7)
    shaken(LlamaForCausalLM(config)).save_pretrained(folder)
    return folder


def llama_of_json(folder: Path) -> Path:
    """Without the SentencePiece model: the tokenizer as a BPE with byte fallback."""
    llama(folder)
    (folder / "tokenizer.model").unlink()
    return folder
