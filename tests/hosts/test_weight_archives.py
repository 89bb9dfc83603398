"""Archives and lists of files that a hostile host sends in place of weights."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

import ftkit as ft
from ftkit.backends.hosted import body_file, weight_archive
from ftkit.backends.hosted.body_file import write_pieces
from ftkit.backends.hosted.bounded_body import BodyLimitError
from ftkit.backends.hosted.weight_archive import unpack_weights
from ftkit.backends.hosted.weights import HostFiles
from ftkit.backends.together import Together
from ftkit.errors import HostError, StorageError

from .conftest import QUICK
from .serving import serving
from .together_host import TogetherFake


def packed(folder: Path, raw: bytes) -> Path:
    file = folder / "weights.tar.zst"
    file.write_bytes(zstandard.ZstdCompressor().compress(raw))
    return file


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as written:
        for one, content in members:
            one.size = len(content)
            written.addfile(one, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str = "config.json", **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def header(kind: bytes, size: int) -> bytes:
    return member("x", type=kind, size=size).tobuf(tarfile.GNU_FORMAT)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a name outside": (lambda: archive((member("../outside"), b"x")), "which is not written"),
    "an absolute name": (lambda: archive((member("/etc/passwd"), b"x")), "which is not written"),
    "a deep name": (lambda: archive((member("a/" * 200 + "b"), b"x")), "which is not written"),
    "a long name": (lambda: archive((member("a" * 250), b"x")), "which is not written"),
    "control characters": (lambda: archive((member("a\x1b[2Jb"), b"x")), "which is not written"),
    "a drive": (lambda: archive((member("C:\\x"), b"x")), "which is not written"),
    "a symbolic link": (lambda: archive((member(type=tarfile.SYMTYPE, linkname="/etc"), b"")), "a link"),
    "a hard link": (lambda: archive((member(type=tarfile.LNKTYPE, linkname="/etc/passwd"), b"")), "a link"),
    "a device": (lambda: archive((member(type=tarfile.CHRTYPE, devmajor=1, devminor=5), b"")), "no plain file"),
    "a pipe": (lambda: archive((member(type=tarfile.FIFOTYPE), b"")), "no plain file"),
    "the same name twice": (lambda: archive((member(), b"1"), (member("./config.json"), b"2")), "twice"),
    "its own name": (lambda: archive((member("weights.tar.zst"), b"x")), "twice"),
    "a folder of a file": (lambda: archive((member("a"), b"1"), (member("a/b"), b"2")), "twice"),
    "a file of a folder": (lambda: archive((member("a/b"), b"1"), (member("a"), b"2")), "a file and a folder"),
    "zeros": (lambda: archive((member(), bytes(40 * 2**20))), "damaged"),
    "members": (lambda: archive(*((member(f"m{number}"), b"") for number in range(300))), "more than 200 members"),
    "a name of gigabytes": (lambda: header(tarfile.GNUTYPE_LONGNAME, 8 * 2**30) + bytes(2**20), "notes of a member"),
    "notes of gigabytes": (lambda: header(tarfile.XHDTYPE, 8 * 2**30) + bytes(2**20), "notes of a member"),
    "a hole": (lambda: header(tarfile.GNUTYPE_SPARSE, 2**40), "has holes"),
    "a hole of notes": (
        lambda: archive((member(pax_headers={"GNU.sparse.size": "9" * 15, "GNU.sparse.map": "0,0"}), b"x")),
        "no plain file|damaged",
    ),
    "a size below zero": (lambda: archive((member(pax_headers={"size": "-5"}), b"x")), "damaged"),
    "notes of notes": (lambda: header(tarfile.XHDTYPE, 0) * 3_000, "damaged"),
    "a cut": (lambda: archive((member(), b"x" * 5_000))[:1_500], "damaged"),
    "no archive": (lambda: b"sorry" * 300, "damaged"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_archive, "_MIN_BYTES", 8 * 2**20)
    monkeypatch.setattr(weight_archive, "_MAX_MEMBERS", 200)
    folder = tmp_path / "in"
    folder.mkdir()
    made, problem = HOSTILE[what]
    began = time.thread_time()
    with pytest.raises(HostError, match=problem):
        unpack_weights(packed(folder, made()), folder, "together")
    assert time.thread_time() - began < 5
    assert not (tmp_path / "outside").exists()
    assert not any(file.is_symlink() for file in folder.rglob("*"))
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 2**24


def test_an_archive_with_folders_is_unpacked(tmp_path: Path) -> None:
    made = archive((member("ft-1", type=tarfile.DIRTYPE), b""), (member("ft-1/" + "long" * 40), b"x"))
    unpack_weights(packed(tmp_path, made), tmp_path, "together")
    assert (tmp_path / "ft-1" / ("long" * 40)).read_bytes() == b"x"


def test_a_damaged_or_greedy_compression_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.tar.zst"
    huge = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=huge).compressobj()
    for content in (b"no zstd", compressor.compress(bytes(2**20)) + compressor.flush(), b""):
        file.write_bytes(content)
        with pytest.raises(HostError, match="damaged"):
            unpack_weights(file, tmp_path, "together")


def test_a_download_of_a_hostile_archive_leaves_nothing(
    notes: ft.Dataset, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    fake = TogetherFake()
    fake.weights = {"config.json": b"{}", "../outside": b"x"}
    with serving(fake):
        backend = Together("Qwen/Qwen3.5-9B", base_url=f"{fake.url}/v1", api_key=fake.key, retry_policy=QUICK)
        run = ft.train(ft.SFT(), notes, backend=backend).wait(progress=False)
        with pytest.raises(HostError, match=r"'\.\./outside', which is not written"):
            run.download(tmp_path / "weights")
    assert not (tmp_path / "outside").exists()
    assert list(tmp_path.glob("*weights*")) == []


def test_more_files_than_weights_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftkit.backends.hosted.weights._MAX_FILES", 3)
    files = HostFiles(tmp_path, "fireworks")
    for number in range(3):
        files.path(f"part-{number}")
    with pytest.raises(HostError, match="more than 3 files"):
        files.path("part-3")


def test_a_disk_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_file, "free_bytes", lambda folder: 70 * 2**20)
    with pytest.raises(StorageError, match=r"no room for x: 70 MiB are free, of which 64 MiB stay free") as caught:
        write_pieces(iter([b"a" * 2**20] * 20), tmp_path / "x")
    assert caught.value.full
    assert (tmp_path / "x").stat().st_size <= 6 * 2**20
    with pytest.raises(StorageError, match="no room"):  # nothing is asked for
        write_pieces(_never(), tmp_path / "y", 10**12)
    assert not (tmp_path / "y").exists()


def _never() -> Iterator[bytes]:
    raise AssertionError
    yield b""


def test_a_trickle_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_file, "_PATIENCE_S", 0.05)

    def trickle() -> Iterator[bytes]:
        while True:
            yield b"a"
            time.sleep(0.02)

    with pytest.raises(BodyLimitError, match="too slow"):
        write_pieces(trickle(), tmp_path / "x")
