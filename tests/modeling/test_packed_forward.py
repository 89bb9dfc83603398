"""A packed loss is the loss of the rows alone, with the same gradients, or the model is refused with the reason."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ftkit.modeling.attention import TREE_ATTENTION, TreeAttentionMask
from ftkit.modeling.logit_form import LogitForm, logit_form
from ftkit.modeling.packed_forward import PackedForward, prefix_sharing_problem
from ftkit.modeling.prefix_tree import pack_examples, pack_sequences
from ftkit.modeling.tokenized_example import TokenizedConversation
from tests.families.tiny_families import tiny_family
from tests.modeling.sequences import alone, family_of_rows, rows_without_common_beginnings
from tests.tiny import FAMILIES, tiny_causal, tiny_config

CPU = torch.device("cpu")


def pair_of(family: str, **changes: Any) -> tuple[Any, Any]:
    """A model with ftkit's attention, and one of the same weights that is transformers' own."""
    packed = tiny_causal(family, attention=TREE_ATTENTION, **changes).eval()
    plain = tiny_causal(family, attention="eager", **changes).eval()
    plain.load_state_dict(packed.state_dict())
    return packed, plain


def loss_alone(model: Any, rows: list[TokenizedConversation]) -> torch.Tensor:
    """Sum of the supervised tokens' losses, each row through transformers alone, labels as its trainers make them."""
    total = torch.zeros(())
    for row in rows:
        ids = torch.from_numpy(row.ids.astype(np.int64)).unsqueeze(0)
        labels = ids.masked_fill(~torch.from_numpy(row.supervised), -100)
        logits = model(input_ids=ids).logits
        total = total + torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], reduction="sum")
    return total


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_loss_and_gradients_are_those_of_the_rows_alone(family):
    packed, plain = pair_of(family)
    for rows in (family_of_rows(), rows_without_common_beginnings(), family_of_rows()[:1] * 3):
        assert prefix_sharing_problem(packed, CPU, rows) is None
        expected = loss_alone(plain, rows)
        expected.backward()
        wanted = gradients(plain)
        for share in (True, False):
            total, losses = PackedForward(packed, CPU, shared=True).loss(pack_sequences(rows, share=share))
            total.backward()
            found = gradients(packed)
            assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
            assert losses.shape == pack_sequences(rows, share=share).targets.shape
            assert found.keys() == wanted.keys()
            for name, gradient in wanted.items():
                difference = float((found[name] - gradient).norm())
                # Where the true gradient is zero (a key's bias moves no softmax) only rounding is left to compare.
                assert difference <= 1e-5 * float(gradient.norm()) + 1e-5, name


@pytest.mark.parametrize("shared", [True, False])
def test_the_likeliest_tokens_are_those_of_each_row_alone(shared):
    packed, plain = pair_of("llama")
    rows = family_of_rows()
    one = pack_sequences(rows, share=shared)
    argmax = np.zeros_like(one.targets)
    with torch.no_grad():
        found = [plain(input_ids=torch.from_numpy(row.ids).long().unsqueeze(0)).logits[0].argmax(-1) for row in rows]
    for prediction, asker in zip(one.prediction_indices, one.sequence_indices, strict=True):
        argmax[prediction] = found[asker][one.positions[one.logit_indices[prediction]]]
    one = replace(one, targets=np.where(np.arange(len(argmax)) % 2, argmax, one.targets))
    likeliest = torch.zeros(len(argmax), dtype=torch.bool)
    with_it, _ = PackedForward(packed, CPU, shared=shared).loss(one, is_argmax=likeliest)
    assert likeliest.tolist() == (one.targets == argmax).tolist()
    assert 0 < int(likeliest.sum()) < len(argmax)
    assert torch.equal(with_it, PackedForward(packed, CPU, shared=shared).loss(one)[0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shared", [True, False])
def test_log_probabilities_and_their_gradients_are_those_of_each_row_alone(family, shared):
    packed, plain = pair_of(family)
    rows = family_of_rows()
    factors = torch.linspace(-2, 3, len(rows))
    expected = torch.stack([-loss_alone(plain, [row]) for row in rows])
    (expected**2 @ factors).backward()
    if not shared:
        packed.set_attn_implementation("sdpa")
    found = PackedForward(packed, CPU, shared=shared).sequence_logprobs(pack_sequences(rows, share=shared))
    (found**2 @ factors).backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    same_gradients(gradients(packed), gradients(plain))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shared", [True, False])
def test_scores_and_their_gradients_are_those_transformers_reads_off_the_last_token(family, shared):
    packed, plain = scorers(family)
    rows = family_of_rows()
    factors = torch.linspace(-2, 3, len(rows))
    ids = [torch.from_numpy(row.ids.astype(np.int64)).unsqueeze(0) for row in rows]
    expected = torch.cat([plain(input_ids=one).logits[:, 0] for one in ids])
    (expected @ factors).backward()
    if shared:
        assert prefix_sharing_problem(packed, CPU, rows) is None
    else:
        packed.set_attn_implementation("sdpa")
    found = PackedForward(packed, CPU, shared=shared).scores(pack_sequences(rows, share=shared))
    (found @ factors).backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    same_gradients(gradients(packed), gradients(plain))


def scorers(family: str) -> tuple[Any, Any]:
    """As :func:`pair_of`, ending in a score. No token is padding, so the last one is the last one."""
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    config = tiny_config(family, num_labels=1, initializer_range=0.1)
    config.pad_token_id = None
    packed, plain = (
        AutoModelForSequenceClassification.from_config(deepcopy(config), attn_implementation=attention).eval()
        for attention in (TREE_ATTENTION, "eager")
    )
    plain.load_state_dict(packed.state_dict())
    return packed, plain


def same_gradients(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        # Where the true gradient is zero (a key's bias moves no softmax) only rounding is left to compare.
        scale = float(gradient.norm())
        assert float((found[name] - gradient).norm()) <= 1e-5 * scale + 1e-4, name


def test_losses_of_many_packs_add_up_to_that_of_one():
    packed, _ = pair_of("llama")
    forward, rows = PackedForward(packed, CPU, shared=True), family_of_rows()
    with torch.no_grad():
        whole = float(forward.loss(pack_sequences(rows))[0])
    for budget in (1, 40, 80):
        with torch.no_grad():
            parts = [float(forward.loss(one)[0]) for one, _ in pack_examples(alone(rows), budget)]
        assert len(parts) > 1
        assert sum(parts) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("window", [1, 5, 17, 51, 52])
def test_windows_shorter_than_the_rows_change_nothing(window):
    rows = family_of_rows()
    assert max(len(row.ids) for row in rows) == 53
    packed, plain = pair_of("mistral", sliding_window=window)
    assert prefix_sharing_problem(packed, CPU, rows) is None
    expected = loss_alone(plain, rows)
    expected.backward()
    total, _ = PackedForward(packed, CPU, shared=True).loss(pack_sequences(rows))
    total.backward()
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    same_gradients(gradients(packed), gradients(plain))
    row = pack_sequences(rows[:1])
    alone, _ = PackedForward(packed, CPU, shared=False).loss(row)  # without a mask of transformers
    assert float(alone.detach()) == pytest.approx(float(loss_alone(plain, rows[:1]).detach()), rel=1e-5)


def test_a_window_that_the_attention_does_not_know_is_found_by_the_trial(monkeypatch):
    """The trial has a row longer than the window, so that a model which only masks it is not believed."""
    packed, _ = pair_of("mistral", sliding_window=30)
    monkeypatch.setattr(TreeAttentionMask, "_effective", lambda self, window: None)
    short = [row for row in family_of_rows() if len(row.ids) <= 30]
    assert prefix_sharing_problem(packed, CPU, short) is None
    assert "packed rows is" in str(prefix_sharing_problem(packed, CPU, [*short, family_of_rows()[1]]))


@pytest.mark.parametrize(
    ("family", "changes", "form"),
    [
        ("granite", {"logits_scaling": 8.0}, LogitForm(scale=0.125)),
        ("cohere", {"logit_scale": 0.0625}, LogitForm(scale=0.0625)),
        ("gemma3_text", {"final_logit_softcapping": 30.0}, LogitForm(cap=30.0)),
        ("nanochat", {}, LogitForm(cap=15.0)),
        ("gemma2", {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 0.5}, LogitForm(cap=2.0)),
        ("minicpm3", {"dim_model_base": 8}, LogitForm(input_scale=0.25)),
        ("gpt_oss", {}, LogitForm()),
    ],
)
def test_scaled_and_capped_logits_and_scores_are_those_of_transformers(family, changes, form):
    packed, plain = (tiny_family(family, window=16, **changes) for _ in range(2))
    packed.set_attn_implementation(TREE_ATTENTION)
    assert logit_form(packed) == form
    rows = family_of_rows()
    assert prefix_sharing_problem(packed, CPU, rows) is None
    wanted = [-loss_alone(plain, [row]) for row in rows]
    (torch.stack(wanted) @ torch.linspace(-2, 3, len(rows))).backward()
    pack, forward = pack_sequences(rows), PackedForward(packed, CPU, shared=True)
    found = forward.sequence_logprobs(pack)
    (found @ torch.linspace(-2, 3, len(rows))).backward()
    torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-4, atol=1e-4)
    same_gradients(gradients(packed), gradients(plain))
    with torch.no_grad():
        assert float(forward.loss(pack)[0]) == pytest.approx(float(-sum(wanted)), rel=1e-4)
        warm = [
            forward.token_logprobs(pack, 0.5),
            PackedForward(plain, CPU, shared=False).token_logprobs(pack_sequences(rows, share=False), 0.5),
        ]
    torch.testing.assert_close(warm[0].logprobs, warm[1].logprobs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(warm[0].entropies, warm[1].entropies, rtol=1e-4, atol=1e-4)


def test_logits_that_are_changed_in_another_way_are_refused(monkeypatch):
    packed, _ = pair_of("llama")
    forward = packed.forward

    def odd(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        output.logits = output.logits + output.logits.square() / 50
        return output

    monkeypatch.setattr(packed, "forward", odd)
    assert "changes the outputs of its output layer" in str(prefix_sharing_problem(packed, CPU, family_of_rows()))


def test_attention_of_another_kind_is_refused():
    model = tiny_causal("qwen3_next", attention=TREE_ATTENTION)
    reason = prefix_sharing_problem(model, CPU, family_of_rows())
    assert reason == "it has layers of kind linear_attention, and a tree of sequences needs plain attention"


def test_a_model_that_keeps_its_own_attention_is_refused():
    model = tiny_causal("llama", attention="eager")
    assert "does not support ftkit's attention" in str(prefix_sharing_problem(model, CPU, family_of_rows()))


def test_a_model_whose_packed_loss_differs_is_refused(monkeypatch):
    packed, _ = pair_of("llama")
    rows = family_of_rows()
    decoder = packed.get_decoder()
    # As an implementation would do that counts positions itself: a row's own part begins where its neighbour's ends.
    forward = decoder.forward

    def counting(*, position_ids: torch.Tensor, **kwargs: Any) -> Any:
        return forward(position_ids=torch.arange(position_ids.shape[1]).unsqueeze(0), **kwargs)

    def plain(*args: Any, **kwargs: Any) -> Any:
        return counting(**kwargs) if kwargs.get("tree") is not None else forward(*args, **kwargs)

    monkeypatch.setattr(decoder, "forward", plain)
    reason = prefix_sharing_problem(packed, CPU, rows)
    assert "its loss on 2 packed rows is" in str(reason)


def test_a_model_that_takes_no_tree_is_refused(monkeypatch):
    packed, _ = pair_of("llama")
    decoder = packed.get_decoder()
    forward = decoder.forward

    def strict(*args: Any, **kwargs: Any) -> Any:
        if "tree" in kwargs:
            raise TypeError("forward() got an unexpected keyword argument 'tree'")
        return forward(*args, **kwargs)

    monkeypatch.setattr(decoder, "forward", strict)
    reason = str(prefix_sharing_problem(packed, CPU, family_of_rows()))
    assert "does not support a tree of sequences" in reason
    assert "unexpected keyword argument" in reason
