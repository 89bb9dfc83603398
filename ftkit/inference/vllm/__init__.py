"""vLLM as an inference engine: a server in a process of its own, asked by token ids.

ftkit renders and tokenises prompts itself, and asks vLLM's completions API with the ids. Adapters that vLLM can serve
are loaded beside their base; others are merged into a folder that is served by itself.
"""
