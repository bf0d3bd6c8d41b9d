"""The pipeline's branch of the exception tree (`oa_chat.errors`).

OaChatError
└── PipelineError            exit code 9
    ├── RecipeError              a recipe is wrong: file, line, key
    ├── DataError                a file of records cannot be used: file, line or record
    ├── SourceError              Reddit, an archive or a hub refuses or cannot be reached
    ├── TrainingError            a training cannot start or go on
    └── ConversionError          a checkpoint cannot become a sound GGUF file
"""

from __future__ import annotations

from oa_chat.errors import OaChatError


class PipelineError(OaChatError):
    """A command of the pipeline cannot do its work."""

    exit_code = 9


class RecipeError(PipelineError):
    """A recipe is wrong: the message names file, line and key."""


class DataError(PipelineError):
    """A file of records cannot be used: the message names file and record."""


class SourceError(PipelineError):
    """A server that records come from refuses, or cannot be reached."""


class TrainingError(PipelineError):
    """A training cannot start or go on."""


class ConversionError(PipelineError):
    """A checkpoint cannot become a sound GGUF file."""
