"""``ftkit plugins`` names the example package."""

from __future__ import annotations

import json
import tomllib

from .conftest import ROOT


def test_the_command_lists_each_object_of_the_package(installed):
    project = tomllib.loads((ROOT / "examples" / "plugin" / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["project"]["entry-points"]
    expected = {(group.removeprefix("ftkit."), name) for group, points in groups.items() for name in points}
    listed = json.loads(installed.ftkit("plugins", "--json"))
    found = {(entry["kind"], entry["name"]) for entry in listed if entry["package"] == "ftkit-clinic"}
    assert found == expected
    assert [entry for entry in listed if entry["error"] is not None] == []
