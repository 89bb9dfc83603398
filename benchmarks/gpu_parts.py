"""The parts of the GPU check. Each is a function that measures one thing and returns whether it holds.

``small`` makes a part so little that a CPU runs it in seconds: its first run on a GPU must not be spent on mistakes.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpu_models import dataset, recipe, save_model, train

METHODS = ("sft", "dpo", "reward", "rft")
ADAPTERS = ("lora", "qlora", "dora", "adalora", "full")
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "trl", "liger-kernel", "triton")

Outcome = dict[str, Any]
"""``passed``: True, False, or None where nothing is promised; ``says``: one line; and figures."""


def on_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def device() -> str:
    return "cuda" if on_gpu() else "cpu"


def environment(folder: Path, small: bool) -> Outcome:
    """The card and the packages."""
    import torch

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    about: dict[str, Any] = {"packages": found, "python": sys.version.split()[0], "card": "none"}
    if on_gpu():
        facts = torch.cuda.get_device_properties(0)
        about |= {
            "card": facts.name,
            "memory_bytes": facts.total_memory,
            "capability": f"{facts.major}.{facts.minor}",
            "cuda": torch.version.cuda,
        }
    says = f"{about['card']}; " + ", ".join(f"{name} {number}" for name, number in found.items())
    return {"passed": True, "says": says, **about}


def method_losses(folder: Path, small: bool) -> Outcome:
    """Losses of every method with every adapter on this process's device."""
    model = save_model(folder / "tiny", "tiny", device="cpu")
    found: dict[str, Any] = {}
    for method in METHODS[:1] if small else METHODS:
        for adapter in ADAPTERS:
            output = Path(tempfile.mkdtemp(dir=folder)) / "model"
            chosen = recipe(method, adapter, learning_rate=1e-4 if adapter == "full" else 1e-3)
            try:
                steps, _ = train(chosen, dataset(method, 16, words=24), model, output)
                found[f"{method} {adapter}"] = [step["loss"] for step in steps]
            except Exception as error:
                found[f"{method} {adapter}"] = f"{type(error).__name__}: {str(error)[:300]}"
    return {"passed": None, "says": f"{len(found)} runs", "losses": found}


def methods(folder: Path, small: bool) -> Outcome:
    """Each method with each adapter for four steps: losses on the GPU against the CPU, in float32."""
    save_model(folder / "tiny", "tiny", device="cpu")
    script = str(Path(__file__).with_name("gpu_check.py"))
    options = ["--parts", "method_losses", "--folder", str(folder), *(["--small"] if small else [])]
    other = subprocess.Popen(
        [sys.executable, script, *options],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    here = method_losses(folder, small)["losses"]
    printed, _ = other.communicate()
    there = json.loads(printed.splitlines()[-1].partition(": ")[2])["losses"]
    rows, wrong = {}, []
    for name, mine in here.items():
        others = there[name]
        if isinstance(mine, str) or isinstance(others, str):
            rows[name] = mine if isinstance(mine, str) else f"on the CPU: {others}"
            wrong.append(name)
            continue
        if name.startswith("rft"):  # each device samples other answers
            right = all(map(math.isfinite, mine))
            rows[name] = f"finite: {right}"
        else:
            difference = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(mine, others, strict=True))
            right = difference < (2e-2 if "qlora" in name else 2e-3)
            rows[name] = f"{difference:.1e}"
        if not right:
            wrong.append(name)
    says = f"{len(rows) - len(wrong)} of {len(rows)} agree" + (f"; not {', '.join(wrong)}" if wrong else "")
    return {"passed": not wrong, "says": says, "relative_difference": rows, "here": here, "cpu": there}


def bf16(folder: Path, small: bool) -> Outcome:
    """The losses of bfloat16 against those of float32."""
    model = save_model(folder / "tiny", "tiny", device="cpu")
    runs = {}
    for precision in ("fp32", "bf16"):
        chosen = recipe("sft", "lora", precision=precision)
        steps, _ = train(chosen, dataset("sft", 32, words=24), model, folder / precision / "model")
        runs[precision] = [step["loss"] for step in steps]
    off = max(abs(a - b) / abs(b) for a, b in zip(runs["bf16"], runs["fp32"], strict=True))
    return {"passed": off < 0.03, "says": f"largest relative difference {off:.1e}", "losses": runs}


def tree_attention(folder: Path, small: bool) -> Outcome:
    """The packed attention and its gradients against dense attention with the same mask."""
    import numpy as np
    import torch

    from ftkit.modeling.attention import TreeAttentionMask, tree_attention_forward
    from ftkit.modeling.prefix_tree import pack_sequences
    from ftkit.modeling.tokenized_example import TokenizedConversation

    draw = np.random.default_rng(0)
    where = torch.device(device())
    worst: dict[str, float] = {}
    for name, dtype, allowed in (("float32", torch.float32, 2e-5), ("bfloat16", torch.bfloat16, 3e-2)):
        if name == "bfloat16" and not on_gpu():
            continue
        for lengths, heads, groups, size in (((40, 7, 90), 4, 2, 64), ((300, 200, 3, 411, 64), 8, 1, 128)):
            prefix = draw.integers(1, 90, 33)
            rows = [
                TokenizedConversation(np.concatenate([prefix, draw.integers(1, 90, n)]), np.ones(n + 33, bool))
                for n in lengths
            ]
            pack = pack_sequences(rows)
            count = len(pack.ids)
            tree = TreeAttentionMask.from_pack(pack, where)
            torch.manual_seed(0)
            shapes = [(1, heads, count, size)] + [(1, heads // groups, count, size)] * 2
            inputs = [torch.randn(shape, device=where).to(dtype).requires_grad_() for shape in shapes]
            weight = torch.randn((1, count, heads, size), device=where).to(dtype)
            out, _ = tree_attention_forward(torch.nn.Identity(), *inputs, None, tree=tree)
            gradients = torch.autograd.grad((out * weight).sum(), inputs)
            exact = [x.detach().double().requires_grad_() for x in inputs]
            end = torch.from_numpy(pack.subtree_end).to(where)
            at = torch.arange(count, device=where)
            mask = (at[None, :] <= at[:, None]) & (at[:, None] < end[None, :])
            query, key, value = exact[0], *(x.repeat_interleave(groups, 1) for x in exact[1:])
            scores = (query @ key.transpose(-1, -2)) * size**-0.5
            dense = (scores.masked_fill(~mask, -torch.inf).softmax(-1) @ value).transpose(1, 2)
            wanted = torch.autograd.grad((dense * weight.double()).sum(), exact)
            off = max(
                float((a.double() - b).abs().max() / b.abs().max())
                for a, b in zip((out, *gradients), (dense, *wanted), strict=True)
            )
            worst[name] = max(worst.get(name, 0.0), off / allowed)
    says = ", ".join(f"{name}: {share:.2f} of the allowed difference" for name, share in worst.items())
    return {"passed": all(share < 1 for share in worst.values()), "says": says, "share_of_allowed": worst}


def shared_prefix(folder: Path, small: bool) -> Outcome:
    """Losses with and without shared computation of common prefixes."""
    model = save_model(folder / "tiny", "tiny", device="cpu")
    runs, computed = {}, {}
    for shared in (True, False):
        chosen = recipe("sft", "lora", shared_prefix=shared)
        steps, _ = train(chosen, dataset("sft", 32, words=24), model, folder / f"shared-{shared}" / "model")
        runs[shared] = [step["loss"] for step in steps]
        computed[shared] = sum(step["computed_tokens"] for step in steps)
    off = max(abs(a - b) / abs(b) for a, b in zip(runs[True], runs[False], strict=True))
    says = f"largest relative difference {off:.1e}; {computed[True]:,} of {computed[False]:,} tokens computed"
    return {"passed": off < 1e-3 and computed[True] < computed[False], "says": says}


def paged_optimizer(folder: Path, small: bool) -> Outcome:
    """QLoRA with paged 8-bit AdamW against 32-bit AdamW."""
    if not on_gpu():
        return {"passed": None, "says": "needs a GPU"}
    model = save_model(folder / "tiny", "tiny", device="cpu")
    ends = {}
    for optimizer in ("adamw", "paged_adamw_8bit"):
        chosen = recipe("sft", "qlora", optimizer=optimizer, precision="bf16", epochs=4)
        steps, _ = train(chosen, dataset("sft", 32, words=24), model, folder / optimizer / "model")
        losses = [step["loss"] for step in steps]
        ends[optimizer] = (losses[0], statistics.fmean(losses[-4:]))
    ratio = ends["paged_adamw_8bit"][1] / ends["adamw"][1]
    fell = all(last < first for first, last in ends.values())
    says = "; ".join(f"{name} {first:.3f} to {last:.3f}" for name, (first, last) in ends.items())
    return {"passed": fell and abs(ratio - 1) < 0.05, "says": says}


def resume(folder: Path, small: bool) -> Outcome:
    """A run that stops and resumes against one that does not: the same losses, and the same bits of the adapter."""
    from safetensors.torch import load_file

    model = save_model(folder / "tiny", "tiny", device="cpu")
    rows, losses, weights = dataset("sft", 32, words=24), {}, {}
    for name, stop in (("whole", None), ("resumed", 3)):
        chosen = recipe("sft", "lora", save_steps=2)
        output = folder / name / "model"
        steps, _ = train(chosen, rows, model, output, stop_after=stop)
        if stop is not None:
            steps += train(chosen, rows, model, output)[0]
        losses[name] = [step["loss"] for step in steps]
        weights[name] = load_file(output / "adapter_model.safetensors")
    off = max(float((weights["whole"][name] - tensor).abs().max()) for name, tensor in weights["resumed"].items())
    same = losses["whole"] == losses["resumed"] and off == 0
    says = "the same bits" if same else f"largest difference of a weight {off:.1e}"
    return {"passed": same or off < 1e-5, "says": says}


def generation(folder: Path, small: bool) -> Outcome:
    """Greedy answers of a tuned model in float32 against ``generate`` of transformers and PEFT."""
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    import ftkit as ft
    from ftkit.backends.answer import Request

    base = save_model(folder / "tiny", "tiny", device="cpu")
    data = dataset("sft", 8, words=24)
    name = folder / "tuned" / "model"
    train(recipe("sft", "lora"), dataset("sft", 32, words=24), base, name)
    words = AutoTokenizer.from_pretrained(base)
    plain = AutoPeftModelForCausalLM.from_pretrained(name, dtype=torch.float32).to(device())
    wanted = []
    for row in data:
        text = words.apply_chat_template(list(row.prompt), tokenize=False, add_generation_prompt=True)
        ids = words(text, return_tensors="pt", add_special_tokens=False).input_ids.to(device())
        out = plain.generate(input_ids=ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
        wanted.append(words.decode(out, skip_special_tokens=True))
    del plain
    with ft.Model(f"local:{name}", data.task) as model:
        sampling = ft.Sampling(temperature=0, max_output_tokens=24)
        answers = model.answer_many([Request(row.prompt) for row in data], sampling)
    same = sum(answer.text == text for answer, text in zip(answers, wanted, strict=True))
    return {"passed": same == len(wanted), "says": f"{same} of {len(wanted)} answers are the same"}


def speed_of_answers(folder: Path, small: bool) -> Outcome:
    """Tokens per second of answers: one after another, and 32 at once."""
    import ftkit as ft
    from ftkit.backends.answer import Request

    size = "tiny" if small else "1B"
    name = save_model(folder / size, size, device=device())
    data = dataset("sft", 32, words=200)
    found = {}
    with ft.Model(f"local:{name}", data.task) as model:
        sampling = ft.Sampling(temperature=0, max_output_tokens=8 if small else 64)
        requests = [Request(row.prompt) for row in data]
        model.answer_many(requests[:2], sampling)
        for count in (1, 32):
            began = time.perf_counter()
            answers = model.answer_many(requests[:count], sampling)
            tokens = sum(answer.output_tokens or 0 for answer in answers)
            found[str(count)] = tokens / (time.perf_counter() - began)
    says = f"{size}: {found['1']:.0f} tokens/s for one, {found['32']:.0f} for 32 at once"
    return {"passed": None, "says": says, "tokens_per_second": found}


def timed(steps: list[dict[str, Any]], tokens: str) -> float:
    """Tokens per second of the steps after the first two, which compile and warm up."""
    counted = steps[2:] or steps
    return sum(step[tokens] for step in counted) / sum(step["seconds"] for step in counted)


def training_speed(folder: Path, small: bool, size: str, adapter: str) -> Outcome:
    """Tokens per second, utilisation and memory of training, memory beside the plan's."""
    from ftkit.training.estimation.local_estimate import estimate_local_run

    size = "tiny" if small else size
    name = save_model(folder / size, size, device=device())
    changes: dict[str, Any] = {"precision": "bf16" if on_gpu() else "fp32", "batch_size": 16}
    if on_gpu():
        changes |= {"max_batch_tokens": 8_192, "optimizer": "paged_adamw_8bit" if adapter == "qlora" else "adamw"}
    chosen = recipe("sft", adapter, learning_rate=1e-4, **changes)
    data = dataset("sft", 16 * (4 if small else 8), words=20 if small else 700)
    planned = estimate_local_run(chosen, name, data, None)
    steps, warnings = train(chosen, data, name, Path(tempfile.mkdtemp(dir=folder)) / "model")
    peak = max(step["peak_memory_bytes"] for step in steps)
    utilised = [step["mfu"] for step in steps[2:] if step["mfu"] is not None]
    figures = {
        "tokens_per_second": timed(steps, "tokens"),
        "computed_tokens_per_second": timed(steps, "computed_tokens"),
        "mfu": statistics.median(utilised) if utilised else None,
        "peak_bytes": peak,
        "planned_peak_bytes": planned.memory.peak,
        "seconds_per_step": statistics.median(step["seconds"] for step in steps[2:]),
        "planned_seconds_per_step": planned.seconds_per_step,
        "warnings": warnings,
    }
    share = f"{figures['mfu']:.0%}" if utilised else "?"
    says = (
        f"{figures['tokens_per_second']:,.0f} tokens/s, MFU {share}, peak {peak / 1e9:.1f} GB "
        f"(plan {planned.memory.peak / 1e9:.1f}), {figures['seconds_per_step']:.2f} s a step "
        f"(plan {planned.seconds_per_step:.2f})"
    )
    return {"passed": None, "says": says, **figures}


def trl_speed(folder: Path, small: bool, size: str, adapter: str) -> Outcome:
    """The same rows and adapter with TRL: packed rows of 4,096 tokens, Liger's kernels where they are installed."""
    import torch
    from trl_side import Stopwatch, sft

    from ftkit.modeling.model_source import find_source
    from ftkit.modeling.pretrained import load_config
    from ftkit.modeling.tokenizer import load_chat_template
    from ftkit.training.dataloader import render_rows
    from ftkit.training.job import machine_facts
    from ftkit.training.losses import loss_of

    size = "tiny" if small else size
    name = save_model(folder / size, size, device=device())
    chosen = recipe("sft", adapter, learning_rate=1e-4, precision="bf16" if on_gpu() else "fp32")
    data = dataset("sft", 16 * (4 if small else 8), words=20 if small else 700)
    rendered = render_rows(data, load_chat_template(find_source(name)), loss_of(chosen).render, None)
    tokens = [[[one.ids.tolist(), one.supervised.tolist()] for one in each.sequences] for each in rendered.examples()]
    liger = on_gpu() and "liger-kernel" in installed("liger-kernel")

    class Watch(Stopwatch):
        """When each step was done."""

        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if on_gpu():
                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())

    watch = Watch()
    recipe_fields = chosen.resolve(machine_facts(len(data), load_config(find_source(name)))).model_dump(mode="json")
    recipe_fields["adapter"]["target_modules"] = "all-linear"
    job = {"recipe": recipe_fields, "folder": name}
    settings = {
        "packing": True,
        "max_length": 256 if small else 4096,
        "per_device_train_batch_size": 2,
        "use_liger_kernel": liger,
        "bf16": on_gpu(),
    }
    trainer = sft(job, tokens, settings, watch, folder)
    trainer.train()
    lengths = [len(row["input_ids"]) for row in trainer.train_dataset]
    batches = [sum(lengths[at : at + 2]) for at in range(0, len(lengths), 2)]
    skipped = 2 if len(batches) > 3 else 1
    seconds = watch.ends[-1] - watch.ends[skipped - 1]
    figures = {
        "tokens_per_second": sum(batches[skipped:]) / seconds,
        "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu() else None,
        "liger": liger,
    }
    peak = f", peak {figures['peak_bytes'] / 1e9:.1f} GB" if figures["peak_bytes"] else ""
    says = f"{figures['tokens_per_second']:,.0f} tokens/s{peak}, Liger {'on' if liger else 'off'}"
    return {"passed": None, "says": says, **figures}


def installed(name: str) -> list[str]:
    try:
        version(name)
    except PackageNotFoundError:
        return []
    return [name]


def speed_part(function: Callable[..., Outcome], size: str, adapter: str) -> Callable[[Path, bool], Outcome]:
    def part(folder: Path, small: bool) -> Outcome:
        return function(folder, small, size, adapter)

    part.__doc__ = f"{function.__doc__} {size}, {adapter}."
    return part


PARTS: dict[str, Callable[[Path, bool], Outcome]] = {
    "environment": environment,
    "methods": methods,
    "tree_attention": tree_attention,
    "bf16": bf16,
    "shared_prefix": shared_prefix,
    "paged_optimizer": paged_optimizer,
    "resume": resume,
    "generation": generation,
    "answers_1B": speed_of_answers,
    **{
        f"{side}_{size}_{adapter}": speed_part(function, size, adapter)
        for size in ("1B", "8B")
        for adapter in ("lora", "qlora")
        for side, function in (("ftkit", training_speed), ("trl", trl_speed))
    },
}
TOGETHER = frozenset(("tree_attention", "bf16", "shared_prefix", "paged_optimizer", "resume", "generation"))
"""Parts that run in one process, so that kernels are compiled once."""
HIDDEN: dict[str, Callable[[Path, bool], Outcome]] = {"method_losses": method_losses}
"""Parts that others start in a process of their own."""
