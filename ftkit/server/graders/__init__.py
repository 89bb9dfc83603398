"""Graders in OpenAI's JSON: those of reinforcement jobs, and the calls that try one out."""
