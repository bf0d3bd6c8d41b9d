"""Downloads against a hub on loopback: whole and checked, or nothing under the final name."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

import oa_chat
from oa_chat.catalog import partial_path
from oa_chat.downloads.fetching import Order, Patience, Progress, download, download_async
from oa_chat.downloads.partial import Content, opened, progress_of, source_of_file
from oa_chat.downloads.removing import remove
from oa_chat.errors import DownloadError, DownloadStopped, UsageError
from oa_chat.hub_names import HubFile, parse
from tests.hub_server import COMMIT, HubServer, Served, running

NAME = "someone/Tiny-GGUF/tiny.gguf"
FILE = HubFile("someone/Tiny-GGUF", "tiny.gguf")
CONTENT = b"GGUF" + bytes(range(256)) * 4096
"""One MiB and a bit: several pieces."""
QUICK = Order(patience=Patience(tries=3, wait=0.01))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        server.files[NAME] = Served(CONTENT)
        yield server


def left(folder: Path) -> set[str]:
    """The names of all files below a folder."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


def fails(folder: Path, order: Order = QUICK, file: HubFile = FILE) -> DownloadError:
    """A download that does not succeed, and leaves no file under the final name."""
    with pytest.raises(DownloadError) as failed:
        download(file, folder, order)
    assert not file.below(folder).exists()
    return failed.value


def test_a_file_arrives_whole_and_says_where_it_came_from(hub: HubServer, tmp_path: Path) -> None:
    heard: list[Progress] = []
    path = download(FILE, tmp_path, replace(QUICK, tell=heard.append))
    assert path == tmp_path / "someone" / "Tiny-GGUF" / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert left(tmp_path) == {"tiny.gguf", "tiny.gguf.source.json"}
    source = source_of_file(path)
    assert source is not None
    assert (source.repo, source.file, source.commit) == (FILE.repo, FILE.file, COMMIT)
    assert source.content.checksum == hashlib.sha256(CONTENT).hexdigest()
    phases = [progress.phase for progress in heard]
    assert list(dict.fromkeys(phases)) == ["asking", "downloading", "checking", "done"]
    assert {progress.total for progress in heard if progress.phase != "asking"} == {len(CONTENT)}
    done = [progress.done for progress in heard if progress.phase == "downloading"]
    assert done == sorted(done)
    assert done[-1] == len(CONTENT)


def test_what_is_there_is_not_asked_for(hub: HubServer, tmp_path: Path) -> None:
    first = download(FILE, tmp_path, QUICK)
    asked = len(hub.requests)
    assert download(FILE, tmp_path, replace(QUICK, offline=True)) == first
    assert len(hub.requests) == asked
    hub.files[NAME] = Served(CONTENT + b"newer")
    assert download(FILE, tmp_path, replace(QUICK, again=True)).read_bytes().endswith(b"newer")


def test_a_small_file_is_checked_by_gits_own_checksum(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME] = Served(b"GGUF small", small=True)
    assert download(FILE, tmp_path, QUICK).read_bytes() == b"GGUF small"
    hub.files[NAME] = Served(b"GGUF small", small=True, sent=b"GGUF smell")
    shutil.rmtree(tmp_path / "someone")
    assert "checksum is wrong" in fails(tmp_path).message


def test_the_token_stays_with_the_hub(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    download(FILE, tmp_path, QUICK)
    said = {
        (request.cdn, request.authorization)
        for request in hub.requests
        if COMMIT in request.path or request.cdn
    }
    assert said == {(False, "Bearer hf_secret"), (True, "")}


def test_broken_connections_are_gone_on_with(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME] = Served(CONTENT, breaks=[300_000, 0, 200_000])
    heard: list[Progress] = []
    path = download(FILE, tmp_path, replace(QUICK, tell=heard.append))
    assert path.read_bytes() == CONTENT
    assert sum(progress.phase == "waiting" for progress in heard) >= 3
    starts = [int(get.range.removeprefix("bytes=").removesuffix("-") or 0) for get in hub.gets()]
    assert starts[0] == 0
    assert 0 < starts[1] <= 300_000
    assert hub.bytes_sent < len(CONTENT) + 4 * 2**16


def test_a_connection_that_always_breaks_is_an_error_and_keeps_what_came(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.files[NAME] = Served(CONTENT, breaks=[400_000, *[0] * 20])
    error = fails(tmp_path)
    assert "did not come to its end" in error.message
    assert "goes on where it stopped" in error.hint
    kept = partial_path(FILE.below(tmp_path)).stat().st_size
    assert 0 < kept <= 400_000
    share = progress_of(FILE.below(tmp_path))
    assert share == pytest.approx(kept / len(CONTENT))
    hub.files[NAME].breaks.clear()
    hub.bytes_sent = 0
    assert download(FILE, tmp_path, QUICK).read_bytes() == CONTENT
    assert hub.bytes_sent == len(CONTENT) - kept


def test_an_end_without_a_length_is_no_end(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME] = Served(CONTENT, chunked=True, breaks=[100_000])
    assert download(FILE, tmp_path, QUICK).read_bytes() == CONTENT


def test_a_server_without_ranges_begins_again(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME] = Served(CONTENT, ranges=False, breaks=[300_000])
    assert download(FILE, tmp_path, QUICK).read_bytes() == CONTENT


def test_the_beginning_of_another_content_is_not_gone_on_with(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.files[NAME] = Served(b"GGUF" + bytes(len(CONTENT)), breaks=[300_000, *[0] * 20])
    fails(tmp_path)
    hub.files[NAME] = Served(CONTENT)
    assert download(FILE, tmp_path, QUICK).read_bytes() == CONTENT


def test_a_wrong_checksum_is_thrown_away(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME] = Served(CONTENT, sent=CONTENT[:-1] + b"x")
    error = fails(tmp_path)
    assert "checksum is wrong" in error.message
    assert partial_path(FILE.below(tmp_path)).stat().st_size == 0
    hub.files[NAME].sent = None
    assert download(FILE, tmp_path, QUICK).read_bytes() == CONTENT


def test_damage_of_what_is_there_shows_at_the_end(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME] = Served(CONTENT, breaks=[300_000, *[0] * 20])
    fails(tmp_path)
    part = partial_path(FILE.below(tmp_path))
    part.write_bytes(b"X" + part.read_bytes()[1:])
    hub.files[NAME].breaks.clear()
    assert "checksum is wrong" in fails(tmp_path).message


@pytest.mark.parametrize("said", [len(CONTENT) + 1000, len(CONTENT) - 1000, 10])
def test_a_hub_that_lies_about_the_size(hub: HubServer, tmp_path: Path, said: int) -> None:
    hub.files[NAME] = Served(CONTENT, size=said)
    error = fails(tmp_path)
    assert f"{said:,} bytes" in error.message
    hub.files[NAME] = Served(CONTENT, size=said, chunked=True)
    error = fails(tmp_path)
    assert f"{said:,} bytes" in error.message or "did not come to its end" in error.message


@pytest.mark.parametrize("checksum", ["", "no checksum", "W/abcdef"])
def test_what_cannot_be_checked_is_refused(hub: HubServer, tmp_path: Path, checksum: str) -> None:
    hub.files[NAME] = Served(CONTENT, checksum=checksum)
    assert "size and checksum" in fails(tmp_path).message
    assert left(tmp_path) == set()


def test_another_file_than_the_catalogue_means(hub: HubServer, tmp_path: Path) -> None:
    error = fails(tmp_path, file=replace(FILE, sha256="0" * 64))
    assert "another file" in error.message
    assert "pull hf:someone/Tiny-GGUF/tiny.gguf" in error.hint
    assert not hub.gets()


@pytest.mark.parametrize(
    ("file", "message", "hint"),
    [
        (HubFile("someone/Tiny-GGUF", "other.gguf"), "has no file other.gguf", "/tree/main"),
        (HubFile("nobody/Nothing", "x.gguf"), "no repository nobody/Nothing", "hf auth login"),
        (replace(FILE, revision="old"), "has no revision old", "/commits/main"),
    ],
)
def test_what_is_not_there(
    hub: HubServer, tmp_path: Path, file: HubFile, message: str, hint: str
) -> None:
    error = fails(tmp_path, file=file)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        (401, "GatedRepo", "accept their terms", "/someone/Tiny-GGUF in a browser. Log in"),
        (403, "GatedRepo", "accept their terms", "HF_TOKEN"),
        (401, "", "it is private", "hf auth login"),
        (403, "", "does not let you", "token needs the right"),
        (451, "", "error 451", "later"),
    ],
)
def test_who_is_not_let_in(
    hub: HubServer, tmp_path: Path, status: int, code: str, message: str, hint: str
) -> None:
    hub.files[NAME].error = (status, {"X-Error-Code": code} if code else {})
    error = fails(tmp_path)
    assert message in error.message
    assert hint in error.hint


def test_a_busy_hub_is_asked_again(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME].statuses = [(503, {}), (429, {"Retry-After": "0"}), (500, {})]
    heard: list[Progress] = []
    path = download(FILE, tmp_path, replace(QUICK, tell=heard.append))
    assert path.read_bytes() == CONTENT
    assert "too many requests" in " ".join(progress.note for progress in heard)


def test_a_hub_that_wants_a_long_rest(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME].statuses = [(429, {"RateLimit": '"resolvers";r=0;t=290'})]
    error = fails(tmp_path)
    assert "too many requests" in error.message
    assert "290 seconds" in error.hint


def test_an_answer_without_the_range(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME] = Served(CONTENT, breaks=[300_000, *[0] * 20])
    fails(tmp_path)
    hub.files[NAME] = Served(CONTENT, statuses=[(416, {"Content-Range": "bytes */1"})])
    assert download(FILE, tmp_path, QUICK).read_bytes() == CONTENT


def test_a_server_that_falls_silent(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.files[NAME] = Served(CONTENT, stalls=[1.0])
    assert download(FILE, tmp_path, QUICK).read_bytes() == CONTENT
    assert len(hub.gets()) == 2


def test_a_repository_that_has_another_name_now(hub: HubServer, tmp_path: Path) -> None:
    hub.moved["old/Tiny-GGUF"] = FILE.repo
    path = download(HubFile("old/Tiny-GGUF", "tiny.gguf"), tmp_path, QUICK)
    assert path.read_bytes() == CONTENT


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = fails(tmp_path)
    assert "http://127.0.0.1:9 cannot be reached" in error.message
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    assert "HF_ENDPOINT is no web address" in fails(tmp_path).message


def test_offline_asks_nobody(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "models.offline" in fails(tmp_path, replace(QUICK, offline=True)).message
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in fails(tmp_path).message
    assert hub.requests == []


def test_the_room_is_looked_at_first(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=70 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    hub.files[NAME].size = 80 * 2**20
    error = fails(tmp_path)
    assert "not enough room for tiny.gguf: it needs 84 MB" in error.message
    assert "OA_CHAT_MODELS_DIR" in error.hint
    assert not hub.gets()


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path / "m.gguf", Content(10, "0" * 64)) as partial:
        object.__setattr__(partial, "stream", _Wrapped(partial.stream, Full()))
        with pytest.raises(DownloadError, match="not enough room"):
            partial.write(b"x")


class _Wrapped:
    def __init__(self, stream: object, full: object) -> None:
        self._stream, self.write = stream, full.write  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def test_a_folder_that_is_none(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "someone").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="cannot be written to"):
        download(FILE, tmp_path, QUICK)


def test_it_can_be_stopped_and_gone_on_with(hub: HubServer, tmp_path: Path) -> None:
    cancel = threading.Event()

    def stop_in_the_middle(progress: Progress) -> None:
        if progress.done > 200_000:
            cancel.set()

    order = replace(QUICK, tell=stop_in_the_middle, cancel=cancel)
    assert isinstance(fails(tmp_path, order), DownloadStopped)
    kept = partial_path(FILE.below(tmp_path)).stat().st_size
    assert 200_000 < kept < len(CONTENT)
    hub.bytes_sent = 0
    assert download(FILE, tmp_path, QUICK).read_bytes() == CONTENT
    assert hub.bytes_sent == len(CONTENT) - kept


async def test_a_cancelled_task_has_stopped_when_it_is_over(hub: HubServer, tmp_path: Path) -> None:
    hub.files[NAME].pause = 0.02
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell(progress: Progress) -> None:
        if progress.done > 100_000:
            loop.call_soon_threadsafe(started.set)

    task = asyncio.create_task(download_async(FILE, tmp_path, replace(QUICK, tell=tell)))
    await asyncio.wait_for(started.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = partial_path(FILE.below(tmp_path)).stat().st_size
    await asyncio.sleep(0.1)
    assert partial_path(FILE.below(tmp_path)).stat().st_size == kept
    hub.files[NAME].pause = 0
    assert (await download_async(FILE, tmp_path, QUICK)).read_bytes() == CONTENT


def test_two_at_once_do_not_mix(hub: HubServer, tmp_path: Path) -> None:
    content = Content(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    with opened(FILE.below(tmp_path), content):
        assert "by another oa-chat" in fails(tmp_path).message
    assert download(FILE, tmp_path, QUICK).read_bytes() == CONTENT


def test_a_model_in_parts(hub: HubServer, tmp_path: Path) -> None:
    for number in range(1, 4):
        hub.files[f"someone/Big-GGUF/q8/big-{number:05d}-of-00003.gguf"] = Served(
            b"GGUF" + bytes([number]) * 1000
        )
    heard: list[Progress] = []
    first = parse("hf:someone/Big-GGUF/q8/big-00001-of-00003.gguf")
    path = download(first, tmp_path, replace(QUICK, tell=heard.append))
    assert path.name == "big-00001-of-00003.gguf"
    assert [file.read_bytes()[-1] for file in sorted(path.parent.glob("*.gguf"))] == [1, 2, 3]
    assert heard[-1] == Progress("done", 3012, 3012)
    with pytest.raises(UsageError, match="part of a model in 3 files"):
        download(parse("hf:someone/Big-GGUF/q8/big-00002-of-00003.gguf"), tmp_path, QUICK)
    assert remove(path, tmp_path) > 3012
    assert list(tmp_path.iterdir()) == []


def test_only_our_own_models_are_removed(tmp_path: Path) -> None:
    outside = tmp_path / "theirs.gguf"
    outside.write_bytes(b"GGUF")
    folder = tmp_path / "models"
    folder.mkdir()
    with pytest.raises(UsageError, match="was not downloaded by oa-chat"):
        remove(outside, folder)
    assert outside.exists()


@pytest.mark.parametrize(
    "name",
    [
        "hf:../../etc/passwd.gguf",
        "hf:owner/../x.gguf",
        "hf:owner/repo/../../../x.gguf",
        "hf:owner/repo/a/../../x.gguf",
        "hf:owner/repo//x.gguf",
        "hf:owner/repo/a\\..\\x.gguf",
        "hf:owner/repo/C:x.gguf",
        "hf:owner/repo/\x1b[31m.gguf",
        "hf:owner/repo/x\n.gguf",
        "hf:owner/nul/x.gguf",
        "hf:owner/repo/con.gguf",
        "hf:owner/repo/x.gguf@../main",
        "hf:owner/repo/x.txt",
        "hf:owner/repo/.gguf",
        "hf:owner/repo",
        "hf:owner",
        "hf:",
        "https://example.com/owner/repo/tree/main/x.gguf",
    ],
)
def test_names_that_are_no_names(name: str) -> None:
    with pytest.raises(UsageError):
        parse(name)


@given(st.text(max_size=80))
def test_no_name_leads_out_of_the_folder(text: str) -> None:
    folder = Path("models").resolve()
    try:
        file = parse(f"hf:{text}")
    except UsageError:
        return
    below = Path(file.below(folder)).resolve()
    assert below.is_relative_to(folder)
    assert len(below.relative_to(folder).parts) >= 3


def test_names_and_addresses() -> None:
    assert parse("hf:owner/repo/q8/x.gguf") == HubFile("owner/repo", "q8/x.gguf")
    assert parse("hf:owner/repo/x.gguf@v1") == HubFile("owner/repo", "x.gguf", "v1")
    address = "https://huggingface.co/owner/repo/blob/main/q8/x%20y.gguf?download=true"
    assert parse(address).name == "hf:owner/repo/q8/x y.gguf"


def test_one_module_alone_imports_the_hubs_package() -> None:
    package = Path(oa_chat.__file__).parent
    importing = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"^\s*(?:import|from) huggingface_hub", path.read_text("utf-8"), re.MULTILINE)
    }
    assert importing == {"downloads/hub.py"}


def test_the_package_is_loaded_when_it_is_used() -> None:
    code = "import sys, oa_chat.downloads.fetching, oa_chat.commands.models, oa_chat.model_list;"
    code += "sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
