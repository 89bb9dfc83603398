from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import pytest

import ftkit as package
from ftkit.cli.plugins import _REGISTRIES
from ftkit.registry import Registry


def test_every_kind_is_listed_with_its_package(ftkit):
    done = ftkit("plugins")
    assert done.exit_code == 0
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["KIND", "NAME", "PACKAGE"]
    rows = [line.split() for line in lines]
    assert ["losses", "sft", "ftkit"] in rows
    assert ["backends", "local", "ftkit"] in rows
    assert {row[0] for row in rows} == set(_REGISTRIES)
    entries = json.loads(ftkit("plugins", "formats", "--json").stdout)
    assert {entry["kind"] for entry in entries} == {"formats"}


def test_every_registry_is_known_to_the_command():
    listed = {target.partition(":")[0] for target in _REGISTRIES.values()}
    modules = {
        module.name
        for module in pkgutil.walk_packages(package.__path__, "ftkit.")
        if ": Registry[" in _source(module.name)
    }
    assert modules - listed - {"ftkit.schema.registered_field", "ftkit.cli.plugins"} == set()


def _source(name: str) -> str:
    path = Path(package.__file__).parent.joinpath(*name.split(".")[1:])
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    return file.read_text(encoding="utf-8")


def test_kinds_are_the_entry_point_groups():
    for kind, target in _REGISTRIES.items():
        module, _, attribute = target.partition(":")
        registry = getattr(importlib.import_module(module), attribute)
        assert isinstance(registry, Registry)
        assert registry.group == f"ftkit.{kind}"


def test_an_unknown_kind_is_refused(ftkit):
    failed = ftkit("plugins", "colours")
    assert failed.exit_code == 2
    assert "there is no kind 'colours'; known: losses" in failed.stderr


def install(folder: Path, package: str, points: str) -> None:
    """Write what pip leaves of an installed package that registers objects."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


@pytest.fixture
def broken(tmp_path, monkeypatch):
    install(tmp_path, "broken-package", "[ftkit.trackers]\nbroken = nowhere.at_all:Tracker\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_package_that_cannot_be_loaded_is_named_with_the_reason(ftkit, broken):
    done = ftkit("plugins", "trackers")
    assert done.exit_code == 1
    assert ["trackers", "broken", "broken-package"] in [line.split() for line in done.stdout.splitlines()]
    assert "the tracker 'broken' (nowhere.at_all:Tracker) cannot be loaded: No module named 'nowhere'" in done.stderr


def test_a_name_of_ftkits_own_or_of_another_package_is_reported(ftkit, tmp_path, monkeypatch):
    for installed, name in (("first", "mine"), ("second", "mine"), ("third", "jsonl")):
        install(tmp_path, installed, f"[ftkit.trackers]\n{name} = builtins:{installed}\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = ftkit("plugins", "trackers")
    assert done.exit_code == 1
    assert "the tracker 'jsonl' (builtins:third) is left out: the name is one of ftkit's own" in done.stderr
    assert done.stderr.count("is left out: another package registers it too") == 1


def test_a_package_that_ends_the_process_is_only_left_out(ftkit, tmp_path, monkeypatch):
    (tmp_path / "quitter.py").write_text("raise SystemExit(3)\n")
    install(tmp_path, "quitter", "[ftkit.formats]\nquit = quitter:Format\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = ftkit("plugins", "formats")
    assert done.exit_code == 1
    assert "the dataset format 'quit' (quitter:Format) cannot be loaded: SystemExit: 3" in done.stderr


def test_a_misspelt_entry_point_is_named_with_the_right_form(ftkit, tmp_path, monkeypatch):
    install(tmp_path, "odd", "[ftkit.trackers]\nodd = not a module!\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = ftkit("plugins", "trackers")
    assert done.exit_code == 1
    assert "cannot be loaded: an entry point has the form 'module:attribute'" in done.stderr


def test_what_a_package_prints_on_import_does_not_reach_the_results(ftkit, tmp_path, monkeypatch):
    (tmp_path / "talkative.py").write_text("print('hello')\ndef Tracker(*a): ...\n")
    install(tmp_path, "talkative", "[ftkit.trackers]\ntalkative = talkative:Tracker\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = ftkit("plugins", "trackers", "--json")
    assert "talkative" in {entry["name"] for entry in json.loads(done.stdout)}
    assert "hello" in done.stderr


def test_a_broken_package_is_a_warning_of_one_line_to_other_commands(ftkit, tmp_path, monkeypatch):
    install(tmp_path, "lost", "[ftkit.formats]\nlost = nowhere_at_all:Format\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}]}\n' * 2)
    done = ftkit("data", "check", str(tmp_path / "rows.jsonl"))
    (warning,) = [line for line in done.stderr.splitlines() if "nowhere_at_all" in line]
    assert warning.startswith("warning: the dataset format 'lost' (nowhere_at_all:Format) cannot be loaded")
