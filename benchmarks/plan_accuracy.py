"""Memory and seconds that `ft.plan` predicts, beside those of short runs.

    python benchmarks/plan_accuracy.py [--threads 1] [--repeat 1] [--only NAME …]

Each setting trains a few steps in a process of its own, as a run's worker does. Memory is the process's peak resident
set, everything in it, against the predicted peak with the constant for Python and its libraries. Seconds are those of
the fastest step after the first two, because the plan's are for a machine that is free; each setting is planned
and trained `--repeat` times, the machine's speed measured anew, and the fastest counts on both sides. A setting takes
about half a minute.

With one thread the seconds of a step, and those by which the machine's speed is measured, are what the process
computed, which other work on the machine leaves alone but for caches and memory; the seconds that passed stand beside
them. With more they are the seconds that passed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WORDS = "patient reports seen today with mild severe pain cough fever since days given aspirin 100 mg twice daily"
STEPS = 4
SETTINGS: dict[str, dict[str, Any]] = {
    "LoRA": {"words": 60},
    "LoRA, bf16": {"recipe": {"precision": "bf16"}},
    "LoRA, checkpointing": {"recipe": {"gradient_checkpointing": True}},
    "LoRA, 1,024 tokens a pack": {"batch": 12, "recipe": {"max_batch_tokens": 1024}},
    "LoRA, 256 tokens a pack": {"batch": 12, "recipe": {"max_batch_tokens": 256}},
    "LoRA, long rows": {"batch": 2, "words": 600},
    "LoRA, short rows": {"batch": 8, "words": 10},
    "QLoRA": {"adapter": "qlora"},
    "QLoRA, bf16, checkpointing": {
        "adapter": "qlora",
        "recipe": {"precision": "bf16", "gradient_checkpointing": True},
    },
    "DoRA": {"adapter": "dora"},
    "AdaLoRA": {"adapter": "adalora"},
    "DPO": {"kind": "dpo"},
    "DPO, QLoRA, validation": {"kind": "dpo", "adapter": "qlora", "held_out": 20},
    "Reward model": {"kind": "reward"},
    "RFT": {"kind": "rft", "batch": 2, "recipe": {"num_generations": 8, "max_output_tokens": 32}},
    "RFT, divergence, short rows": {
        "kind": "rft",
        "batch": 4,
        "words": 10,
        "recipe": {"num_generations": 4, "max_output_tokens": 16, "beta": 0.02},
    },
    "Full, 34M": {"adapter": "full", "model": "small"},
    "Full, 34M, checkpointing": {"adapter": "full", "model": "small", "recipe": {"gradient_checkpointing": True}},
}


def dataset(setting: dict[str, Any], count: int, seed: int = 7) -> Any:
    """Random notes with random answers, or pairs of them."""
    import ftkit as ft

    draw, words = random.Random(seed), WORDS.split()
    rows = [
        {
            "note": " ".join(draw.choices(words, k=setting.get("words", 60))),
            "gold": " ".join(draw.choices(words, k=20)),
            "worse": " ".join(draw.choices(words, k=20)),
        }
        for _ in range(count)
    ]
    pairs = setting.get("kind", "sft") in ("dpo", "reward")
    columns = {"chosen": "gold", "rejected": "worse"} if pairs else {"target": "gold"}
    return ft.Dataset.from_rows(rows, ft.Task("Extract the visit record.", input="{note}"), **columns)


def run_of(setting: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Recipe, training rows for :data:`STEPS` steps, and validation rows."""
    import ftkit as ft

    kinds = {"sft": ft.SFT, "dpo": ft.DPO, "reward": ft.RewardModel, "rft": ft.RFT}
    adapters = {"lora": ft.LoRA, "qlora": ft.QLoRA, "dora": ft.DoRA, "adalora": ft.AdaLoRA, "full": ft.Full}
    batch = setting.get("batch", 4)
    chosen = {"precision": "fp32", "epochs": 1, "batch_size": batch, **setting.get("recipe", {})}
    if setting.get("kind") == "rft":  # a measure by which hardly two answers are alike, so that all are learned from
        chosen |= {"grader": ft.TextSimilarityGrader(reference="{{item.gold}}"), "probe_prompts": 0}
    recipe = kinds[setting.get("kind", "sft")](adapter=adapters[setting.get("adapter", "lora")](), **chosen)
    held_out = dataset(setting, setting["held_out"], seed=8) if "held_out" in setting else None
    return recipe, dataset(setting, batch * STEPS), held_out


def small_model(folder: Path) -> None:
    """A random Llama of 34M parameters with the embedded model's tokenizer."""
    import transformers

    from ftkit.modeling.embedded_model import expand_embedded

    tokenizer = transformers.AutoTokenizer.from_pretrained(expand_embedded())
    sizes = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 6}
    config = transformers.LlamaConfig(
        **sizes,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
    )
    transformers.LlamaForCausalLM(config).to(__import__("torch").bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train(setting: dict[str, Any], model: str) -> dict[str, float]:
    """Train in this process; what it took."""
    from ftkit.training.job import Job
    from ftkit.training.job import train as run

    steps: list[dict[str, Any]] = []
    clock = [0.0]

    def emit(kind: str, data: dict[str, Any]) -> None:
        now = time.process_time()
        if kind == "step":
            steps.append({**data, "computed": now - clock[0]})
        clock[0] = now

    with tempfile.TemporaryDirectory() as folder:
        recipe, rows, held_out = run_of(setting)
        run(Job(recipe, rows, held_out, model, Path(folder) / "model"), emit)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "peak": peak,
        "passed": min(step["seconds"] for step in steps[2:]),
        "computed": min(step["computed"] for step in steps[2:]),
    }


def predict(setting: dict[str, Any], model: str) -> dict[str, float]:
    from ftkit.training.estimation import machine_speed as speed
    from ftkit.training.estimation.local_estimate import estimate_local_run as estimate

    if os.environ["OMP_NUM_THREADS"] == "1":
        speed.clock = time.process_time
    recipe, rows, held_out = run_of(setting)
    found = estimate(recipe, model, rows, held_out)
    return {"peak": found.memory.peak, "seconds": found.seconds_per_step}


def apart(job: str, setting: dict[str, Any], model: str, home: Path, threads: int) -> dict[str, float]:
    """``train`` or ``predict`` in a process of its own, the machine's speed not known yet."""
    (home / "speed.json").unlink(missing_ok=True)
    environment = {**os.environ, "FTKIT_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--job", job, "--setting", json.dumps(setting), "--model", model]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def row(name: str, guesses: list[dict[str, float]], taken: list[dict[str, float]], clock: str) -> str:
    guessed, found = (min(one[key] for one in runs) for runs, key in ((guesses, "seconds"), (taken, clock)))
    peaks = statistics.median(one["peak"] for one in guesses), statistics.median(one["peak"] for one in taken)
    passed = min(one["passed"] for one in taken)
    return (
        f"{name:28}{peaks[0] / 1e6:9,.0f}{peaks[1] / 1e6:9,.0f}{peaks[0] / peaks[1] - 1:+8.0%}"
        f"{guessed:10.2f}{found:9.2f}{guessed / found - 1:+8.0%}{passed:9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--job", choices=("train", "predict"), help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job = train if options.job == "train" else predict
        print(json.dumps(job(json.loads(options.setting), options.model)))
        return
    from ftkit.modeling.embedded_model import EMBEDDED, expand_embedded

    embedded = expand_embedded()
    clock = "computed" if options.threads == 1 else "passed"
    print(f"{platform.machine()}, {options.threads} threads, best of {options.repeat}, {os.cpu_count()} cores")
    print(f"{'':28}{'peak MB':>9}{'':9}{'':8}{'s a step':>10}")
    print(f"{'':28}{'guessed':>9}{'found':>9}{'off':>8}{'guessed':>10}{'found':>9}{'off':>8}{'passed':>9}")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "models").mkdir()
        (home / "models" / embedded.name).symlink_to(embedded)
        small_model(home / "small")
        for one in options.only:
            model = str(home / "small") if SETTINGS[one].get("model") == "small" else EMBEDDED
            guesses, taken = (
                [apart(work, SETTINGS[one], model, home, options.threads) for _ in range(options.repeat)]
                for work in ("predict", "train")
            )
            print(row(one, guesses, taken, clock), flush=True)


if __name__ == "__main__":
    main()
