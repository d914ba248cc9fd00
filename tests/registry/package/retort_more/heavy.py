"""A description that imports torch, which it must not."""

import torch

METHOD = torch.nn.Identity()
