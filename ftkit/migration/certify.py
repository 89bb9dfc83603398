"""Write the certificate: verdicts, what changed, digests and the switch-over checklist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from ftkit import runs
from ftkit.catalog import load_catalog
from ftkit.counts import counted
from ftkit.errors import FtkitError
from ftkit.evaluation import compare
from ftkit.migration.frozen import load_report
from ftkit.migration.names import CandidateName, SourceName, report_path
from ftkit.migration.power import power_before
from ftkit.migration.prompt_search import prompt_path
from ftkit.migration.rows import MigrationRows, stops_of
from ftkit.migration.state import CandidateState, MigrationFolder, now
from ftkit.modeling.artefact_digests import file_digests
from ftkit.results.certificate import (
    Candidate,
    Certificate,
    ChecklistItem,
    FileRecord,
    ReplacedModel,
)
from ftkit.results.number_format import usd_text
from ftkit.results.report import Report
from ftkit.version import __version__

__all__ = ["certify"]

_BEFORE_STOP = timedelta(days=7)
"""Time for a way back: the switch is done this long before the old model stops."""


def certify(
    folder: MigrationFolder, source: SourceName, rows: MigrationRows, frozen: Report, *, shots: int, confidence: float
) -> Certificate:
    """Compare every candidate that was begun, and build the certificate.

    Args:
        folder: the migration.
        source: the model to replace.
        rows: its rows.
        frozen: the report of the old model.
        shots: examples before each question of candidates that are only prompted.
        confidence: confidence level of the verdicts.

    Returns:
        The certificate, which is not saved yet.
    """
    state = folder.state
    margin = state.margins[-1].value
    stops, stops_source = _stops(folder, source)
    candidates = tuple(
        _candidate(folder, CandidateName.parse(name), each, rows, frozen, shots, confidence, stops)
        for name, each in state.candidates.items()
    )
    headline = frozen.headline
    return Certificate(
        created_at=now(),
        ftkit_version=__version__,
        replaced=ReplacedModel(
            name=str(state.model),
            job=None if state.job is None else state.job.id,
            base=None if state.job is None else state.job.base,
            method=None if state.job is None else state.job.method,
            stops=stops,
            stops_source=stops_source,
            value=headline.value,
            low=headline.low,
            high=headline.high,
            per_1000_usd=frozen.cost.per_1000_usd,
            cost_source=frozen.cost.source,
            answered_at=frozen.created_at,
            report=str(state.frozen),
        ),
        primary=frozen.primary,
        unit=headline.unit,
        confidence=confidence,
        margins=tuple(state.margins),
        power=power_before(frozen, margin, confidence),
        training_rows=len(rows.train),
        training_fingerprint=rows.train.fingerprint,
        test_rows=len(rows.test),
        test_fingerprint=rows.test.fingerprint,
        test_origin=rows.origin,
        left_out=rows.left_out,
        task=rows.task.model_dump(mode="json"),
        task_fingerprint=rows.task.fingerprint,
        recipe=rows.recipe.model_dump(mode="json"),
        sampling=frozen.sampling,
        candidates=candidates,
        files=tuple(FileRecord(path=path, what=_what(path), digest=digest) for path, digest in state.files.items()),
        checklist=tuple(_checklist(str(state.model), stops, _training_closes(folder, source), candidates)),
        notes=tuple(_notes(folder, rows, frozen, candidates)),
    )


def _candidate(
    folder: MigrationFolder,
    name: CandidateName,
    state: CandidateState,
    rows: MigrationRows,
    frozen: Report,
    shots: int,
    confidence: float,
    stops: date | None,
) -> Candidate:
    begun: dict[str, Any] = {
        "name": name.text,
        "kind": name.kind,
        "run": state.runs[-1] if state.runs else None,
        "recipe": state.recipe,
        "first_asked_at": state.asked_at,
    }
    if state.report is None:
        return Candidate(**begun, problem=state.problem or "it was not finished; run the same again")
    report = load_report(folder, report_path(name))
    end = _candidate_stops(name.kind, report.model)
    if end is not None and stops is not None and end <= stops:
        problem = f"it stops answering on {end} itself, no later than the old model"
        return Candidate(**begun, report=state.report, problem=problem)
    margin = folder.state.margins[-1].value
    try:
        comparison = compare(
            frozen,
            report,
            margin=margin,
            confidence=confidence,
            primary=frozen.primary,
            other_prompts=name.kind == "optimised",
        )
    except FtkitError as error:
        return Candidate(**begun, report=state.report, problem=f"compare: {error}".rstrip("."))
    path = f"candidates/{name.slug}/comparison.html"
    comparison.save(folder.path / path)
    folder.add_file(path)
    change = comparison[frozen.primary]
    return Candidate(
        **begun,
        verdict=comparison.verdict,
        sentence=comparison.sentence,
        rows_needed=comparison.rows_needed,
        value=report.headline.value,
        low=report.headline.low,
        high=report.headline.high,
        difference=change.difference,
        difference_low=change.low,
        difference_high=change.high,
        model=report.model,
        artefacts=_artefacts(begun["run"]),
        prompt=folder.state.files.get(prompt_path(name)),
        prompt_usd=state.prompt_usd,
        per_1000_usd=report.cost.per_1000_usd,
        cost_source=report.cost.source,
        training_usd=report.cost.training_usd,
        latency_p50_s=report.timing.latency_p50_s,
        report=state.report,
        changes=tuple(_changes(folder, name, state, rows, report, shots)),
        notes=tuple(
            note.removeprefix(f"{comparison.labels[1]}: ")
            for note in comparison.notes
            if not note.startswith(f"{comparison.labels[0]}: ")
        ),
    )


def _artefacts(run_id: str | None) -> dict[str, str]:
    """Digests of a tuned model's files; empty for a model at a host, whose files nobody sees."""
    if run_id is None:
        return {}
    try:
        folder = runs.get(run_id).folder / "model"
    except FtkitError:
        return {}
    return file_digests(folder) if folder.is_dir() else {}


def _changes(
    folder: MigrationFolder,
    name: CandidateName,
    state: CandidateState,
    rows: MigrationRows,
    report: Report,
    shots: int,
) -> list[str]:
    """What differs from the old model, in sentences."""
    about = report.about
    if name.kind == "prompt":
        examples = (
            f"{counted(shots, 'example')} from the training rows before each question" if shots else "no examples"
        )
        found = [f"Not tuned. It is asked with the prompts of the rows, with {examples}"]
    elif name.kind == "optimised":
        found = [f"Not tuned. {_prompt_text(report, rows, state)}"]
    else:
        found = ["Prompts are those of the old model, unchanged"]
    if about.get("template_hash"):
        template = str(about["template_hash"]).removeprefix("sha256:")[:12]
        found.append(
            f"Prompts are rendered with the chat template of {about.get('base') or report.model} ({template}…)"
        )
    found.append(f"Output: {_output_text(rows.task.output.model_dump(mode='json'))}; {_held(report)}")
    if name.kind == "tuned":
        if rows.recipe_from_job:
            found.append(
                "Epochs, batch size, seed and beta are the old job's; the learning rate is ftkit's or the host's own, "
                "because the old host states only a multiplier of a rate that it does not publish"
            )
        found += [change[0].upper() + change[1:] for change in state.changes]
    asked = folder.state.settings.get("sampling") or {}
    if report.sampling.reasoning_effort is not None:
        found.append(f"It is asked with reasoning_effort {report.sampling.reasoning_effort}")
    elif asked.get("reasoning_effort") is not None:
        found.append("It does not reason on request, so it is asked without reasoning_effort")
    observed = (about.get("observed") or {}).get("parameters_not_taken") or []
    if observed:
        found.append(f"The host does not take {', '.join(map(str, observed))}, so it was asked without")
    return found


def _prompt_text(report: Report, rows: MigrationRows, state: CandidateState) -> str:
    """How the prompt of a candidate was found."""
    count = len(report.task.get("examples") or ())
    examples = f"instructions and {counted(count, 'example')}" if count else "instructions"
    cost = "" if state.prompt_usd is None else f", for {usd_text(state.prompt_usd)}"
    return (
        f"Its {examples} before each question were found on the {len(rows.train):,} training rows{cost}; the search "
        "saw no test row"
    )


def _output_text(output: Mapping[str, Any]) -> str:
    if output.get("kind") == "choice":
        return f"one of {counted(len(output['choices']), 'choice')}"
    return "JSON of the task's schema" if output.get("kind") == "json" else "text"


def _held(report: Report) -> str:
    return "answers are held to it" if report.sampling.constrained else "answers are checked, not held to it"


def _what(path: str) -> str:
    if path.startswith("job/"):
        return f"{path.removeprefix('job/').partition('.')[0]} of the old job"
    names = {"frozen.json": "the old model's answers", "task.yaml": "task"}
    names |= {"prompt.yaml": "optimised prompt", "prompt.record.json": "how the prompt was found"}
    if (name := path.rpartition("/")[2]) in names:
        return names[name]
    return "answers of a candidate" if path.endswith("report.json") else "comparison with the old model"


def _stops(folder: MigrationFolder, source: SourceName) -> tuple[date | None, str | None]:
    own = stops_of(folder)
    catalog, model = load_catalog(), str(folder.state.model).partition(":")[2]
    deadline = catalog.stops(source.host, model)
    if own is not None and (deadline is None or deadline.on != own):
        return own, "the host's own word"
    return (None, None) if deadline is None else (deadline.on, f"{deadline.source}, read {deadline.as_of}")


def _candidate_stops(kind: str, model: str) -> date | None:
    """Return the day on which a candidate stops answering itself.

    Args:
        kind: the kind of the candidate.
        model: ``"backend:model"`` that answers.

    Returns:
        The day; None if none is known.
    """
    backend, _, name = model.partition(":")
    deadline = load_catalog().stops(backend, name, tuned=kind == "tuned")
    return None if deadline is None else deadline.on


def _training_closes(folder: MigrationFolder, source: SourceName) -> date | None:
    deadline = load_catalog().training_closes(source.host, str(folder.state.model).partition(":")[2])
    return None if deadline is None else deadline.on


def _checklist(
    old: str, stops: date | None, closes: date | None, candidates: Sequence[Candidate]
) -> list[ChecklistItem]:
    """The steps of the switch-over, by their dates."""
    switch = None if stops is None else stops - _BEFORE_STOP
    items = []
    if closes is not None:
        items.append(
            ChecklistItem(by=closes, text=f"Start no new training for {old} there: no job is taken from this day")
        )
    items.append(
        ChecklistItem(
            by=stops,
            text="Keep this folder in a safe place. The frozen answers cannot be asked again after the old model stops",
        )
    )
    passing = [candidate for candidate in candidates if candidate.passes]
    if not passing:
        items.append(
            ChecklistItem(
                by=switch,
                text="No candidate is certified. Add test rows, try another candidate, or decide to accept a larger "
                "loss in a new migration; do not switch on these results",
            )
        )
        return _by_date(items)
    items += [ChecklistItem(by=switch, text=_deploy(candidate)) for candidate in passing]
    for candidate in passing:
        end = _candidate_stops(candidate.kind, str(candidate.model))
        if end is not None:
            text = f"Replace {candidate.name} too: it stops answering on this day, as far as the catalogue knows"
            items.append(ChecklistItem(by=end, text=text))
    items += [
        ChecklistItem(
            by=switch,
            text=f"Set base URL and model name in every client that names {old}; response_format, tools and sampling "
            "of your requests are not part of the tuned model, so set them as before",
        ),
        ChecklistItem(
            by=switch, text="Send a part of the traffic to both, and compare the answers with `ftkit compare`"
        ),
        ChecklistItem(by=switch, text="Send all traffic to the new model. Keep the old one reachable for the way back"),
        ChecklistItem(by=stops, text="Remove the old model's name, its files and its keys from configurations"),
    ]
    return _by_date(items)


def _by_date(items: Sequence[ChecklistItem]) -> list[ChecklistItem]:
    return sorted(items, key=lambda item: item.by or date.max)


def _deploy(candidate: Candidate) -> str:
    backend, _, model = str(candidate.model).partition(":")
    if candidate.kind == "tuned" and backend == "local":
        return (
            f"Serve {candidate.name}: `ftkit serve --model NAME={model}` answers with it, and "
            f"`ftkit export local:{model}` writes it for other servers"
        )
    return f"Have {candidate.name} answer at {backend} as {model}: check its rate limits and prices for your traffic"


def _notes(folder: MigrationFolder, rows: MigrationRows, frozen: Report, candidates: Sequence[Candidate]) -> list[str]:
    notes = [f"the old model: {note}" for note in frozen.notes]
    if rows.left_out:
        notes.append(f"{rows.left_out} test rows have prompts of training rows and were left out")
    if folder.state.unanswered:
        notes.append(f"{len(folder.state.unanswered)} test rows that the old model could not answer were left out")
    effort = (folder.state.settings.get("sampling") or {}).get("reasoning_effort")
    if effort is not None and frozen.sampling.reasoning_effort is None:
        notes.append("the old model was asked without reasoning_effort, which is for models that reason on request")
    compared = [candidate for candidate in candidates if candidate.verdict is not None]
    if len(compared) > 1:
        notes.append(
            f"{counted(len(compared), 'candidate')} were compared, each at the given confidence; the more are tried, "
            "the more likely one passes by chance"
        )
    if len(folder.state.margins) > 1:
        notes.append("the margin was changed before any candidate was asked; the page lists every value")
    return notes
