"""Gets llama-cpp-python: a prebuilt wheel if asked for, else one built here and kept for later.

Upstream publishes source alone on the package index. It is built with what oa-chat does not use
left out (vision, llama.cpp's common library, headers), and the wheel is kept under the user's
cache folder, by version, build options and processor, since the build uses all that this
processor can do. Another checkout on the same machine then installs in seconds.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import progress

WHEEL_INDEX = "https://abetlen.github.io/llama-cpp-python/whl/"
SLIM = Path(__file__).resolve().parent / "llama-slim.cmake"
SCHEME = "1"  # raise when the way wheels are built changes
BUILD_VARIABLES = ("CMAKE_ARGS", "CC", "CXX", "CFLAGS", "CXXFLAGS", "CUDACXX", "CUDAARCHS")
# The package installs every library twice and llama.cpp's headers with it; one copy is read.
LEFT_OUT = "/bin;/include;/lib;/lib64;/share"

NO_COMPILER = """\
No C++ compiler was found, and llama-cpp-python is built from source here. Either

  install one:    Debian, Ubuntu:  sudo apt install build-essential
                  Fedora:          sudo dnf install gcc-c++
                  macOS:           xcode-select --install
  or take a prebuilt wheel:        make run WHEELS=cpu      (also metal, cu124, ...)

More in docs/install.md."""


class BuildError(Exception):
    """What went wrong, in words for the person who called make."""


def wheel_index(wheels: str) -> str:
    """The address of upstream's index of prebuilt wheels: ``cpu``, ``cu124``, or a URL as it is."""
    return wheels if "://" in wheels else WHEEL_INDEX + wheels


def processor() -> str:
    """What sets this processor apart: its model and its instruction sets."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        wanted = ("model name", "flags", "Features", "CPU part", "CPU implementer", "isa")
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
    return platform.processor()


def cache_key(version: str, environment: Mapping[str, str]) -> str:
    """Names the wheel of one version, one set of build options and one kind of machine."""
    parts = [SCHEME, version, platform.system(), platform.machine(), *platform.libc_ver()]
    parts += [f"{name}={environment.get(name, '')}" for name in BUILD_VARIABLES]
    parts += [processor(), SLIM.read_text(encoding="utf-8"), LEFT_OUT]
    return f"{version}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where built wheels are kept."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "oa-chat" / "wheels"


def build_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with what is left out; a user's CMAKE_ARGS come later and so win."""
    defines = f"LLAVA_BUILD=OFF;CMAKE_PROJECT_llama.cpp_INCLUDE={SLIM.as_posix()}"
    return {
        **environment,
        "SKBUILD_CMAKE_DEFINE": defines,
        "SKBUILD_WHEEL_EXCLUDE": LEFT_OUT,
    }


def require_compiler(environment: Mapping[str, str]) -> None:
    """Say how to get a compiler before minutes are spent on finding that there is none."""
    named = environment.get("CXX", "").split()
    candidates = named[:1] or ["c++", "g++", "clang++"]
    if not any(shutil.which(name, path=environment.get("PATH")) for name in candidates):
        raise BuildError(NO_COMPILER)


def built_wheel(python: Path, version: str, log: Path, environment: Mapping[str, str]) -> Path:
    """The wheel from the cache, built first if it is not there yet."""
    folder = cache_folder(environment) / cache_key(version, environment)
    if found := sorted(folder.glob("*.whl")):
        print(f"llama-cpp-python {version}: taking the wheel built earlier on this machine")
        return found[0]
    require_compiler(environment)
    print(f"llama-cpp-python {version} is built from source, once; this takes a few minutes.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build-") as work:
        # pip's own cache is left out: it knows neither the options nor the processor.
        command = [str(python), "-m", "pip", "wheel", "-v", "--no-deps", "--no-cache-dir"]
        command += ["--no-binary", "llama-cpp-python", "--wheel-dir", work]
        command += [f"llama-cpp-python=={version}"]
        title = f"Building llama-cpp-python {version}"
        if progress.run(title, command, log, build_environment(environment)):
            raise BuildError(
                "llama-cpp-python could not be built. A prebuilt wheel may do: "
                "make run WHEELS=cpu (see docs/install.md)."
            )
        ready = Path(work) / "ready"
        ready.mkdir()
        for wheel in Path(work).glob("*.whl"):
            wheel.rename(ready / wheel.name)
        if not folder.exists():
            ready.rename(folder)
    return next(iter(sorted(folder.glob("*.whl"))))
