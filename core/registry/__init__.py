"""What exists, as data: methods, losses, metrics, tasks, formats, samples, prompts; also what other packages add."""

from core.registry.additions import add_all

add_all()
