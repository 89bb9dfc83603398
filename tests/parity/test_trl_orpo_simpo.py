"""ORPO and SimPO as ftkit and TRL compute them, beside the papers' formulas on each sequence alone.

Sources: ORPO (Hong et al. 2024, arXiv 2403.07691, equations 4 to 7), SimPO (Meng et al. 2024, arXiv 2405.14734,
equation 6), CPO-SimPO (Xu et al. 2024, arXiv 2401.08417).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM

import ftkit as ft
from tests.parity import trl_side
from tests.parity.ftkit_side import pairs_batch
from tests.parity.test_trl_dpo import CONFIG, pairs
from tests.parity.trl_side import Found, PreferencePair

Tensor = torch.Tensor
LogProbs = Callable[[list[int], int], Tensor]
"""Log-probabilities of the tokens of a conversation from a position on."""
ADAPTER = ft.LoRA(rank=4, lora_alpha=8)


def orpo_of_trl(given: Sequence[PreferencePair], logprobs: LogProbs) -> Tensor:
    likelihood = torch.cat([logprobs(pair.prompt + pair.chosen, 1) for pair in given]).mean()
    return -likelihood + 0.3 * torch.stack([odds_loss(pair, logprobs) for pair in given]).mean()


def orpo_of_paper(given: Sequence[PreferencePair], logprobs: LogProbs) -> Tensor:
    likelihoods = [logprobs(pair.prompt + pair.chosen, len(pair.prompt)).mean() for pair in given]
    return -torch.stack(likelihoods).mean() + 0.3 * torch.stack([odds_loss(pair, logprobs) for pair in given]).mean()


def odds_loss(pair: PreferencePair, logprobs: LogProbs) -> Tensor:
    chosen, rejected = (
        logprobs(pair.prompt + answer, len(pair.prompt)).double().mean().exp()
        for answer in (pair.chosen, pair.rejected)
    )
    return -((chosen / (1 - chosen)) / (rejected / (1 - rejected))).log().sigmoid().log().float()


def simpo(given: Sequence[PreferencePair], logprobs: LogProbs, *, smoothing: float = 0, alpha: float = 0) -> Tensor:
    losses, likelihoods = [], []
    for pair in given:
        chosen, rejected = (logprobs(pair.prompt + one, len(pair.prompt)) for one in (pair.chosen, pair.rejected))
        gain = 2.0 * (chosen.mean() - rejected.mean()) - 0.7
        losses.append(-(1 - smoothing) * logsigmoid(gain) - smoothing * logsigmoid(-gain))
        likelihoods.append(chosen)
    return torch.stack(losses).mean() - alpha * torch.cat(likelihoods).mean()


CASES: dict[str, tuple[Any, ft.Recipe, Callable[..., Found] | None, dict[str, Any]]] = {
    "orpo": (orpo_of_trl, ft.ORPO(beta=0.3, adapter=ADAPTER), trl_side.orpo, {"beta": 0.3}),
    "orpo over answers": (orpo_of_paper, ft.ORPO(beta=0.3, nll_over="answers", adapter=ADAPTER), None, {}),
    "simpo": (
        simpo, ft.SimPO(beta=2.0, gamma=0.7, adapter=ADAPTER), trl_side.cpo,
        {"loss_type": "simpo", "cpo_alpha": 0.0, "beta": 2.0, "simpo_gamma": 0.7},
    ),
    "cpo-simpo": (
        lambda *given: simpo(*given, smoothing=0.1, alpha=0.5),
        ft.SimPO(beta=2.0, gamma=0.7, label_smoothing=0.1, cpo_alpha=0.5, adapter=ADAPTER), trl_side.cpo,
        {"loss_type": "simpo", "cpo_alpha": 0.5, "beta": 2.0, "simpo_gamma": 0.7, "label_smoothing": 0.1},
    ),
}  # fmt: skip
"""Of each loss the formula, ftkit's recipe, and what TRL is asked."""


def by_formula(folder: str, given: Sequence[PreferencePair], formula: Any, weights: Any) -> Found:
    """Each sequence is computed alone."""
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), CONFIG)
    trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
    for name, one in weights.items():
        trainable[name].data.copy_(one)

    def logprobs(ids: list[int], begin: int) -> Tensor:
        logits = model(torch.tensor([ids])).logits[0, begin - 1 : -1]
        return logits.log_softmax(-1).gather(1, torch.tensor(ids[begin:])[:, None]).squeeze(1)

    total = formula(given, logprobs)
    total.backward()
    return Found(float(total.detach()), {name: one.grad for name, one in trainable.items() if one.grad is not None})


@pytest.mark.parametrize("kind", CASES)
def test_loss_and_gradients_are_those_of_trl_and_of_the_papers(kind: str, tiny_model: str, tmp_path: Path):
    formula, recipe, trl, settings = CASES[kind]
    given = pairs()
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32), CONFIG)
    weights = {
        name: one.detach() + 0.05 * torch.randn_like(one) for name, one in model.named_parameters() if one.requires_grad
    }
    wanted = by_formula(tiny_model, given, formula, weights)
    mine = pairs_batch(recipe, tiny_model, weights, given)
    others = [mine] if trl is None else [mine, trl(tiny_model, CONFIG, weights, given, tmp_path, **settings)]
    for one in others:
        assert one.loss == pytest.approx(wanted.loss, rel=1e-5)
        for name, gradient in wanted.gradients.items():
            assert float((one.gradients[name] - gradient).norm()) <= 2e-5 * float(gradient.norm()), name
    for found in others[1:]:
        for ours, theirs in {"chosen": "chosen", "rejected": "rejected", "margin": "margins"}.items():
            assert mine.metrics[f"rewards_{ours}"] == pytest.approx(found.metrics[f"rewards/{theirs}"], rel=1e-4)
        if "nll_loss" in mine.metrics:
            assert mine.metrics["nll_loss"] == pytest.approx(found.metrics["nll_loss"], rel=1e-5)
