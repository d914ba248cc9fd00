"""The heavy half: everything here may import torch. Imports the light core, nothing above it."""
