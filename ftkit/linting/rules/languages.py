"""C010: answers in another language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from typing_extensions import override

from ftkit.data.formats import text_content
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import VariantRule, missing_extra
from ftkit.linting.text_normalization import is_indented, words_of
from ftkit.linting.variant_counter import VariantCounter, rare_variants

_MIN_CHARACTERS = 60
_MIN_CERTAINTY = 0.9
_MAX_CLASSIFIED = 50_000


class MixedLanguages(VariantRule):
    """The answer is in another language than the question and most answers.

    The language of the answer is neither that of most answers nor that of the row's own input. Often it is a remnant
    of translation, or a mistake of the assistant that wrote it.

    Checks plain text answers of 60 characters or more with py3langid, if it is 90 % certain; of more than 50,000 rows,
    every second, third, … row. Prompts that ask for a translation or name the answer's language are left out. So are
    indented answers, and data in which most answers have another language than their inputs. Translate the answer, or
    delete the row.
    """

    code = "C010"
    name = "mixed-languages"
    density_part = "consistent"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if context.task.output.kind != "text" else missing_extra("py3langid")

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        stride = 1 + sum(context.rows.values()) // _MAX_CLASSIFIED
        if view.number % stride == 0 and len(view.answer) >= _MIN_CHARACTERS and view.value is None:
            language = _language(view.answer)
            if language:
                yield "answers", language

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for key, variants in counter:
            usual, rare = rare_variants(variants, share=0.1, min_total=20)
            if not rare or _is_translation(corpus, counter.rows(key, usual), usual):
                continue
            for variant in rare:
                for row in counter.rows(key, variant):
                    view = corpus.view(row)
                    prompt = "\n".join(text_content(turn) or "" for turn in view.messages[:-1])
                    if _TRANSLATION.search(prompt) or variant in _named_languages(prompt) or is_indented(view.answer):
                        continue
                    # Of a short question the language is uncertain: it is compared only if it looks like most answers.
                    asked, certainty = _identifier().classify(view.input[:400])
                    if asked != variant and (certainty >= _MIN_CERTAINTY or asked == usual):
                        yield RuleFinding(f"the answer looks like {variant}, most are {usual}", "$", row=row)


_TRANSLATION = re.compile(r"translat|übersetz|traduc|tradui|traduz|tradurre|перевед|vertaal|翻译|翻譯|翻訳|번역", re.I)
"""Words that ask for a translation, in the most frequent languages of prompts."""
_LANGUAGE_NAMES = {
    "ar": ("arabic",),
    "bg": ("bulgarian",),
    "bn": ("bengali",),
    "ca": ("catalan",),
    "cs": ("czech",),
    "da": ("danish",),
    "de": ("german", "deutsch", "alemán", "allemand"),
    "el": ("greek",),
    "en": ("english", "englisch", "inglés", "anglais", "inglese"),
    "es": ("spanish", "spanisch", "español", "espagnol"),
    "fa": ("persian",),
    "fi": ("finnish",),
    "fr": ("french", "französisch", "francés", "français"),
    "he": ("hebrew",),
    "hi": ("hindi",),
    "hr": ("croatian",),
    "hu": ("hungarian",),
    "id": ("indonesian",),
    "it": ("italian", "italienisch", "italiano"),
    "ja": ("japanese",),
    "ko": ("korean",),
    "la": ("latin",),
    "nl": ("dutch",),
    "no": ("norwegian",),
    "pl": ("polish",),
    "pt": ("portuguese",),
    "ro": ("romanian",),
    "ru": ("russian",),
    "sk": ("slovak",),
    "sr": ("serbian",),
    "sv": ("swedish",),
    "sw": ("swahili",),
    "th": ("thai",),
    "tr": ("turkish",),
    "uk": ("ukrainian",),
    "ur": ("urdu",),
    "vi": ("vietnamese",),
    "zh": ("chinese", "mandarin"),
}
"""Names of languages in prompts, by code: a prompt with one asks for an answer in the language, or about it."""
_CODE_BY_NAME = {name: code for code, names in _LANGUAGE_NAMES.items() for name in names}


def _named_languages(prompt: str) -> set[str]:
    """Codes of the languages that a prompt names."""
    return {_CODE_BY_NAME[word] for word in words_of(prompt) if word in _CODE_BY_NAME}


_COMPARED_LANGUAGES = 100


def _is_translation(corpus: Corpus, rows: list[int], language: str) -> bool:
    """Whether most inputs of some rows have another language than their answers."""
    some = rows[:: 1 + len(rows) // _COMPARED_LANGUAGES]
    languages = [_language(view.input) for view in corpus.views(some)]
    known = [each for each in languages if each is not None]
    return bool(known) and 2 * sum(each != language for each in known) > len(known)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _language(text: str) -> str | None:
    language, certainty = _identifier().classify(text[:400])
    return str(language) if certainty >= _MIN_CERTAINTY else None
