"""The job of a run on a cluster: ``python -m ftkit.backends.ray.job STORAGE RUN_ID``. Ray starts it.

Ray Train starts the workers, each of which calls :func:`~ftkit.backends.ray.worker.train_worker`. If one is killed, Ray
starts all of them again, and they go on from the newest checkpoint on the shared storage.
"""

from __future__ import annotations

import sys
import traceback

from ftkit.backends.ray.cluster import Cluster, missing_resources
from ftkit.backends.ray.driver import connect
from ftkit.backends.ray.run_folder import run_files
from ftkit.backends.ray.worker import train_worker
from ftkit.extras import require

__all__ = ["main"]

_MAX_FAILURES = 3
"""How often Ray starts the workers again after one was lost."""


def main(storage: str, run_id: str) -> int:
    """Run the workers of a run.

    Args:
        storage: the shared folder, or the address of an object store.
        run_id: id of the run.

    Returns:
        The exit status: 0 unless the run failed.
    """
    ray_train = require("ray.train", extra="ray", needed_for="training on a Ray cluster")
    ray_torch = require("ray.train.torch", extra="ray", needed_for="training on a Ray cluster")
    folder = run_files(storage, run_id)
    wanted = Cluster(**folder.job()["cluster"])
    gpu, each = bool(wanted.gpus_per_worker), wanted.resources()
    missing = missing_resources(wanted.workers, each, connect().cluster_resources())
    if missing is not None:
        waits = "it waits until nodes are added; cancel it, or start it with fewer workers"
        folder.append("warning", {"message": f"the run needs {missing}: {waits}"})
    trainer = ray_torch.TorchTrainer(
        train_worker,
        train_loop_config={"storage": storage, "run_id": run_id},
        torch_config=ray_torch.TorchConfig(backend="nccl" if gpu else "gloo"),
        scaling_config=ray_train.ScalingConfig(
            num_workers=wanted.workers,
            use_gpu=gpu,
            resources_per_worker=each,
        ),
        run_config=ray_train.RunConfig(
            name=run_id,
            **folder.ray_storage(),
            failure_config=ray_train.FailureConfig(max_failures=_MAX_FAILURES),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # whatever Ray raises: the run must say why it ended
        traceback.print_exc()
        if folder.ended() is None:
            folder.finish(state="failed", error=f"{type(error).__name__}: {' '.join(str(error).split())[:2000]}")
    ended = folder.ended()
    return 0 if ended is not None and ended["state"] != "failed" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
