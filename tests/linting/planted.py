"""The planted defects of ``benchmarks/planted_defects.py``, which is not part of a package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).parents[2] / "benchmarks" / "planted_defects.py"
_spec = importlib.util.spec_from_file_location("planted_defects", _SCRIPT)
planted_defects: Any = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]
sys.modules["planted_defects"] = planted_defects
_spec.loader.exec_module(planted_defects)  # type: ignore[union-attr]

BASES = planted_defects.clean_bases(None)
PLANTS = [plant for plant in planted_defects.PLANTS if plant.bases[0] in BASES]
