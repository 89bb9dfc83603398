"""What training and inference share: loading models, chat templates, tokenizers, attention, shapes.

Nothing here imports torch or transformers at package level; import the submodule you need.
"""

import logging

# bitsandbytes logs an error at import on every CPU that lacks an optional kernel package. ftkit does not need it.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
