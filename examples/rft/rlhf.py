"""Reinforcement from human feedback: preferences become a reward model, and its scores teach the model that writes.

    python examples/rft/rlhf.py
    python examples/rft/rlhf.py --backend local:/path/to/another/model

Of two texts for a customer the house prefers its reply to the blunt draft. The pairs are halved: one half is all that
is learned from, the other makes a reward model that only judges, so that what is measured is not what was rewarded.
The drafts that are answered at the end are of another file. DPO learns from the same pairs without a reward model, and
is measured beside.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scipy.stats import binomtest

import ftkit as ft

HERE = Path(__file__).parent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default="local:smollm2-135m", help='where and what, as "name:model"')
    options.add_argument("--steps", type=int, default=20, help="steps of reinforcement, of two drafts each")
    chosen = options.parse_args()

    task = ft.Task("Rewrite the draft as a reply to the customer, in the house's tone.", input="{draft}")
    pairs = ft.Dataset.load(HERE.parent / "tone" / "replies.jsonl", task, chosen="reply", rejected="draft")
    learned, judging = pairs.split(test=0.5, seed=5)
    unseen = ft.Dataset.load(HERE.parent / "preferences" / "replies.jsonl", task, id="id")

    # 1. Write replies at all. 2. What is wanted, as a score. 3. Write what scores higher, without leaving 1 far behind.
    sft = ft.train(ft.SFT(epochs=2, batch_size=8, learning_rate=1e-3), learned, backend=chosen.backend).wait()
    reward = ft.train(ft.RewardModel(epochs=2), learned, backend=chosen.backend).wait()
    scorer = ft.Scorer(f"local:{reward.id}")
    print(f"the reward model prefers the better reply in {scorer.accuracy(judging):.0%} of {len(judging)} unseen pairs")
    recipe = ft.RFT(
        grader=ft.RewardModelGrader(model=f"local:{reward.id}"), beta=0.05, epochs=1, batch_size=2, num_generations=4,
        max_output_tokens=48, learning_rate=5e-4, adapter=sft.recipe.adapter, lr_scheduler_type="constant",
        probe_prompts=2,
    )  # fmt: skip
    rlhf = ft.train(recipe, learned.take(2 * chosen.steps), backend=f"local:{sft.id}")
    print(f"run {rlhf.id}: `ftkit runs samples {rlhf.id}` shows what is rewarded")
    rlhf.wait()
    # Or: the pairs themselves, with no model of them and nothing drawn.
    dpo = ft.train(ft.DPO(epochs=2, adapter=sft.recipe.adapter), learned, backend=f"local:{sft.id}").wait()

    judge = ft.train(ft.RewardModel(epochs=2, seed=1), judging, backend=chosen.backend).wait()
    before = judged(sft, "SFT", unseen, judge)
    for run, label in ((rlhf, "SFT, then RLHF"), (dpo, "SFT, then DPO")):
        comparison = ft.compare(before, judged(run, label, unseen, judge))
        print(comparison)
        preferred = binomtest(comparison.counts.better, len(unseen))
        low, high = preferred.proportion_ci(method="wilson")
        print(f"the judge prefers {label} for {preferred.statistic:.0%} of unseen drafts ({low:.0%} to {high:.0%})\n")


def judged(run: ft.Run, label: str, data: ft.Dataset, judge: ft.Run) -> ft.Report:
    """What the judge makes of a run's replies to drafts."""
    return ft.evaluate(
        ft.Model(run.model.name, sampling=ft.Sampling(max_output_tokens=48)), data, label=label,
        metrics=[ft.RewardModelGrader(name="judge", model=f"local:{judge.id}")], probes=ft.Probes(general=16),
    )  # fmt: skip


if __name__ == "__main__":
    main()
