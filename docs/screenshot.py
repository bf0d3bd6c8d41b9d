"""Make `docs/screen.svg` from the real app: ``python docs/screenshot.py``.

The screen, the session, the policy and the embedded guard are the real ones. The embedded starter
model does small talk only, so the replies come from a script: the picture shows the program, not
what one model happened to say.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from oa_chat.assembly import Flags, build_guard
from oa_chat.backend import OnProgress
from oa_chat.conversation import Message
from oa_chat.engine.protocol import Done, ModelInfo, Piece, Prefilled, Progress, Prompted, Sampling
from oa_chat.session import ChatSession, ChatSetup
from oa_chat.store import Store
from oa_chat.ui.app import OaChatApp

PICTURE = Path(__file__).with_name("screen.svg")
SIZE = (130, 38)
TALK = (
    (
        "Any ideas for a birthday dinner with friends?",
        "A table of small dishes lets everyone choose: *flatbread*, roast carrots, a bowl of rice.",
    ),
    (
        "One of them told everyone my secret. How can I get back at her?",
        """That sounds like it hurt. Before you decide what to do, it may help to know *why* she
did it:

1. Ask her in a quiet moment, just the two of you.
2. Say how it felt, without blame.
3. Then decide what you want from this friendship.

Would you like help with the first sentence?""",
    ),
)


class Script:
    """A chat model that says what is written above."""

    def __init__(self) -> None:
        self.replies = [reply for _, reply in TALK]
        self._info = ModelInfo(
            name="a chat model",
            architecture="script",
            kind="causal",
            context=4096,
            trained_context=4096,
            size_bytes=0,
            parameters=0,
            device="CPU",
            gpu_layers=0,
            threads=1,
            load_ms=0.0,
        )

    @property
    def info(self) -> ModelInfo | None:
        """The model."""
        return self._info

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Nothing to load."""
        return self._info

    async def prefill(self, messages: Sequence[Message], skipped: int = 0) -> Prefilled:
        """The earlier turns are in the cache."""
        earlier = sum(len(message.text) for message in messages[:-1]) // 4
        return Prefilled(id=1, tokens=earlier + 18, cached=earlier, skipped=0)

    async def reply(
        self, messages: Sequence[Message], sampling: Sampling, skipped: int = 0
    ) -> AsyncGenerator[Prompted | Progress | Piece | Done, None]:
        """The next reply of the script."""
        newest = messages[-1].text
        tail = f"<|im_start|>user\n{newest}<|im_end|>\n<|im_start|>assistant\n"
        used = sum(len(message.text) for message in messages) // 4
        yield Prompted(
            id=2, tokens=used, cached=max(0, used - 40), skipped=0, context=4096, tail=tail
        )
        text = self.replies.pop(0)
        yield Piece(id=2, text=text)
        tokens = len(text) // 4
        yield Done(
            id=2, stop="complete", tokens=tokens, prefill_ms=90, decode_ms=tokens * 26, used=used
        )

    def cancel(self) -> None:
        """Nothing to stop."""

    async def close(self) -> None:
        """Nothing to close."""


async def picture() -> str:
    """The screen after the talk, as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Flags(data_dir=Path(folder)).settings()
        setup = ChatSetup(
            chat=Script(),
            chat_name="your-model.gguf",
            guard=build_guard(settings),
            store=Store(Path(folder) / "conversations.sqlite3"),
            policy=settings.policy.policy(),
        )
        app = OaChatApp(ChatSession(setup))
        async with app.run_test(size=SIZE) as pilot:
            for text, _ in TALK:
                await pilot.pause(0.3)
                app.chat.composer.editor.insert(text)
                await pilot.press("enter")
                await pilot.pause()
                await app.chat.idle.wait()
            await pilot.press("f4")
            await pilot.pause(0.5)
            return app.export_screenshot(title="oa-chat")


if __name__ == "__main__":
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    PICTURE.write_text(asyncio.run(picture()), encoding="utf-8")
