"""Tokens per second of greedy decoding: ftkit's engine, vLLM, and transformers' ``generate`` and continuous batching.

    python benchmarks/inference.py
    python benchmarks/inference.py --sides ftkit generate --tokens 64
    python benchmarks/inference.py --small            # proves that each side works, in minutes

Each side runs in a process of its own, in turn, with the same prompts as token ids, the same number of new tokens (no
token ends an answer), float32 and ``--threads`` threads. One stream answers the prompts one after another; 32 at once
gives all of them together. Loading and a first short answer are not timed. vLLM needs an environment of its own: set
``FTKIT_VLLM`` (make vllm-env); without it that side is left out. Its process gets as many threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SIDES = ("ftkit", "vllm", "generate", "continuous")
SHARED = (
    "You read short clinic notes and answer in one line. Name the drug, the dose and for how many days it is taken. "
    "If the note leaves one of them out, say which. Do not add advice, and do not repeat the note."
)
DRUGS = ("aspirin", "ibuprofen", "amoxicillin", "metformin", "lisinopril")
Answer = Callable[[list[list[int]], int], list[list[int]]]


def prompts(count: int, model: str) -> list[list[int]]:
    from ftkit.modeling.model_source import find_source
    from ftkit.modeling.tokenizer import load_chat_template

    template = load_chat_template(find_source(model))
    found = []
    for number in range(count):
        note = f"Patient {number}: {DRUGS[number % 5]} {50 * (1 + number % 7)} mg for {2 + number % 11} days."
        found.append(template.encode_prompt([{"role": "user", "content": f"{SHARED}\n\n{note}"}]).tolist())
    return found


def folder(model: str) -> str:
    from ftkit.modeling.model_source import find_source

    return find_source(model).base


def by_ftkit(model: str, threads: int) -> Answer:
    import numpy as np

    from ftkit.inference.offline import PendingGenerations
    from ftkit.inference.shared_pool import shared_pool

    lease = shared_pool().acquire(model).result()

    def answer(asked: list[list[int]], tokens: int) -> list[list[int]]:
        ids = [np.asarray(one, dtype=np.int32) for one in asked]
        pending = PendingGenerations(lease.engine, ids, max_new_tokens=tokens, sampling_logprobs=False)
        return [list(future.result().ids) for future in pending.futures]

    return answer


def by_vllm(model: str, threads: int) -> Answer:
    import ftkit as ft
    from ftkit.inference.vllm.client import VLLMClient
    from ftkit.inference.vllm.pool import vllm_pool

    for name, value in (("VLLM_CPU_KVCACHE_SPACE", "1"), ("VLLM_CPU_OMP_THREADS_BIND", "nobind")):
        os.environ.setdefault(name, value)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    options = tuple(os.environ.get("VLLM_OPTIONS", "").split())
    settings = ft.VLLM(dtype="float32", max_model_len=1024, options=options)
    client: VLLMClient = vllm_pool(settings)._acquire(model).server._asked

    def one(ids: list[int], tokens: int) -> list[int]:
        body = {"model": "base", "prompt": ids, "max_tokens": tokens, "temperature": 0.0, "ignore_eos": True}
        found = client.post("/v1/completions", {**body, "return_token_ids": True}, timeout_s=3600.0)
        ids_found: list[int] = found["choices"][0]["token_ids"]
        return ids_found

    def answer(asked: list[list[int]], tokens: int) -> list[list[int]]:
        with ThreadPoolExecutor(len(asked)) as pool:
            return list(pool.map(lambda ids: one(ids, tokens), asked))

    return answer


def _transformers(model: str, attention: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(folder(model), dtype=torch.float32, attn_implementation=attention)
    loaded.generation_config.eos_token_id = None
    loaded.generation_config.do_sample = False
    return loaded.eval()


def by_generate(model: str, threads: int) -> Answer:
    import torch

    loaded = _transformers(model, "sdpa")

    @torch.inference_mode()
    def answer(asked: list[list[int]], tokens: int) -> list[list[int]]:
        longest = max(map(len, asked))
        ids = torch.tensor([[0] * (longest - len(one)) + one for one in asked])
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in asked])
        out = loaded.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
        rows: list[list[int]] = out[:, longest:].tolist()
        return rows

    return answer


def by_continuous(model: str, threads: int) -> Answer:
    from transformers import ContinuousBatchingConfig, GenerationConfig

    loaded = _transformers(model, "sdpa")

    def answer(asked: list[list[int]], tokens: int) -> list[list[int]]:
        config = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0)
        # The cache would take nine tenths of the memory that is free. A block holds 256 tokens.
        blocks = sum((len(one) + tokens) // 256 + 2 for one in asked)
        cache = ContinuousBatchingConfig(num_blocks=blocks, max_batch_tokens=2048)
        found = loaded.generate_batch(
            inputs=asked, generation_config=config, continuous_batching_config=cache, warmup=False
        )
        by_prompt = {tuple(one.prompt_ids): list(one.generated_tokens) for one in found.values()}
        return [by_prompt[tuple(ids)] for ids in asked]

    return answer


def measure(side: str, model: str, threads: int, streams: int, tokens: int, single: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(threads)
    # By name: each side imports what it needs, and nothing of the others.
    made: dict[str, Callable[[str, int], Answer]] = {
        "ftkit": by_ftkit,
        "vllm": by_vllm,
        "generate": by_generate,
        "continuous": by_continuous,
    }
    asked, answer = prompts(streams, model), made[side](model, threads)
    answer(asked[-1:], 4)
    started = time.perf_counter()
    alone = [answer([ids], tokens)[0] for ids in asked[:single]]
    one_s = time.perf_counter() - started
    started = time.perf_counter()
    together = answer(asked, tokens)
    all_s = time.perf_counter() - started
    counts = {len(one) for one in (*alone, *together)}
    if counts != {tokens}:
        raise SystemExit(f"{side}: answers of {sorted(counts)} tokens instead of {tokens}")
    return {"one": single * tokens / one_s, "all": streams * tokens / all_s, "answers": together}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="smollm2-135m", help="a name or folder that the local backend takes")
    options.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    options.add_argument("--streams", type=int, default=32)
    options.add_argument("--single", type=int, default=4, help="prompts of the single stream")
    options.add_argument("--tokens", type=int, default=64)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--small", action="store_true", help="3 prompts of 6 tokens: only whether each side works")
    options.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.small:
        chosen.streams, chosen.single, chosen.tokens = 3, 1, 6
    if chosen.side:
        found = measure(chosen.side, chosen.model, chosen.threads, chosen.streams, chosen.tokens, chosen.single)
        print(json.dumps(found))
        return
    results: dict[str, dict[str, Any]] = {}
    for side in chosen.sides:
        if side == "vllm" and not os.environ.get("FTKIT_VLLM"):
            print("vllm        left out: FTKIT_VLLM is not set (make vllm-env)")
            continue
        command = [sys.executable, __file__, "--side", side, "--model", chosen.model]
        for name in ("streams", "single", "tokens", "threads"):
            command += [f"--{name}", str(getattr(chosen, name))]
        environment = {**os.environ, "OMP_NUM_THREADS": str(chosen.threads), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{side} failed with status {done.returncode}")
        results[side] = json.loads(done.stdout.splitlines()[-1])
    print(f"{chosen.streams} prompts, {chosen.tokens} tokens each, float32, {chosen.threads} threads, greedy")
    print(f"{'side':<12}{'one stream':>12}{f'{chosen.streams} at once':>14}   answers as the first side's")
    first = next(iter(results.values()), {"answers": []})["answers"]
    for side, found in results.items():
        same = sum(one == other for one, other in zip(found["answers"], first, strict=True))
        print(f"{side:<12}{found['one']:>8.1f} t/s{found['all']:>10.1f} t/s   {same} of {len(first)}")


if __name__ == "__main__":
    main()
