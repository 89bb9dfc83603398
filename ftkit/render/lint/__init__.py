"""Lint reports: text, Markdown, HTML, SARIF."""
