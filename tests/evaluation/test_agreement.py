"""Numbers that other libraries compute too, on fixed data: they must be the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from rouge_score import rouge_scorer
from sklearn import metrics as sk
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from ftkit.backends import Answer
from ftkit.evaluation import Report, evaluate
from ftkit.evaluation.metrics import confusion
from ftkit.evaluation.statistics import critical_value, holm, mcnemar_exact, wilson_interval
from tests.evaluation.scripted import ECHO, TRIAGE, ScriptedModel, answers, dataset

CHOICES = ("urgent", "soon", "later")


@pytest.fixture
def triage(tmp_path: Path) -> tuple[list[str], list[str], Report]:
    generator = np.random.default_rng(4)
    wanted = [CHOICES[at] for at in generator.choice(3, size=90, p=[0.2, 0.5, 0.3])]
    said = [one if generator.random() < 0.7 else CHOICES[generator.integers(3)] for one in wanted]
    chances = generator.uniform(0.2, 1.0, size=90)
    told = [
        Answer(one, "stop", 10, 2, 0.1, logprob=float(np.log(chance)))
        for one, chance in zip(said, chances, strict=True)
    ]
    return wanted, said, evaluate(ScriptedModel(TRIAGE, answers(told)), dataset(tmp_path, TRIAGE, wanted))


def test_classification_is_as_scikit_learn_has_it(triage: tuple[list[str], list[str], Report]) -> None:
    wanted, said, report = triage
    assert report["accuracy"].value == pytest.approx(sk.accuracy_score(wanted, said))
    assert report["macro_f1"].value == pytest.approx(sk.f1_score(wanted, said, average="macro"))
    found = sk.precision_recall_fscore_support(wanted, said, labels=CHOICES)
    for at, choice in enumerate(CHOICES):
        for name, values in zip(("precision", "recall", "f1"), found, strict=False):
            assert report[f"{name}:{choice}"].value == pytest.approx(values[at])
    matrix = confusion(report.rows, CHOICES)
    assert [row[:3] for row in matrix] == sk.confusion_matrix(wanted, said, labels=CHOICES).tolist()


def test_calibration_is_as_scikit_learn_and_the_definition_have_it(triage: tuple[list[str], list[str], Report]) -> None:
    _, _, report = triage
    chances = np.exp([row.logprob for row in report.rows])
    right = np.array([row.value == row.target for row in report.rows])
    assert report["brier"].value == pytest.approx(sk.brier_score_loss(right, chances))
    bins = np.minimum((chances * 10).astype(int), 9)
    gaps = [
        abs(chances[bins == at].mean() - right[bins == at].mean()) * (bins == at).sum() for at in set(bins.tolist())
    ]
    assert report["calibration_error"].value == pytest.approx(sum(gaps) / 90)
    assert not report["calibration_error"].higher_is_better


@pytest.mark.parametrize(("right", "rows"), [(0, 12), (7, 12), (111, 140)])
def test_wilson_is_as_statsmodels_has_it(right: int, rows: int) -> None:
    expected = proportion_confint(right, rows, method="wilson")
    assert wilson_interval(right, rows, critical_value(0.95)) == pytest.approx(expected)


@pytest.mark.parametrize(("fixed", "regressed"), [(9, 2), (0, 6), (15, 15)])
def test_mcnemar_is_as_statsmodels_has_it(fixed: int, regressed: int) -> None:
    expected = mcnemar([[50, regressed], [fixed, 20]], exact=True).pvalue
    assert mcnemar_exact(fixed, regressed) == pytest.approx(expected)


def test_holm_is_as_statsmodels_has_it() -> None:
    p_values = np.random.default_rng(2).uniform(size=15) ** 3
    assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1])


SAID = ["the cat sat on the mat", "a dog", "", "Ärzte ohne Grenzen", "on the mat the cat sat", "Exactly this."]
WANTED = [
    "the cat sat on a mat",
    "two dogs ran",
    "something",
    "Ärzte ohne Schranken",
    "the cat sat on the mat",
    "Exactly this.",
]


def test_text_overlap_is_as_sacrebleu_and_rouge_score_have_it(tmp_path: Path) -> None:
    data = dataset(tmp_path, ECHO, WANTED)
    report = evaluate(ScriptedModel(ECHO, answers(SAID)), data, metrics=["auto", "chrf", "rouge_l"])
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    for row, said, wanted in zip(report.rows, SAID, WANTED, strict=True):
        assert row.scores["chrf"] == pytest.approx(sacrebleu.sentence_chrf(said, [wanted]).score / 100)
        if said.isascii():  # rouge-score's own tokenizer drops every other letter
            assert row.scores["rouge_l"] == pytest.approx(scorer.score(wanted, said)["rougeL"].fmeasure)
    assert report.rows[3].scores["rouge_l"] == pytest.approx(2 / 3)
    assert report["chrf"].method == "score"
