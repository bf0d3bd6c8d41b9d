"""Makes ``.venv`` ready for ``make run``, ``make test`` and ``make lint``; standard library only.

What was installed, from which pyproject.toml and constraints.txt, is noted in
``.venv/oa-chat.json``. As long as both files read the same, a second call does nothing and takes
a few hundredths of a second.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "oa-chat.json"
BASED_ON = ("pyproject.toml", "constraints.txt")
LLAMA = "llama-cpp-python"
LLAMA_VARIABLES = ("CMAKE_ARGS", "WHEELS")

NO_VENV = """\
The environment could not be created. Debian and Ubuntu keep this part of Python in a package of
its own: sudo apt install python3-venv"""
NO_PACKAGES = """\
Some packages could not be installed. Without a network, see "Without a network" in
docs/install.md."""


NO_WHEEL = """\
No prebuilt wheel of llama-cpp-python could be had there for this system. Try another name
(docs/install.md), or leave WHEELS out to build it from source."""


class InstallError(Exception):
    """What went wrong, in words for the person who called make."""


@dataclass
class Stamp:
    """What was installed last."""

    key: str = ""
    extras: list[str] = field(default_factory=list)
    llama: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Stamp:
        """The note of the last installation; an empty one if there is none that can be read."""
        try:
            return cls(**json.loads(STAMP.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self) -> None:
        """Leave the note for the next call."""
        STAMP.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")


def wanted_key() -> str:
    """What an installation depends on: the two files and the place of the checkout."""
    digest = hashlib.sha256(str(ROOT).encode())
    for name in BASED_ON:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def llama_request(environment: Mapping[str, str]) -> dict[str, str]:
    """How llama-cpp-python is asked for on this call, if it is."""
    return {name: environment[name] for name in LLAMA_VARIABLES if environment.get(name)}


def up_to_date(extras: Sequence[str], stamp: Stamp) -> bool:
    """Whether there is nothing to do."""
    return (
        stamp.key == wanted_key()
        and set(extras) <= set(stamp.extras)
        and llama_request(os.environ) in ({}, stamp.llama)
        and (VENV / "bin" / "oa-chat").exists()
    )


def pinned(constraints: str, name: str) -> str:
    """The exact version of one package in the constraints."""
    found = re.search(rf"^{re.escape(name)}==(\S+)", constraints, re.MULTILINE)
    if not found:
        raise InstallError(f"constraints.txt names no version of {name}")
    return found[1]


def make_venv() -> None:
    """Create ``.venv``, or create it anew if its Python no longer starts or is too old."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    if PYTHON.exists() and subprocess.call([PYTHON, "-c", check]) == 0:
        return
    print(f"Creating .venv with Python {sys.version.split()[0]}", flush=True)
    if subprocess.call([sys.executable, "-m", "venv", "--clear", VENV]):
        shutil.rmtree(VENV, ignore_errors=True)
        raise InstallError(NO_VENV)


def pip_install(title: str, arguments: Sequence[str], advice: str = NO_PACKAGES) -> None:
    """Run ``pip install`` in the environment behind a line of progress."""
    import progress

    command = [str(PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    if progress.run(title, [*command, *arguments], VENV / "install.log"):
        raise InstallError(advice)


def installed_llama() -> str:
    """The version of llama-cpp-python in the environment, empty if there is none."""
    code = f"import importlib.metadata as m; print(m.version('{LLAMA}'))"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def check_llama() -> None:
    """Load the native library once, so that a build that cannot be used is noticed here."""
    done = subprocess.run(
        [PYTHON, "-c", "import llama_cpp"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InstallError(f"llama-cpp-python was installed but does not load:\n{done.stderr}")


def install_llama(version: str, stamp: Stamp) -> dict[str, str]:
    """Install llama-cpp-python; how it was asked for, to be kept to from now on.

    One that is there already stays, unless another is asked for on this call.
    """
    import llama

    asked = llama_request(os.environ)
    choice = asked or stamp.llama
    present = installed_llama()
    if present and asked in ({}, stamp.llama) and (present == version or "WHEELS" in choice):
        return choice
    title = f"Installing {LLAMA}"
    # Its own dependencies come with the project's, under the constraints.
    options = ["--force-reinstall", "--no-deps"]
    if wheels := choice.get("WHEELS"):
        options += ["--extra-index-url", llama.wheel_index(wheels), "--only-binary", LLAMA]
        pip_install(title, [*options, f"{LLAMA}>={version}"], NO_WHEEL)
        return choice
    log = VENV / "llama-build.log"
    try:
        wheel = llama.built_wheel(PYTHON, version, log, {**os.environ, **choice})
    except llama.BuildError as error:
        raise InstallError(str(error)) from error
    pip_install(title, [*options, str(wheel)])
    return choice


def install(extras: Sequence[str], stamp: Stamp) -> Stamp:
    """Install the project and everything it needs; the note of what was done."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    choice = install_llama(pinned(constraints, LLAMA), stamp)
    # The one that is there is kept, be it the pinned version or a newer prebuilt one.
    kept = re.sub(rf"(?m)^{LLAMA}==\S+", f"{LLAMA}=={installed_llama()}", constraints)
    pins = VENV / "constraints.txt"
    pins.write_text(kept, encoding="utf-8")
    everything = sorted({*extras, *stamp.extras})
    what = f" with the tools for {' and '.join(everything)}" if everything else ""
    target = f"{ROOT}[{','.join(everything)}]" if everything else str(ROOT)
    pip_install(f"Installing oa-chat{what}", ["-c", str(pins), "-e", target])
    check_llama()
    return Stamp(wanted_key(), everything, choice)


def main(extras: Sequence[str]) -> int | str:
    """Make the environment ready for these extras; an exit status, or a message that is one."""
    stamp = Stamp.read()
    if up_to_date(extras, stamp):
        return 0
    try:
        make_venv()
        install(extras, Stamp.read()).write()
    except InstallError as error:
        return str(error)
    except KeyboardInterrupt:
        return "Interrupted; the same command goes on from here."
    return 0
