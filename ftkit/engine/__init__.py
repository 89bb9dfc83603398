"""Local training and generation on torch, transformers, peft and bitsandbytes.

Nothing here imports those at module level of this package; import the submodule you need.
"""

import logging

# Said at import, on every CPU: that an optional kernel package is not there. It is not needed.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
