"""Make `docs/screen.svg` from the real app: ``python docs/screenshot.py``.

The real screen, session, guard and starter model; the seed alone is fixed. Another machine has
other times in its picture.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from oa_chat import catalog
from oa_chat.assembly import Flags, build_session
from oa_chat.config import override
from oa_chat.ui.app import OaChatApp

PICTURE = Path(__file__).with_name("screen.svg")
SIZE = (130, 44)
SEED = 5
TALK = ("Hello there", "I had a long day", "I think all white people are racists")


async def picture() -> str:
    """The screen after the talk, as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "settings.toml"
        config.touch()
        flags = Flags(data_dir=Path(folder), config=config)
        settings = override(flags.settings(), "sampling", "seed", SEED, source="this script")
        session = build_session(settings, flags.store_path())
        app = OaChatApp(session, notices=[catalog.STARTER.hint])
        async with app.run_test(size=SIZE) as pilot:
            async for _ in session.load():
                pass
            for text in TALK:
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
