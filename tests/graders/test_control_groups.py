"""Control groups of both versions that limit a sandbox's memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftkit.graders.sandbox import cgroup
from ftkit.graders.sandbox.cgroup import MemoryGroup

MIB = 1024**2


def test_a_control_group_holds_where_one_can_be_made() -> None:
    group = MemoryGroup.create(64 * MIB)
    if group.folder is None:
        pytest.skip("this process may make no control groups")
    with group:
        code = "import sys; sys.stdin.read(); held = bytearray(b'x') * (100 << 20); print('held')"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
        group.add([process.pid])
        assert process.communicate("")[0] == ""
        assert process.returncode == -signal.SIGKILL
    assert not group.folder.exists()


class KernelsFolder(type(Path())):  # type: ignore[misc]
    """A folder of control groups, version 2, as cgroups(7) describes it: the kernel puts files into a new one."""

    def mkdir(self, *arguments: object, **options: object) -> None:
        super().mkdir(*arguments, **options)
        for name in ("cgroup.procs", "cgroup.kill", *(MEMORY_FILES if self._enabled() else ())):
            (self / name).touch()

    def rmdir(self) -> None:
        for file in self.iterdir():
            file.unlink()
        super().rmdir()

    def _enabled(self) -> bool:
        return "memory" in (self.parent / "cgroup.subtree_control").read_text()


MEMORY_FILES = ("memory.max", "memory.swap.max")


@pytest.fixture
def version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A tree as systemd makes it: a service's group holds processes, and only its parent has the memory controller."""
    root = KernelsFolder(tmp_path / "cgroup")
    Path(root).mkdir()
    for folder, controllers in (("", "cpu memory pids"), ("user.slice", "memory"), ("user.slice/app.service", "")):
        Path(root / folder).mkdir(exist_ok=True)
        (root / folder / "cgroup.subtree_control").write_text(controllers)
        (root / folder / "cgroup.procs").touch()
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/other\n0::/user.slice/app.service\n")
    monkeypatch.setattr(cgroup, "_ROOT", root)
    monkeypatch.setattr(cgroup, "_OWN", own)
    return root


def test_version_2_limits_a_group_beside_the_own_one(version_2: Path) -> None:
    with MemoryGroup.create(64 * MIB) as group:
        assert group.folder is not None
        assert group.folder.parent == version_2 / "user.slice", "the own one hands no controller on"
        assert (group.folder / "memory.max").read_text() == str(64 * MIB)
        assert (group.folder / "memory.swap.max").read_text() == "0"
        group.add([4_000_001])
        assert (group.folder / "cgroup.procs").read_text() == "4000001"
        (group.folder / "cgroup.procs").write_text("")
    assert not group.folder.exists()
    assert [path.name for path in (version_2 / "user.slice").iterdir() if path.is_dir()] == ["app.service"]


@pytest.mark.parametrize("unusable", ["no controller", "not writable", "gone", "unreadable"])
def test_version_2_without_a_usable_group_leaves_nothing_behind(
    version_2: Path, unusable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if unusable == "no controller":
        (version_2 / "user.slice" / "cgroup.subtree_control").write_text("cpu")
    elif unusable == "not writable":
        monkeypatch.setattr(os, "access", lambda *arguments: False)
    elif unusable == "gone":
        cgroup._OWN.write_text("0::/../../elsewhere\n")
    else:
        cgroup._OWN.write_bytes(b"\xff\xfe")
    before = sorted(version_2.rglob("*"))
    with MemoryGroup.create(64 * MIB) as group:
        assert group.folder is None
        group.add([os.getpid()])
    assert sorted(version_2.rglob("*")) == before


def test_version_2_of_this_kernel_ends_what_is_left_in_a_group() -> None:
    roots = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
    root = next((one for one in roots if (one / "cgroup.controllers").exists() and os.access(one, os.W_OK)), None)
    if root is None:
        pytest.skip("this process may make no control groups of version 2")
    folder = root / f"ftkit-test-{os.getpid()}"
    folder.mkdir()
    group = MemoryGroup(folder)
    process = subprocess.Popen(["sleep", "60"])
    try:
        group.add([process.pid])
        assert str(process.pid) in (folder / "cgroup.procs").read_text().split()
    finally:
        group.remove()
        process.wait(10)
    assert process.returncode == -signal.SIGKILL
    assert not folder.exists()
