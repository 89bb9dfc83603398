"""Ask the served model held-out prompts, and compare the exported model's answers with its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ftkit.errors import ConfigError, ExportError
from ftkit.inference.drift import ClearChange, Drift
from ftkit.inference.exported_model import Exported, answer_logits
from ftkit.inference.offline import generate
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.pretrained import Pretrained, stop_ids
from ftkit.modeling.template_source import template_hash
from ftkit.modeling.tokenized_example import Ints
from ftkit.task import Message

__all__ = ["Conversation", "Recording", "Replayable", "check_settings", "record", "replay"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A prompt and its place in the data."""

    place: str
    messages: Sequence[Message]
    tools: Sequence[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """The answers of the served model.

    Attributes:
        conversations: the prompts.
        prompts: token ids of the prompts.
        answers: its greedy answers in tokens, the end of turn included.
        stop_ids: token ids that end a turn.
        limit: longest answer, in tokens.
        folder: where its logits are stored, one file per row: float32 ``[answer tokens, vocabulary]``.
    """

    conversations: Sequence[Conversation]
    prompts: list[Ints]
    answers: list[tuple[int, ...]]
    stop_ids: tuple[int, ...]
    limit: int
    folder: Path

    def logits(self, row: int) -> torch.Tensor:
        """Load the served model's logits of one row.

        Args:
            row: index of the row.

        Returns:
            ``[answer tokens, vocabulary]``, float32.
        """
        return torch.from_numpy(np.load(self.folder / f"{row}.npy"))


class Replayable(Protocol):
    """An exported model that answers can be replayed with."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Write tokens as text.

        Args:
            tokens: token ids.

        Returns:
            The text.
        """
        ...

    def logits(self, prompt: Ints, answer: Sequence[int]) -> torch.Tensor:
        """Compute the logits with which the model would have chosen each token of an answer.

        Args:
            prompt: token ids of the prompt.
            answer: token ids of the answer.

        Returns:
            ``[answer tokens, vocabulary]``, float32 on the CPU.
        """
        ...

    def greedy(self, prompt: Ints, limit: int) -> tuple[int, ...]:
        """Answer a prompt with the likeliest token each time.

        Args:
            prompt: token ids of the prompt.
            limit: most tokens of the answer.

        Returns:
            The answer in tokens, the end of turn included.
        """
        ...


def record(served: Pretrained, conversations: Sequence[Conversation], folder: Path, *, limit: int) -> Recording:
    """Ask the served model, and store its answers and logits.

    Logits are stored on disk, so that the served and the exported model need not be in memory at the same time.

    Args:
        served: the loaded model.
        conversations: the prompts.
        folder: where to store the logits; they take 4 bytes × answer tokens × vocabulary.
        limit: longest answer, in tokens.

    Returns:
        The answers.

    Raises:
        ConfigError: a prompt leaves the model no room for an answer.
    """
    prompts = [served.chat_template.encode_prompt(one.messages, one.tools) for one in conversations]
    if served.max_length is not None:
        longest = max(range(len(prompts)), key=lambda row: len(prompts[row]))
        limit = min(limit, served.max_length - len(prompts[longest]))
        if limit < 1:
            raise ConfigError(
                f"{conversations[longest].place}: the prompt has {len(prompts[longest])} tokens, and the model takes "
                f"{served.max_length}; replay shorter rows"
            )
    answers = [one.ids for one in generate(served, prompts, max_new_tokens=limit)]
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        with torch.inference_mode():
            logits = answer_logits(served.model, prompt, answer)
        np.save(folder / f"{row}.npy", logits.numpy())
    return Recording(conversations, prompts, answers, served.chat_template.stop_ids, limit, folder)


def check_settings(recording: Recording, served: Any, exported: Exported) -> None:
    """Check that the exported tokenizer, chat template and stop tokens equal the served model's.

    Args:
        recording: the served model's answers.
        served: the served model's tokenizer.
        exported: the exported model.

    Raises:
        ExportError: they differ; the message names the first row that does.
    """
    stops = set(stop_ids(exported.generation_config))
    if stops != set(recording.stop_ids):
        raise ExportError(
            f"the exported model stops at the tokens {sorted(stops)}, the served one at {sorted(recording.stop_ids)}"
        )
    if template_hash(exported.tokenizer) != template_hash(served):
        raise ExportError("the exported chat template is not the served model's")
    chat_template = ChatTemplate(exported.tokenizer, tuple(stops))
    for conversation, prompt, answer in zip(recording.conversations, recording.prompts, recording.answers, strict=True):
        # Servers differ in what they make of the texts of control tokens in messages; ftkit encodes them as text.
        whole = chat_template.render(conversation.messages, conversation.tools, add_generation_prompt=True)
        if chat_template.control_texts(conversation.messages, conversation.tools):
            ids = chat_template.encode_prompt(conversation.messages, conversation.tools).tolist()
        else:
            ids = exported.tokenizer(whole, add_special_tokens=False)["input_ids"]
        if list(ids) != prompt.tolist():
            at = next((i for i, (a, b) in enumerate(zip(ids, prompt.tolist(), strict=False)) if a != b), len(prompt))
            raise ExportError(
                f"{conversation.place}: the exported tokenizer makes other tokens of the prompt than ftkit, from "
                f"token {at} on ({served.decode(prompt[at : at + 8])!r})"
            )
        if exported.tokenizer.decode(answer) != served.decode(answer):
            raise ExportError(f"{conversation.place}: the exported tokenizer reads the answer's tokens as another text")


@torch.inference_mode()
def replay(recording: Recording, exported: Replayable, *, clear_margin: float) -> Drift:
    """Compare the exported model with the recording, row by row.

    Args:
        recording: the served model's answers.
        exported: the exported model.
        clear_margin: the served model's choice of a token is clear if its logit leads by at least this much, in nats.

    Returns:
        How far the two models differ.

    Raises:
        ExportError: the exported model has another vocabulary.
    """
    largest = worst = 0.0
    differences: list[float] = []
    divergences: list[torch.Tensor] = []
    changed = clear_tokens = clear_changes = equal = 0
    first: ClearChange | None = None
    for row, (prompt, answer) in enumerate(zip(recording.prompts, recording.answers, strict=True)):
        served, found = recording.logits(row), exported.logits(prompt, answer)
        if served.shape != found.shape:
            raise ExportError(
                f"the exported model has a vocabulary of {found.shape[-1]} tokens, the served one of {served.shape[-1]}"
            )
        gap = (served - found).abs()
        largest = max(largest, float(gap.max()))
        differences += gap.mean(dim=-1).tolist()
        p, q = served.log_softmax(dim=-1), found.log_softmax(dim=-1)
        divergences.append((p.exp() * (p - q)).sum(dim=-1).clamp(min=0))
        best, second = served.topk(2, dim=-1).values.unbind(dim=-1)
        clear, other = best - second >= clear_margin, served.argmax(dim=-1) != found.argmax(dim=-1)
        changed += int(other.sum())
        clear_tokens += int(clear.sum())
        both = (clear & other).nonzero().flatten().tolist()
        clear_changes += len(both)
        if both and first is None:
            at = both[0]
            first = ClearChange(
                row=row,
                token=at,
                served=exported.decode([int(served[at].argmax())]),
                exported=exported.decode([int(found[at].argmax())]),
                margin=float(best[at] - second[at]),
            )
        equal += exported.greedy(prompt, recording.limit) == answer
    kl = torch.cat(divergences)
    worst = float(kl.max())
    return Drift(
        rows=len(recording.prompts),
        tokens=len(kl),
        max_logit_difference=largest,
        mean_logit_difference=sum(differences) / len(differences),
        mean_kl=float(kl.mean()),
        max_kl=worst,
        changed_tokens=changed,
        clear_tokens=clear_tokens,
        clear_changes=clear_changes,
        first_clear_change=first,
        equal_answers=equal / len(recording.prompts),
    )
