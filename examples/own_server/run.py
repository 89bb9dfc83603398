"""Code written for OpenAI, on a server of one's own: only `base_url` is another.

    ftkit serve --alias gpt-4.1-mini-2025-04-14=smollm2-135m &
    python examples/own_server/run.py --rows 120 --test-rows 20

Uploads clinic notes, tunes a model on them, and asks the tuned model and its base the same new notes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from openai import OpenAI
from pydantic import BaseModel

import ftkit as ft

HERE = Path(__file__).parent
MODEL = "gpt-4.1-mini-2025-04-14"


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


def fields_right(answer: str, wanted: dict[str, object]) -> int:
    """How many of the record's fields an answer has right; none when it is no JSON object."""
    try:
        found = json.loads(answer)
    except ValueError:
        return 0
    return sum(found.get(name) == value for name, value in wanted.items()) if isinstance(found, dict) else 0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    options.add_argument("--api-key", default="none")
    options.add_argument("--rows", type=int, default=352, help="rows to train on")
    options.add_argument("--test-rows", type=int, default=88, help="rows to ask about")
    chosen = options.parse_args()

    task = ft.Task("Extract the visit record from the clinic note.", input="{note}", output=Visit)
    data = ft.Dataset.load(HERE.parent / "visits" / "visits.jsonl", task, target="record")
    train, test = data.split(test=0.2, group_by="patient_id", seed=7)
    train, test = train.take(chosen.rows), test.take(chosen.test_rows)

    client = OpenAI(base_url=chosen.base_url, api_key=chosen.api_key)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        train.write_openai(path)
        file = client.files.create(file=path, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=file.id,
        suffix="visits",
        seed=7,
        # A high rate: with so few rows there are few steps to learn in.
        method={"type": "supervised", "supervised": {"hyperparameters": {"learning_rate_multiplier": 4}}},
    )
    seen: set[str] = set()
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
        for event in client.fine_tuning.jobs.list_events(job.id, limit=10).data[::-1]:
            if event.id not in seen:
                seen.add(event.id)
                print(event.message, flush=True)
    if job.fine_tuned_model is None:
        raise SystemExit(f"{job.status}: {job.error and job.error.message}")

    right = {MODEL: 0, job.fine_tuned_model: 0}
    for row in test:
        for name in right:
            answer = client.chat.completions.create(
                model=name, messages=row.prompt, temperature=0, max_completion_tokens=72
            )
            right[name] += fields_right(answer.choices[0].message.content or "", row.target)
    for name, count in right.items():
        print(f"{name}: {count} of {5 * len(test)} fields right")


if __name__ == "__main__":
    main()
