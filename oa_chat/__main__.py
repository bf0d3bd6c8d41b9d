"""`python -m oa_chat` and the `oa-chat` script. Imports nothing until it is called."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from oa_chat.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
