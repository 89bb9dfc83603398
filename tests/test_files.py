"""Files are whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ftkit import files
from ftkit.errors import MissingExtraError
from ftkit.extras import check_installed, require
from ftkit.files import atomic_writer, canonical_digest, home, replace_folder, write_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    write_atomically(target, "größer")
    assert target.read_bytes() == "größer".encode()
    with atomic_writer(target) as file:
        file.write(b"new")
        assert target.read_bytes() == "größer".encode()
    assert target.read_bytes() == b"new"
    assert [one.name for one in target.parent.iterdir()] == ["file.txt"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_atomically(target, b"old")

    def fail() -> None:
        with atomic_writer(target) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["file.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX rights")
def test_files_have_ordinary_rights_and_the_home_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "file.txt", "a")
        monkeypatch.setenv("FTKIT_HOME", str(tmp_path / "a" / "new home"))
        assert home() == tmp_path / "a" / "new home"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE(home().stat().st_mode) == 0o700


def test_a_digest_says_how_it_was_made() -> None:
    assert canonical_digest("é") == canonical_digest("é".encode())
    assert canonical_digest("a") == "sha256:" + hashlib.sha256(b"a").hexdigest()


def test_a_package_that_is_broken_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_extra.py").write_text("import a_part_it_lacks\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"importing broken_extra failed: No module named 'a_part_it_lacks'"):
        require("broken_extra", extra="local", needed_for="training")
    check_installed("broken_extra", extra="local", needed_for="training")
    with pytest.raises(MissingExtraError, match=r'^training needs the extra "local" \(absent_extra is not installed\)'):
        check_installed("absent_extra", extra="local", needed_for="training")
    assert require("json", extra="local", needed_for="training").__name__ == "json"


def folder_with(folder: Path, text: str) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "weights.txt").write_text(text)
    return folder


@pytest.mark.parametrize("swap", [True, False], ids=["swapped", "renamed"])
def test_a_folder_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: bool) -> None:
    if not swap:
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    target = folder_with(tmp_path / "model", "old")
    replace_folder(folder_with(tmp_path / ".model.new", "new"), target)
    assert (target / "deep" / "weights.txt").read_text() == "new"
    assert [one.name for one in tmp_path.iterdir() if "model" in one.name] == ["model"]


@pytest.mark.parametrize("swap", [True, False], ids=["swapped", "renamed"])
@pytest.mark.parametrize("step", range(1, 12))
def test_no_failure_on_the_way_loses_both_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: bool, step: int
) -> None:
    """Each call that touches the disk fails once, as a full disk or a kill would make it."""
    target = folder_with(tmp_path / "model", "old")
    source = folder_with(tmp_path / ".model.new", "new")
    calls = 0

    def failing(real):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == step:
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "fsync", "open"):
            patch.setattr(files.os, name, failing(getattr(os, name)))
        patch.setattr(files, "_exchange", failing(files._exchange if swap else lambda first, second: False))
        with contextlib.suppress(OSError):
            replace_folder(source, target)
    assert (target / "deep" / "weights.txt").read_text() in {"old", "new"}


ABANDONED = """
import os, signal, sys
from pathlib import Path
from ftkit.files import atomic_writer, folder_aside
with folder_aside(Path(sys.argv[1]) / "model") as aside, atomic_writer(Path(sys.argv[1]) / "job.json") as file:
    (aside / "weights").write_bytes(b"half")
    print(aside, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    def writer() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ABANDONED, str(tmp_path)]
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert started.stdout is not None
        assert started.stdout.readline()
        return started

    killed = writer()
    alive = writer()
    killed.kill()
    killed.wait()
    (tmp_path / ".model.mine").mkdir()
    assert len(list(tmp_path.glob(".*.unfinished"))) == len(list(tmp_path.glob(".*.part"))) == 2
    files.remove_unfinished(tmp_path)
    assert len(list(tmp_path.glob(".*.unfinished"))) == len(list(tmp_path.glob(".*.part"))) == 1
    with files.folder_aside(tmp_path / "model"):
        assert len(list(tmp_path.glob(".*.unfinished"))) == 2
    alive.kill()
    alive.wait()
    with files.folder_aside(tmp_path / "model") as aside:
        assert list(tmp_path.glob(".*.unfinished")) == [aside]
    assert (tmp_path / ".model.mine").is_dir()


def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of calls: each file is flushed, then renamed, then the folder that holds the new name is flushed."""
    calls: list[tuple[str, str]] = []
    real_sync, real_rename, real_replace = os.fsync, os.rename, os.replace

    def sync(handle: int) -> None:
        calls.append(("sync", os.readlink(f"/proc/self/fd/{handle}")))
        real_sync(handle)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", lambda a, b: (calls.append(("name", str(b))), real_rename(a, b)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append(("name", str(b))), real_replace(a, b)))
    target = tmp_path / "run" / "model"
    with files.folder_aside(target) as aside:
        folder_with(aside / "part", "new")
        replace_folder(aside, target)
    named = calls.index(("name", str(target)))
    flushed = [path.removeprefix(str(aside)) for kind, path in calls[:named] if kind == "sync"]
    assert {"", "/part", "/part/deep", "/part/deep/weights.txt"} <= set(flushed)
    assert ("sync", str(tmp_path)) in calls[:named]  # the entry of the new parent folder
    assert ("sync", str(target.parent)) in calls[named:]
    calls.clear()
    write_atomically(target / "file.txt", "text")
    assert [kind for kind, _ in calls] == ["sync", "name", "sync"]
    assert calls[-1] == ("sync", str(target))


def test_a_folder_is_removed_though_others_append_to_its_files(tmp_path: Path) -> None:
    for turn in range(10):
        folder = tmp_path / "answering" / f"channel-{turn}"
        folder.mkdir(parents=True)
        stopped = threading.Event()

        def append(file: Path, stopped: threading.Event = stopped) -> None:
            while not stopped.is_set():
                with contextlib.suppress(FileNotFoundError), file.open("ab") as opened:
                    opened.write(b"{}\n")

        writers = [threading.Thread(target=append, args=(folder / f"{number}.jsonl",)) for number in range(3)]
        for writer in writers:
            writer.start()
        files.remove_folder(folder)
        stopped.set()
        for writer in writers:
            writer.join()
        assert not list(folder.parent.iterdir())
    files.remove_folder(tmp_path / "missing")
