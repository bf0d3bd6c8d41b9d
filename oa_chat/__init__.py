"""oa-chat: a private chat in the terminal with a guardrail that one can see, swap and train.

This module holds the version alone, so that ``oa-chat --version`` stays cheap.
"""

__version__ = "0.1.0"
