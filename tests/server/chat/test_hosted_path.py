"""ftkit's own client for OpenAI's API asks this server, and gets what the local model says."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel

import ftkit as ft
from ftkit.backends import Sampling
from ftkit.backends.openai_jobs import OpenAIJobs


class Visit(BaseModel):
    """A visit."""

    drug: Literal["aspirin", "none"]
    days: int


NOTES = [{"note": "Aspirin for 3 days."}, {"note": "Nothing was prescribed."}, {"note": "Aspirin, one week."}]


@pytest.mark.parametrize("name", ["tiny", "tuned2"])
def test_the_hosted_way_answers_as_the_local_one(served, settings, name):
    task = ft.Task("Answer the note.", input="{note}")
    sampling = Sampling(max_output_tokens=16)
    here = ft.Model(f"local:{settings.models[name]}", task, sampling=sampling)
    there = ft.Model(OpenAIJobs(name, base_url=f"{served.url}/v1", api_key="none"), task, sampling=sampling)
    assert there.predict_many(NOTES) == here.predict_many(NOTES)


def test_and_so_with_a_schema(served, settings):
    task = ft.Task("Read the note.", input="{note}", output=Visit)
    sampling = Sampling(constrained=True, max_output_tokens=60)
    here = ft.Model(f"local:{settings.models['tiny']}", task, sampling=sampling)
    there = ft.Model(OpenAIJobs("tiny", base_url=f"{served.url}/v1", api_key="none"), task, sampling=sampling)
    found, expected = (model.predict_many(NOTES, on_error="return") for model in (there, here))
    assert [*map(str, found)] == [*map(str, expected)]  # errors are told apart by identity
    assert any(isinstance(one, Visit) for one in found)
