"""Local training and generation on torch, transformers, peft and bitsandbytes.

Nothing here imports those at module level of this package; import the submodule you need.
"""
