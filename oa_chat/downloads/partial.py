"""The file that a download grows in, beside the place where the model will lie.

`model.gguf.part` holds the first bytes of the model, `model.gguf.part.json` says of which content
they are. Both survive whatever ends the program; a lock keeps a second program off them. The final
name appears only for content that was checked, by a rename.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from oa_chat.catalog import partial_path
from oa_chat.errors import DownloadError
from oa_chat.file_lock import try_lock

RESERVE = 64 * 2**20
"""Bytes of a disk that a download leaves free."""
_BLOCK = 2**20
_SHA256, _SHA1 = 64, 40
"""Hexadecimal digits of the checksums that the hub uses: of large files, and of git's own."""


class Content(msgspec.Struct, frozen=True):
    """What a file on the hub is, by which a download can be gone on with and checked."""

    size: int
    """Bytes."""
    checksum: str
    """64 hexadecimal digits of SHA-256, or 40 of git's blob hash (SHA-1) for small files."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a finished model came from: `model.gguf.source.json`, for `oa-chat models info`."""

    repo: str
    file: str
    commit: str
    content: Content


@dataclass(frozen=True, slots=True)
class Partial:
    """An open, locked download."""

    final: Path
    stream: IO[bytes]
    content: Content

    @property
    def path(self) -> Path:
        """The growing file."""
        return partial_path(self.final)

    @property
    def size(self) -> int:
        """How many bytes are there."""
        return os.fstat(self.stream.fileno()).st_size

    def write(self, data: bytes) -> None:
        """Append. Raises DownloadError if the disk is full."""
        with _disk(self.final, self.content.size - self.size):
            view = memoryview(data)
            while view:  # the stream is not buffered, so it may take less at a time
                view = view[self.stream.write(view) :]

    def start_again(self) -> None:
        """Forget what is there."""
        self.stream.truncate(0)
        self.stream.seek(0)

    def require_room(self) -> None:
        """Raise DownloadError if what is missing does not fit on the disk."""
        missing = self.content.size - self.size
        free = shutil.disk_usage(self.final.parent).free
        if missing + RESERVE > free:
            raise _full(self.final, missing, free)

    def check(self, tell: Callable[[int], None]) -> None:
        """Read it all and compare; `tell` hears the bytes done. Raises DownloadError if it differs.

        Content that is wrong is thrown away: going on with it would never come right.
        """
        digest = _digest_of(self.content)
        self.stream.seek(0)
        done = 0
        while block := self.stream.read(_BLOCK):
            digest.update(block)
            done += len(block)
            tell(done)
        if done == self.content.size and digest.hexdigest() == self.content.checksum:
            return
        self.start_again()
        raise DownloadError(
            f"What was downloaded of {self.final.name} is not what the hub promised:"
            " the checksum is wrong. It was thrown away.",
            "Pull it again. If that happens once more, the server or the connection alters files.",
        )

    def finish(self, source: Source) -> Path:
        """Give the checked content its name."""
        with _disk(self.final, 0):
            os.fsync(self.stream.fileno())
            record = self.final.with_name(self.final.name + ".source.json")
            record.write_bytes(msgspec.json.format(msgspec.json.encode(source)))
            if sys.platform == "win32":
                # An open file cannot be renamed there; the lock goes a moment earlier.
                self.stream.close()
            self.path.replace(self.final)
            _state_path(self.final).unlink(missing_ok=True)
        return self.final


@contextlib.contextmanager
def opened(final: Path, content: Content) -> Iterator[Partial]:
    """The download of some content to a place, with what is there of it already.

    Bytes of other content are thrown away. Raises DownloadError if another program has it open, or
    the folder cannot be written to.
    """
    with _disk(final, content.size):
        final.parent.mkdir(parents=True, exist_ok=True)
        stream = _open_locked(partial_path(final))
    with stream:
        partial = Partial(final, stream, content)
        if _state_of(final) != content or partial.size > content.size:
            partial.start_again()
            with _disk(final, content.size):
                _state_path(final).write_bytes(msgspec.json.encode(content))
        stream.seek(0, os.SEEK_END)
        yield partial


def progress_of(final: Path) -> float | None:
    """The share (0 to 1) of a download that was begun and not finished; None if there is none."""
    content = _state_of(final)
    with contextlib.suppress(OSError):
        size = partial_path(final).stat().st_size
        if content is not None and content.size > 0:
            return min(1.0, size / content.size)
    return None


def source_of_file(final: Path) -> Source | None:
    """Where a finished model came from, if oa-chat downloaded it."""
    record = final.with_name(final.name + ".source.json")
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(record.read_bytes(), type=Source)
    return None


def belongings(final: Path) -> list[Path]:
    """Everything that lies beside a model because of it, whether or not it exists."""
    record = final.with_name(final.name + ".source.json")
    return [partial_path(final), _state_path(final), record]


def _state_path(final: Path) -> Path:
    return final.with_name(final.name + ".part.json")


def _state_of(final: Path) -> Content | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(_state_path(final).read_bytes(), type=Content)
    return None


def _digest_of(content: Content) -> hashlib._Hash:
    if len(content.checksum) == _SHA256:
        return hashlib.sha256()
    # Git's: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % content.size)
    return digest


def is_checksum(text: str) -> bool:
    """Whether a text is a checksum of one of the hub's kinds, in lower case."""
    return len(text) in (_SHA256, _SHA1) and set(text) <= set("0123456789abcdef")


@contextlib.contextmanager
def _disk(final: Path, missing: int) -> Iterator[None]:
    """What the system says about the disk, in words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _full(final, max(0, missing), shutil.disk_usage(final.parent).free) from error
        raise DownloadError(
            f"The folder of models cannot be written to: {error}.",
            "Change its rights, or name another folder in OA_CHAT_MODELS_DIR.",
        ) from error


def _full(final: Path, missing: int, free: int) -> DownloadError:
    return DownloadError(
        f"There is not enough room for {final.name}: it needs {gigabytes(missing)} more,"
        f" and {gigabytes(free)} are free in {final.parent}.",
        "Make room, or name another folder in OA_CHAT_MODELS_DIR. What is there is kept.",
    )


def gigabytes(size: int) -> str:
    """Bytes as the hub writes them: powers of ten, "640 MB", "2.5 GB"."""
    if size >= 10**9:
        return f"{size / 10**9:.1f} GB"
    return f"{size / 10**6:.0f} MB" if size >= 10**6 else f"{-(-size // 1000)} kB"


def _open_locked(path: Path) -> IO[bytes]:
    stream = path.open("a+b", buffering=0)
    if not try_lock(stream):
        stream.close()
        raise DownloadError(
            f"{path.name.removesuffix('.part')} is being downloaded by another oa-chat.",
            "Wait for it, or stop it; what is there is kept.",
        )
    return stream
