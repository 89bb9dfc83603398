"""How results look: text, Markdown, HTML, JUnit, SARIF."""
