"""``python -m ftkit``: the same as ``ftkit``, if the script is not on the path."""

from __future__ import annotations

from ftkit.cli import main

if __name__ == "__main__":
    main()
