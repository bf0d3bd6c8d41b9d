"""The exception tree: what the program can tell a person when something is wrong.

Every error has a `message` (what happened, and where) and a `hint` (what to do next); both are
shown to the user, so they are written for people. Tracebacks appear only with ``--debug``.

    OaChatError                  exit code 1
    ├── UsageError               2   the command line asks for something that cannot be done
    ├── SettingsError            3   a settings, rules or policy file is wrong
    ├── ModelError               4   a model file cannot be used
    │   ├── ModelNotFound
    │   ├── ModelUnreadable          empty, not a GGUF, truncated, corrupt
    │   ├── WrongModelKind           a readable model in the wrong place
    │   └── DownloadError            a model could not be fetched
    │       └── DownloadStopped      because somebody said so
    ├── EngineError              5   the process that runs a model failed
    │   ├── EngineDied               crashed, was killed, or closed its pipe
    │   ├── EngineSilent             gave no sign of life within its time limit
    │   └── ContextFull              the message does not fit into the model's context
    ├── GuardError               6   the guard did not give a verdict: never a pass
    ├── StoreError               7   conversations cannot be read or written
    └── PipelineError            9   scraping to evaluating: `converters.errors`

This module does not print and does not decide what is shown where.
"""

from __future__ import annotations


class OaChatError(Exception):
    """Base of all errors that are shown to a person."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        """What happened and where: one or two plain sentences."""
        self.hint = hint
        """What to do next, or an empty string."""

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def unexpected(error: BaseException) -> OaChatError:
    """A bug, as an error that a person can be told about."""
    told = OaChatError(
        f"Something unexpected went wrong: {type(error).__name__}: {error}",
        "This is a bug. Run again with --debug.",
    )
    told.__cause__ = error
    told.exit_code = 70
    return told


class UsageError(OaChatError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class SettingsError(OaChatError):
    """A settings, rules or policy file is wrong: the message names file, line and key."""

    exit_code = 3


class ModelError(OaChatError):
    """A model file cannot be used."""

    exit_code = 4


class ModelNotFound(ModelError):
    """There is no such model file."""


class ModelUnreadable(ModelError):
    """The file is there, but it is not a whole, sane model file."""


class WrongModelKind(ModelError):
    """The file is a model, but not of the kind that is needed here."""


class DownloadError(ModelError):
    """A model could not be fetched; what was fetched of it is kept where that is of use."""


class DownloadStopped(DownloadError):
    """Somebody stopped the download; it can be gone on with."""


class EngineError(OaChatError):
    """The process that runs a model failed."""

    exit_code = 5


class EngineDied(EngineError):
    """The engine's process ended while it was needed."""


class EngineSilent(EngineError):
    """The engine gave no sign of life within its time limit and was ended."""


class ContextFull(EngineError):
    """The message does not fit into the model's context, even without older turns."""


class GuardError(OaChatError):
    """The guard did not give a verdict."""

    exit_code = 6


class StoreError(OaChatError):
    """Conversations cannot be read or written."""

    exit_code = 7
