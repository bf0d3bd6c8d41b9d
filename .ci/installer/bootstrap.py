"""Finds a Python that is new enough and makes ``.venv`` ready with it (see environment.py).

This file must be readable by any Python 3, to tell those before 3.11 that they are too old.
"""

import os
import shutil
import subprocess
import sys

MINIMUM = (3, 11)
NEWER = ("python3.14", "python3.13", "python3.12", "python3.11")


def newer_python():
    """A Python beside this one that is new enough."""
    for name in NEWER:
        path = shutil.which(name)
        if path and subprocess.call([path, "-c", ""]) == 0:
            return path
    return None


def main():
    """Go on with this Python or, if it is too old, with a newer one."""
    if sys.version_info[:2] >= MINIMUM:
        import environment

        return environment.main(sys.argv[1:])
    python = newer_python()
    if python:
        return subprocess.call([python, os.path.abspath(__file__)] + sys.argv[1:])
    return (
        "oa-chat needs Python 3.11 or newer. %s is %d.%d, and no newer one was found.\n"
        "Name one with: make run PYTHON=/path/to/python3.12"
        % (sys.executable, sys.version_info[0], sys.version_info[1])
    )


if __name__ == "__main__":
    sys.exit(main())
