"""Files that a user names: pipes, devices, and YAML that stands for more than it is."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ftkit import Certificate, Report, Task
from ftkit.catalog.catalog_files import load_catalog
from ftkit.cli.app import app
from ftkit.errors import ConfigError, FtkitError
from ftkit.graders.loading import load_grader
from ftkit.named_files import irregular_file_kind, read_small_text
from ftkit.recipe.losses import load_recipe
from ftkit.server.settings import load_settings
from ftkit.yaml_text import read_yaml


def test_what_is_no_file_is_told_from_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    kinds = {name: irregular_file_kind(tmp_path / name) for name in ("file", "pipe", "link", ".")}
    assert kinds == {"file": None, "pipe": "a pipe", "link": "a pipe", ".": "a folder"}
    assert irregular_file_kind("/dev/zero") == "a device"


def test_a_small_text_may_be_a_pipe_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_bytes("\ufeffinput: größer\n".encode())
    assert read_small_text(path) == "input: größer\n"
    with pytest.raises(OSError, match="larger than 16 MiB"):
        read_small_text("/dev/zero")
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as file:
        file.write("input: x\n")
    assert read_small_text(f"/dev/fd/{reading}") == "input: x\n"
    os.close(reading)


@pytest.mark.parametrize("load", [Task.from_yaml, load_recipe, load_grader])
def test_a_file_without_an_end_is_refused(load) -> None:
    with pytest.raises(ConfigError, match=r"/dev/zero: .*larger than 16 MiB"):
        load(Path("/dev/zero"))


def test_a_named_pipe_is_read_once_somebody_writes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def write() -> None:
        time.sleep(0.1)
        with open(tmp_path / "pipe", "w") as file:
            file.write("input: ")
            file.flush()
            time.sleep(0.1)
            file.write("x\n")

    threading.Thread(target=write).start()
    assert read_small_text(tmp_path / "pipe") == "input: x\n"


READERS = {
    "task": Task.from_yaml,
    "recipe": load_recipe,
    "grader": load_grader,
    "report": Report.load,
    "certificate": Certificate.load,
    "settings": load_settings,
    "catalogue": load_catalog,
}


@pytest.mark.parametrize("what", READERS)
def test_a_pipe_into_which_nobody_writes_is_refused(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftkit.named_files._PIPE_PATIENCE_S", 0.05)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FtkitError, match=r"a pipe(, not a (report|certificate)| into which nobody writes)"):
        READERS[what](tmp_path / "pipe")


@pytest.mark.parametrize("what", ["settings", "catalogue"])
def test_a_device_without_an_end_is_refused(what: str) -> None:
    with pytest.raises(ConfigError, match=r"/dev/zero.*larger than 16 MiB"):
        READERS[what](Path("/dev/zero"))


@pytest.mark.parametrize("noun", ["report", "certificate"])
def test_what_was_saved_is_read_from_a_file_only(noun: str) -> None:
    with pytest.raises(FtkitError, match=f"^/dev/zero: a device, not a {noun}$"):
        READERS[noun](Path("/dev/zero"))


@pytest.mark.parametrize("source", ["pipe", "/dev/zero"])
def test_nothing_is_converted_from_a_pipe_or_a_device(source: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = CliRunner().invoke(app, ["convert", str(tmp_path / source), "-o", str(tmp_path / "r.json")])
    assert done.exit_code != 0
    assert re.search("is a (pipe|device), and a file is expected", done.stderr)


def _bomb(levels: int, last: str) -> str:
    lines = ["x0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"{last}: *a{levels - 1}"])


@pytest.mark.parametrize("what", ["task", "recipe", "grader"])
def test_aliases_that_stand_for_too_much_are_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(_bomb(9, "kind"))
    with pytest.raises(ConfigError, match=r"its aliases stand for 2,34\d,\d{3},\d{3} values, and the limit is 100,000"):
        READERS[what](path)
    path.write_text("input: &a {x: *a}\n")
    with pytest.raises(ConfigError, match=r"bomb.yaml:1: an alias stands inside of the value that it names"):
        READERS[what](path)


@pytest.mark.parametrize("what", ["recipe", "grader"])
def test_a_field_that_is_written_twice_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("kind: sft\ntype: string_check\nepochs: 1\nepochs: 2\n")
    with pytest.raises(ConfigError, match=r'twice.yaml:4: the key "epochs" is duplicated'):
        READERS[what](path)


def test_a_few_aliases_are_values() -> None:
    assert read_yaml("a: &x {b: 1}\nc: [*x, *x]\n<<: {d: 2}", "x") == {"a": {"b": 1}, "c": [{"b": 1}] * 2, "d": 2}
