"""`oa_chat.json`: what a checkpoint's config.json has no place for, and the GGUF file needs.

`oa-chat train` writes it beside the weights and `oa-chat convert` copies it into the metadata
(``oa_chat.*`` and ``general.*``), where the app reads it. Everything may be left out. This module
knows the file alone, not how a training finds the values nor how the app uses them.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from converters.errors import ConversionError
from converters.provenance import replacing

FILE_NAME = "oa_chat.json"


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a message counts as flagged. Chosen on dev files, never on test files."""

    flag_below: float = 0.0
    """Above 0, the one rule is: a message is flagged if and only if the (calibrated) probability
    of "casual" is below this number, and its level is then the most probable of the other four.
    0 is the default rule: the most probable of all five levels."""

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        if not 0.0 <= self.flag_below <= 1.0:
            raise ValueError("flag_below must be between 0 and 1")


class General(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model is, for people: becomes ``general.*``."""

    name: str = ""
    author: str = ""
    version: str = ""
    description: str = ""
    license: str = ""
    """SPDX, in lower case as the hub writes it: "apache-2.0"."""
    base_models: list[str] = []
    """Hub ids such as "sentence-transformers/all-MiniLM-L6-v2", or plain names."""
    datasets: list[str] = []
    """Hub ids, addresses, or plain names."""
    tags: list[str] = []
    languages: list[str] = []
    """ISO 639 codes."""
    sampling: dict[str, float] = {}
    """Of a chat model: ``general.sampling.*``, such as {"temp": 0.5, "top_k": 40}."""


class GuardConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file's contents."""

    max_tokens: int = 0
    """Tokens of the longest training text, special ones included; 0 is unknown. A classifier judges
    longer texts in windows of this size. For T5 and llama it becomes the context length."""
    prompt_format: str = ""
    """The guard family's name for how it was asked: "classifier", "open-assistant/seed" or
    "open-assistant/blade2blade". Empty: the app looks at the labels and the vocabulary."""
    temperature: float = 1.0
    """Calibration: the app takes softmax(logits / temperature)."""
    thresholds: Thresholds = Thresholds()
    closer_looks: bool = True
    """Whether the app also looks at the sentences of a long text one by one; false for a classifier
    that was trained on bad sentences inside long texts."""
    labels: list[str] = []
    """A classifier's labels in the order of its outputs; empty: `id2label` of config.json."""
    general: General = General()

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if not 0.01 <= self.temperature <= 100.0:
            raise ValueError("temperature must be between 0.01 and 100")
        if not 0 <= self.max_tokens <= 2**20:
            raise ValueError("max_tokens must be between 0 and 1048576")


def read_guard_config(folder: Path) -> GuardConfig:
    """The file of a checkpoint folder; the defaults if it has none. Raises ConversionError."""
    path = folder / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=GuardConfig)
    except FileNotFoundError:
        return GuardConfig()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path} cannot be used: {error}.") from error


def write_guard_config(folder: Path, config: GuardConfig) -> Path:
    """Write the file into a checkpoint folder."""
    path = folder / FILE_NAME
    with replacing(path) as part:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
    return path
