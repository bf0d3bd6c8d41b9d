"""`oa-chat doctor`: what is installed, what would be used, whether it works, what to do if not.

Each model is loaded for real, in its own process, and does a little work. Every problem comes with
a line that says what to do.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from oa_chat import __version__, catalog
from oa_chat.assembly import Flags, build_chat, build_guard
from oa_chat.config import Settings, config_path
from oa_chat.conversation import Message
from oa_chat.engine.command import command, environment
from oa_chat.engine.protocol import ModelInfo
from oa_chat.engine.survey import Survey
from oa_chat.errors import OaChatError
from oa_chat.guards.guard import Guard
from oa_chat.printable import printable
from oa_chat.store import Store

_SURVEY_SECONDS = 60
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
    findings = [_versions(), _packages()]
    problems: list[int] = []
    try:
        settings = flags.settings()
    except OaChatError as error:
        settings = Settings()
        problems.append(error.exit_code)
        findings.append(_problem("settings", error))
    findings += _paths(flags)
    findings += await _devices(settings)
    for part, look in (("chat", _look_at_chat), ("guard", _look_at_guard)):
        try:
            findings.append(await look(settings))
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


def _paths(flags: Flags) -> list[Finding]:
    config = flags.config or config_path()
    there = "" if config.exists() else " (not there: all defaults)"
    return [
        Finding("settings", f"{config}{there}"),
        Finding("conversations", str(flags.store_path())),
        Finding("models", str(catalog.path_of(catalog.STARTER.name).parent)),
    ]


async def _devices(settings: Settings) -> list[Finding]:
    """The devices that llama.cpp sees, and which of them would be used."""
    process = await asyncio.create_subprocess_exec(
        *command("oa_chat.engine.survey"),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _SURVEY_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return [_broken_llama_cpp("no answer")]
    try:
        survey = msgspec.json.decode(out, type=Survey)
    except msgspec.DecodeError:
        last = err.decode(errors="replace").strip().splitlines()[-1:]
        return [_broken_llama_cpp(last[0] if last else f"exit code {process.returncode}")]
    return _device_findings(survey, settings)


def _broken_llama_cpp(reason: str) -> Finding:
    return Finding(
        "llama.cpp",
        f"does not start: {reason}",
        ok=False,
        advice="Install it again: pip install --force-reinstall --no-cache-dir llama-cpp-python",
    )


def _device_findings(survey: Survey, settings: Settings) -> list[Finding]:
    gpus = [device for device in survey.devices if device.gpu]
    findings = [
        Finding(
            "llama.cpp",
            f"llama-cpp-python {survey.llama_cpp_python}, {survey.cores} cores",
            facts={"system_info": survey.system_info},
        )
    ]
    for device in survey.devices:
        memory = (
            f"{device.free_bytes // _MEBIBYTE:,} of {device.total_bytes // _MEBIBYTE:,} MiB free"
        )
        findings.append(Finding("device", f"{device.name}: {device.description}, {memory}"))
    if not gpus:
        nvidia = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()
        text = "would use the CPU: this llama.cpp sees no GPU"
        advice = (
            'There is an NVIDIA GPU. Build for it: CMAKE_ARGS="-DGGML_CUDA=on" pip install'
            " --force-reinstall --no-cache-dir llama-cpp-python"
            if nvidia
            else ""
        )
        findings.append(Finding("use", text, not nvidia, advice))
    else:
        layers = settings.chat.gpu_layers
        how = "as many layers as fit" if layers < 0 else f"{layers} layers"
        findings.append(Finding("use", f"would use {gpus[0].name} for {how}"))
    return findings


async def _look_at_chat(settings: Settings) -> Finding:
    engine = build_chat(settings)
    started = time.perf_counter()
    try:
        info = await engine.load()
        await engine.prefill([Message("user", _PROBE)])
        return _loaded("chat", catalog.path_of(settings.chat.model), info, started)
    finally:
        await engine.close()


async def _look_at_guard(settings: Settings) -> Finding:
    guard = build_guard(settings)
    if guard is None:
        advice = "Set guard.model in the settings, or use --guard, to have messages judged."
        return Finding("guard", "none: messages are not judged", ok=True, advice=advice)
    started = time.perf_counter()
    try:
        info = await guard.load()
        finding = _loaded("guard", catalog.path_of(settings.guard.model), info, started)
        return await _with_verdict(finding, guard)
    finally:
        await guard.close()


async def _with_verdict(finding: Finding, guard: Guard) -> Finding:
    verdict = await guard.check([Message("user", _PROBE)])
    if verdict.severity is None:
        return Finding(
            "guard",
            f"{finding.text}; it gave no verdict: {verdict.failure}",
            ok=False,
            advice="It is no guard of this family, or it is damaged: choose another --guard.",
        )
    said = f"{finding.text}; a greeting is {verdict.severity.words}, {verdict.latency_ms:.1f} ms"
    return Finding("guard", said, facts=finding.facts)


def _loaded(part: str, path: Path, info: ModelInfo, started: float) -> Finding:
    took = (time.perf_counter() - started) * 1000
    text = (
        f"{info.name} ({path.name}, {info.size_bytes // _MEBIBYTE} MiB) loads and answers"
        f" in {took:.0f} ms on {info.device}, {info.threads} threads, context {info.context:,}"
    )
    note = f". {info.note}" if info.note else ""
    return Finding(part, text + note, facts=msgspec.to_builtins(info) | {"path": str(path)})


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
