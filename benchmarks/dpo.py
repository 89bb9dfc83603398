"""Direct preference optimisation: ftkit beside TRL's DPOTrainer.

    python benchmarks/dpo.py [--rows 24] [--repeat 3] [--precision fp32] [--adapter lora]

Pairs of replies under rules of style, which all prompts begin with. The reference is the model without its adapter. ftkit
computes it once before the first step, TRL anew in each step; with one epoch that is the same work, and both are timed.
"""

from __future__ import annotations

from pairs import compete_on_pairs

import ftkit as ft

if __name__ == "__main__":
    compete_on_pairs(__doc__, ft.DPO, beta=0.1)
