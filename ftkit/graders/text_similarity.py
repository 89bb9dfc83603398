"""Grade by the similarity of two texts, each measure by the library that defines it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

from pydantic import field_validator
from typing_extensions import override

from ftkit.extras import check_installed, require
from ftkit.graders.base import Grader, GraderContext, Pair, finite, unmet
from ftkit.graders.embedding_similarity import cosines
from ftkit.graders.grade import Grade, GradingError
from ftkit.graders.template import Template
from ftkit.graders.text_measures import measure_texts

__all__ = ["SimilarityMetric", "TextSimilarityGrader"]

SimilarityMetric = Literal[
    "fuzzy_match",
    "bleu",
    "gleu",
    "meteor",
    "rouge_1",
    "rouge_2",
    "rouge_3",
    "rouge_4",
    "rouge_5",
    "rouge_l",
    "cosine",
]
"""
- ``fuzzy_match``: rapidfuzz's ``WRatio``, over 100. OpenAI names the library and not the function.
- ``bleu``: sacrebleu's ``sentence_bleu``, over 100.
- ``gleu``: nltk's ``sentence_gleu`` (Wu et al. 2016, arXiv 1609.08144) on sacrebleu's 13a tokens.
- ``meteor``: nltk's ``single_meteor_score`` on the same tokens; it reads WordNet, which nltk's downloader fetches.
- ``rouge_1`` … ``rouge_5``, ``rouge_l``: the F measure of rouge-score, without stemming.
- ``cosine``: cosine similarity of embeddings, by the setting's embedder. OpenAI uses ``text-embedding-3-large``, and
  takes ``cosine`` in Evals but not in fine-tuning jobs.
"""

_WORDNET = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/wordnet.zip"
"""Where nltk's downloader gets WordNet (https://www.nltk.org/nltk_data/)."""

_MODULES: dict[str, tuple[str, ...]] = {
    "fuzzy_match": ("rapidfuzz",),
    "bleu": ("sacrebleu",),
    "gleu": ("nltk", "sacrebleu"),
    "meteor": ("nltk", "sacrebleu"),
    "rouge_l": ("rouge_score", "rapidfuzz"),
    "cosine": (),
}


class TextSimilarityGrader(Grader):
    """Grade from 0 to 1 by how similar ``input`` and ``reference`` are.

    Source: https://platform.openai.com/docs/guides/graders#text-similarity-graders
    """

    type: Literal["text_similarity"] = "text_similarity"
    name: str = "text_similarity"
    input: str = "{{sample.output_text}}"
    """Template of the text to grade."""
    reference: str
    """Template of the text to compare with."""
    evaluation_metric: SimilarityMetric = "fuzzy_match"
    """The measure, see :data:`SimilarityMetric`."""

    @field_validator("input", "reference")
    @classmethod
    def _is_template(cls, source: str) -> str:
        Template.of(source)
        return source

    @property
    @override
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    @override
    def reads(self) -> frozenset[str]:
        return Template.of(self.input).columns | Template.of(self.reference).columns

    @override
    def check(self, setting: GraderContext) -> None:
        metric = self.evaluation_metric
        for module in _MODULES.get(metric, ("rouge_score",)):
            check_installed(module, extra="graders", needed_for=f"The metric {metric}")
        if metric == "meteor" and not _has_wordnet():
            raise unmet(
                self,
                "meteor reads WordNet, which is missing or incomplete on this machine; download it once with: "
                f"python -m nltk.downloader wordnet. Without a network, put {_WORDNET} unpacked or as it is into a "
                "folder named corpora, and set the environment variable NLTK_DATA to the folder above it",
            )
        if metric == "cosine" and setting.embed is None:
            raise unmet(
                self,
                "cosine compares embeddings, but no embedder is set; set one beside the grader: "
                'embedder="openai:text-embedding-3-large", which is what OpenAI uses, or "local:NAME"; on the command '
                "line, --embedder",
            )

    @override
    def grade_many(self, pairs: Sequence[Pair], setting: GraderContext) -> list[Grade]:
        self.check(setting)
        grades: dict[int, Grade] = {}
        texts: dict[int, tuple[str, str]] = {}
        templates = Template.of(self.input), Template.of(self.reference)
        for at, (item, sample) in enumerate(pairs):
            try:
                text, wanted = (one.render(item, sample) for one in templates)
                texts[at] = text, wanted
            except GradingError as error:
                grades[at] = error.grade
        grades |= zip(texts, self._similarities(list(texts.values()), setting), strict=True)
        return [grades[at] for at in range(len(pairs))]

    def _similarities(self, texts: Sequence[tuple[str, str]], setting: GraderContext) -> list[Grade]:
        """Grade each text against its reference."""
        if self.evaluation_metric == "cosine" and setting.embed is not None:
            found: Sequence[float | GradingError] = cosines(texts, setting.embed)
        else:
            found = (setting.measure or measure_texts)(self.evaluation_metric, texts)
        return [one.grade if isinstance(one, GradingError) else Grade(min(1.0, max(0.0, finite(one)))) for one in found]


@cache
def _has_wordnet() -> bool:
    corpus = require("nltk.corpus", extra="graders", needed_for="The metric meteor").wordnet
    try:
        corpus.ensure_loaded()
    except (LookupError, OSError):  # no folder of it, or one that lacks files
        return False
    return True
