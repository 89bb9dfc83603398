"""Fine-tuning jobs: asked for over HTTP, run as runs of ftkit."""
