"""What a model costs on this machine: bytes, time, memory, energy."""
