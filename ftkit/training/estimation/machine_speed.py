"""Measure the speed of this machine for a few kinds of work, and remember it.

The measurement takes some seconds. Results are kept in ``speed.json`` in ftkit's home, by machine, device, number of
threads, precision and version of torch. Delete the file to measure again.
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

import torch

from ftkit.files import home, write_atomically
from ftkit.inference.sampling import SamplingParams, SamplingState, sample_tokens
from ftkit.modeling.device import default_device, describe_machine, torch_dtype
from ftkit.modeling.model_shape import LinearLayer
from ftkit.training.estimation.memory_model import HEAP_BLOCK
from ftkit.training.estimation.time_model import BACKWARD_BYTES, FEW_ROWS, MachineSpeed, matmul_key

__all__ = ["dense_rate", "measured_speed"]

RANK = 16
TOKENS, WIDTH = 512, 1024
"""Sizes of what is measured on a CPU."""
CUDA_TOKENS, CUDA_WIDTH = 8192, 4096
"""Sizes on a GPU, where smaller work would measure how long kernels take to start. Not yet run on one."""
REPEATS = 3
COLD_BYTES = 48 * 2**20
"""Bytes that a measurement cycles through, so that operands come from memory, as a model's do, and not from a cache."""
FILE = "speed.json"
BUSY = "busy"
"""Key in the file that marks numbers measured while the machine did other work."""
LOAD_CHECK_S = 0.3
"""Seconds over which the load of the machine is measured."""
clock = time.perf_counter
"""The clock of all measurements. A benchmark on a busy machine may use the process's CPU time instead."""
BUSY_PERCENT = 25.0
"""Load of the processors by other work, in percent, above which the machine counts as busy."""


def measured_speed(precision: Literal["bf16", "fp32"], linears: Iterable[LinearLayer]) -> MachineSpeed:
    """Return the speed of this process's device, measuring what is not known yet.

    Each number is the best of several measurements. Numbers that were measured while the machine did other work are
    measured again by the next call.

    Args:
        precision: the precision of the computation.
        linears: the linear layers whose products are measured.

    Returns:
        The speed.
    """
    device = default_device()
    benchmark = _Benchmark(device, torch_dtype(precision))
    layers = {matmul_key(linear): linear for linear in linears}
    with _SpeedFile(device, precision) as stored:
        stored.prepare(*layers)
        return MachineSpeed(
            dense=stored.get("dense", benchmark.dense),
            products={key: stored.get(key, partial(benchmark.product, linear)) for key, linear in layers.items()},
            low_rank=stored.get("thin", benchmark.thin),
            attention=stored.get("attention", benchmark.attention),
            bytes_moved=stored.get("bytes_moved", benchmark.bytes_moved),
            fresh_writes=stored.get("fresh", benchmark.fresh),
            dequantised=stored.get("dequantised", benchmark.dequantised),
            kernel_overhead=stored.get("call", benchmark.call),
            few_rows=tuple(stored.get(f"{count} rows", partial(benchmark.rows, count)) for count in FEW_ROWS),
            sampling=stored.get("choice", benchmark.choice),
            basis="measured on a busy machine" if stored.busy else "measured",
        )


def dense_rate(precision: Literal["bf16", "fp32"]) -> float:
    """Return the best speed of large matrix products that was ever measured on this machine.

    It is measured again each time (some hundredths of a second), because a busy machine is slower than it can be.

    Args:
        precision: the precision of the computation.

    Returns:
        Floating-point operations per second.
    """
    device = default_device()
    with _SpeedFile(device, precision) as stored:
        return stored.best("dense", _Benchmark(device, torch_dtype(precision)).dense())


class _SpeedFile:
    """This machine's numbers in the file; new ones are written on exit."""

    def __init__(self, device: torch.device, precision: str) -> None:
        about = describe_machine(device)
        parts = [platform.node(), about["device_name"], f"{about['threads']} threads", precision, torch.__version__]
        self._key = "; ".join(map(str, parts))
        self._device = device
        self._again = False
        self._file = home() / FILE

    def __enter__(self) -> _SpeedFile:
        try:
            self._all = json.loads(self._file.read_text(encoding="utf-8"))
            self._mine = {name: float(value) for name, value in self._all.get(self._key, {}).items() if value > 0}
        except (OSError, ValueError, TypeError, AttributeError):  # none yet, or written by something else
            self._all, self._mine = {}, {}
        self._before = dict(self._mine)
        return self

    def __exit__(self, *_: object) -> None:
        if self._mine != self._before:
            with contextlib.suppress(OSError):  # on a full or read-only disk they are measured again next time
                write_atomically(self._file, json.dumps({**self._all, self._key: self._mine}, indent=2) + "\n")

    @property
    def busy(self) -> bool:
        """Whether the numbers were measured while the machine did other work."""
        return BUSY in self._mine

    def prepare(self, *names: str) -> None:
        """Check whether the machine is busy, if there is something to measure, and whether to measure again."""
        self._again = self.busy
        if self._device.type == "cpu" and (self.busy or not {*names, "call"} <= self._mine.keys()):
            self._mine.pop(BUSY, None)
            psutil: Any = __import__("psutil")
            if psutil.cpu_percent(interval=LOAD_CHECK_S) > BUSY_PERCENT:
                self._mine[BUSY] = 1.0

    def get(self, name: str, measure: Callable[[], float]) -> float:
        if name not in self._mine:
            self._mine[name] = measure()
        elif self._again:
            better = min if name == "call" else max
            self._mine[name] = better(self._mine[name], measure())
        return self._mine[name]

    def best(self, name: str, rate: float) -> float:
        self._mine[name] = max(rate, self._mine.get(name, 0.0))
        return self._mine[name]


class _Benchmark:
    """Measures the speed of each kind of work."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype
        on_gpu = device.type == "cuda"
        self.tokens, self.width = (CUDA_TOKENS, CUDA_WIDTH) if on_gpu else (TOKENS, WIDTH)
        # Its own generator, so that measuring does not change a run's random numbers.
        self.generator = torch.Generator(device=device).manual_seed(0)

    def random(self, *size: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.randn(*size, generator=self.generator, device=self.device).to(dtype or self.dtype)

    def several(self, *size: int, dtype: torch.dtype | None = None) -> list[torch.Tensor]:
        tensor = self.random(*size, dtype=dtype)
        return [tensor, *(tensor.clone() for _ in range(min(32, COLD_BYTES // tensor.nbytes)))]

    def seconds(self, works: Sequence[Callable[[], object]]) -> float:
        """Mean seconds of one of ``works`` in the fastest round, after one warm-up round."""
        times = []
        for _ in range(REPEATS + 1):
            self._wait()
            started = clock()
            for work in works:
                work()
            self._wait()
            times.append(clock() - started)
        return max(min(times[1:]), 1e-9) / len(works)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @torch.no_grad()
    def dense(self) -> float:
        """Operations per second of a product of square matrices that stay in the cache."""
        width = self.width
        left, right = self.random(self.tokens, width), self.random(width, width)
        return 2 * left.numel() * width / self.seconds([lambda: torch.nn.functional.linear(left, right)])

    @torch.no_grad()
    def product(self, linear: LinearLayer) -> float:
        """Operations per second of products with the weights of ``linear``, forward and backward."""
        inputs, outputs = (min(4 * self.width, width) for width in (linear.inputs, linear.outputs))
        weights = [
            weight.mul_(inputs**-0.5) for weight in self.several(outputs, inputs)
        ]  # keeps the magnitude of values
        values, results = self.several(self.tokens, inputs), self.several(self.tokens, outputs)

        def both(number: int) -> None:
            value, result = values[number % len(values)], results[number % len(results)]
            weight = weights[number % len(weights)]
            torch.mm(value, weight.t(), out=result)
            torch.mm(result, weight, out=values[number % len(values) - 1])

        count = max(map(len, (weights, values, results)))
        return 4 * self.tokens * inputs * outputs / self.seconds([partial(both, number) for number in range(count)])

    @torch.no_grad()
    def rows(self, count: int) -> float:
        """Weights per second in products with ``count`` rows."""
        weights, values = self.several(self.width, self.width), self.random(count, self.width)
        return self.width**2 / self.seconds([partial(torch.nn.functional.linear, values, weight) for weight in weights])

    @torch.no_grad()
    def choice(self) -> float:
        """Logits per second from which the next token is sampled."""
        logits = self.random(8, 32 * self.width, dtype=torch.float32)
        draws = [SamplingState(SamplingParams(temperature=1.0, number=number)) for number in range(len(logits))]
        return logits.numel() / self.seconds([partial(sample_tokens, logits, draws)])

    @torch.no_grad()
    def thin(self) -> float:
        """Operations per second of products in which one side is an adapter's rank, in float32."""
        low = self.random(RANK, self.width, dtype=torch.float32)
        wide = self.several(self.tokens, self.width, dtype=torch.float32)
        down = wide[0] @ low.t()

        def all_three(values: torch.Tensor) -> None:
            torch.nn.functional.linear(values, low)
            down.mm(low)
            down.t().mm(values)

        return 3 * 2 * self.tokens * self.width * RANK / self.seconds([partial(all_three, values) for values in wide])

    def bytes_moved(self) -> float:
        """Bytes per second of a layer's element-wise work, counted as in ``time_model``, forward and backward."""
        heads, size = self.width // 64, 64
        turn = self.random(self.tokens, size)

        def layer(values: torch.Tensor) -> None:
            normed = values * torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + 1e-6)  # 5
            wide = normed.view(self.tokens, heads, size).transpose(0, 1)
            turned = wide * turn + torch.cat((-wide[..., size // 2 :], wide[..., : size // 2]), dim=-1) * turn  # 10
            gated = torch.nn.functional.silu(values) * normed  # 5
            (turned.transpose(0, 1).reshape(self.tokens, self.width) + gated).sum().backward()  # type: ignore[no-untyped-call]  # 4

        inputs = [values.requires_grad_() for values in self.several(self.tokens, self.width)]
        each = self.seconds([partial(layer, values) for values in inputs])
        return (1 + BACKWARD_BYTES) * 24 * inputs[0].nbytes / each

    def fresh(self) -> float:
        """Bytes per second written to a newly allocated block."""
        size = 2 * HEAP_BLOCK
        return size / self.seconds([lambda: torch.empty(size, dtype=torch.uint8, device=self.device).fill_(1)])

    @torch.no_grad()
    def dequantised(self) -> float:
        """Weights per second that bitsandbytes dequantises from NF4 with double quantisation."""
        from bitsandbytes import functional

        weight = self.random(self.width, self.width)
        pack_sizes, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
        return weight.numel() / self.seconds([lambda: functional.dequantize_4bit(pack_sizes, state)])

    def attention(self) -> float:
        """Operations per second of fused causal attention, forward and backward."""
        heads, size = 8, 64
        query, key, value = (self.random(1, heads, self.tokens, size).requires_grad_() for _ in range(3))

        def both() -> None:
            result = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            result.backward(torch.ones_like(result))  # type: ignore[no-untyped-call]

        return 14 * heads * size * self.tokens * (self.tokens + 1) / 2 / self.seconds([both])

    def call(self) -> float:
        """Seconds of a differentiable call that computes almost nothing, forward or backward."""
        count = 200
        small = self.random(8).requires_grad_()

        def chain() -> None:
            value: Any = small
            for _ in range(count):
                value = value + 1
            value.sum().backward()

        return self.seconds([chain]) / (2 * count)
