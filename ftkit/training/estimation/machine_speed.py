"""How fast this machine is: a few kinds of work, timed once and remembered.

Takes some seconds the first time. The numbers lie in ``speed.json`` in ftkit's home, under the machine's name, its
device, the number of threads, the precision and the version of torch; removing the file measures anew.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

import torch

from ftkit.files import home, write_atomically
from ftkit.inference.sampling import Draw, choose
from ftkit.modeling.device import default_device, describe_machine, torch_dtype
from ftkit.modeling.model_shape import LinearLayer
from ftkit.training.estimation.memory_model import HEAP_BLOCK
from ftkit.training.estimation.time_model import BACKWARD_BYTES, FEW, Speed, product_name

__all__ = ["dense_rate", "measured_speed"]

TOKENS = 512
RANK = 16
WIDTH = 1024
REPEATS = 3
COLD = 48 * 2**20
"""Bytes that a measurement goes through before it comes back to the same ones, so that they come from memory, as a
model's do, and not from a cache."""
FILE = "speed.json"
BUSY = "busy"
"""Stands in the file, among the numbers, where they were measured beside other work."""
LOOK_S = 0.3
clock = time.perf_counter
"""What a measurement reads; a benchmark on a busy machine may count the process's own seconds instead."""
OTHERS = 25.0
"""Per cent of the processors that others may use before the machine counts as busy."""


def measured_speed(precision: Literal["bf16", "fp32"], linears: Iterable[LinearLayer]) -> Speed:
    """The speed of this process's device in ``precision``, measured unless it is known already.

    Other work on the machine slows the measurement as it slows a run. Each number is the best of several, and what was
    measured beside other work counts only until it is measured better.

    Args:
        linears: the maps whose products are to be known.
    """
    where, dtype = default_device(), torch_dtype(precision)
    bench = _Bench(where, dtype)
    names = {product_name(one): one for one in linears}
    with _Notes(where, precision) as notes:
        notes.begin(*names)
        return Speed(
            dense=notes.of("dense", bench.dense),
            products={name: notes.of(name, partial(bench.product, one)) for name, one in names.items()},
            thin=notes.of("thin", bench.thin),
            attention=notes.of("attention", bench.attention),
            bytes_moved=notes.of("bytes_moved", bench.bytes_moved),
            fresh=notes.of("fresh", bench.fresh),
            dequantised=notes.of("dequantised", bench.dequantised),
            call=notes.of("call", bench.call),
            few=tuple(notes.of(f"{count} rows", partial(bench.rows, count)) for count in FEW),
            choice=notes.of("choice", bench.choice),
            basis="measured on a busy machine" if notes.busy else "measured",
        )


def dense_rate(precision: Literal["bf16", "fp32"]) -> float:
    """Operations a second of a large product of matrices: the best that was ever measured on this machine.

    Takes some hundredths of a second: it is measured each time, because a busy machine is slower than it can be.
    """
    where = default_device()
    with _Notes(where, precision) as notes:
        return notes.best("dense", _Bench(where, torch_dtype(precision)).dense())


class _Notes:
    """The numbers in the file that are this machine's; written on leaving when there are new ones."""

    def __init__(self, where: torch.device, precision: str) -> None:
        about = describe_machine(where)
        parts = [platform.node(), about["device_name"], f"{about['threads']} threads", precision, torch.__version__]
        self._key = "; ".join(map(str, parts))
        self._where = where
        self._again = False
        self._file = home() / FILE

    def __enter__(self) -> _Notes:
        try:
            self._all = json.loads(self._file.read_text(encoding="utf-8"))
            self._mine = {name: float(value) for name, value in self._all.get(self._key, {}).items() if value > 0}
        except (OSError, ValueError, TypeError, AttributeError):  # none yet, or written by something else
            self._all, self._mine = {}, {}
        self._before = dict(self._mine)
        return self

    def __exit__(self, *_: object) -> None:
        if self._mine != self._before:
            write_atomically(self._file, json.dumps({**self._all, self._key: self._mine}, indent=2) + "\n")

    @property
    def busy(self) -> bool:
        """Whether the numbers come from a machine that did other work."""
        return BUSY in self._mine

    def begin(self, *names: str) -> None:
        """Look whether measuring is worth while now, if there is something to measure.

        Args:
            names: what must be known besides what is measured for every model.
        """
        self._again = self.busy
        if self._where.type == "cpu" and (self.busy or not {*names, "call"} <= self._mine.keys()):
            self._mine.pop(BUSY, None)
            psutil: Any = __import__("psutil")
            if psutil.cpu_percent(interval=LOOK_S) > OTHERS:
                self._mine[BUSY] = 1.0

    def of(self, name: str, measure: Callable[[], float]) -> float:
        if name not in self._mine:
            self._mine[name] = measure()
        elif self._again:
            better = min if name == "call" else max
            self._mine[name] = better(self._mine[name], measure())
        return self._mine[name]

    def best(self, name: str, rate: float) -> float:
        self._mine[name] = max(rate, self._mine.get(name, 0.0))
        return self._mine[name]


class _Bench:
    """Times one kind of work after another."""

    def __init__(self, where: torch.device, dtype: torch.dtype) -> None:
        self.where = where
        self.dtype = dtype
        # Of its own, so that measuring leaves a run's random numbers alone.
        self.generator = torch.Generator(device=where).manual_seed(0)

    def random(self, *size: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.randn(*size, generator=self.generator, device=self.where).to(dtype or self.dtype)

    def several(self, *size: int, dtype: torch.dtype | None = None) -> list[torch.Tensor]:
        one = self.random(*size, dtype=dtype)
        return [one, *(one.clone() for _ in range(min(32, COLD // one.nbytes)))]

    def seconds(self, works: Sequence[Callable[[], object]]) -> float:
        """Mean seconds of one of ``works`` in their fastest round, after one that is not counted."""
        times = []
        for _ in range(REPEATS + 1):
            self._wait()
            began = clock()
            for work in works:
                work()
            self._wait()
            times.append(clock() - began)
        return max(min(times[1:]), 1e-9) / len(works)

    def _wait(self) -> None:
        if self.where.type == "cuda":
            torch.cuda.synchronize(self.where)

    @torch.no_grad()
    def dense(self) -> float:
        """Operations a second of a product of square matrices that stay in the cache."""
        width = WIDTH if self.where.type == "cpu" else 8 * WIDTH
        left, right = self.random(TOKENS if self.where.type == "cpu" else width, width), self.random(width, width)
        return 2 * left.numel() * width / self.seconds([lambda: torch.nn.functional.linear(left, right)])

    @torch.no_grad()
    def product(self, linear: LinearLayer) -> float:
        """Operations a second of products with the weights of ``linear``, forward and backward."""
        inputs, outputs = (min(4 * WIDTH, width) for width in (linear.inputs, linear.outputs))
        weights = [one.mul_(inputs**-0.5) for one in self.several(outputs, inputs)]  # so that values keep their size
        values, results = self.several(TOKENS, inputs), self.several(TOKENS, outputs)

        def both(number: int) -> None:
            value, result = values[number % len(values)], results[number % len(results)]
            weight = weights[number % len(weights)]
            torch.mm(value, weight.t(), out=result)
            torch.mm(result, weight, out=values[number % len(values) - 1])

        count = max(map(len, (weights, values, results)))
        return 4 * TOKENS * inputs * outputs / self.seconds([partial(both, number) for number in range(count)])

    @torch.no_grad()
    def rows(self, count: int) -> float:
        """Weights a second in products with ``count`` rows."""
        weights, values = self.several(WIDTH, WIDTH), self.random(count, WIDTH)
        return WIDTH**2 / self.seconds([partial(torch.nn.functional.linear, values, one) for one in weights])

    @torch.no_grad()
    def choice(self) -> float:
        """Logits a second among which the next token is drawn."""
        logits = self.random(8, 32 * WIDTH, dtype=torch.float32)
        draws = [Draw(temperature=1.0, number=number) for number in range(len(logits))]
        return logits.numel() / self.seconds([partial(choose, logits, draws)])

    @torch.no_grad()
    def thin(self) -> float:
        """Operations a second of products with an adapter's rank as one side; adapters compute in float32."""
        low = self.random(RANK, WIDTH, dtype=torch.float32)
        wide = self.several(TOKENS, WIDTH, dtype=torch.float32)
        down = wide[0] @ low.t()

        def all_three(values: torch.Tensor) -> None:
            torch.nn.functional.linear(values, low)
            down.mm(low)
            down.t().mm(values)

        return 3 * 2 * TOKENS * WIDTH * RANK / self.seconds([partial(all_three, one) for one in wide])

    def bytes_moved(self) -> float:
        """Bytes a second of what a layer does element by element, forward and backward, counted as
        :mod:`ftkit.training.estimation.time_model` counts them."""
        heads, size = WIDTH // 64, 64
        turn = self.random(TOKENS, size)

        def layer(values: torch.Tensor) -> None:
            normed = values * torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + 1e-6)  # 5
            wide = normed.view(TOKENS, heads, size).transpose(0, 1)
            turned = wide * turn + torch.cat((-wide[..., size // 2 :], wide[..., : size // 2]), dim=-1) * turn  # 10
            gated = torch.nn.functional.silu(values) * normed  # 5
            (turned.transpose(0, 1).reshape(TOKENS, WIDTH) + gated).sum().backward()  # type: ignore[no-untyped-call]  # 4

        inputs = [one.requires_grad_() for one in self.several(TOKENS, WIDTH)]
        each = self.seconds([partial(layer, one) for one in inputs])
        return (1 + BACKWARD_BYTES) * 24 * inputs[0].nbytes / each

    def fresh(self) -> float:
        """Bytes a second written to a block that was just asked for."""
        size = 2 * HEAP_BLOCK
        return size / self.seconds([lambda: torch.empty(size, dtype=torch.uint8, device=self.where).fill_(1)])

    @torch.no_grad()
    def dequantised(self) -> float:
        """Weights a second that bitsandbytes expands from NF4 with double quantisation."""
        from bitsandbytes import functional

        weight = self.random(WIDTH, WIDTH)
        packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
        return weight.numel() / self.seconds([lambda: functional.dequantize_4bit(packed, state)])

    def attention(self) -> float:
        """Operations a second of fused causal attention, forward and backward."""
        heads, size = 8, 64
        query, key, value = (self.random(1, heads, TOKENS, size).requires_grad_() for _ in range(3))

        def both() -> None:
            result = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            result.backward(torch.ones_like(result))  # type: ignore[no-untyped-call]

        return 14 * heads * size * TOKENS * (TOKENS + 1) / 2 / self.seconds([both])

    def call(self) -> float:
        """Seconds of a differentiable call that computes next to nothing, forward or backward."""
        count = 200
        small = self.random(8).requires_grad_()

        def chain() -> None:
            found: Any = small
            for _ in range(count):
                found = found + 1
            found.sum().backward()

        return self.seconds([chain]) / (2 * count)
