"""The same task and recipe on four backends: only the backend argument differs.

python examples/switch_backend.py                     # here, and on fakes of three hosts from tests/hosts
python examples/switch_backend.py --live openai:gpt-4.1-mini together:Qwen/Qwen3.5-9B     # costs money
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Literal

import ftkit as ft

HERE = Path(__file__).parent
Queue = Literal["billing", "bug", "how_to", "cancellation", "lost_property", "praise"]
FAKED = ("local:smollm2-135m", "openai:gpt-4.1-mini", "together:Qwen/Qwen3.5-9B", "fireworks:qwen3-8b")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("backends", nargs="*", default=FAKED)
    options.add_argument("--live", action="store_true", help="the hosts themselves, with the keys of your environment")
    options.add_argument("--rows", type=int, help="train on so many rows only")
    chosen = options.parse_args()

    task = ft.Task("Sort the customer's message into one queue.", input="{message}", output=Queue)
    data = ft.Dataset.load(HERE / "triage" / "messages.jsonl", task, target="label", id="id")
    train, test = data.split(test=0.25, stratify_by="label", seed=3)
    if chosen.rows:
        train = train.take(chosen.rows)
    recipe = ft.SFT(epochs=3, adapter=ft.LoRA(rank=16))

    with contextlib.nullcontext() if chosen.live else fakes(data):
        reports = []
        for backend in chosen.backends:
            run = ft.train(recipe, train, backend=backend, max_cost=20.0).wait()
            paid = run.record.summary.get("cost_usd")
            print(f"{backend}: {run.model.name}{'' if paid is None else f', trained for ${paid:,.2f}'}")
            reports.append(ft.evaluate(run.model, test, sampling=ft.Sampling(max_output_tokens=8), label=backend))
    print(ft.overview(reports))


@contextlib.contextmanager
def fakes(data: ft.Dataset):
    """Three hosts on this machine, at their hosts' prices. They train nothing and answer from the file: it shows the
    way, no quality."""
    sys.path.insert(0, str(HERE.parent))
    from tests.hosts.fireworks_host import FireworksFake
    from tests.hosts.openai_host import OpenAIFake
    from tests.hosts.serving import serving
    from tests.hosts.together_host import TogetherFake

    known = {row.columns["message"]: str(row.target) for row in data}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ["FTKIT_CATALOG"] = f"{folder}/catalog.toml"  # where a fake says whose prices it has
        for name, fake, path in (
            ("OPENAI", OpenAIFake(), "/v1"),
            ("TOGETHER", TogetherFake(), "/v1"),
            ("FIREWORKS", FireworksFake(), ""),
        ):
            stack.enter_context(serving(fake))
            fake.answers = lambda text: next((label for message, label in known.items() if message in text), "bug")
            os.environ |= {f"{name}_BASE_URL": fake.url + path, f"{name}_API_KEY": fake.key}
        os.environ["FIREWORKS_ACCOUNT_ID"] = "acme"
        yield


if __name__ == "__main__":
    main()
