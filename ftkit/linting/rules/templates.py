"""T: what a chat template makes of the texts of a row."""

from __future__ import annotations

import re
from collections.abc import Iterator

from typing_extensions import override

from ftkit.errors import DataError, FtkitError, ModelError
from ftkit.linting.context import LintContext
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import RowRule
from ftkit.linting.rules.tokens import TokenRule, load_tokenizer, tokenize
from ftkit.modeling.control_tokens import texts_of

_KNOWN = re.compile(
    r"<\|(?:im_start|im_end|im_sep|start_header_id|end_header_id|eot_id|eom_id|begin_of_text|end_of_text|endoftext"
    r"|python_tag|system|user|assistant|observation|end|start|message|channel|return|call|eot|begin_of_box)\|>"
    r"|<(?:start_of_turn|end_of_turn)>|\[/?INST\]|<\uff5c[A-Za-z\u2581]{1,40}\uff5c>"
    r"|<\|(?:START|END)_OF_TURN_TOKEN\|>"
)
"""Control tokens of the families Qwen, Llama, GPT, Phi, GLM, Gemma, Mistral, DeepSeek and Command."""


class ControlTokenText(RowRule):
    """A text contains the text of a control token.

    A message, a tool call or a tool contains a text such as `<|im_end|>`, with which models end turns. It comes from
    rows that were copied out of a rendered prompt, or from a user who tries to begin another turn. ftkit encodes it as
    text, in training and in prompts, so that it ends nothing. Hosts and other servers may read it as the token.

    Checks the control tokens of well-known families, and those of the local models (`--backend local:…`). Remove the
    text; if it separates turns, split the message into several.
    """

    code = "T006"
    name = "control-token-text"
    severity = "warning"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        row = view.row
        if row is None:
            return
        found: dict[str, list[str]] = {}
        answers = [message for message in (row.completion, row.rejected) if message is not None]
        messages = [*row.prompt, *answers]
        if _KNOWN.search("\0".join(texts_of([*messages, row.tools]))):  # most rows have none
            for index, message in enumerate(messages):
                found[f"messages[{index}]"] = [match for text in texts_of(message) for match in _KNOWN.findall(text)]
            found["tools"] = [match for text in texts_of(row.tools) for match in _KNOWN.findall(text)]
        for model in context.local_models:
            try:
                found |= load_tokenizer(model)[0].control_texts(messages, row.tools)
            except FtkitError:  # the rules on tokens say that the tokenizer cannot be loaded
                continue
        fields: dict[str, list[str]] = {}
        for field, tokens in found.items():
            if tokens:
                fields.setdefault(re.split(r"[.]", field)[0], []).extend(tokens)
        for field, tokens in fields.items():
            listed = ", ".join(dict.fromkeys(tokens))
            yield RuleFinding(f"contains {listed}, which a server may read as the end of a turn", field)


class TemplateChanges(TokenRule, RowRule):
    """The chat template renders a part of the row otherwise than it is written.

    The role `developer` is rendered as `system` by a template that does not know it. The reasoning of earlier turns is
    left out of the prompts of later ones, as the model's authors meant it. The whitespace around a question, a system
    message or a result is stripped, or the text is changed (capital letters, replaced characters). Or the generation
    prompt opens a thought (`<think>`) that the answer does not close, so that the model learns to answer in the place
    of the thought.

    `ftkit data mask` shows the tokens. Write an answer's thought, even an empty one, into its content
    (`<think></think>`), or give the model another template (`--chat-template`).
    """

    code = "T007"
    name = "template-changes"
    severity = "info"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for model, tokenized in tokenize(view, context):
            row = view.row
            if row is None or isinstance(tokenized, DataError | ModelError):
                continue
            for note in load_tokenizer(model)[0].notes(row.messages, row.tools):
                if note.kind != "control_token":
                    yield RuleFinding(f"{model}: {note.message}", note.field)
