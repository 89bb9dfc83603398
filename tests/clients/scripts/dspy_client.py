"""DSPy: predictions through its chat format and, where the model does not keep to it, through a schema."""

from typing import Literal

import dspy
from steps import MODEL, QUESTION, URL, run

lm = dspy.LM(f"openai/{MODEL}", api_base=URL, api_key="any", max_tokens=200, cache=False, num_retries=0)
dspy.configure(lm=lm)


class Free(dspy.Signature):
    """Name a free bed."""

    question: str = dspy.InputField()
    number: Literal[4, 5, 12] = dspy.OutputField()


def chat() -> None:
    assert lm(QUESTION)[0]


def structured() -> None:
    assert dspy.Predict(Free)(question=QUESTION).number in (4, 5, 12)


def tools() -> None:
    def reserve(number: Literal[4, 5, 12]) -> str:
        """Reserve a bed."""
        return "done"

    class Reserve(dspy.Signature):
        """Reserve a bed."""

        question: str = dspy.InputField()
        tools: list[dspy.Tool] = dspy.InputField()
        calls: dspy.ToolCalls = dspy.OutputField()

    adapter = dspy.JSONAdapter(use_native_function_calling=True)
    with dspy.context(adapter=adapter, lm=lm.copy(tool_choice="required", parallel_tool_calls=False)):
        answer = dspy.Predict(Reserve)(question=QUESTION, tools=[dspy.Tool(reserve)])
    assert answer.calls.tool_calls[0].args["number"] in (4, 5, 12)


run(chat=chat, structured=structured, tools=tools)
