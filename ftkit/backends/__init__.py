"""The places that train and answer, behind one protocol."""

from ftkit.backends.answer import Answer, Answerer, FinishReason, OnAnswer, Request, Sampling

__all__ = ["Answer", "Answerer", "FinishReason", "OnAnswer", "Request", "Sampling"]
