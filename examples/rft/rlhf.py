"""Reinforcement from human feedback: preferences become a reward model, and its scores teach the model that writes.

    python examples/rft/rlhf.py
    python examples/rft/rlhf.py --backend local:/path/to/another/model

Of two texts for a customer the house prefers its reply to the blunt draft. The pairs are halved: one half makes the
reward model that is learned from, the other one that only judges, so that what is measured is not what was rewarded.
The drafts that are answered are of another file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ftkit as ft

HERE = Path(__file__).parent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default="local:smollm2-135m", help='where and what, as "name:model"')
    options.add_argument("--steps", type=int, default=16, help="steps of reinforcement, of two drafts each")
    chosen = options.parse_args()

    task = ft.Task("Rewrite the draft as a reply to the customer, in the house's tone.", input="{draft}")
    pairs = ft.Dataset.load(HERE.parent / "tone" / "replies.jsonl", task, chosen="reply", rejected="draft")
    learned, judging = pairs.split(test=0.5, seed=5)
    drafts = ft.Dataset.load(HERE.parent / "preferences" / "replies.jsonl", task, id="id")
    train, test = drafts.split(test=35, seed=5)

    # 1. Write replies at all. 2. What is wanted, as a score. 3. Write what scores higher, without leaving 1 far behind.
    first = ft.train(ft.SFT(epochs=2, batch_size=8, learning_rate=1e-3), learned, backend=chosen.backend).wait()
    reward = ft.train(ft.RewardModel(epochs=2), learned, backend=chosen.backend).wait()
    judge = ft.train(ft.RewardModel(epochs=2, seed=1), judging, backend=chosen.backend).wait()
    scorer = ft.Scorer(f"local:{reward.id}")
    print(f"the reward model prefers the better reply in {scorer.accuracy(judging):.0%} of {len(judging)} unseen pairs")
    recipe = ft.RFT(
        grader=ft.RewardModelGrader(model=f"local:{reward.id}"), beta=0.05, epochs=1, batch_size=2, num_generations=4,
        max_output_tokens=32, learning_rate=5e-4, adapter=first.recipe.adapter, lr_scheduler_type="constant",
        probe_prompts=2,
    )  # fmt: skip
    run = ft.train(recipe, train.take(2 * chosen.steps), backend=f"local:{first.id}")
    print(f"run {run.id}: `ftkit runs samples {run.id}` shows what is rewarded")
    run.wait()

    sampling = ft.Sampling(max_output_tokens=32)
    judged = [ft.RewardModelGrader(name="judge", model=f"local:{judge.id}")]
    before, after = (
        ft.evaluate(ft.Model(name, sampling=sampling), test, metrics=judged, label=label, probes=ft.Probes(general=16))
        for name, label in ((first.model.name, "SFT"), (run.model.name, "SFT, then RLHF"))
    )
    print(ft.compare(before, after))
    scores = [judge_of(judge, report, test) for report in (before, after)]
    wins = sum(then > now for now, then in zip(*scores, strict=True))
    print(f"the judge prefers the reply of after RLHF for {wins} of {len(test)} unseen drafts")


def judge_of(judge: ft.Run, report: ft.Report, data: ft.Dataset) -> list[float]:
    """The judge's score of each answer of a report."""
    conversations = [
        [*row.prompt, {"role": "assistant", "content": answer.text}]
        for row, answer in zip(data, report.rows, strict=True)
    ]
    return ft.Scorer(f"local:{judge.id}").score_many(conversations)


if __name__ == "__main__":
    main()
