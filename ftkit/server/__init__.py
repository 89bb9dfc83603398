"""``ftkit serve``: OpenAI's files, fine-tuning jobs, models and chat completions over HTTP, on this machine."""
