"""Models of other programs, found where they lie and used without copying."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oa_chat import catalog
from oa_chat.catalog import STARTER, embedded_path, find, is_path, path_of, title_of
from oa_chat.errors import ModelNotFound, UsageError
from oa_chat.found_models import FoundModel, found_models
from oa_chat.known_models import known_models
from oa_chat.machine_memory import Memory
from oa_chat.model_list import model_rows
from oa_chat.policies.applying import model_beside
from oa_chat.policies.shelf import Shelf

QWEN = "unsloth/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf"
MODEL = "application/vnd.ollama.image.model"
LAYERS = [{"mediaType": "application/json", "digest": "x"}]
LAYERS += [{"mediaType": MODEL, "digest": "sha256:DIGEST"}]
"""Of an Ollama manifest; `ollama` puts the digest in."""


@pytest.fixture
def folder(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models of our own."""
    for name in ("OLLAMA_MODELS", "LLAMA_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OA_CHAT_MODELS_DIR", str(own_home / "models"))
    (own_home / "models").mkdir()
    return own_home / "models"


def put(path: Path, content: bytes = b"GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def ollama(home: Path, manifest: str, layers: object, blob: bytes | None = b"GGUF rest") -> Path:
    """A manifest in Ollama's folder, and a blob that a layer can name by its digest."""
    digest = hashlib.sha256(blob or b"").hexdigest()
    models = home / ".ollama" / "models"
    said = json.dumps({"schemaVersion": 2, "layers": layers}).replace("DIGEST", digest)
    put(models / "manifests" / manifest, said.encode())
    path = models / "blobs" / f"sha256-{digest}"
    return put(path, blob) if blob is not None else path


def names(folder: Path) -> list[str]:
    return [model.full_name for model in found_models(folder)]


def test_an_empty_computer_has_none(folder: Path) -> None:
    assert found_models(folder) == []
    assert found_models(folder / "missing") == []


def test_each_programs_folder(folder: Path, own_home: Path) -> None:
    ours = put(folder / "owner" / "Repo-GGUF" / "ours.gguf")
    studio = put(own_home / ".lmstudio" / "models" / "owner" / "Repo-GGUF" / "Studio-Q8.gguf")
    blob = ollama(own_home, "registry.ollama.ai/library/llama3.2/1b", LAYERS)
    llama = put(own_home / ".cache" / "llama.cpp" / "ggml-org_Some_some-q4.gguf")
    cached = own_home / ".cache" / "huggingface" / "hub" / "models--owner--Cached-GGUF"
    hub = put(cached / "snapshots" / "abc" / "sub" / "cached.gguf")
    found = {
        model.full_name: (model.name, model.path, model.where) for model in found_models(folder)
    }
    assert found == {
        "hf:owner/Repo-GGUF/ours.gguf": ("ours", ours, "oa-chat"),
        "hf:owner/Cached-GGUF/sub/cached.gguf": ("cached", hub, "Hugging Face"),
        "lmstudio:owner/Repo-GGUF/Studio-Q8.gguf": ("studio-q8", studio, "LM Studio"),
        "ollama:llama3.2:1b": ("llama3.2:1b", blob, "Ollama"),
        "llama.cpp:ggml-org_Some_some-q4.gguf": ("ggml-org_some_some-q4", llama, "llama.cpp"),
    }
    for full_name, (name, path, _) in found.items():
        assert path_of(full_name) == path_of(name) == path_of(name.upper()) == path
    assert title_of("ollama:llama3.2:1b") == "llama3.2:1b"
    assert title_of("lmstudio:owner/Repo-GGUF/Studio-Q8.gguf") == "Studio-Q8"


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ("registry.ollama.ai/library/llama3/latest", "llama3"),
        ("registry.ollama.ai/library/llama3/latest", "llama3:latest"),
        ("registry.ollama.ai/someone/model/8b", "someone/model:8b"),
        ("hf.co/owner/Repo-GGUF/Q4_K_M", "hf.co/owner/Repo-GGUF:Q4_K_M"),
    ],
)
def test_ollamas_names(folder: Path, own_home: Path, manifest: str, name: str) -> None:
    blob = ollama(own_home, manifest, LAYERS)
    assert path_of(name) == path_of(f"ollama:{name}") == blob


def test_a_hostile_manifest_names_nothing(folder: Path, own_home: Path) -> None:
    secret = put(own_home / "secret.gguf")
    place = "registry.ollama.ai/library/bad/"
    digests = ["sha256:../../../secret.gguf", f"sha256:{secret}", "sha256-" + "0" * 64, "", 7, None]
    for number, digest in enumerate(digests):
        ollama(own_home, f"{place}{number}", [{"mediaType": MODEL, "digest": digest}])
    ollama(own_home, f"{place}none", "no list")
    ollama(own_home, f"{place}gone", LAYERS, blob=None)
    ollama(own_home, f"{place}other", LAYERS, b"safetensors")
    put(own_home / ".ollama" / "models" / "manifests" / f"{place}broken", b"\xff{")
    put(own_home / ".ollama" / "models" / "manifests" / f"{place}huge", b" " * (2**20 + 1))
    assert found_models(folder) == []


def test_where_other_programs_were_told_to_keep_them(
    folder: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(own_home / "big" / "o" / "r" / "studio.gguf")
    said = json.dumps({"downloadsFolder": str(own_home / "big"), "other": 1})
    put(own_home / "elsewhere" / "settings.json", said.encode())
    put(own_home / ".lmstudio-home-pointer", str(own_home / "elsewhere").encode())
    monkeypatch.setenv("LLAMA_CACHE", str(own_home / "llama"))
    put(own_home / "llama" / "one.gguf")
    monkeypatch.setenv("HF_HUB_CACHE", str(own_home / "hub"))
    put(own_home / "hub" / "models--o--r" / "snapshots" / "old" / "hub.gguf")
    newest = put(own_home / "hub" / "models--o--r" / "snapshots" / "main" / "hub.gguf")
    put(own_home / "hub" / "models--o--r" / "refs" / "main", b"main")
    os.utime(newest.parent, (1, 1))
    monkeypatch.setenv("OLLAMA_MODELS", str(own_home / "ollama"))
    ollama(
        own_home,
        "registry.ollama.ai/library/unseen/1b",
        LAYERS,
    )
    assert names(folder) == ["hf:o/r/hub.gguf", "lmstudio:o/r/studio.gguf", "llama.cpp:one.gguf"]
    assert path_of("hub") == newest


def test_what_is_no_model_of_its_own(folder: Path) -> None:
    for name in ("mmproj-F16.gguf", "x-00002-of-00002.gguf", "README.md", "half.gguf.part"):
        put(folder / "o" / "r" / name)
    first = put(folder / "o" / "r" / "x-00001-of-00002.gguf")
    (folder / "o" / "r" / "dangling.gguf").symlink_to(folder / "nowhere")
    assert [model.path for model in found_models(folder)] == [first]


def test_the_same_file_is_there_once(folder: Path, own_home: Path) -> None:
    ours = put(folder / "o" / "r" / "m.gguf")
    link = own_home / ".lmstudio" / "models" / "o" / "r" / "m.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(ours)
    assert names(folder) == ["hf:o/r/m.gguf"]


def test_a_name_that_several_have(folder: Path, own_home: Path) -> None:
    studio = own_home / ".lmstudio" / "models"
    first = put(studio / "one" / "r" / "same.gguf")
    put(studio / "two" / "r" / "same.gguf", b"GGUF other")
    with pytest.raises(UsageError, match="2 models same") as caught:
        find("same")
    assert "lmstudio:one/r/same.gguf, lmstudio:two/r/same.gguf" in caught.value.hint
    assert path_of("lmstudio:one/r/same.gguf") == first
    listed = [row.name for row in model_rows(Memory(0, 0)) if row.where == "LM Studio"]
    assert listed == ["lmstudio:one/r/same.gguf", "lmstudio:two/r/same.gguf"]
    ours = put(folder / "three" / "r" / "same.gguf")
    assert path_of("same") == ours


def test_the_catalogue_knows_copies_elsewhere(folder: Path, own_home: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        path_of("qwen3-0.6b")
    assert caught.value.hint == "Download it: oa-chat models pull qwen3-0.6b"
    copy = put(own_home / ".lmstudio" / "models" / QWEN)
    assert path_of("qwen3-0.6b") == path_of("Qwen3-0.6B") == path_of(f"hf:{QWEN}") == copy
    row = next(row for row in model_rows(Memory(0, 0)) if row.name == "qwen3-0.6b")
    assert (row.path, row.where, row.fits) == (copy, "LM Studio", "")
    ours = put(folder / QWEN)
    assert path_of("qwen3-0.6b") == ours
    assert title_of("qwen3-0.6b") == "Qwen3 0.6B"


def test_the_nearest_name_is_offered(folder: Path, own_home: Path) -> None:
    put(own_home / ".lmstudio" / "models" / "o" / "r" / "Wonderful-9B.gguf")
    for wrong, right in (
        ("qwen3-4", "qwen3-4b"),
        ("wonderfull-9b", "wonderful-9b"),
        ("startr", "starter"),
    ):
        with pytest.raises(ModelNotFound) as caught:
            path_of(wrong)
        assert f"Did you mean {right}?" in caught.value.hint


def test_what_is_a_path(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("x.gguf", "./x", "~/x", "/x", "a/b.GGUF", "old.bin", "", "x\0.gguf", "n" * 300):
        assert is_path(path) or path == "n" * 300
    for name in (
        "x",
        "llama3:8b",
        "user/model:8b",
        "hf:o/r/x.gguf",
        "ollama:x",
        "lmstudio:o/r/x.gguf",
    ):
        assert not is_path(name)
    put(tmp_path / "x")
    assert path_of("x") == Path("x")


def test_a_policy_may_name_a_model_by_name(folder: Path) -> None:
    profile = Shelf(folder).load("balanced")
    for name in ("hf:o/r/x.gguf", "ollama:user/model:8b", "qwen3guard-0.6b"):
        assert model_beside(profile, name) == name
    assert model_beside(profile, "x.gguf") == str(profile.path.parent / "x.gguf")


def test_a_blob_of_ollamas_really_talks(folder: Path, own_home: Path) -> None:
    layers = LAYERS
    blob = ollama(
        own_home,
        "registry.ollama.ai/library/starter/latest",
        layers,
        embedded_path(STARTER).read_bytes(),
    )
    before = blob.stat().st_mtime_ns
    command = [sys.executable, "-m", "oa_chat", "ask", "--json", "--guard", "none"]
    done = subprocess.run(
        [*command, "--model", "ollama:starter", "hello"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reply"]
    assert blob.stat().st_mtime_ns == before
    assert not list(folder.iterdir())


def test_listing_survives_odd_files(folder: Path) -> None:
    put(folder / "o" / "r" / "broken.gguf", b"not a model")
    put(folder / "loose.gguf", embedded_path(STARTER).read_bytes())
    (folder / "o" / "r" / "esc\x1b[31m.gguf").write_bytes(b"GGUF")
    rows = {
        row.full_name: row for row in model_rows(Memory(10**9, 10**8)) if row.where == "oa-chat"
    }
    assert "loose.gguf" in rows
    assert rows["loose.gguf"].fits == "tight"
    assert rows["hf:o/r/broken.gguf"].needs == 0
    done = subprocess.run(
        [sys.executable, "-m", "oa_chat", "models", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "\x1b" not in done.stdout


def test_every_name_of_the_catalogue_is_a_name() -> None:
    for known in known_models():
        assert not is_path(known.name)
        assert known.name not in catalog.EMBEDDED
        assert catalog.source_of(known.name) == known.source
    model = FoundModel("x", "x", Path("x"), "oa-chat", known_models()[0].source.origin)
    assert catalog.known_as(model) is known_models()[0]
