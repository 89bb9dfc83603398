from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import ftkit as ft
from ftkit.linting import scan
from ftkit.linting.training_gate import refuse_errors

LOCAL: Any = SimpleNamespace(name="local", model="tiny")


def test_errors_are_counted_and_the_first_are_named(chats):
    rows = [("q", "a"), *["broken"] * 7, ("q", "a")]
    with pytest.raises(ft.DataError) as refused:
        refuse_errors(chats(*rows), None, backend=LOCAL)
    head, *lines, way_out = str(refused.value).splitlines()
    assert head == "7 of 9 rows cannot be used"
    assert [": D001 not JSON" in line for line in lines] == [True] * 5 + [False]
    assert lines[5] == "  … and 2 more; `ftkit lint --all` lists them"
    assert "lint=False" in way_out


def test_nothing_is_computed_that_only_a_report_needs(chats, monkeypatch):
    monkeypatch.setattr(scan, "RowFeaturesBuilder", None)
    refuse_errors(chats(("q", "a"), ("q", "b")), chats(("r", "a"), name="validation.jsonl"), backend=LOCAL)
