"""``/v1/responses``: OpenAI's Responses API over chat completions. Importing ``routes`` loads torch."""
