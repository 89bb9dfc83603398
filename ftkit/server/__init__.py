"""OpenAI's files, fine-tuning jobs, models and chat completions on this machine, over HTTP."""
