"""Runs outlive the page that started them: a detached runner, one process a job, kernel locks."""
