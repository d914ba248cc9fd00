"""Quick answers about models in memory: the preview server, and whoever asks it."""
