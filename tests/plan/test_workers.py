"""Plans of several workers: formulas against values computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends.local import LocalBackend
from ftkit.catalog import load_catalog
from ftkit.cli.app import app
from ftkit.modeling.model_shape import model_shape
from ftkit.results.plan import Estimate
from ftkit.training.estimation.communication import Interconnect, WorkerLayout, gathering_seconds, step_traffic
from ftkit.training.estimation.memory_model import outer_parameters
from ftkit.training.estimation.plan_target import named_gpu
from ftkit.training.estimation.workload import PackSize
from tests.plan.test_batch_tokens import data, large_model

__all__ = ["large_model"]

LLAMA_8B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}
"""The config of Llama 3.1 8B, which has 8,030,261,248 parameters."""
PACK = PackSize(100, 10, 5050)
FULL = ft.SFT(adapter=ft.Full(), precision="fp32", batch_size=64, epochs=2, max_batch_tokens=2048)
CLUSTER = "8xh100-80gb@8xinfiniband-ndr"


def layout(workers: int, strategy: str, device: str = CLUSTER) -> WorkerLayout:
    return WorkerLayout(workers, strategy, named_gpu(device).interconnect)


@pytest.mark.parametrize(
    ("workers", "device", "gb_per_s"),
    [
        (8, CLUSTER, 450),  # one node: NVLink
        (64, CLUSTER, 400),  # 8 adapters of 50 GB/s are less than one GPU's NVLink
        (64, "8xh100-80gb@1xethernet-100g", 12.5),
        (64, "a100-80gb@infiniband-hdr", 200),  # 8 GPUs, each with an adapter
        (4, "2xl40s-48gb@1xinfiniband-ndr", 32),  # PCI Express is slower than the network
    ],
)
def test_the_slowest_link_of_a_ring_counts(workers: int, device: str, gb_per_s: float) -> None:
    assert layout(workers, "ddp", device).bytes_per_second() == pytest.approx(0.8e9 * gb_per_s)


def test_a_sum_of_gradients_takes_what_a_ring_takes() -> None:
    shape = model_shape(LLAMA_8B)
    assert shape.parameters == 8_030_261_248
    found = step_traffic(shape, 10_000_000, [(PACK,), (PACK, PACK)], layout(64, "ddp"))
    assert found is not None
    assert found.sent == pytest.approx(2 * 63 / 64 * 4 * 10_000_000)  # once a step, however many packs
    assert found.seconds == pytest.approx(78_750_000 / (0.8 * 400e9))
    assert found.with_compute(1.0) == pytest.approx(1.0 + found.seconds)


def test_shards_are_gathered_forward_and_backward_and_gradients_scattered_for_each_pack() -> None:
    shape = model_shape(LLAMA_8B)
    outer = 2 * 128256 * 4096 + 4096  # embedding, output layer, last norm
    assert outer_parameters(shape) == outer
    found = step_traffic(shape, shape.parameters, [(PACK,), (PACK, PACK)], layout(64, "fsdp2"))
    assert found is not None
    each = 63 / 64 * 4 * (3 * 8_030_261_248 - outer)
    assert found.sent == pytest.approx(1.5 * each)
    assert found.seconds == pytest.approx(1.5 * each / (0.8 * 400e9))
    assert found.with_compute(0.01) == found.seconds  # while layers compute
    assert found.with_compute(100.0) == 100.0
    assert gathering_seconds(1_000_000, 3, layout(64, "fsdp2")) == pytest.approx(3 * 63 / 64 * 1e6 / (0.8 * 400e9))
    assert gathering_seconds(1_000_000, 3, layout(64, "ddp")) == 0
    adapter = step_traffic(shape, 10_000_000, [(PACK,), (PACK, PACK)], layout(64, "fsdp2"), (5_000_000, 4_000_000))
    assert adapter is not None
    assert adapter.sent == pytest.approx(63 / 64 * (1.5 * 9_000_000 + 2 * 4 * 10_000_000))


def test_links_that_are_not_known_are_said() -> None:
    unknown = WorkerLayout(16, "ddp", Interconnect(8, None))
    assert unknown.bytes_per_second() is None
    assert step_traffic(model_shape(LLAMA_8B), 1, [(PACK,)], unknown) is None


def planned(model: str, workers: int, strategy: str, recipe: ft.Recipe = FULL, **options: Any) -> Estimate:
    backend = ft.Ray(model, workers=workers, strategy=strategy, storage="/shared")
    [entry] = ft.plan(recipe, data(60), backend, device=CLUSTER, lint=False, **options).entries
    assert entry.estimate is not None, entry.problem
    return entry.estimate


def test_eight_nodes_of_eight_gpus(large_model: str) -> None:
    """A model of 8B fits with all its weights trained, if they are sharded; one worker's share of rows is computed."""
    whole, sharded = (planned(large_model, 64, strategy) for strategy in ("ddp", "fsdp2"))
    count = whole.parameters
    assert not whole.fits
    assert sharded.fits
    for part, bytes_each in {"weights": 4, "gradients": 4, "optimizer": 8}.items():
        assert getattr(whole.memory, part) == bytes_each * count
        assert getattr(sharded.memory, part) == -(-bytes_each * count // 64)
    outer = 2 * 49152 * 4096 + 4096 if whole.parameters > 7.6e9 else 49152 * 4096 + 4096
    assert sharded.memory.gathered == 2 * 4 * (outer + 2 * (count - outer) // 32)
    assert whole.memory.gathered == 0
    assert sharded.memory.activations == whole.memory.activations  # a row each
    alone = planned(large_model, 1, "ddp")
    assert alone.workers is None
    assert alone.memory.activations > whole.memory.activations
    assert alone.tokens_per_epoch == whole.tokens_per_epoch
    assert whole.workers is not None
    assert (whole.workers.nodes, whole.workers.network) == (8, "8 × InfiniBand NDR")
    assert whole.workers.bytes_per_step == pytest.approx(2 * 63 / 64 * 4 * count)
    assert whole.seconds_per_step == pytest.approx(
        whole.workers.compute_seconds_per_step + 2 * 63 / 64 * 4 * count / 320e9
    )
    assert whole.seconds_per_epoch == pytest.approx(whole.steps / 2 * whole.seconds_per_step)
    assert any("80% of the rated speed" in note for note in whole.notes)


@pytest.mark.parametrize(("adapter", "bits"), [(ft.LoRA(), 16), (ft.QLoRA(), 4.13)])
def test_an_adapter_is_whole_at_each_worker_and_the_model_is_not(
    adapter: ft.Adapter, bits: float, large_model: str
) -> None:
    recipe = ft.SFT(adapter=adapter, precision="bf16", batch_size=64, max_batch_tokens=2048)
    whole, sharded = (planned(large_model, 64, strategy, recipe) for strategy in ("ddp", "fsdp2"))
    assert sharded.memory.weights == -(-whole.memory.weights // 64)
    for part in ("adapters", "gradients", "optimizer", "activations"):
        assert getattr(sharded.memory, part) == getattr(whole.memory, part)
    assert 0 < sharded.memory.gathered < whole.memory.weights / 4
    assert whole.workers is not None
    assert sharded.workers is not None
    assert sharded.workers.bytes_per_step is not None
    assert whole.workers.bytes_per_step is not None
    moved = sharded.workers.bytes_per_step - whole.workers.bytes_per_step
    assert moved == pytest.approx(2 * whole.parameters * bits / 8, rel=0.15)  # forward, and without the head backward


def test_a_plan_shows_the_workers_and_says_what_is_assumed(large_model: str) -> None:
    backend = ft.Ray(large_model, workers=16, storage="/shared")
    plan = ft.plan(ft.SFT(adapter=ft.LoRA(), batch_size=8), data(60), backend, device="h100-80gb", lint=False)
    text = str(plan)
    for said in (
        "16 on 2 nodes, ddp",
        "sending",
        "time per epoch",
        "8 adapters of InfiniBand NDR",
        "8 of 16 workers idle",
    ):
        assert said in text
    assert ft.Plan.model_validate_json(plan.model_dump_json()) == plan


def test_what_is_not_planned_is_refused_by_name(tiny_model: str, large_model: str) -> None:
    def problem(backend: Any, recipe: ft.Recipe = FULL, device: str | None = CLUSTER) -> str | None:
        return ft.plan(recipe, data(60), backend, device=device, lint=False).entries[0].problem

    assert "name its GPUs, as in device=" in str(problem(ft.Ray(tiny_model, workers=4), device=None))
    assert "gpus_per_worker=1" in str(problem(ft.Ray(tiny_model, workers=4, gpus_per_worker=0)))
    assert "one for each; name theirs" in str(problem(LocalBackend(tiny_model, workers=2), device=None))
    grader = ft.StringCheckGrader(input="{{ sample.output_text }}", reference="yes", operation="eq")
    rft = ft.RFT(grader=grader, adapter=ft.LoRA(), batch_size=4)
    assert "samples its answers" in str(problem(LocalBackend(tiny_model, workers=2), rft))
    paged = FULL.model_copy(update={"optimizer": "paged_adamw_8bit"})
    assert "holds the state" in str(problem(ft.Ray(tiny_model, workers=4, strategy="fsdp2"), paged))
    assert problem(LocalBackend(large_model, workers=8, strategy="fsdp2"), device="h200-141gb") is None


@pytest.mark.parametrize("device", ["0xh100-80gb", "8xh100-80gb@", "@infiniband-ndr", "8xh100-80gb@0xinfiniband-ndr"])
def test_a_name_of_no_machine_is_refused(device: str) -> None:
    with pytest.raises(ft.ConfigError, match="write a GPU as h100-80gb"):
        named_gpu(device)


def test_a_device_that_is_no_text_is_refused() -> None:
    with pytest.raises(ft.ConfigError, match="device is 5"):
        named_gpu(5)  # type: ignore[arg-type]


def test_a_network_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ft.ConfigError, match="no network between nodes 'token-ring'; known are ethernet-100g"):
        named_gpu("8xh100-80gb@token-ring")
    assert all(row.source and row.as_of for row in load_catalog().link_rows)


def test_the_command_line_plans_a_cluster(large_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"note": "pain", "answer": "yes"}\n' * 64)
    Path("task.yaml").write_text('instructions: Is it urgent?\ninput: "{note}"\n')
    backend = f"ray:auto?workers=64&strategy=fsdp2#{large_model}"
    given = ["plan", "--data", "rows.jsonl", "--task", "task.yaml", "--target", "answer", "--backend", backend]
    done = CliRunner().invoke(app, [*given, "--device", CLUSTER, "--adapter", "full", "--no-lint"])
    assert "64 on 8 nodes, fsdp2" in done.output
