"""The program in place of vLLM's, and the models of the chat's tests."""

from tests.inference.vllm.conftest import calls, program
from tests.server.chat.conftest import other_model

__all__ = ["calls", "other_model", "program"]
