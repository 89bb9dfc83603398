"""The chunked loss is torch's cross-entropy, in value and in every gradient."""

from __future__ import annotations

import pytest
import torch

from ftkit.modeling.cross_entropy import CHUNK, linear_cross_entropy, token_losses

WIDTH, VOCABULARY = 16, 37


def problem(rows: int, *, bias: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(rows)
    tensors = {
        "hidden": torch.randn(rows, WIDTH, requires_grad=True),
        "weight": torch.randn(VOCABULARY, WIDTH, requires_grad=True),
    }
    if bias:
        tensors["bias"] = torch.randn(VOCABULARY, requires_grad=True)
    return tensors


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 7, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_value_and_gradients_are_those_of_torch(rows, bias):
    tensors = problem(rows, bias=bias)
    targets = torch.randint(0, VOCABULARY, (rows,))
    weights = torch.tensor([0.0, 1.0, 2.0]).repeat(rows)[:rows] if rows > 1 else torch.ones(1)

    total, losses = linear_cross_entropy(targets=targets, weights=weights, **tensors)
    found = torch.autograd.grad(3 * total, tuple(tensors.values()))

    logits = torch.nn.functional.linear(tensors["hidden"], tensors["weight"], tensors.get("bias"))
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    wanted = torch.autograd.grad(3 * (expected * weights).sum(), tuple(tensors.values()))
    torch.testing.assert_close(losses, expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(total, (expected * weights).sum(), rtol=1e-5, atol=1e-5)
    assert not losses.requires_grad
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, CHUNK, 2 * CHUNK + 5])
def test_losses_can_be_put_into_any_function(rows, bias):
    tensors = problem(rows, bias=bias)
    targets = torch.randint(0, VOCABULARY, (rows,))
    losses = token_losses(targets=targets, **tensors)
    found = torch.autograd.grad((losses**2).sum().log(), tuple(tensors.values()))

    logits = torch.nn.functional.linear(tensors["hidden"], tensors["weight"], tensors.get("bias"))
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    wanted = torch.autograd.grad((expected**2).sum().log(), tuple(tensors.values()))
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_a_frozen_output_layer_gets_no_gradient():
    tensors = problem(5, bias=True)
    tensors["weight"].requires_grad_(requires_grad=False)
    tensors["bias"].requires_grad_(requires_grad=False)
    total, _ = linear_cross_entropy(targets=torch.arange(5), weights=torch.ones(5), **tensors)
    total.backward()
    assert tensors["weight"].grad is None
    assert tensors["bias"].grad is None
    assert tensors["hidden"].grad is not None


def test_without_gradients_only_the_loss_is_computed():
    with torch.no_grad():
        total, losses = linear_cross_entropy(targets=torch.arange(5), weights=torch.ones(5), **problem(5, bias=False))
    assert total == pytest.approx(float(losses.sum()))
    assert not total.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_likeliest_tokens_are_those_of_argmax_and_looking_for_them_changes_no_bit(dtype):
    rows = 2 * CHUNK + 5
    tensors = {name: one.detach().to(dtype) for name, one in problem(rows, bias=True).items()}
    for name in ("weight", "bias"):
        tensors[name][[7, 30]] = tensors[name][3].clone()  # three tokens that are always equally likely
    logits = torch.nn.functional.linear(tensors["hidden"], tensors["weight"], tensors["bias"])
    expected = logits.argmax(dim=1)
    targets = torch.where(torch.arange(rows) % 3 > 0, expected, torch.randint(0, VOCABULARY, (rows,)))
    targets[(expected == 3) & (torch.arange(rows) % 2 == 0)] = 30
    found = torch.zeros(rows, dtype=torch.bool)
    results = []
    for likeliest in (None, found):
        wanted = [one.clone().requires_grad_() for one in tensors.values()]
        total, losses = linear_cross_entropy(
            wanted[0], wanted[1], targets, torch.ones(rows), wanted[2], is_argmax=likeliest
        )
        results.append((total, losses, *torch.autograd.grad(total, wanted)))
    assert torch.equal(found, targets == expected)
    assert bool(((targets == 30) & (expected == 3)).any())
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_hopeless_prediction_has_a_large_loss_and_no_nan():
    weight = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    total, _ = linear_cross_entropy(torch.tensor([[500.0]]), weight, torch.tensor([1]), torch.ones(1))
    total.backward()
    assert float(total.detach()) == pytest.approx(1000.0)
    assert weight.grad is not None
    assert bool(weight.grad.isfinite().all())
