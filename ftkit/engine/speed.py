"""How fast this machine is: a few products, an attention, a sum and an expansion, timed once and remembered.

Takes some seconds the first time. The result lies in ``speed.json`` in ftkit's home, under the machine's name, its
device, the number of threads, the precision and the version of torch; removing the file measures anew.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import torch

from ftkit.engine.duration import Speed
from ftkit.engine.machine import about_machine, device, torch_dtype
from ftkit.files import home, write_atomically

__all__ = ["measured_speed"]

WIDTHS = (192, 512, 1024, 2048)
TOKENS = 512
RANK = 16
REPEATS = 5
FILE = "speed.json"


def measured_speed(precision: Literal["bf16", "fp32"]) -> Speed:
    """The speed of this process's device in ``precision``, measured unless it is known already.

    Other work on the machine slows the measurement as it slows a run; each number is the best of several.
    """
    file = home() / FILE
    known = _read(file)
    where = device()
    about = about_machine(where)
    key = "; ".join(
        [platform.node(), str(about["device_name"]), f"{about['threads']} threads", precision, torch.__version__]
    )
    if key in known:
        try:
            stored = dict(known[key])
            stored["products"] = tuple((int(width), float(rate)) for width, rate in stored["products"])
            return Speed(**stored)
        except (TypeError, ValueError, KeyError):
            pass  # written by another version: measured anew
    speed = _measure(where, torch_dtype(precision))
    write_atomically(file, json.dumps({**known, key: asdict(speed)}, indent=2) + "\n")
    return speed


def _read(file: Any) -> dict[str, Any]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


@torch.no_grad()
def _measure(where: torch.device, dtype: torch.dtype) -> Speed:
    generator = torch.Generator(device=where).manual_seed(0)

    def random(*size: int, kind: torch.dtype = dtype) -> torch.Tensor:
        return torch.randn(*size, generator=generator, device=where).to(kind)

    products = []
    for width in WIDTHS:
        tokens, weight = random(TOKENS, width), random(width, width)
        # Forward and backward use the weight in both orders.
        taken = _seconds(lambda x=tokens, w=weight: (torch.nn.functional.linear(x, w), x @ w), where)  # type: ignore[misc]
        products.append((width, 4 * TOKENS * width**2 / taken))
    wide, low = random(TOKENS, 1024, kind=torch.float32), random(RANK, 1024, kind=torch.float32)
    down = torch.nn.functional.linear(wide, low)
    thin = _seconds(lambda: (torch.nn.functional.linear(wide, low), down @ low, down.t() @ wide), where)
    left, right = random(TOKENS, 1536), random(TOKENS, 1536)
    moving = _seconds(lambda: left * right + left, where)
    small = random(8)
    call = _seconds(lambda: [small + small for _ in range(100)], where) / 100
    return Speed(
        products=tuple(products),
        thin=3 * 2 * TOKENS * 1024 * RANK / thin,
        attention=_attention(random, where),
        bytes_moved=6 * left.numel() * left.element_size() / moving,
        dequantised=_dequantised(random(1024, 1024), where),
        call=call,
        basis="measured",
    )


def _attention(random: Callable[..., torch.Tensor], where: torch.device) -> float:
    """Operations a second of fused causal attention, forward and backward."""
    heads, size = 8, 64
    with torch.enable_grad():
        query, key, value = (random(1, heads, TOKENS, size).requires_grad_() for _ in range(3))

        def both() -> None:
            result = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            result.backward(torch.ones_like(result))  # type: ignore[no-untyped-call]

        taken = _seconds(both, where)
    return 14 * heads * size * TOKENS * (TOKENS + 1) / 2 / taken


def _dequantised(weight: torch.Tensor, where: torch.device) -> float:
    """Weights a second that bitsandbytes expands from NF4 with double quantisation."""
    from bitsandbytes import functional

    packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    return weight.numel() / _seconds(lambda: functional.dequantize_4bit(packed, state), where)


def _seconds(work: Callable[[], object], where: torch.device) -> float:
    """Least seconds of a call, after one that is not counted."""
    times = []
    for _ in range(REPEATS + 1):
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        began = time.perf_counter()
        work()
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        times.append(time.perf_counter() - began)
    return max(min(times[1:]), 1e-9)
