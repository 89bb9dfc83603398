"""The places that train and answer, behind one protocol."""

from ftkit.backends.answer import Answerer, OnAnswer, Request
from ftkit.backends.protocol import Backend, TrainingJob
from ftkit.backends.registry import backend_of
from ftkit.results.answer import Answer, FinishReason, Sampling

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
