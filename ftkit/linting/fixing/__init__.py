"""Fix what can be fixed without changing what a row means: see :func:`ftkit.linting.fixing.file_edits.fix`."""
