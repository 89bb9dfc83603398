"""Answering the held-out clinic notes: ftkit against a plain padded ``generate`` loop, at one batch size, in one run.

    python benchmarks/evaluation_speed.py
    python benchmarks/evaluation_speed.py --model FOLDER_OF_A_TUNED_MODEL --rows 88

The plain loop is what one writes first: prompts in the order of the file, padded on the left to the longest of the
batch, transformers' own ``generate``, the adapter beside the base. ftkit batches by length, computes the instructions
that all prompts share once, drops answers that have ended from the batch, and merges the adapter; 4-bit weights, which
the plain loop expands at every token, it expands once.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

import ftkit as ft
from ftkit.inference.limits import MAX_BATCH_SIZE
from ftkit.modeling.load_for_inference import own_precision
from ftkit.modeling.model_source import find_source

VISITS = Path(__file__).parents[1] / "examples" / "visits" / "visits.jsonl"


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


def plain(name: str, prompts: list[list[dict[str, Any]]], limit: int) -> tuple[list[str], float]:
    """Answers by transformers and peft alone, and the seconds they took."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    source, device = find_source(name), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base = source.base
    dtype = torch.bfloat16 if own_precision(source, device) == "bf16" else torch.float32
    extra: dict[str, Any] = {}
    if source.quantisation is not None:
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=source.quantisation.quant_type,
            bnb_4bit_use_double_quant=source.quantisation.double_quant,
            bnb_4bit_compute_dtype=dtype,
        )
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, device_map={"": device}, **extra).eval()
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    if source.adapter is not None:
        model = PeftModel.from_pretrained(model, str(source.adapter)).eval()
    texts = [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=True) for one in prompts]
    answers: list[str] = []
    started = time.perf_counter()
    for at in range(0, len(texts), MAX_BATCH_SIZE):
        batch = tokenizer(
            texts[at : at + MAX_BATCH_SIZE], return_tensors="pt", padding=True, add_special_tokens=False
        ).to(device)
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=limit, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        answers += tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers, time.perf_counter() - started


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="smollm2-135m", help="a name or folder that the local backend takes")
    options.add_argument("--rows", type=int, default=64)
    options.add_argument("--max-output-tokens", type=int, default=72)
    chosen = options.parse_args()

    task = ft.Task("Extract the visit record from the clinic note.", input="{note}", output=Visit)
    data = ft.Dataset.load(VISITS, task, target="record")
    rows = list(data.split(test=0.2, group_by="patient_id", seed=7)[1].take(chosen.rows))
    model = ft.Model(f"local:{chosen.model}", task)
    requests = [ft.Request(row.prompt) for row in rows]
    sampling = ft.Sampling(max_output_tokens=chosen.max_output_tokens)
    model.answer_many(requests[:2], ft.Sampling(max_output_tokens=2))  # loads it
    started = time.perf_counter()
    own = model.answer_many(requests, sampling)
    seconds = time.perf_counter() - started
    others, slower = plain(chosen.model, [row.prompt for row in rows], chosen.max_output_tokens)
    same = sum(one.text.strip() == other.strip() for one, other in zip(own, others, strict=True))
    limits = f"batch {MAX_BATCH_SIZE}, at most {chosen.max_output_tokens} tokens, {torch.get_num_threads()} threads"
    print(f"{len(rows)} notes, {limits}")
    print(f"{'ftkit':22}{seconds:7.1f} s {len(rows) / seconds:6.2f} examples/s")
    print(f"{'plain padded generate':22}{slower:7.1f} s {len(rows) / slower:6.2f} examples/s")
    print(f"ftkit is {slower / seconds:.2f}x as fast; {same} of {len(rows)} answers are the same text")


if __name__ == "__main__":
    main()
