"""Where a job of OpenAI's API carries the key of its run."""

from __future__ import annotations

from typing import Any

from ftkit.backends.hosted.host import JobQuery, JobRequest
from ftkit.backends.hosted.run_key import key_tag

__all__ = ["KEY", "has_key", "lost_key"]

KEY = "ftkit_run"
"""Name of the metadata that holds a run's key."""


def has_key(job: dict[str, Any], query: JobQuery) -> bool:
    """Return whether a job was created for a run: by its metadata, its suffix, or the file that only this run names.

    Args:
        job: the job as the host describes it.
        query: what the run's jobs are found by.

    Returns:
        Whether it was.
    """
    if not job.get("id"):
        return False
    keys = ((job.get("metadata") or {}).get(KEY), job.get("suffix"), job.get("user_provided_suffix"))
    marks = {query.key, key_tag(query.key)}
    if not marks.isdisjoint(key for key in keys if isinstance(key, str)):
        return True
    if any(mark in str(job.get("fine_tuned_model") or "") for mark in marks):
        return True
    return query.file is not None and job.get("training_file") == query.file


def lost_key(request: JobRequest, job: dict[str, Any]) -> str | None:
    """Say what a created job lacks of what it should be found by.

    Args:
        request: the request that created it.
        job: the job as the host returned it.

    Returns:
        The end of a sentence, for a warning; None if nothing is missing.
    """
    query = JobQuery(request.key, request.kind, request.file)
    if KEY in (request.body.get("metadata") or {}) and (job.get("metadata") or {}).get(KEY) != request.key:
        lost = "without the metadata that ftkit sent; something between ftkit and the host drops them"
    elif has_key(job, query):
        return None
    else:
        lost = "without the key that ftkit sent in its suffix"
    if has_key(job, query):
        return f"{lost}. ftkit finds it by its suffix or its file instead"
    return f"{lost}, and nothing else in it names the run: after a lost response ftkit cannot find such a job"
