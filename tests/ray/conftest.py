"""A Ray cluster on this machine, without GPUs. Its tests are skipped where Ray is not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

STORE_KEY = "AKIA-not-to-be-seen"
"""Key of the object store; the nodes have it in their environment."""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the jobs API of a head that counts five CPUs."""
    pytest.importorskip("ray.job_submission", reason='needs pip install "ftkit[ray]"')
    port, dashboard, client, agent = free_ports(4)  # another head may run on this machine
    bin_ = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "HF_HUB_OFFLINE": "1",
        "AWS_ACCESS_KEY_ID": STORE_KEY,
        "AWS_SECRET_ACCESS_KEY": STORE_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("PYTHONPATH", None)
    folder = Path("/tmp") / f"ftkit-ray-{os.getpid()}"  # sockets have short paths
    start = [str(bin_ / "ray"), "start", "--head", "--num-cpus=5", "--num-gpus=0", "--disable-usage-stats"]
    start += [f"--port={port}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    start += [f"--dashboard-agent-listen-port={agent}"]
    start += [f"--temp-dir={folder}", "--object-store-memory=100000000", "--block"]
    other = tmp_path_factory.mktemp("head")
    (other / "ftkit").mkdir()
    (other / "ftkit" / "__init__.py").write_text("raise ImportError('not the ftkit that was sent')")
    process = subprocess.Popen(start, env=environment, start_new_session=True, cwd=other)
    url = f"http://127.0.0.1:{dashboard}"
    try:
        from tests.runs.test_runs import until

        until(lambda: _answers(dashboard), 120)
        yield url
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/version", timeout=5).status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket of a server that speaks S3's protocol."""
    pytest.importorskip("moto.server", reason='needs pip install "moto[server]"')
    (port,) = free_ports(1)
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, STORE_KEY)
            patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            for _ in range(300):
                try:
                    urllib.request.urlopen(urllib.request.Request(f"{url}/ftkit", method="PUT"), timeout=5)
                    break
                except OSError:
                    time.sleep(0.2)
            yield f"s3://ftkit/deep/er?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    finally:
        server.terminate()
        server.wait(30)
