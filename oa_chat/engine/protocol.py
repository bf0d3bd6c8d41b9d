"""The wire types between the app and an engine: one JSON object a line, in both directions.

Requests carry a number chosen by the parent; every answer repeats it. A request is answered by any
number of `Progress`, `Prompted` and `Piece` lines and ends with exactly one of `Loaded`,
`Prefilled`, `Done`, `Classified`, `Embedded`, `Written` or `Refused`. One request runs at a time;
`Cancel` alone may arrive meanwhile. Texts are untrusted unless a `Segment` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from oa_chat.conversation import Message
from oa_chat.sampling import Sampling as Sampling  # noqa: PLC0414 - part of the wire
from oa_chat.segment import Segment as Segment  # noqa: PLC0414 - part of the wire

ModelKind = Literal["causal", "classifier", "seq2seq"]
OnProgress = Callable[[int, int], None]
"""Called with (done, total) while a model loads: `Progress` on both sides of the wire."""


class Wire(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of everything on the wire. The JSON field ``type`` is the class name."""

    id: int


class Passage(msgspec.Struct, frozen=True):
    """One text for a classifier, with what came before it (may be empty)."""

    text: str
    context: str = ""


# ---------------------------------------------------------------- requests


class Load(Wire, frozen=True):
    """Load a model. Answered by `Progress` and `Loaded`."""

    path: str
    kind: ModelKind
    context: int = 0
    """Wanted context in tokens; 0 is what the model was trained with, within reason."""
    gpu_layers: int = -1
    """Layers to offload; -1 is as many as fit."""
    threads: int = 0
    """0 chooses by the size of the model."""


class Prefill(Wire, frozen=True):
    """Evaluate a transcript that ends with a user's message, without generating.

    Answered by `Progress` and `Prefilled`. The last message may later be sent with more text
    behind it: its tokens stay cached.
    """

    messages: list[Message]
    skipped: int = 0
    max_tokens: int | None = None
    """The same as the reply's, for which room is kept."""


class Reply(Wire, frozen=True):
    """Generate the assistant's next message.

    Answered by `Prompted`, `Progress`, `Piece`s and `Done`.
    """

    messages: list[Message]
    """System message (if any) first, then user and assistant in turn, ending with the user."""
    sampling: Sampling
    skipped: int = 0
    """How many of the oldest turns (user and assistant) to leave out at least."""


class Complete(Wire, frozen=True):
    """Continue a raw prompt, greedily unless sampling says otherwise.

    For causal guards and rule writers. Answered by `Prompted`, `Piece`s and `Done`.
    """

    segments: list[Segment]
    sampling: Sampling
    stop: list[str] = []


class Classify(Wire, frozen=True):
    """Judge texts, batched. Answered by `Progress` and `Classified`."""

    passages: list[Passage]


class Embed(Wire, frozen=True):
    """Mean-pooled, normalised embeddings. Answered by `Progress` and `Embedded`."""

    texts: list[str]


class Write(Wire, frozen=True):
    """Run a sequence-to-sequence model on each prompt. Answered by `Progress` and `Written`.

    Decoding is greedy and ends early, right after a label, when the label is one of `brief`.
    """

    prompts: list[list[Segment]]
    labels: list[str]
    """Label strings whose probabilities are wanted, as they appear in the output."""
    brief: list[str] = []
    max_tokens: int = 64


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a text-generating guard is asked. The answer begins with `lead`."""

    messages: list[Message] = []
    """Rendered by the file's own chat template, ending where the reply begins."""
    options: dict[str, Any] = {}
    """Variables of that template beside the messages, in JSON. Never from a user."""
    segments: list[Segment] = []
    """A raw prompt in place of `messages`."""
    lead: str = ""
    """Trusted text that begins the answer; it is not generated, and may hold control tokens.

    Blanks at its front are left out if the prompt ends with them already.
    """
    choices: list[str] = []
    """Texts that may stand at the decisive place and whose probabilities are wanted."""
    after: str = ""
    """The decisive place is right behind this text's first end in the answer; "": behind `lead`."""
    grammar: str = ""
    """What may be generated behind `lead`, in llama.cpp's GBNF with a rule `root`; "" is all."""
    brief: list[str] = []
    """Answers (without `lead`) that are known to be whole as soon as they are written."""
    max_tokens: int = 64
    stop: list[str] = []
    """Texts that end the answer; they are not part of it."""


class Judge(Wire, frozen=True):
    """Ask a text-generating guard, greedily. Answered by `Progress` and `Written`.

    An output's text is `Question.lead` and what follows it. Its probabilities are those of
    `Question.choices` at the decisive place, before the grammar rules anything out; None if the
    answer never reached that place. A prompt that does not fit is not answered: its output is
    empty and `truncated`.
    """

    questions: list[Question]


class Cancel(Wire, frozen=True):
    """Stop request number `id` soon. It ends with its usual last answer, stop "cancelled"."""


Request = Load | Prefill | Reply | Complete | Classify | Embed | Write | Judge | Cancel

# ---------------------------------------------------------------- answers


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a loaded model is and how it runs."""

    name: str
    architecture: str
    kind: ModelKind
    context: int
    trained_context: int
    size_bytes: int
    parameters: int
    device: str
    """Where it runs, such as "CPU" or "CUDA0 (24/24 layers)"."""
    gpu_layers: int
    threads: int
    has_template: bool = True
    """Whether the file holds a chat template; without one ChatML is assumed."""
    labels: list[str] = []
    prompt_format: str = ""
    """What the file says of how it is to be asked, such as "rule-writer/level"; mostly nothing."""
    temperature: float = 1.0
    """Of a classifier: probabilities are softmax(logits / temperature)."""
    load_ms: float = 0.0
    memory_bytes: int = 0
    """The most main memory that its process took until it was loaded; 0 if nobody knows."""
    note: str = ""
    """Something the user should know, such as a retry with fewer layers."""


class Progress(Wire, frozen=True):
    """A sign of life."""

    stage: Literal["load", "prefill", "classify", "embed", "write", "judge"]
    done: int
    total: int


class Loaded(Wire, frozen=True):
    """The model is ready."""

    info: ModelInfo


class Prompted(Wire, frozen=True):
    """What a reply starts from; sent before the first piece."""

    tokens: int
    cached: int
    """Tokens that were evaluated before this request."""
    skipped: int
    """Turns left out at the front: at least what the request said, more if the context is full."""
    context: int
    tail: str
    """The newest message as the model sees it, with the template's marks."""


class Prefilled(Wire, frozen=True):
    """The transcript is in the cache, or as far as it got before it was cancelled."""

    tokens: int
    cached: int
    skipped: int


class Piece(Wire, frozen=True):
    """New text of a reply: whole characters only. Pieces may hold several tokens."""

    text: str
    tokens: int = 1


class Done(Wire, frozen=True):
    """A reply has ended."""

    stop: Literal["complete", "length", "cancelled"]
    tokens: int
    prefill_ms: float
    decode_ms: float
    """From the first token of the reply to its last."""
    used: int
    """Tokens in the context now."""
    seed: int = 0


class Window(msgspec.Struct, frozen=True):
    """One judged piece of a passage."""

    probabilities: list[float]
    """By label, in the order of `ModelInfo.labels`; they sum to 1."""
    start: int = 0
    end: int = 0
    """The characters it is about, in whole sentences; 0 to 0 is all of the passage."""
    looks: list[list[float]] = []
    """Of a sentence that was looked at three times, whose mean `probabilities` are: on its own,
    behind what precedes it, and the window around it."""


class Classified(Wire, frozen=True):
    """For each passage its windows: one if it fits, several overlapping ones if it does not."""

    windows: list[list[Window]]


class Embedded(Wire, frozen=True):
    """One unit vector a text."""

    vectors: list[list[float]]


class Output(msgspec.Struct, frozen=True):
    """What a sequence-to-sequence model, or a text-generating guard, wrote for one prompt."""

    text: str
    """Control tokens of the format (such as ``<sep>``) are kept in the text."""
    probabilities: list[float] | None
    """By wanted label, before normalisation: their sum says how sure it is that it is a label."""
    finished: bool
    """Whether it ended by itself or at a wanted early stop, not at `max_tokens`."""
    truncated: bool = False
    """Whether the front of the prompt was cut to fit; of a `Judge`: whether it did not fit."""


class Written(Wire, frozen=True):
    """One output a prompt."""

    outputs: list[Output]


class Refused(Wire, frozen=True):
    """The request failed, the process goes on."""

    error: str
    """Name of a class in `oa_chat.errors`."""
    message: str
    hint: str = ""


Answer = (
    Loaded
    | Progress
    | Prompted
    | Prefilled
    | Piece
    | Done
    | Classified
    | Embedded
    | Written
    | Refused
)
"""Everything a child may say."""
