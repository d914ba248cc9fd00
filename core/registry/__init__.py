"""What exists, as data: methods, losses, metrics, tasks, formats, samples, prompts."""
