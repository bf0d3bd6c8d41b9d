"""Models that lie on this computer: downloaded by oa-chat, or by other programs.

The folders of LM Studio, Ollama, llama.cpp and the Hugging Face hub's own cache are only read, and
their models used where they lie. Whatever cannot be read there is passed over: it is not ours.
Nothing in a file but its first four bytes is looked at.

Layouts: LM Studio ``models/publisher/repository/file``; Ollama
``manifests/host/namespace/model/tag`` beside ``blobs/sha256-...``, where the layer of type
`application/vnd.ollama.image.model` is the GGUF; llama.cpp one folder of files named
``owner_repository_file``; the hub
``models--owner--name/snapshots/commit/file`` with the usual commit in ``refs/main``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from oa_chat.errors import UsageError
from oa_chat.hub_names import HubFile

OURS = "oa-chat"
PREFIXES = ("lmstudio:", "ollama:", "llama.cpp:")
"""Before the full name of a model of another program."""
_MAGIC = b"GGUF"
_DEEPEST = 6
_MOST = 10_000
"""Files looked at in one folder: enough for any collection, too few to hang in a wrong one."""
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_OLLAMA_LARGEST = 2**20
"""Bytes of a manifest; real ones have about a thousand."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model file on this computer."""

    name: str
    """What a user types for it, if it is the only one of that name."""
    full_name: str
    """What names it for sure."""
    path: Path
    where: str
    """Whose it is: "oa-chat", "LM Studio", "Ollama", "llama.cpp" or "Hugging Face"."""
    origin: tuple[str, str] | None = None
    """Repository and file on the hub, where the place tells."""

    @property
    def ours(self) -> bool:
        """Whether oa-chat downloaded it."""
        return self.where == OURS

    @property
    def size(self) -> int:
        """Bytes; 0 if it went away."""
        with contextlib.suppress(OSError):
            return self.path.stat().st_size
        return 0


class _Layer(msgspec.Struct, rename="camel"):
    media_type: str = ""
    digest: str = ""


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


class _LmStudioSettings(msgspec.Struct, rename="camel"):
    downloads_folder: str = ""


def found_models(folder: Path, environment: Mapping[str, str] = os.environ) -> list[FoundModel]:
    """All models of `folder`, then those of other programs; the same file is named once."""
    seen: set[Path] = set()
    found = []
    for model in _all(folder, environment):
        with contextlib.suppress(OSError, RuntimeError):
            real = model.path.resolve()
            if real not in seen:
                seen.add(real)
                found.append(model)
    return found


def _all(folder: Path, environment: Mapping[str, str]) -> Iterator[FoundModel]:
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path.home())
    yield from _hub_layout(folder, OURS)
    for place in _hub_caches(environment, home):
        yield from _hub_cache(place)
    for place in _lm_studio_folders(home):
        yield from _hub_layout(place, "LM Studio", "lmstudio:")
    for place in _ollama_folders(environment, home):
        yield from _ollama(place)
    for place in _llama_cpp_folders(environment, home):
        for file in _model_files(place, 1):
            yield FoundModel(_stem(file), f"llama.cpp:{file.name}", file, "llama.cpp")


# --------------------------------------------------------------------- folders like the hub's


def _hub_layout(folder: Path, where: str, prefix: str = "") -> Iterator[FoundModel]:
    for file in _model_files(folder, _DEEPEST):
        parts = file.relative_to(folder).parts
        said = "/".join(parts)
        source = _source(parts)
        full = prefix + said if prefix or source is None else source.name
        yield FoundModel(_stem(file), full, file, where, source.origin if source else None)


def _source(parts: tuple[str, ...]) -> HubFile | None:
    with contextlib.suppress(UsageError):
        return HubFile("/".join(parts[:2]), "/".join(parts[2:]))
    return None


def _hub_caches(environment: Mapping[str, str], home: Path) -> list[Path]:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return [Path(environment[name]).expanduser()]
    above = environment.get("XDG_CACHE_HOME") or home / ".cache"
    return [Path(environment.get("HF_HOME") or Path(above) / "huggingface").expanduser() / "hub"]


def _hub_cache(folder: Path) -> Iterator[FoundModel]:
    for repository in _inside(folder):
        name = repository.name.removeprefix("models--").replace("--", "/")
        if not repository.name.startswith("models--") or name.count("/") != 1:
            continue
        snapshot = _snapshot(repository)
        for file in _model_files(snapshot, _DEEPEST) if snapshot else ():
            source = _source((*name.split("/"), *file.relative_to(snapshot or folder).parts))
            if source is not None:
                yield FoundModel(_stem(file), source.name, file, "Hugging Face", source.origin)


def _snapshot(repository: Path) -> Path | None:
    """The snapshot of the main branch, else the newest."""
    snapshots = _inside(repository / "snapshots")
    with contextlib.suppress(OSError, UnicodeDecodeError):
        main = (repository / "refs" / "main").read_text(encoding="ascii").strip()
        snapshots = [one for one in snapshots if one.name == main] or snapshots
    return max(snapshots, key=_age, default=None)


def _age(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0


def _lm_studio_folders(home: Path) -> list[Path]:
    homes = [home / ".lmstudio", home / ".cache" / "lm-studio"]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        said = (home / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip()
        homes = [Path(said), *homes] if said else homes
    folders = []
    for one in homes:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            raw = (one / "settings.json").read_bytes()
            said = msgspec.json.decode(raw, type=_LmStudioSettings).downloads_folder
            folders += [Path(said)] if said else []
        folders.append(one / "models")
    return list(dict.fromkeys(folders))


def _llama_cpp_folders(environment: Mapping[str, str], home: Path) -> list[Path]:
    if environment.get("LLAMA_CACHE"):
        return [Path(environment["LLAMA_CACHE"]).expanduser()]
    if sys.platform == "darwin":
        above = home / "Library" / "Caches"
    elif sys.platform == "win32":
        above = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        above = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return [above / "llama.cpp"]


# ------------------------------------------------------------------------------------ Ollama


def _ollama_folders(environment: Mapping[str, str], home: Path) -> list[Path]:
    if environment.get("OLLAMA_MODELS"):
        return [Path(environment["OLLAMA_MODELS"]).expanduser()]
    # The last one is where the Linux installer's service keeps them.
    return [home / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models")]


def _ollama(folder: Path) -> Iterator[FoundModel]:
    manifests = folder / "manifests"
    for manifest in _files(manifests, 5):
        parts = manifest.relative_to(manifests).parts
        if len(parts) < 3:
            continue
        host, *middle, model, tag = parts
        if host == "registry.ollama.ai":
            middle = middle[1:] if middle[:1] == ["library"] else middle
        else:
            middle = [host, *middle]
        name = f"{'/'.join([*middle, model])}:{tag}"
        blob = _blob(folder, manifest)
        if blob is not None:
            yield FoundModel(name, f"ollama:{name}", blob, "Ollama")


def _blob(folder: Path, manifest: Path) -> Path | None:
    """The GGUF that a manifest names, if there is one."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        if manifest.stat().st_size > _OLLAMA_LARGEST:
            return None
        layers = msgspec.json.decode(manifest.read_bytes(), type=_Manifest).layers
        for layer in layers:
            digest = _DIGEST.fullmatch(layer.digest)
            if layer.media_type != _OLLAMA_MODEL or digest is None:
                continue
            blob = folder / "blobs" / f"sha256-{digest[1]}"
            with blob.open("rb") as file:
                return blob if file.read(4) == _MAGIC else None
    return None


# ------------------------------------------------------------------------------------- files


def _model_files(folder: Path, deepest: int) -> Iterator[Path]:
    """The model files below a folder; of a model in parts the first, and no image encoders."""
    for file in _files(folder, deepest):
        name = file.name.lower()
        later = _LATER_PART.search(name) or name.startswith("mmproj")
        if name.endswith(".gguf") and not later and file.is_file():
            yield file


def _files(folder: Path, deepest: int) -> Iterator[Path]:
    """The files below a folder in order, not deeper than so many names, links not followed."""
    left = _MOST
    for above, inside, names in os.walk(folder):
        inside.sort()
        if len(Path(above).relative_to(folder).parts) >= deepest - 1:
            inside.clear()
        for name in sorted(names)[:left]:
            yield Path(above, name)
        left -= len(names)
        if left <= 0:
            return


def _inside(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(one for one in folder.iterdir() if one.is_dir())
    return []


def _stem(file: Path) -> str:
    return file.name[: -len(file.suffix)].lower()
