"""Multiple-choice tasks, each a few lines that turn a record into contexts and continuations."""
