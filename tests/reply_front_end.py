"""Runs a front end on scripted models in a process of its own: ``ask``, ``json`` or ``plain``.

``python -m tests.reply_front_end ask strict '[["One. "], ["Two. "]]' STORE [SECONDS]``
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from oa_chat.commands.ask import AskOptions, ask
from oa_chat.commands.plain import PlainChat
from oa_chat.policies.shelf import shipped
from oa_chat.session import ChatSession, ChatSetup
from oa_chat.store import Store
from tests.reply_guard import WordGuard
from tests.scripted import ScriptedChat


async def main(front: str, mode: str, replies: str, store: str, seconds: str = "0") -> int:
    setup = ChatSetup(
        chat=ScriptedChat(replies=json.loads(replies)),
        chat_name="scripted",
        guard=WordGuard(seconds=float(seconds)),
        store=Store(Path(store)),
        policy=shipped()[mode],
    )
    session = ChatSession(setup)
    if front == "plain":
        return await PlainChat(session, tuple).run()
    return await ask(session, "hi", AskOptions(as_json=front == "json"))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
