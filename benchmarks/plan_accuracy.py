"""Memory and seconds that `ft.plan` predicts, beside those of short runs.

    python benchmarks/plan_accuracy.py [--threads 1] [--repeat 3] [--only NAME …]

Each setting trains a few steps in a process of its own, as a run's worker does. Memory is the process's peak resident
set, everything in it, against the predicted peak with the constant for Python and its libraries. Seconds are the median
of the steps after the first two; the settings take turns, and each counts its fastest turn. The speed of the machine
is measured anew before each turn, and the fastest of those counts too.

With one thread the seconds of a step are those that the process computed, which other work on the machine leaves alone
but for caches and memory; the seconds that passed stand beside them. With more they are the seconds that passed.
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
STEPS = 5
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
    pairs = setting.get("kind", "sft") != "sft"
    columns = {"chosen": "gold", "rejected": "worse"} if pairs else {"target": "gold"}
    return ft.Dataset.from_rows(rows, ft.Task("Extract the visit record.", input="{note}"), **columns)


def run_of(setting: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Recipe, training rows for :data:`STEPS` steps, and validation rows."""
    import ftkit as ft

    kinds = {"sft": ft.SFT, "dpo": ft.DPO, "reward": ft.RewardModel}
    adapters = {"lora": ft.LoRA, "qlora": ft.QLoRA, "dora": ft.DoRA, "adalora": ft.AdaLoRA, "full": ft.Full}
    batch = setting.get("batch", 4)
    chosen = {"precision": "fp32", "epochs": 1, "batch_size": batch, **setting.get("recipe", {})}
    recipe = kinds[setting.get("kind", "sft")](adapter=adapters[setting.get("adapter", "lora")](), **chosen)
    held_out = dataset(setting, setting["held_out"], seed=8) if "held_out" in setting else None
    return recipe, dataset(setting, batch * STEPS), held_out


def small_model(folder: Path) -> None:
    """A random Llama of 34M parameters with the embedded model's tokenizer."""
    import transformers

    from ftkit.engine.embedded import expand_embedded

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
    from ftkit.engine.training import Job
    from ftkit.engine.training import train as run

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
        "passed": statistics.median(step["seconds"] for step in steps[2:]),
        "computed": statistics.median(step["computed"] for step in steps[2:]),
    }


def predict(setting: dict[str, Any], model: str) -> dict[str, float]:
    from ftkit.engine.prediction import predict as estimate

    recipe, rows, held_out = run_of(setting)
    found = estimate(recipe, model, rows, held_out)
    parts = found.memory.model_dump()
    return {"peak": found.memory.peak, "seconds": found.seconds_per_step, **{f"m_{k}": v for k, v in parts.items()}}


def apart(job: str, setting: dict[str, Any], model: str, home: Path, threads: int) -> dict[str, float]:
    """``train`` or ``predict`` in a process of its own, the machine's speed not known yet."""
    (home / "speed.json").unlink(missing_ok=True)
    environment = {**os.environ, "FTKIT_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--job", job, "--setting", json.dumps(setting), "--model", model]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def row(name: str, guess: dict[str, float], found: dict[str, float]) -> str:
    memory, seconds = (guess[key] / found[key] - 1 for key in ("peak", "seconds"))
    return (
        f"{name:28}{guess['peak'] / 1e6:9,.0f}{found['peak'] / 1e6:9,.0f}{memory:+8.0%}"
        f"{guess['seconds']:10.2f}{found['seconds']:9.2f}{seconds:+8.0%}{found['passed']:9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--raw", type=Path, help="write every figure to this file")
    parser.add_argument("--job", choices=("train", "predict"), help=argparse.SUPPRESS)
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job = train if options.job == "train" else predict
        print(json.dumps(job(json.loads(options.setting), options.model)))
        return
    from ftkit.engine.embedded import EMBEDDED, expand_embedded

    embedded = expand_embedded()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "models").mkdir()
        (home / "models" / embedded.name).symlink_to(embedded)
        small_model(home / "small")
        guesses: dict[str, list[dict[str, float]]] = {one: [] for one in options.only}
        taken: dict[str, list[dict[str, float]]] = {one: [] for one in options.only}
        loads = []
        for _ in range(options.repeat):
            for one in options.only:
                setting = SETTINGS[one]
                model = str(home / "small") if setting.get("model") == "small" else EMBEDDED
                for job, kept in (("predict", guesses), ("train", taken)):
                    kept[one].append(apart(job, setting, model, home, options.threads))
                loads.append(os.getloadavg()[0])
    print(
        f"{platform.machine()}, {options.threads} threads, best of {options.repeat}; load average "
        f"{min(loads):.1f} to {max(loads):.1f} on {os.cpu_count()} cores"
    )
    print(f"{'':28}{'peak MB':>9}{'':9}{'':8}{'s a step':>10}")
    print(f"{'':28}{'guessed':>9}{'found':>9}{'off':>8}{'guessed':>10}{'found':>9}{'off':>8}{'passed':>9}")
    clock = "computed" if options.threads == 1 else "passed"
    for one in options.only:
        guess = {"peak": guesses[one][0]["peak"], "seconds": min(figure["seconds"] for figure in guesses[one])}
        found = {key: min(figure[key] for figure in taken[one]) for key in ("passed", "computed")}
        found |= {"peak": statistics.median(figure["peak"] for figure in taken[one]), "seconds": found[clock]}
        print(row(one, guess, found))
    if options.raw:
        options.raw.write_text(json.dumps({"guesses": guesses, "taken": taken}))


if __name__ == "__main__":
    main()
