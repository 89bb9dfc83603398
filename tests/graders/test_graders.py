from __future__ import annotations

import builtins
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

import ftkit as ft
from ftkit.backends import grading
from ftkit.errors import ConfigError, DataError
from ftkit.graders import Grade, GraderContext, Limits, Sample, SamplingParams
from ftkit.task import Message

from . import functions
from .setting import Scripted, said

NOTHING = GraderContext()


def graded(grader: ft.Grader, text: str, setting: GraderContext = NOTHING, **item: Any) -> Grade:
    (found,) = grader.grade_many([(item, Sample(text))], setting)
    return found


@pytest.mark.parametrize(
    ("operation", "text", "reward"),
    [
        ("eq", "Paris", 1), ("eq", "paris", 0), ("ne", "Rome", 1), ("ne", "Paris", 0),
        ("like", "It is Paris.", 1), ("like", "it is paris", 0), ("ilike", "IT IS PARIS", 1), ("ilike", "Rome", 0),
    ],
)  # fmt: skip
def test_string_check(operation: Literal["eq", "ne", "like", "ilike"], text: str, reward: float) -> None:
    grader = ft.StringCheckGrader(reference="{{item.city}}", operation=operation)
    assert graded(grader, text, city="Paris") == Grade(float(reward))


def test_an_error_gives_0_with_its_reason_and_disturbs_no_other() -> None:
    grader = ft.StringCheckGrader(input="{{sample.output_json.city}}", reference="{{item.city}}")
    pairs = [({"city": "Rome"}, Sample(text)) for text in ('{"city": "Rome"}', "Rome", '{"town": "Rome"}')]
    right, unread, missing = grader.grade_many([*pairs], NOTHING)
    assert right == Grade(1.0)
    assert (unread.reward, unread.error) == (0.0, "sample_parse_error")
    assert (missing.reward, missing.error) == (0.0, "invalid_variable_error")
    assert "town" in str(missing.detail)


REFERENCE, HYPOTHESIS = "the cat sat quietly on the old mat", "a cat sat on the mat, quietly"


def test_similarities_are_those_of_their_libraries() -> None:
    from nltk.translate.gleu_score import sentence_gleu
    from rapidfuzz import fuzz
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu import sentence_bleu
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    words = Tokenizer13a()
    wanted = {
        "fuzzy_match": fuzz.WRatio(HYPOTHESIS, REFERENCE) / 100,
        "bleu": sentence_bleu(HYPOTHESIS, [REFERENCE]).score / 100,
        "gleu": sentence_gleu([words(REFERENCE).split()], words(HYPOTHESIS).split()),
        **{
            f"rouge_{kind}": RougeScorer([name]).score(REFERENCE, HYPOTHESIS)[name].fmeasure
            for kind, name in [*((str(n), f"rouge{n}") for n in range(1, 6)), ("l", "rougeL")]
        },
    }
    found = {
        metric: graded(
            ft.TextSimilarityGrader(reference="{{item.right}}", evaluation_metric=metric), HYPOTHESIS, right=REFERENCE
        ).reward
        for metric in wanted
    }
    assert found == pytest.approx(wanted)
    assert len({round(value, 6) for value in found.values()}) > 5  # they do measure different things
    same = {
        metric: graded(ft.TextSimilarityGrader(reference=REFERENCE, evaluation_metric=metric), REFERENCE).reward
        for metric in wanted
    }
    assert same == pytest.approx(dict.fromkeys(wanted, 1.0))


METEOR = """
import json, sys
import ftkit as ft
from nltk.translate.meteor_score import single_meteor_score

grader = ft.TextSimilarityGrader(reference="the old car stopped", evaluation_metric="meteor")
try:
    found = ft.grade(grader, [{}], ["the old auto stopped"]).mean
except ft.ConfigError as error:
    sys.exit(str(error))
wanted = single_meteor_score("the old car stopped".split(), "the old auto stopped".split())
other = single_meteor_score("the old car stopped".split(), "the old elephant stopped".split())
print(json.dumps([found, wanted, other]))
"""


def _wordnet(folder: Path) -> None:
    """A WordNet of one meaning, in the files of the real one."""
    corpus = folder / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    for name in ("lexnames", "cntlist.rev", "index.sense"):
        kinds = "".join(f"{number:02d} noun.{number} 1\n" for number in range(4))
        (corpus / name).write_text(kinds if name == "lexnames" else "", encoding="ascii")
    for part in ("adj", "adv", "noun", "verb"):
        for name in (f"data.{part}", f"index.{part}", f"{part}.exc"):
            (corpus / name).write_text("", encoding="ascii")
    (corpus / "data.noun").write_text(f"{0:08d} 03 n 02 car 0 auto 0 000 | a vehicle\n", encoding="ascii")
    lines = [f"{word} n 1 0 1 0 {0:08d}  \n" for word in ("auto", "car")]
    (corpus / "index.noun").write_text("".join(lines), encoding="ascii")


@pytest.mark.parametrize(
    "there", [None, pytest.param("folder", marks=pytest.mark.slow), "zip", pytest.param("part", marks=pytest.mark.slow)]
)
def test_meteor_is_nltks_where_wordnet_is_and_else_refused(tmp_path: Path, there: str | None) -> None:
    if there:
        _wordnet(tmp_path)
    if there == "zip":  # as it is downloaded by hand
        made = shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "corpora", "wordnet")
        shutil.rmtree(tmp_path / "corpora" / "wordnet")
        shutil.move(made, tmp_path / "corpora" / "wordnet.zip")
    if there == "part":  # as other packages of WordNet's files have it
        (tmp_path / "corpora" / "wordnet" / "lexnames").unlink()
    code = f"import nltk.data; nltk.data.path[:] = [{str(tmp_path)!r}]\n{METEOR}"  # whatever this machine has
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if there in (None, "part"):
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "python -m nltk.downloader wordnet" in done.stderr
        assert "corpora/wordnet.zip" in done.stderr
        assert "NLTK_DATA" in done.stderr
        return
    found, wanted, other = json.loads(done.stdout or done.stderr)
    assert found == pytest.approx(wanted)
    assert found > other  # an auto is a car


COSINE = ft.TextSimilarityGrader(reference="{{item.wanted}}", evaluation_metric="cosine")


def test_cosine_needs_an_embedder_beside_the_grader() -> None:
    assert COSINE.model_dump().keys() == {"type", "name", "input", "reference", "evaluation_metric"}  # OpenAI's form
    with pytest.raises(ConfigError, match=r'embedder="openai:text-embedding-3-large"'):
        COSINE.check(NOTHING)
    with pytest.raises(ConfigError, match="there is no backend 'nowhere'"):
        ft.grade(COSINE, [{"wanted": "a"}], ["a"], embedder="nowhere:model")
    with pytest.raises(ConfigError, match="'together' gives no embeddings"):
        grading.grading_setting(embedder="together:a-model")


def test_cosine_is_that_of_the_embeddings_clipped_and_each_text_is_embedded_once() -> None:
    vectors = {"east": [3.0, 0.0], "north": [0.0, 2.0], "west": [-1.0, 0.0], "northeast": [1.0, 1.0], "none": [0.0, 0]}
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> list[list[float]]:
        asked.extend(texts)
        return [vectors[text] for text in texts]

    texts = ["east", "north", "west", "northeast", "none", ""]
    pairs = [({"wanted": "east"}, Sample(text)) for text in texts] + [({}, Sample("north"))]
    grades = COSINE.grade_many(pairs, GraderContext(embed=embed))
    assert [one.reward for one in grades] == pytest.approx([1, 0, 0, 0.5**0.5, 0, 0, 0])
    assert [one.error for one in grades] == [None] * 6 + ["invalid_variable_error"]
    assert sorted(asked) == sorted(texts[:5])


def test_local_models_embed_by_the_mean_of_their_last_hidden_states(tiny_model: str) -> None:
    import torch
    from sklearn.metrics.pairwise import cosine_similarity
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = (
        AutoModel.from_pretrained(tiny_model, dtype=torch.float32),
        AutoTokenizer.from_pretrained(tiny_model),
    )
    texts = [REFERENCE, HYPOTHESIS]
    with torch.inference_mode():
        rows = [tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"] for text in texts]
        first, second = (model(input_ids=one).last_hidden_state[0].mean(dim=0).numpy() for one in rows)
    wanted = cosine_similarity([first], [second])[0, 0]
    rows_, answers = [{"wanted": REFERENCE}] * 3, [HYPOTHESIS, REFERENCE, "long " * 600]
    found = ft.grade(COSINE, rows_, answers, embedder=f"local:{tiny_model}")
    assert [one.reward for one in found] == pytest.approx([max(0.0, wanted), 1.0, 0.0], abs=1e-5)
    assert wanted > 0.01
    assert found.errors == {"other_error": 1}
    assert "600" in str(found[2].detail) or "601" in str(found[2].detail)


JUDGE: list[dict[str, Any]] = [
    {"role": "developer", "content": "Grade it."},
    {
        "role": "user",
        "content": [{"type": "input_text", "text": "Right: {{item.right}}"}, "Said: {{sample.output_text}}"],
    },
]


def test_a_score_model_is_asked_once_for_all_and_clipped() -> None:
    model = Scripted(
        ['{"steps": [], "result": 7}', '{"result": -2, "steps": []}', "0.25", said("", "overloaded"), "good"]
    )
    grader = ft.ScoreModelGrader(
        model="m", input=JUDGE, range=(0, 5), sampling_params=SamplingParams(seed=3, max_completions_tokens=9)
    )
    pairs = [({"right": "4"}, Sample(str(n))) for n in range(5)] + [({}, Sample("no right"))]
    grades = grader.grade_many(pairs, model.setting)
    assert [one.reward for one in grades] == [5.0, 0.0, 0.25, 0.0, 0.0, 0.0]
    assert [one.error for one in grades] == [
        None, None, None, "model_grader_server_error", "model_grader_parse_error", "invalid_variable_error"
    ]  # fmt: skip
    (call,) = model.calls
    assert (call["model"], call["seed"], call["max_output_tokens"], call["temperature"]) == ("m", 3, 9, None)
    assert model.asked[2] == [
        {"role": "developer", "content": "Grade it."},
        {"role": "user", "content": "Right: 4\nSaid: 2"},
    ]


def test_a_label_model_passes_some_labels() -> None:
    model = Scripted(['{"label": "good"}', "bad", '{"label": "ugly"}'])
    grader = ft.LabelModelGrader(model="m", input=JUDGE[:1], labels=("good", "fair", "bad"), passing_labels=("good",))
    grades = grader.grade_many([({}, Sample(""))] * 3, model.setting)
    assert [(one.reward, one.error) for one in grades] == [(1.0, None), (0.0, None), (0.0, "model_grader_parse_error")]


def test_what_no_model_here_can_honour_is_refused() -> None:
    effort = ft.ScoreModelGrader(model="m", input=JUDGE, sampling_params=SamplingParams(reasoning_effort="high"))
    with pytest.raises(ConfigError, match="reasoning_effort"):
        effort.check(Scripted([]).setting)
    with pytest.raises(ConfigError, match="no model can be asked from here"):
        ft.ScoreModelGrader(model="m", input=JUDGE).check(NOTHING)
    with pytest.raises(ConfigError, match="input_image"):
        ft.ScoreModelGrader(model="m", input=[{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}])
    with pytest.raises(ConfigError, match="not among labels"):
        ft.LabelModelGrader(model="m", input=JUDGE, labels=("a", "b"), passing_labels=("c",))
    with pytest.raises(ConfigError, match="not below"):
        ft.ScoreModelGrader(model="m", input=JUDGE, range=(1, 1))


def test_models_of_any_backend_grade(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grader = ft.ScoreModelGrader(
        model=f"local:{tiny_model}", input=JUDGE, sampling_params=SamplingParams(max_completions_tokens=16)
    )
    (grade,) = grader.grade_many([({"right": "4"}, Sample("4"))], grading.grading_setting())
    assert grade.error == "model_grader_parse_error"  # a model of random weights, cut off within its steps
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name in ("gpt-4o", "ft:gpt-4o:acme::abc", "openai:gpt-4o"):  # a bare name is OpenAI's, as in OpenAI's own JSON
        with pytest.raises(ft.FtkitError, match="OPENAI_API_KEY"):
            grading.ask_model(name, [], output=None, max_output_tokens=1, temperature=0, top_p=1, seed=0)


def test_a_function_is_found_again_by_its_name(tmp_path: Path) -> None:
    grader = ft.FunctionGrader(function=functions.length)
    assert grader.function == "tests.graders.functions:length"
    assert graded(grader, "abc", most=6) == Grade(0.5)
    assert graded(ft.FunctionGrader(**grader.model_dump()), "abcdef", most=6) == Grade(1.0)
    file = tmp_path / "rewards.py"
    file.write_text("def one(sample, item):\n    return True\n", encoding="utf-8")
    assert graded(ft.FunctionGrader(function=f"{file}:one"), "") == Grade(1.0)


def test_a_function_that_a_file_names_runs_only_if_it_is_allowed(tmp_path: Path) -> None:
    code, file, ran = tmp_path / "rewards.py", tmp_path / "grader.json", tmp_path / "ran"
    code.write_text(f"open({str(ran)!r}, 'w')\ndef one(sample, item):\n    return 1.0\n", encoding="utf-8")
    form = {"type": "function", "function": f"{code}:one"}
    inside = {"type": "multi", "graders": {"a": form}, "calculate_output": "a"}
    for data in (form, inside):
        file.write_text(json.dumps(data), encoding="utf-8")
        grader = pickle.loads(pickle.dumps(ft.load_grader(file)))
        for refusing in (grader.check, lambda setting, grader=grader: graded(grader, "x", setting=setting)):
            with pytest.raises(ConfigError, match=r"rewards.py:one as a trusted part .* --allow-python"):
                refusing(GraderContext())
        recipe = ft.RFT(grader=data)
        with pytest.raises(ConfigError, match="only if you allow it"):
            recipe.grader.check(grading.setting_of(recipe))
        assert not ran.exists()
    assert graded(grader, "x", setting=GraderContext(allow_python=True)).reward == 1.0
    assert ran.exists()
    assert ft.load_grader(file) == ft.MultiGrader(graders={"a": ft.FunctionGrader(**form)}, calculate_output="a")


def test_a_function_that_fails_gives_0_with_the_reason() -> None:
    broken = graded(ft.FunctionGrader(function=functions.broken), "abc")
    assert (broken.reward, broken.error) == (0.0, "other_error")
    assert "KeyError" in str(broken.detail)
    assert graded(ft.FunctionGrader(function=functions.nothing), "abc").error == "other_error"


def test_a_function_that_no_worker_finds_is_refused() -> None:
    def inner(sample: dict[str, Any], item: dict[str, Any]) -> float:
        return 1.0

    with pytest.raises(ConfigError, match="lambda"):
        ft.FunctionGrader(function=lambda sample, item: 1.0)
    with pytest.raises(ConfigError, match="nested in another"):
        ft.FunctionGrader(function=inner)
    inner.__module__, inner.__qualname__ = "__main__", "inner"
    with pytest.raises(ConfigError, match="script or notebook"):
        ft.FunctionGrader(function=inner)
    with pytest.raises(ConfigError, match="not a function"):
        ft.FunctionGrader(function="tests.graders.functions:CONSTANT").check(NOTHING)
    assert ft.FunctionGrader(function=builtins.len).function == "builtins:len"


class Visit(BaseModel):
    name: str
    age: int
    drug: str | None


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ('{"name": "Ann", "age": 40, "drug": null}', 1.0),
        ('{"name": "Ann", "age": 41, "drug": null}', 0.1 + 0.2 + 0.7 * 2 / 4),
        ('{"name": "Ann", "age": "40", "drug": null}', 0.1 + 0.7 * 2 / 4),
        ('{"name": "Ann", "drug": null}', 0.1 + 0.7 * 2 / 4),
        ("[]", 0.1),
        ("no JSON", 0.0),
    ],
)
def test_a_schema_is_graded_by_parts(text: str, reward: float) -> None:
    grader = ft.SchemaGrader(json_schema=Visit, reference="{{item.record}}", field_weights={"age": 2})
    grade = graded(grader, text, record={"name": "Ann", "age": 40, "drug": None})
    assert grade.reward == pytest.approx(reward)
    assert set(grade.parts) == {"json", "schema", "name", "age", "drug"}
    as_text = graded(grader, text, record='{"name": "Ann", "age": 40, "drug": null}')
    assert as_text == grade


def test_without_a_reference_fields_count_that_the_schema_allows() -> None:
    grader = ft.SchemaGrader(json_schema=Visit, json_weight=0, schema_weight=0)
    assert graded(grader, '{"name": "x", "age": "old"}').parts == {
        "json": 1.0, "schema": 0.0, "name": 1.0, "age": 0.0, "drug": 0.0
    }  # fmt: skip
    assert graded(grader, '{"name": "x", "age": "old"}').reward == pytest.approx(1 / 3)
    odd = ft.SchemaGrader(
        json_schema={"type": "object", "properties": {"a b": {"type": "array", "items": {"type": "string"}}}}
    )
    assert graded(odd, '{"a b": [1]}').parts["a b"] == 0.0


def test_schema_graders_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="has no weight"):
        ft.SchemaGrader(json_schema=Visit, field_weights={"weight": 1})
    with pytest.raises(ConfigError, match="every weight is 0"):
        ft.SchemaGrader(json_schema=Visit, json_weight=0, schema_weight=0, fields_weight=0)
    with pytest.raises(ConfigError, match="exactly one variable"):
        ft.SchemaGrader(json_schema=Visit, reference="see {{item.record}}")
    unreadable = graded(ft.SchemaGrader(json_schema=Visit, reference="{{item.record}}"), "{}", record="none")
    assert unreadable.error == "invalid_variable_error"


def test_a_reward_model_scores_the_answer_after_its_prompt() -> None:
    asked: list[Any] = []

    def scores(model: str, conversations: Any) -> list[float]:
        asked.append((model, conversations))
        if any(len(turns[-1]["content"]) > 5 for turns in conversations):
            raise DataError("too long")
        return [float(len(turns[-1]["content"])) for turns in conversations]

    prompt: tuple[Message, ...] = ({"role": "user", "content": "hi"},)
    grader, setting = ft.RewardModelGrader(model="local:r1"), GraderContext(scores=scores)
    pairs = [({}, Sample("abc", prompt=prompt)), ({}, Sample("far too long", prompt=prompt))]
    assert grader.grade_many(pairs[:1], setting) == [Grade(3.0)]
    assert asked == [("local:r1", [[*prompt, {"role": "assistant", "content": "abc"}]])]
    short, long = grader.grade_many(pairs, setting)
    assert short == Grade(3.0)
    assert (long.reward, long.error) == (0.0, "other_error")
    with pytest.raises(ConfigError, match="reward model"):
        grader.check(NOTHING)


def multi(formula: str, **graders: ft.Grader) -> ft.MultiGrader:
    return ft.MultiGrader(graders=graders, calculate_output=formula)


def test_multi_counts_a_part_that_fails_as_0_and_keeps_the_reason() -> None:
    right = ft.StringCheckGrader(reference="{{item.right}}")
    field = ft.StringCheckGrader(input="{{sample.output_json.a}}", reference="1")
    grade = graded(multi("0.5*right + 0.5*field + 0.1", right=right, field=field), "4", right="4")
    assert grade.reward == pytest.approx(0.6)
    assert grade.parts == {"right": 1.0, "field": 0.0}
    assert grade.error == "invalid_variable_error"
    assert str(grade.detail).startswith("field: ")
    assert graded(multi("1/right", right=right), "5", right="4").error == "other_error"


def test_multi_knows_when_it_is_a_rate() -> None:
    one = ft.StringCheckGrader(reference="x")
    assert multi("0.4*a + 0.6*b", a=one, b=one).rates
    assert multi("0.1*a + 0.2*b + 0.7*c", a=one, b=one, c=one).rates  # whatever floating point makes of the sum
    assert not multi("a + b", a=one, b=one).rates
    assert multi("a/2 + b/20", a=one, b=ft.ScoreModelGrader(model="m", input=JUDGE, range=(0, 10))).rates
    assert not multi("a*b", a=one, b=ft.RewardModelGrader(model="local:r")).rates
    assert multi("a", a=one, b=ft.RewardModelGrader(model="local:r")).rates


def test_multi_refuses_what_it_cannot_compute() -> None:
    one = ft.StringCheckGrader(reference="x")
    with pytest.raises(ConfigError, match="there is no grader b among a"):
        multi("a + b", a=one)
    with pytest.raises(ConfigError, match="cannot be used in a formula"):
        ft.MultiGrader(graders={"a-b": one}, calculate_output="1")
    with pytest.raises(ConfigError, match="cannot be used in a formula"):
        multi("1", min=one)
    with pytest.raises(ConfigError):
        multi("a", a=multi("b", b=one))


def test_python_runs_only_when_allowed() -> None:
    grader = ft.PythonGrader(source="def grade(sample, item):\n    return 1.0")
    with pytest.raises(ConfigError, match="--allow-python"):
        graded(grader, "x")
    with pytest.raises(ConfigError, match="--allow-python"):
        graded(multi("a", a=grader), "x")


@pytest.mark.parametrize(
    ("source", "why"), [("def grad(", "not Python"), ("x = 1", "defines no function grade"), ("#" * 256_000, "256,000")]
)
def test_python_that_cannot_run_is_refused(source: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ft.PythonGrader(source=source)


def test_graders_know_what_they_read() -> None:
    one = ft.StringCheckGrader(input="{{item.a}}", reference="{{item.b.c}} {{sample.output_text}}")
    judge = ft.ScoreModelGrader(model="m", input=JUDGE)
    assert one.reads() == {"a", "b"}
    assert multi("x + y", x=one, y=judge).reads() == {"a", "b", "right"}
    assert multi("x + y", x=one, y=ft.FunctionGrader(function=functions.length)).reads() is None


def test_limits_are_openais() -> None:
    assert (Limits().seconds, Limits().memory_bytes, Limits().disk_bytes) == (120, 2 * 1024**3, 1024**3)


def test_answers_are_graded_without_a_model() -> None:
    grades = ft.grade(ft.StringCheckGrader(reference="{{item.right}}"), [{"right": "4"}, {"right": "5"}, {}], ["4"] * 3)
    assert (grades.mean, grades.errors) == (pytest.approx(1 / 3), {"invalid_variable_error": 1})
    assert "mean 0.3333 over 3 answers" in str(grades)
    with pytest.raises(ConfigError, match="2 rows and 1 answer"):
        ft.grade(ft.StringCheckGrader(reference="x"), [{}, {}], ["4"])


def test_a_formula_of_one_value_grades() -> None:
    grader = ft.MultiGrader(graders={"a": ft.StringCheckGrader(reference="x")}, calculate_output="min(a)")
    assert grader.bounds == (0.0, 1.0)
    assert [grade.reward for grade in grader.grade_many([({}, Sample("x")), ({}, Sample("y"))], GraderContext())] == [
        1.0,
        0.0,
    ]
