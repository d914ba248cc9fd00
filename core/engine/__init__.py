"""The heavy half: everything here may import torch. Imports the light core, nothing above it."""

import logging

# transformers imports torchao, which warns of each of its GPU libraries that does not fit this machine and
# makes torch warn of torchao's own enumerations.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
