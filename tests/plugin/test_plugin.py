from __future__ import annotations

import tomllib

from tests.plugin.conftest import ROOT


def test_ftkit_names_no_part_of_the_example_package():
    files = [
        path for path in (ROOT / "ftkit").rglob("*") if path.is_file() and path.suffix in {".py", ".toml", ".json"}
    ]
    assert not [
        path for path in files if "clinic" in path.read_text(encoding="utf-8").lower().replace("clinic note", "")
    ]


def test_every_file_of_the_example_package_is_registered_once():
    project = tomllib.loads((ROOT / "examples" / "plugin" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    modules = [value.partition(":")[0] for group in project["entry-points"].values() for value in group.values()]
    files = [f"ftkit_clinic.{path.stem}" for path in (ROOT / "examples/plugin/ftkit_clinic").glob("*.py")]
    assert sorted(modules) == sorted(one for one in files if not one.endswith("__init__"))


def test_the_example_package_installs(installed):
    assert installed.python("import ftkit_clinic; print(ftkit_clinic.__name__)").strip() == "ftkit_clinic"
