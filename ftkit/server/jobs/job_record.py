"""The record of a fine-tuning job."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ACTIVE_STATUSES", "COMMON_HYPERPARAMETERS", "JobError", "JobRecord", "JobStatus", "Method"]

JobStatus = Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]
"""OpenAI's names. The last three are final."""

ACTIVE_STATUSES: tuple[JobStatus, ...] = ("validating_files", "queued", "running", "paused")

COMMON_HYPERPARAMETERS = ("n_epochs", "batch_size", "learning_rate_multiplier")
"""Hyperparameters that every method has."""

Method = Literal["supervised", "dpo", "reinforcement"]


class JobError(BaseModel):
    """Why a job failed, as in OpenAI's API."""

    model_config = ConfigDict(frozen=True)
    code: str
    message: str
    param: str | None = None


class JobRecord(BaseModel):
    """A job in the server's table. Its run in ftkit's store has the same id."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    project: str
    created_at: int
    """Unix seconds."""
    model: str
    """The client's name for the base model."""
    source: str
    """The local backend's name for the base model."""
    tuned_name: str
    """Name of the fine-tuned model."""
    method: Method
    hyperparameters: dict[str, Any]
    """As requested, including ``"auto"``."""
    resolved: dict[str, Any] = Field(default_factory=dict)
    """The values of ``"auto"``, once the rows are known."""
    grader: dict[str, Any] | None = None
    """Grader of a reinforcement job, as the client sent it."""
    grader_models: dict[str, str] = Field(default_factory=dict)
    """Models that the grader calls: the client's name → the local backend's name."""
    seed: int
    suffix: str | None
    metadata: dict[str, str] | None
    training_file: str
    validation_file: str | None
    status: JobStatus = "validating_files"
    error: JobError | None = None
    started_at: float | None = None
    """When the run was first started, in Unix seconds."""
    finished_at: int | None = None
    estimated_finish: int | None = None
    trained_tokens: int | None = None
    result_files: list[str] = Field(default_factory=list)
    last_seq: int = 0
    """Sequence number of the last run event that was translated."""
    eval_steps: int | None = None
    """Steps between two evaluations of the validation rows."""
    starting: bool = False
    """The run still has to be started or resumed."""
    stopping: bool = False
    """The run still has to be stopped, because the job was cancelled or paused."""
    deaths: int = 0
    """How often its worker died."""
    model_deleted: bool = False

    def to_openai(self, organization: str) -> dict[str, Any]:
        """Convert to a job object of OpenAI's API.

        Args:
            organization: the server's organization.

        Returns:
            A dict for JSON.
        """
        hyperparameters = self.hyperparameters | self.resolved
        details = {"hyperparameters": hyperparameters} | ({} if self.grader is None else {"grader": self.grader})
        return {
            "object": "fine_tuning.job",
            "id": self.id,
            "created_at": self.created_at,
            "finished_at": self.finished_at,
            "estimated_finish": self.estimated_finish if self.status == "running" else None,
            "model": self.model,
            "fine_tuned_model": self.tuned_name if self.status == "succeeded" else None,
            "status": self.status,
            "error": None if self.error is None else self.error.model_dump(),
            "hyperparameters": {name: hyperparameters[name] for name in COMMON_HYPERPARAMETERS},
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
