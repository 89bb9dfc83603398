"""The pages for people: jobs as they go, models with a box to try a prompt, how to connect."""
