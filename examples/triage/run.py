"""Classification: which queue does a customer's message belong to?

python examples/triage/run.py
python examples/triage/run.py --backend local:/path/to/another/model
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

import ftkit as ft

HERE = Path(__file__).parent
Queue = Literal["billing", "bug", "how_to", "cancellation", "lost_property", "praise"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default="local:smollm2-135m", help='where and what, as "name:model"')
    options.add_argument("--out", type=Path, default=Path("demo-output"))
    chosen = options.parse_args()

    task = ft.Task("Sort the customer's message into one queue.", input="{message}", output=Queue)
    data = ft.Dataset.load(HERE / "messages.jsonl", task, target="label", id="id")
    train, test = data.split(test=0.25, stratify_by="label", seed=3)

    run = ft.train(ft.load_recipe(HERE.parents[1] / "recipes" / "classify.yaml"), train, backend=chosen.backend).wait()

    # A choice is a word or two: a long answer is wrong already.
    sampling = ft.Sampling(max_output_tokens=8)
    before = ft.evaluate(ft.Model(chosen.backend, task), test, sampling=sampling, label="base")
    after = ft.evaluate(run.model, test, sampling=sampling, label="tuned")
    comparison = ft.compare(before, after)
    print(comparison)
    chosen.out.mkdir(parents=True, exist_ok=True)
    comparison.save(chosen.out / "triage.html")


if __name__ == "__main__":
    main()
