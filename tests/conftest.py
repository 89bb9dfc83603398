"""Every test has a home of its own; models are made once a session and never fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from ftkit.files import home
from tests.tiny import save_tiny, smollm_tokenizer

# A slow machine is no fault of an example.
settings.register_profile("ftkit", deadline=None)
settings.load_profile("ftkit")

# Looked at before any test moves the home: the embedded model may have been expanded there already.
_OUTER_MODELS = home() / "models"


@pytest.fixture(scope="session")
def shared_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of expanded models: that of the home outside when the embedded one is there, else one for this session."""
    if (_OUTER_MODELS / "smollm2-135m-instruct" / "config.json").is_file():
        return _OUTER_MODELS
    base = tmp_path_factory.getbasetemp()
    # Workers of pytest-xdist have folders of their own inside the session's.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def ftkit_home(tmp_path: Path, shared_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, but for the models."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "models").symlink_to(shared_models)
    monkeypatch.setenv("FTKIT_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def tokenizer(shared_models: Path) -> Any:
    """SmolLM2's tokenizer, 49,152 tokens. Shared: never change it, take ``copy.deepcopy``."""
    return smollm_tokenizer(shared_models)


@pytest.fixture(scope="session")
def tiny_model(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a random Llama of two layers with SmolLM2's tokenizer. Shared: never change it."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-llama", "llama", tokenizer)
