"""Output that survives being killed at any point: records and cursor become durable together.

    OUT.part         the records so far, JSON Lines; locked while a process works on it
    OUT.state.json   the job, and how many bytes of OUT.part belong to the cursor it holds

The state is replaced atomically after the records are on the disk; whatever a killed run left
behind the state's length is cut off. This module knows no source and no filter.
"""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from converters.errors import DataError
from converters.locking import locked
from converters.provenance import replacing
from converters.scrape.formats import Format, write_as
from converters.scrape.posts import Post, line_of
from oa_chat.errors import UsageError

__all__ = ["Format", "Spool"]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _State(msgspec.Struct, kw_only=True):
    job: dict[str, Any]
    done: bool = False
    count: int = 0
    bytes: int = 0
    cursor: dict[str, Any] = {}
    problems: list[str] = []


class _Id(msgspec.Struct):
    id: str


class Spool:
    """Collects the records of one job; see the module for how."""

    def __init__(self, out: Path, job: Mapping[str, Any], format: Format) -> None:
        """Resume the job whose work files lie beside `out`, or begin it.

        `job` says what is collected, in JSON's types. Raises UsageError if `out` belongs to
        another job, to nobody known, or is being written by another process.
        """
        self.out = out
        self._part = out.with_name(out.name + ".part")
        self._file_of_state = out.with_name(out.name + ".state.json")
        self._format = format
        with self._told("created"):
            out.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._own_part()
        try:
            self._state = self._state_of(dict(job) | {"format": format})
            self._seen: set[str] = set()
            self._take_up()
        except BaseException:
            self.close()
            raise

    @property
    def cursor(self) -> dict[str, Any]:
        """As of the last append; {} at the start, and once the job is done."""
        return self._state.cursor

    @property
    def count(self) -> int:
        """Records so far."""
        return self._state.count

    @property
    def done(self) -> bool:
        """Whether the job was finished before."""
        return self._state.done

    @property
    def problems(self) -> list[str]:
        """What the run that finished the job had to say against its completeness."""
        return self._state.problems

    def __contains__(self, id: object) -> bool:
        """Whether a record with this id is there."""
        return id in self._seen

    def append(self, posts: Sequence[Post], cursor: Mapping[str, Any]) -> None:
        """Add a page of records, and the place to go on from: both or neither.

        Records whose id was there before are left out. Raises DataError where the disk is full;
        what was appended before stays, and the same command goes on from there.
        """
        new: dict[str, bytes] = {}
        for post in posts:
            if post.id not in self._seen and post.id not in new:
                new[post.id] = line_of(post)
        state = msgspec.structs.replace(
            self._state,
            count=self._state.count + len(new),
            bytes=self._state.bytes + sum(map(len, new.values())),
            cursor=dict(cursor),
        )
        with self._told("written"):
            self._write(b"".join(new.values()))
            self._keep(state)
        self._seen.update(new)

    def finish(self, problems: Sequence[str] = ()) -> Path:
        """Write the final file in its format, leave only the state beside it; its path.

        `problems`, lines for people, are kept for runs that find the job done. The cursor is not
        kept: a salt may be in it.
        """
        if not self.done:
            with self._told("written"):
                with replacing(self.out) as path, self._part.open("rb") as stream:
                    write_as(stream, path, self._format)
                self._keep(
                    msgspec.structs.replace(
                        self._state, done=True, bytes=0, cursor={}, problems=list(problems)
                    )
                )
        self.close()
        self._part.unlink(missing_ok=True)
        return self.out

    def close(self) -> None:
        """Let go of the files; what was appended stays for the next run."""
        with suppress(OSError, ValueError):  # closed before, or nobody's any more
            mine = os.fstat(self._stream.fileno())
            if not mine.st_size and os.path.samestat(mine, self._part.stat()):
                self._part.unlink()  # a run that got nothing leaves nothing
        self._stream.close()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _own_part(self) -> IO[bytes]:
        """The work file, opened and locked."""
        while True:
            # Not buffered: what a full disk refuses must not come up again when it is closed.
            stream = os.fdopen(os.open(self._part, os.O_RDWR | os.O_CREAT, 0o666), "r+b", 0)
            if not locked(stream):
                stream.close()
                raise UsageError(
                    f"Another process is writing {self.out}.", "Wait for it, or end it."
                )
            with suppress(FileNotFoundError):  # whoever held it may have finished, and removed it
                if os.path.samestat(self._part.stat(), os.fstat(stream.fileno())):
                    return stream
            stream.close()

    def _state_of(self, job: dict[str, Any]) -> _State:
        """What the last run left, if it was the same job; else a new state."""
        job = msgspec.json.decode(msgspec.json.encode(job))
        try:
            state = msgspec.json.decode(self._file_of_state.read_bytes(), type=_State)
        except FileNotFoundError:
            if self.out.exists():
                self._drop_empty_part()
                raise UsageError(
                    f"{self.out} exists already, and no run of this command left it.",
                    "Choose another --out, or move the file away.",
                ) from None
            return _State(job=job)
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(
                f"{self._file_of_state} cannot be read: {error}.",
                f"Remove it and {self._part} to begin again.",
            ) from error
        if state.job != job:
            self._drop_empty_part()
            raise UsageError(
                f"{self.out} belongs to another job: {_difference(state.job, job)}.",
                f"Choose another --out, or remove {self._file_of_state} and {self.out}.",
            )
        return state if self.out.exists() or not state.done else _State(job=job)

    def _drop_empty_part(self) -> None:
        if not self._part.stat().st_size:
            self._part.unlink()

    def _take_up(self) -> None:
        """Bring the work file to the state: cut what came after it, learn the ids before it."""
        for name in (self.out.name, self._file_of_state.name):
            for left in self.out.parent.glob(f".{glob.escape(name)}.*.part"):
                left.unlink(missing_ok=True)
        if self.done:
            self._part.unlink(missing_ok=True)
            return
        if self._part.stat().st_size < self._state.bytes:
            raise DataError(
                f"{self._part} is shorter than its {self._state.bytes} bytes: it was changed.",
                f"Remove it and {self._file_of_state} to begin again.",
            )
        with self._told("written"):
            self._stream.truncate(self._state.bytes)
        decoder = msgspec.json.Decoder(_Id)
        with self._part.open("rb") as lines:
            self._seen = {decoder.decode(line).id for line in lines}

    def _write(self, data: bytes) -> None:
        self._stream.seek(self._state.bytes)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._stream.write(rest) :]
            os.fsync(self._stream.fileno())
        except OSError:
            with suppress(OSError):  # gives the room back; the next run cuts it anyway
                os.ftruncate(self._stream.fileno(), self._state.bytes)
            raise

    def _keep(self, state: _State) -> None:
        with replacing(self._file_of_state) as path:
            if state.cursor:  # there may be a salt in it
                path.touch(0o600)
            path.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n")
        if os.name == "posix":  # the renaming itself is durable once the folder is
            folder = os.open(self.out.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._state = state

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Refusals of the system, as errors for people."""
        try:
            yield
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise DataError(
                    f"There is no room left to write {self.out}: {error.strerror}.",
                    "Make room, and run the same command again: it goes on where it stopped.",
                ) from error
            raise DataError(f"{self.out} cannot be {what}: {error.strerror or error}.") from error


def _difference(was: dict[str, Any], now: dict[str, Any]) -> str:
    for key in sorted({*was, *now}):
        before, after = was.get(key), now.get(key)
        if isinstance(before, dict) and isinstance(after, dict) and before != after:
            return _difference(before, after)
        if before != after:
            return f"{key} was {_short(before)} and is now {_short(after)}"
    return "it differs"


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
