"""Reward models: ftkit beside TRL's RewardTrainer.

    python benchmarks/reward_model.py [--rows 24] [--repeat 3] [--precision fp32] [--adapter lora]

Pairs of replies under rules of style, which all prompts begin with. Both start from the same score layer.
"""

from __future__ import annotations

from pairs import compete_on_pairs

import ftkit as ft

if __name__ == "__main__":
    compete_on_pairs(__doc__, ft.RewardModel)
