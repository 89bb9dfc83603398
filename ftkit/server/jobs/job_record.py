"""What is known of a fine-tuning job."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ACTIVE_STATUSES", "COMMON_HYPERPARAMETERS", "JobError", "JobRecord", "JobStatus", "Method"]

JobStatus = Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]
"""OpenAI's words. The last three are final."""

ACTIVE_STATUSES: tuple[JobStatus, ...] = ("validating_files", "queued", "running", "paused")

COMMON_HYPERPARAMETERS = ("n_epochs", "batch_size", "learning_rate_multiplier")
"""Hyperparameters of every method."""

Method = Literal["supervised", "dpo", "reinforcement"]


class JobError(BaseModel):
    """Why a job failed, as OpenAI tells it."""

    model_config = ConfigDict(frozen=True)
    code: str
    message: str
    param: str | None = None


class JobRecord(BaseModel):
    """A job as the server keeps it. Its run in ftkit's store has the same id."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    project: str
    created_at: int
    """Unix seconds."""
    model: str
    """As the client named it."""
    source: str
    """The same for ftkit's local backend."""
    tuned_name: str
    """Name of the model to come."""
    method: Method
    hyperparameters: dict[str, Any]
    """As they were asked for, ``"auto"`` among them."""
    resolved: dict[str, Any] = Field(default_factory=dict)
    """The same in numbers, once the rows are known."""
    grader: dict[str, Any] | None = None
    """Of reinforcement, as the client sent it."""
    grader_models: dict[str, str] = Field(default_factory=dict)
    """The models that it asks: the client's name, and that for ftkit's local backend."""
    seed: int
    suffix: str | None
    metadata: dict[str, str] | None
    training_file: str
    validation_file: str | None
    status: JobStatus = "validating_files"
    error: JobError | None = None
    started_at: float | None = None
    """When its worker was first started."""
    finished_at: int | None = None
    estimated_finish: int | None = None
    trained_tokens: int | None = None
    result_files: list[str] = Field(default_factory=list)
    last_seq: int = 0
    """The last of the run's events that was told to the client."""
    eval_steps: int | None = None
    """Steps between two looks at the validation rows."""
    starting: bool = False
    """Its run is still to be started, or to be gone on with."""
    stopping: bool = False
    """Its run is still to be ended, because the job was cancelled or paused."""
    deaths: int = 0
    """How often its worker was found dead."""
    model_deleted: bool = False

    def shown(self, organization: str) -> dict[str, Any]:
        """As OpenAI's API shows it."""
        known = self.hyperparameters | self.resolved
        details = {"hyperparameters": known} | ({} if self.grader is None else {"grader": self.grader})
        found: dict[str, Any] = {
            "object": "fine_tuning.job",
            "id": self.id,
            "created_at": self.created_at,
            "finished_at": self.finished_at,
            "estimated_finish": self.estimated_finish if self.status == "running" else None,
            "model": self.model,
            "fine_tuned_model": self.tuned_name if self.status == "succeeded" else None,
            "status": self.status,
            "error": None if self.error is None else self.error.model_dump(),
            "hyperparameters": {name: known[name] for name in COMMON_HYPERPARAMETERS},
            "method": {"type": self.method, self.method: details},
            "training_file": self.training_file,
            "validation_file": self.validation_file,
            "result_files": self.result_files,
            "trained_tokens": self.trained_tokens,
            "seed": self.seed,
            "organization_id": f"org-{organization}",
            "integrations": [],
            "user_provided_suffix": self.suffix,
            "metadata": self.metadata,
        }
        return found
