"""Tokens per second of greedy decoding: ftkit's engine, vLLM, llama.cpp, and transformers' two ways to generate.

    python benchmarks/inference.py
    python benchmarks/inference.py --sides ftkit generate --tokens 64
    python benchmarks/inference.py --llama PYTHON --gguf model-f32.gguf model-f16.gguf model-q4_1.gguf
    python benchmarks/inference.py --small            # proves that each side works, in minutes

Each side runs in a process of its own, in turn, with the same prompts as token ids, the same number of new tokens (no
token ends an answer), float32 and ``--threads`` threads. One stream answers the prompts one after another; 32 at once
gives all of them together. Loading and a first short answer are not timed.

vLLM needs an environment of its own: set ``FTKIT_VLLM`` (make vllm-env); without it that side is left out. Its process
gets as many threads. llama.cpp runs in the Python that ``--llama`` names, where ``llama-cpp-python`` is installed; each
GGUF file is a side of the precision that it holds. llama.cpp's ``convert_hf_to_gguf.py FOLDER --outtype f32`` writes
them from the folder that ``--folder`` prints.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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
    client: VLLMClient = vllm_pool(settings).acquire(model).result().server._asked

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


def by_llama(file: str, threads: int) -> Answer:
    """Decode with llama.cpp's batches of several sequences; its Python class answers one prompt at a time."""
    import llama_cpp

    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(file.encode(), llama_cpp.llama_model_default_params())
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))

    def answer(asked: list[list[int]], tokens: int) -> list[list[int]]:
        settings = llama_cpp.llama_context_default_params()
        settings.n_threads = settings.n_threads_batch = threads
        settings.n_seq_max = len(asked)
        settings.n_ctx = len(asked) * -(-(max(map(len, asked)) + tokens) // 256) * 256
        settings.n_batch = settings.n_ubatch = 512
        if "f32" in Path(file).name.lower():
            settings.type_k = settings.type_v = llama_cpp.GGML_TYPE_F32
        context = llama_cpp.llama_init_from_model(model, settings)
        batch = llama_cpp.llama_batch_init(512, 0, 1)
        waiting = [(number, at, token) for number, one in enumerate(asked) for at, token in enumerate(one)]
        drawn: list[list[int]] = [[] for _ in asked]
        while waiting:
            part, waiting = waiting[:512], waiting[512:]
            batch.n_tokens, last = len(part), []
            for row, (number, at, token) in enumerate(part):
                batch.token[row], batch.pos[row] = token, at
                batch.n_seq_id[row], batch.seq_id[row][0] = 1, number
                batch.logits[row] = at >= len(asked[number]) - 1
                if batch.logits[row]:
                    last.append((row, number, at))
            if llama_cpp.llama_decode(context, batch):
                raise SystemExit("llama.cpp could not decode")
            for row, number, at in last:
                logits = llama_cpp.llama_get_logits_ith(context, row)
                token = int(greatest(logits, vocabulary))
                drawn[number].append(token)
                if len(drawn[number]) < tokens:
                    waiting.append((number, at + 1, token))
        llama_cpp.llama_batch_free(batch)
        llama_cpp.llama_free(context)
        return drawn

    def greatest(logits: Any, count: int) -> Any:
        import numpy as np

        return np.ctypeslib.as_array(logits, shape=(count,)).argmax()

    return answer


def measure(side: str, model: str, threads: int, asked: list[list[int]], tokens: int, single: int) -> dict[str, Any]:
    # By name: each side imports what it needs, and nothing of the others.
    made: dict[str, Callable[[str, int], Answer]] = {
        "ftkit": by_ftkit,
        "vllm": by_vllm,
        "generate": by_generate,
        "continuous": by_continuous,
        "llama": by_llama,
    }
    if side != "llama":
        import torch

        torch.set_num_threads(threads)
    answer = made[side](model, threads)
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
    return {"one": single * tokens / one_s, "all": len(asked) * tokens / all_s, "answers": together}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="smollm2-135m", help="a name or folder that the local backend takes")
    options.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    options.add_argument("--streams", type=int, default=32)
    options.add_argument("--single", type=int, default=4, help="prompts of the single stream")
    options.add_argument("--tokens", type=int, default=64)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--llama", metavar="PYTHON", help="a Python with llama-cpp-python")
    options.add_argument("--gguf", nargs="+", type=Path, default=[], help="files that llama.cpp answers with")
    options.add_argument("--folder", action="store_true", help="print the model's folder, and do nothing else")
    options.add_argument("--small", action="store_true", help="3 prompts of 6 tokens: only whether each side works")
    options.add_argument("--side", choices=(*SIDES, "llama"), help=argparse.SUPPRESS)
    options.add_argument("--asked", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.folder:
        print(folder(chosen.model))
        return
    if chosen.small:
        chosen.streams, chosen.single, chosen.tokens = 3, 1, 6
    if chosen.side:
        asked = json.loads(chosen.asked.read_text())
        print(json.dumps(measure(chosen.side, chosen.model, chosen.threads, asked, chosen.tokens, chosen.single)))
        return
    compare(chosen)


def compare(chosen: argparse.Namespace) -> None:
    """Run each side in its process, and print the table."""
    sides = [(side, side, sys.executable, chosen.model) for side in chosen.sides]
    if "vllm" in chosen.sides and not os.environ.get("FTKIT_VLLM"):
        print("vllm: left out, FTKIT_VLLM is not set (make vllm-env)")
        sides = [side for side in sides if side[0] != "vllm"]
    if chosen.llama:
        sides += [(f"llama.cpp {file.stem}", "llama", chosen.llama, str(file)) for file in chosen.gguf]
    else:
        print("llama.cpp: left out, --llama names no Python that has it")
    results: dict[str, dict[str, Any]] = {}
    environment = {**os.environ, "OMP_NUM_THREADS": str(chosen.threads), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as name:
        asked = Path(name, "prompts.json")
        asked.write_text(json.dumps(prompts(chosen.streams, chosen.model)))
        for label, side, python, model in sides:
            command = [python, __file__, "--side", side, "--model", model, "--asked", str(asked)]
            for option in ("tokens", "threads", "single"):
                command += [f"--{option}", str(getattr(chosen, option))]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{label} failed with status {done.returncode}")
            results[label] = json.loads(done.stdout.splitlines()[-1])
    print(f"{chosen.streams} prompts, {chosen.tokens} tokens each, {chosen.threads} threads, greedy")
    width = max((len(label) for label in results), default=0) + 2
    print(f"{'side':<{width}}{'one stream':>12}{f'{chosen.streams} at once':>14}   answers as the first side's")
    first = next(iter(results.values()), {"answers": []})["answers"]
    for label, found in results.items():
        same = sum(one == other for one, other in zip(found["answers"], first, strict=True))
        print(f"{label:<{width}}{found['one']:>8.1f} t/s{found['all']:>10.1f} t/s   {same} of {len(first)}")


if __name__ == "__main__":
    main()
