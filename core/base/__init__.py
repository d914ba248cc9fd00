"""What everything else rests on: errors, settings, roles, files, text. Imports nothing of ours."""
