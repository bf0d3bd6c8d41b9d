"""Where this program keeps its files. Makes no folder and reads nothing but the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

APP = "oa-chat"


def data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Where conversations are kept: OA_CHAT_DATA_DIR, else the platform's place for it."""
    named = environment.get("OA_CHAT_DATA_DIR")
    return Path(named) if named else platformdirs.user_data_path(APP)


def models_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Where downloaded models are kept: OA_CHAT_MODELS_DIR, else `models` in the data directory."""
    named = environment.get("OA_CHAT_MODELS_DIR")
    return Path(named).expanduser() if named else data_dir(environment) / "models"
