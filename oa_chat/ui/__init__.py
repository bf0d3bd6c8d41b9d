"""The terminal chat. The only package that imports textual; `oa_chat.ui.app` is the way in.

Widgets only post messages; `chat_screen` routes them. Nothing here judges, sends or stores: that is
the session's part, whose events `delivery` puts on the screen.
"""
