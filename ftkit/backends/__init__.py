"""The places that train and answer, behind one protocol."""

from ftkit.backends.answer import Answer, Answerer, FinishReason, OnAnswer, Request, Sampling
from ftkit.backends.protocol import Backend, TrainingJob
from ftkit.backends.registry import backend_of

__all__ = [
    "Answer",
    "Answerer",
    "Backend",
    "FinishReason",
    "OnAnswer",
    "Request",
    "Sampling",
    "TrainingJob",
    "backend_of",
]
