"""What a file is that was given as a model and is not GGUF, in words that help a person.

Looks at the first bytes only.
"""

from __future__ import annotations

from pathlib import Path

from oa_chat.errors import ModelUnreadable

LEGACY_MAGICS = (b"lmgg", b"fmgg", b"tjgg")
"""First bytes of GGML, GGMF and GGJT files, which llama.cpp read until 2023."""
_ITSELF = "Download the model file itself."
_CONVERT = "Download a GGUF version, or convert it: oa-chat convert --help"


def explain_other_file(path: Path, start: bytes, size: int) -> ModelUnreadable:
    """The error for a file that starts with `start` (up to 4,096 bytes) and is not GGUF."""
    what, hint = _binary(start, size) or _text(start, size) or _UNKNOWN
    return ModelUnreadable(f"{path.name} {what}.", hint)


_UNKNOWN = ("is not a GGUF file", "Give a model in the GGUF format.")


def _binary(start: bytes, size: int) -> tuple[str, str] | None:
    if size == 0:
        return "is empty", "The download failed: download it again."
    if start[:4] in LEGACY_MAGICS:
        old = start[3::-1].decode()
        return f"is a legacy file from before GGUF ({old})", "Download a GGUF version of the model."
    if start[:4] == b"FUGG":
        return "is a GGUF file for big-endian machines", "Download a little-endian one."
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < size:
        return "is a safetensors file", _CONVERT
    if start[:2] in (b"PK", b"\x80\x02"):
        return "is a PyTorch checkpoint or an archive", _CONVERT
    if not start.strip(b"\0"):
        return "starts with empty bytes", "The download failed: download it again."
    return None


def _text(start: bytes, size: int) -> tuple[str, str] | None:
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return (
            "is a web page that was saved under a model's name",
            "Often a login or an error page: open it in a browser, then download the file itself.",
        )
    if text.startswith(b"version https://git-lfs"):
        return (
            f"is a Git LFS pointer ({size} bytes), not the model itself",
            "Run `git lfs pull` in its repository, or download the file itself.",
        )
    if text.startswith((b"{", b"[")):
        return "is a JSON text, not a model", _ITSELF
    return None
