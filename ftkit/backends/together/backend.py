"""The backend for Together AI."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ftkit.backends.answer import Answerer
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.patience import Patience
from ftkit.backends.openai_jobs.answerer import OpenAIAnswerer
from ftkit.backends.together.fields import TREATMENTS, parameters
from ftkit.backends.together.host import TogetherHost
from ftkit.catalog import load_catalog
from ftkit.errors import RunError
from ftkit.extras import require
from ftkit.recipe import Recipe
from ftkit.schema import Output
from ftkit.store import RunRecord

__all__ = ["Together"]

_ENDPOINT = Endpoint("together", "https://api.together.ai/v1", "TOGETHER_BASE_URL", ("TOGETHER_API_KEY",))


class Together(HostedBackend[TogetherHost]):
    """Trains at Together AI. A tuned model answers from a dedicated endpoint, or here after :meth:`download`.

    Args:
        model: e.g. ``"Qwen/Qwen3.5-9B"``.
        api_key: ``TOGETHER_API_KEY`` by default; kept in memory only.
        base_url: ``TOGETHER_BASE_URL`` by default, else ``https://api.together.ai/v1``.
        concurrency: questions asked at once.
        patience: how failing calls are tried again.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        concurrency: int = 8,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(
            model,
            _ENDPOINT,
            TREATMENTS,
            base_url=base_url,
            api_key=api_key,
            concurrency=concurrency,
            patience=patience,
        )

    def beyond(self, recipe: Recipe) -> dict[str, str]:
        known = load_catalog().model(self.name, self.model)
        most, rank = None if known is None else known.max_rank, getattr(recipe.adapter, "rank", None)
        if known is None or most is None or rank is None or rank <= most:
            return {}
        return {"adapter.rank": f"the model takes adapters up to rank {most} ({known.source})"}

    def body(
        self, recipe: Recipe, rows: int, files: dict[str, str], key: str, output: Output | None = None
    ) -> dict[str, Any]:
        body = {"model": self.model, "training_file": files["training"], "suffix": key}
        if "validation" in files:
            body["validation_file"] = files["validation"]
        return body | parameters(recipe, rows, validated="validation" in files)

    def make_host(self) -> TogetherHost:
        return TogetherHost(Http(self.name, self.url(), self.key()))

    def make_answerer(self) -> Answerer:
        return OpenAIAnswerer(self.endpoint, self.url(), self.key(), self.model, self.patience, self.concurrency)

    def download(self, record: RunRecord, folder: Path, *, merged: bool = False) -> Path:
        """Fetch the weights of a succeeded run and unpack them, e.g. to serve them as ``"local:<folder>"``.

        Args:
            folder: a new or empty folder.
            merged: the whole model in the place of the adapter.

        Raises:
            RunError: the run has no job there.
            HostError: the host cannot be asked.
        """
        job = record.handle.get("job")
        if job is None:
            raise RunError(f"run {record.id} has no job at together")
        zstandard = require("zstandard", extra="openai", needed_for="unpacking weights")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as aside:
            packed = Path(aside) / "weights.tar.zst"
            self.patience(lambda: self.host().download(job, packed, merged=merged))
            with (
                packed.open("rb") as file,
                zstandard.ZstdDecompressor().stream_reader(file) as stream,
                tarfile.open(fileobj=stream, mode="r|") as archive,
            ):
                _unpack(archive, folder)
        return folder


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the archive's plain files into ``folder``, and nothing outside it. (``extractall(filter="data")`` would do
    it, but Python 3.11 has that from 3.11.4 on only.)"""
    root = folder.resolve()
    for member in archive:
        target = (root / member.name).resolve()
        if not member.isfile() or not target.is_relative_to(root):
            continue
        content = archive.extractfile(member)
        assert content is not None  # noqa: S101  (a plain file has content)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
