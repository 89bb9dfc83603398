"""The backend for Together AI."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

from ftkit.backends.answer import Answerer
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.retry import Patience
from ftkit.backends.hosted.weight_download import inside
from ftkit.backends.openai_jobs.answerer import OpenAIAnswerer
from ftkit.backends.together.host import TogetherHost
from ftkit.backends.together.recipe_fields import TREATMENTS, parameters
from ftkit.catalog import load_catalog
from ftkit.errors import HostError
from ftkit.extras import require
from ftkit.recipe import Recipe
from ftkit.schema import Output
from ftkit.store import RunRecord

__all__ = ["Together"]

_ENDPOINT = Endpoint("together", "https://api.together.ai/v1", "TOGETHER_BASE_URL", ("TOGETHER_API_KEY",))


class Together(HostedBackend[TogetherHost]):
    """Trains at Together AI. A tuned model answers from a dedicated endpoint, or here after
    ``run.download(folder)``.

    Args:
        model: e.g. ``"Qwen/Qwen3.5-9B"``.
        api_key: ``TOGETHER_API_KEY`` by default; kept in memory only.
        base_url: ``TOGETHER_BASE_URL`` by default, else ``https://api.together.ai/v1``.
        concurrency: questions asked at once.
        patience: how failing calls are tried again.
    """

    estimates = ("sft", "dpo")

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

    def url(self) -> str:
        # The official client's variable has no version in it, this backend's default has.
        url = super().url()
        return url if url.endswith("/v1") else f"{url}/v1"

    def beyond(self, recipe: Recipe) -> dict[str, str]:
        known = load_catalog().model(*self.listed())
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

    def fetch_weights(self, record: RunRecord, folder: Path) -> None:
        zstandard = require("zstandard", extra="openai", needed_for="unpacking weights")
        packed = folder / "weights.tar.zst"
        which = "model_output_path" if record.recipe["adapter"]["kind"] == "full" else "adapter"
        self.patience(lambda: self.host().download(record.handle["job"], packed, which))
        try:
            with (
                packed.open("rb") as file,
                zstandard.ZstdDecompressor().stream_reader(file) as stream,
                tarfile.open(fileobj=stream, mode="r|") as archive,
            ):
                _unpack(archive, folder)
        except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
            raise HostError(f"together: the weights came damaged ({error}); fetch them again") from None
        packed.unlink()


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the archive's plain files into ``folder``, and nothing outside it. (``extractall(filter="data")`` would do
    it, but Python 3.11 has that from 3.11.4 on only.)"""
    for member in archive:
        target = inside(folder, member.name) if member.isfile() else None
        content = None if target is None else archive.extractfile(member)
        if target is not None and content is not None:
            with target.open("wb") as file:
                shutil.copyfileobj(content, file)
