"""Export a model, and replay prompts through the exported files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ftkit.arguments import explain_calls
from ftkit.data import Dataset, Row
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, ExportError
from ftkit.exporting.drift_limits import CLEAR_MARGIN, MAX_KL, objection
from ftkit.exporting.export_result import Base, Dtype, Export, Form, Quantised
from ftkit.exporting.gguf import read_quantizations, write_gguf
from ftkit.exporting.model_origin import Origin
from ftkit.exporting.modelfile import template_of
from ftkit.exporting.ollama import go_template, prove
from ftkit.exporting.replay_rows import rows_to_replay
from ftkit.exporting.servers import servers_for
from ftkit.exporting.writer import MODELFILE, Plan, Settings, build, load, write_record
from ftkit.extras import check_installed
from ftkit.files import folder_aside, replace_folder
from ftkit.model import Model
from ftkit.modeling.model_source import RECORD, read_object
from ftkit.recipe import ADAPTERS

if TYPE_CHECKING:
    from ftkit.inference.drift import Drift
    from ftkit.inference.replay import Conversation, Recording
    from ftkit.modeling.chat_template import ChatTemplate

__all__ = ["export"]

_NEEDED = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")

Progress = Callable[[str], None]


@explain_calls(instead='ft.export(run.model, "folder")')
def export(
    model: Model | str,
    folder: str | os.PathLike[str],
    form: Form = "merged",
    *,
    replay: Dataset | None = None,
    replay_rows: int = 16,
    dtype: Dtype = "bf16",
    base: Base = "quantised",
    max_kl: float = MAX_KL,
    max_clear_changes: float = 0.0,
    max_output_tokens: int = 128,
    quantize: str | Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress = lambda step: None,
) -> Export:
    """Export a local model for other servers, and check that the exported files answer the same.

    Plain transformers, for GGUF llama.cpp, loads the files again and computes the probabilities of the served model's
    greedy answers. The export fails if the mean KL(served ‖ exported) is above ``max_kl``, if another token becomes the
    likeliest where the served model's choice led by one logit or more, or if stop tokens, token ids or the prompt's
    text differ. The folder is written aside and renamed at the end, so a failed export leaves ``folder`` as it was.

    Args:
        model: an :class:`ftkit.Model` of the local backend, or ``"local:<run id or folder>"`` of a tuned one.
        folder: where to write. It must not exist, unless ``overwrite`` is set.
        form: ``"merged"``, a whole model for transformers, vLLM or llama.cpp's converter; ``"adapter"``, PEFT's layout;
            ``"ollama"``, a whole model with a Modelfile; ``"gguf"``, a file of llama.cpp, converted by its own
            converter and replayed with llama.cpp itself.
        replay: rows whose prompts are replayed. Default: the validation rows of the run that trained the model, or its
            training rows.
        replay_rows: most rows to replay.
        dtype: type of the weights; for an adapter, of the base's weights during the replay.
        base: for a QLoRA model, ``"quantised"`` uses the 4-bit weights that training used (expanded, when merged);
            ``"original"`` uses the original weights, which differ from them and so cause drift.
        max_kl: limit of the mean KL, in nats per token.
        max_clear_changes: share of the tokens with a clear lead at which another may become the likeliest.
        max_output_tokens: most tokens of a replayed answer.
        quantize: for ``"gguf"``: quantisations to write as well, such as ``("q8_0", "q4_k_m")``. Each is replayed, and
            its drift is stated; the limits hold for the unquantised file.
        overwrite: replace an earlier export in ``folder``.
        progress: called with a short description of each step.

    Returns:
        The export, with its measurements.

    Raises:
        ConfigError: an argument is invalid, the folder exists, or there are no rows to replay.
        ExportError: the export drifts too far, or its form cannot express what the model needs.
        ModelError: the model cannot be found or loaded.
        DataError: the rows do not fit the model's task.
        MissingExtraError: a library is not installed.
    """
    target = Path(folder).expanduser().absolute()
    _check_arguments(form, dtype, base, replay_rows, max_output_tokens, max_kl, max_clear_changes)
    quantizations = read_quantizations(quantize, form)
    _check_target(target, overwrite)
    asked = Model(model) if isinstance(model, str) else model
    if asked.backend_name != "local":
        raise ConfigError(f"{asked.name} is not a local model; only models of the local backend can be exported")
    for package in _NEEDED:
        check_installed(package, extra="local", needed_for="exporting a model")
    if form == "gguf":
        from ftkit.inference.gguf_model import load_library

        load_library()  # before the model is merged
    origin = Origin.of(asked.name.removeprefix("local:"))
    if form == "adapter" and origin.source.adapter is None:
        raise ConfigError(
            ErrorText(f"{asked.name} is a whole model without an adapter; export it with ", Argument("form", "merged"))
        )
    trained = ADAPTERS.find(origin.adapter)
    if form != "adapter" and trained is not None and not trained.merges:
        raise ConfigError(
            ErrorText(
                f"the adapter {origin.adapter!r} of {asked.name} cannot be merged into its base; export it with ",
                Argument("form", "adapter"),
            )
        )
    plan = Plan(origin, form, dtype, origin.standing_on(base))
    rows, whose = rows_to_replay(replay, asked.task, origin.record, replay_rows)
    try:
        with folder_aside(target) as aside:
            with folder_aside(target) as logits:
                progress("generating answers with the served model")
                recording, chat_template, settings, notes = _served(plan, rows, logits, max_output_tokens)
                progress("writing the adapter" if form == "adapter" else f"writing the whole model in {dtype}")
                quantised: tuple[Quantised, ...] = ()
                if form == "gguf":
                    with folder_aside(target) as whole:
                        build(plan, whole, recording, settings)
                        drift, quantised = write_gguf(
                            whole,
                            aside,
                            recording,
                            chat_template,
                            dtype=dtype,
                            quantize=quantizations,
                            accept=lambda drift: _accept(plan, drift, recording, max_kl, max_clear_changes),
                            progress=progress,
                        )
                else:
                    build(plan, aside, recording, settings)
                    progress("replaying the answers with the exported files")
                    drift = _replayed(plan, aside, recording, chat_template, max_kl, max_clear_changes)
            made = Export(
                folder=target,
                form=form,
                model=asked.name,
                adapter=origin.adapter,
                dtype=dtype,
                base=plan.base,
                replayed=whose,
                measurements=drift,
                max_kl=max_kl,
                max_clear_changes=max_clear_changes,
                servers=servers_for(form, adapter=origin.adapter, dtype=dtype, traits=origin.traits),
                notes=(*_notes(plan), *notes),
                quantised=quantised,
            )
            write_record(plan, aside, made, chat_template.template_hash)
            os.chmod(aside, 0o755)  # it was made private  # noqa: S103
            replace_folder(aside, target)
    except OSError as error:
        raise ExportError(f"could not write the export to {target}: {error.strerror or error}") from error
    return made


def _check_arguments(
    form: str,
    dtype: str,
    base: str,
    replay_rows: int,
    max_output_tokens: int,
    max_kl: float,
    max_clear_changes: float,
) -> None:
    for name, value, known in (("form", form, Form), ("dtype", dtype, Dtype), ("base", base, Base)):
        if value not in get_args(known):
            raise ConfigError(
                ErrorText(
                    Argument(name, value, text=f"{name}={value!r}"), f" must be one of {', '.join(get_args(known))}"
                )
            )
    for name, number in (("replay_rows", replay_rows), ("max_output_tokens", max_output_tokens)):
        if number < 1:
            raise ConfigError(ErrorText(Argument(name, text=name), f" must be at least 1, not {number}"))
    if not 0 <= max_clear_changes <= 1:
        raise ConfigError(
            ErrorText(
                Argument("max_clear_changes", text="max_clear_changes"),
                f" must be a share from 0 to 1, not {max_clear_changes}",
            )
        )
    if not max_kl > 0:
        raise ConfigError(
            ErrorText(
                Argument("max_kl", text="max_kl"), f" must be above 0, not {max_kl}: rounding alone causes some drift"
            )
        )


def _check_target(target: Path, overwrite: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ConfigError(f"{target} exists and is not a folder")
    if not target.exists() or not any(target.iterdir()):
        return
    if not overwrite:
        raise ConfigError(
            ErrorText(
                f"{target} already exists; choose another folder, or pass ",
                Argument("overwrite", text="overwrite=True"),
            )
        )
    record = target / RECORD
    if not record.is_file() or "export" not in read_object(record):
        raise ConfigError(f"{target} is not an earlier export (its {RECORD} would say so), so it is not overwritten")


def _served(
    plan: Plan, rows: list[Row], logits: Path, limit: int
) -> tuple[Recording, ChatTemplate, Settings, tuple[str, ...]]:
    """Record the served model's answers, then release the model."""
    from ftkit.inference.replay import Conversation, record
    from ftkit.modeling.load_for_inference import load_served

    conversations = [Conversation(str(row.place), row.prompt, row.tools) for row in rows]
    served = load_served(plan.origin.source.name)
    template, notes = _template(plan, served.chat_template, conversations)
    recording = record(served, conversations, logits, limit=limit)
    settings = Settings(served.tokenizer, served.model.generation_config, served.max_length, template)
    return recording, served.chat_template, settings, notes


def _template(
    plan: Plan, chat_template: ChatTemplate, conversations: list[Conversation]
) -> tuple[str | None, tuple[str, ...]]:
    """Translate and check the Go template before anything is computed; return it with its limitations."""
    if plan.form != "ollama":
        return None, ()
    found = go_template(chat_template)
    prove(found.source, conversations, chat_template)
    limits = "the Modelfile's template supports one system message, then user and assistant messages in turn; no tools"
    return found.source, (limits, *found.notes)


def _replayed(
    plan: Plan, folder: Path, recording: Recording, chat_template: ChatTemplate, max_kl: float, max_clear_changes: float
) -> Drift:
    """Measure the drift of the files from the recording.

    Returns:
        The differences.

    Raises:
        ExportError: the drift is too large.
    """
    from ftkit.inference.replay import check_settings, replay

    exported = load(plan, folder)
    check_settings(recording, chat_template.tokenizer, exported)
    if plan.form == "ollama":
        prove(template_of((folder / MODELFILE).read_text(encoding="utf-8")), recording.conversations, chat_template)
    drift = replay(recording, exported, clear_margin=CLEAR_MARGIN)
    _accept(plan, drift, recording, max_kl, max_clear_changes)
    return drift


def _accept(plan: Plan, drift: Drift, recording: Recording, max_kl: float, max_clear_changes: float) -> None:
    """Refuse an export that drifts too far.

    Raises:
        ExportError: the drift is too large.
    """
    problem = objection(drift, max_kl, max_clear_changes, [one.place for one in recording.conversations])
    if problem is not None:
        raise ExportError(
            ErrorText(f"the exported model differs from the one that ftkit serves: {problem}. ", _advice(plan))
        )


def _advice(plan: Plan) -> str:
    if plan.base == "original":
        return ErrorText(
            "The original weights differ from those that training used; export with ",
            Argument("base", "quantised"),
            ", or accept the difference with ",
            Argument("max_kl", text="max_kl"),
            " and ",
            Argument("max_clear_changes", text="max_clear_changes"),
        )
    if plan.dtype != "fp32":
        return ErrorText(
            "If rounding causes the drift, ",
            Argument("dtype", "fp32"),
            " removes it; otherwise the files do not hold the trained weights",
        )
    return "No files were written"


def _notes(plan: Plan) -> tuple[str, ...]:
    origin, notes = plan.origin, []
    if plan.form == "adapter":
        if origin.modules_to_save:
            notes.append(
                f"the adapter contains full layers ({', '.join(origin.modules_to_save)}; modules_to_save), which few "
                "servers take"
            )
        if Path(origin.source.base).is_dir():
            notes.append(f"its base is the folder {origin.source.base}; use the merged form on machines without it")
        if plan.base == "quantised" and origin.source.quantisation is not None:
            kind = origin.source.quantisation.quant_type.upper()
            notes.append(f"it was measured on a base in 4 bits ({kind}); the server must load the base in the same way")
    return tuple(notes)
