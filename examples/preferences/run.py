"""Preferences: demonstrations first, then which of two replies is better; and a reward model that scores replies.

python examples/preferences/run.py
python examples/preferences/run.py --backend local:/path/to/another/model
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ftkit as ft

HERE = Path(__file__).parent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default="local:smollm2-135m", help='where and what, as "name:model"')
    options.add_argument("--epochs", type=int, default=2)
    chosen = options.parse_args()

    task = ft.Task("Rewrite the draft as a reply to the customer, in the house's tone.", input="{draft}")
    data = ft.Dataset.load(HERE / "replies.jsonl", task, chosen="chosen", rejected="rejected", id="id")
    train, test = data.split(test=0.2, seed=5)

    # First learn to write replies at all, then which ones are wanted. The second run goes on with the first one's
    # adapter, and judges by how far it moves from there.
    first = ft.train(ft.SFT(epochs=chosen.epochs), train, backend=chosen.backend).wait()
    recipe = ft.DPO(epochs=chosen.epochs, adapter=first.recipe.adapter)
    second = ft.train(recipe, train, backend=f"local:{first.id}", validation=test).wait()
    for look in (event.data for event in second.events() if event.kind == "validation"):
        share = f"{look['rewards_accuracy']:.0%}"
        print(f"step {look['step']:>3}: on held-out pairs the better reply has become the likelier one in {share}")
    draft = test[0].columns["draft"]
    model = ft.Model(second.model.name, sampling=ft.Sampling(max_output_tokens=160))
    print(f"\n{draft}\n-> {model.predict(draft=draft)}")

    scored = ft.train(ft.RewardModel(epochs=chosen.epochs), train, backend=chosen.backend).wait()
    scorer = ft.Scorer(f"local:{scored.id}")
    print(f"\nthe reward model prefers the better reply in {scorer.accuracy(test):.0%} of {len(test)} held-out pairs")


if __name__ == "__main__":
    main()
