"""Reinforcement from human feedback: preferences become a reward model, and its scores teach the model that writes.

    python examples/rft/rlhf.py
    python examples/rft/rlhf.py --backend local:/path/to/another/model

The pairs are halved: one half makes the reward model that is learned from, the other half one that only judges, so
that what is measured is not what was rewarded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ftkit as ft

HERE = Path(__file__).parent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default="local:smollm2-135m", help='where and what, as "name:model"')
    options.add_argument("--steps", type=int, default=24, help="steps of reinforcement, of four drafts each")
    chosen = options.parse_args()

    task = ft.Task("Rewrite the draft as a reply to the customer, in the house's tone.", input="{draft}")
    pairs = ft.Dataset.load(
        HERE.parent / "preferences" / "replies.jsonl", task, chosen="chosen", rejected="rejected", id="id"
    )
    learned, judging = pairs.split(test=0.5, seed=5)
    drafts = ft.Dataset.load(HERE.parent / "tone" / "replies.jsonl", task, target="reply")
    train, test = drafts.split(test=40, seed=5)

    # 1. Write replies at all. 2. What is wanted, as a score. 3. Write what scores higher, without leaving 1 far behind.
    first = ft.train(ft.SFT(epochs=3, batch_size=8, learning_rate=1e-3), learned, backend=chosen.backend).wait()
    reward = ft.train(ft.RewardModel(epochs=3), learned, backend=chosen.backend).wait()
    judge = ft.train(ft.RewardModel(epochs=3, seed=1), judging, backend=chosen.backend).wait()
    scorer = ft.Scorer(f"local:{reward.id}")
    print(f"the reward model prefers the better reply in {scorer.accuracy(judging):.0%} of {len(judging)} unseen pairs")
    recipe = ft.RFT(
        grader=ft.RewardModelGrader(model=f"local:{reward.id}"), beta=0.05, epochs=-(-chosen.steps * 4 // len(train)),
        batch_size=4, num_generations=8, max_output_tokens=80, learning_rate=3e-4, adapter=first.recipe.adapter,
    )  # fmt: skip
    run = ft.train(recipe, train, backend=f"local:{first.id}")
    print(f"run {run.id}: `ftkit runs samples {run.id}` shows what is rewarded")
    run.wait()

    sampling = ft.Sampling(max_output_tokens=80)
    judged = [ft.RewardModelGrader(name="judge", model=f"local:{judge.id}")]
    before, after = (
        ft.evaluate(ft.Model(name, sampling=sampling), test, metrics=judged, label=label, probes=ft.Probes())
        for name, label in ((first.model.name, "SFT"), (run.model.name, "SFT, then RLHF"))
    )
    comparison = ft.compare(before, after)
    print(comparison)


if __name__ == "__main__":
    main()
