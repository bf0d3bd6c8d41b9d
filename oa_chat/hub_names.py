"""Names of files on the Hugging Face hub, and where such a file lies in a folder of models.

Repository and file names come from people, policies and lists: they are checked here, so that none
of them ever leads out of the folder. Asks no server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from oa_chat.errors import UsageError

PREFIX = "hf:"
SUFFIXES = (".gguf", ".bin")
MAIN = "main"
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_PART = re.compile(r"[A-Za-z0-9_(\[][A-Za-z0-9_()\[\]+=@, .-]{0,199}")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
"""Names that Windows takes for devices."""
_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_MOST_PARTS = 99
_FORM = "A file on the hub is named like hf:owner/repository/file.gguf."


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a model repository of the hub. Made by `parse`, or from the catalogue."""

    repo: str
    """``owner/name``."""
    file: str
    """Its path in the repository, with ``/``."""
    revision: str = MAIN
    """A branch, a tag or a commit."""
    sha256: str = ""
    """What its content must be, in hexadecimal digits; empty if only the hub knows."""

    def __post_init__(self) -> None:
        """Refuse names that are no names. Raises UsageError."""
        owner, slash, name = self.repo.partition("/")
        parts = self.file.split("/")
        sane = (
            bool(slash)
            and all(map(_is_repo_part, (owner, name)))
            and len(parts) <= 8
            and all(map(_is_file_part, parts))
            and _REVISION.fullmatch(self.revision)
            and ".." not in self.revision
        )
        if not sane:
            raise UsageError(f"This is no file of the hub: {self.name}", _FORM)
        if not self.file.lower().endswith(SUFFIXES):
            raise UsageError(
                f"This is no model file: {self.name}", f"{_FORM} Models are GGUF files."
            )

    @property
    def name(self) -> str:
        """How a person names it; the revision is left out where it is the usual one."""
        at = "" if self.revision == MAIN else f"@{self.revision}"
        return f"{PREFIX}{self.repo}/{self.file}{at}"

    @property
    def origin(self) -> tuple[str, str]:
        """Repository and file, by which copies of it are recognised."""
        return self.repo.lower(), self.file.lower()

    @property
    def last(self) -> str:
        """The file's own name, without the folders above it."""
        return self.file.rpartition("/")[2]

    def below(self, folder: Path) -> Path:
        """Where it lies in a folder of models: ``owner/name/file``."""
        return folder.joinpath(*self.repo.split("/"), *self.file.split("/"))

    def parts(self) -> list[HubFile]:
        """All the files that make up the model: most have one, large ones are split.

        Raises UsageError for a part that is not the first, or an absurd number of parts.
        """
        match = _SPLIT.fullmatch(self.last)
        if match is None or int(match["count"]) < 2:
            return [self]
        count = int(match["count"])
        above = self.file.removesuffix(self.last)
        names = [f"{above}{match['stem']}-{n:05d}-of-{count:05d}.gguf" for n in range(1, count + 1)]
        if int(match["number"]) != 1:
            raise UsageError(
                f"{self.last} is a part of a model in {count} files.",
                f"Name the first one: {replace(self, file=names[0]).name}",
            )
        if count > _MOST_PARTS:
            raise UsageError(f"{self.last} says that it has {count} parts.", "That cannot be.")
        # A checksum belongs to one file, and the catalogue has no model in several.
        return [replace(self, file=name, sha256="") for name in names]


def parse(text: str) -> HubFile:
    """The file that a person named: `hf:owner/repo/file.gguf[@revision]`, or its web address.

    Raises UsageError.
    """
    if text.startswith(("https://", "http://")):
        return _from_address(text)
    rest = text.removeprefix(PREFIX).lstrip("/")
    rest, _, revision = rest.rpartition("@") if _has_revision(rest) else (rest, "", MAIN)
    owner, _, rest = rest.partition("/")
    name, slash, file = rest.partition("/")
    if not slash and _is_repo_part(owner) and _is_repo_part(name):
        raise UsageError(
            f"{PREFIX}{owner}/{name} is a repository, not a file.",
            f"{_FORM} Look under Files of the repository for the .gguf that you want.",
        )
    return HubFile(f"{owner}/{name}", file, revision)


def _has_revision(text: str) -> bool:
    before, at, _ = text.rpartition("@")
    return bool(at) and before.lower().endswith(SUFFIXES)


def _from_address(address: str) -> HubFile:
    """Of a page or download link: ``/owner/repo/resolve/revision/file`` or ``.../blob/...``."""
    parts = unquote(urlsplit(address).path).strip("/").split("/")
    if len(parts) < 5 or parts[2] not in ("resolve", "blob"):
        raise UsageError(f"This is no address of a file on the hub: {address}", _FORM)
    return HubFile("/".join(parts[:2]), "/".join(parts[4:]), parts[3])


def _is_repo_part(text: str) -> bool:
    sane = _OWNER.fullmatch(text) and ".." not in text and "--" not in text
    return bool(sane) and not _DEVICES.fullmatch(text)


def _is_file_part(text: str) -> bool:
    sane = _PART.fullmatch(text) and not text.endswith((".", " "))
    return bool(sane) and ".." not in text and not _DEVICES.fullmatch(text)
