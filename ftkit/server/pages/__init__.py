"""The server's web pages: jobs with their curves, a form to try a model, how to connect."""
