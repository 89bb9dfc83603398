"""Answer prompts with local models: continuous batching, key-value caches, several adapters, schema grammars.

Nothing here imports torch at package level; import the submodule you need.
"""
