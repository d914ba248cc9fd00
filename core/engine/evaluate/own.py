"""Questions of people's own: options by likelihood, as the bundled tasks are scored, or an answer that is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.analysis.proportions import WILSON
from core.base.progress import Reporter
from core.data.conversations import Message
from core.data.questions import Question, Questions, left_to_ask
from core.engine.data.chat import templated_ids
from core.engine.data.framing import closing, opened_ids
from core.engine.evaluate.choice import accuracy, answers, choice_accuracies, option_scores
from core.engine.evaluate.tasks.items import Item, options
from core.engine.evaluate.written import is_right, written_answers
from core.engine.models.load import Loaded
from core.recipe.own_tasks import QUESTION, OwnTask
from core.recipe.trial_keys import hashed
from core.registry.measurement import Measurement
from core.registry.tasks import accuracy_id

_ASKED = f"Question: {QUESTION}\nAnswer:"


def own_measurements(
    loaded: Loaded, task: OwnTask, found: Questions, items: int | None, batch: int, reporter: Reporter
) -> tuple[list[Measurement], list[str]]:
    """The share of the questions answered rightly, with 0 or 1 for each in `samples`, and what is to be said of them.

    Of options both accuracies of `choice`; of written answers one, by `task.match`.

    Raises:
        RetortError: too few questions, or an output that is not a number.
    """
    asked = left_to_ask(found, task, items)
    examples = found.rows[: task.shots]
    record: dict[str, Any] = {
        "task": task.name,
        "corpus": task.data,
        "content": hashed([[q.text, q.options, q.gold, q.answers] for q in (*examples, *asked)])[:16],
        "items": len(asked),
        "shots": task.shots,
        "samples": "1 for each item answered correctly, else 0",
        "interval": WILSON,
    }
    notes = [f"{task.name}: {note}" for note in found.notes]
    if found.kind == "choice":
        prepared = choice_items(task, examples, asked)
        scores = option_scores(loaded.model, loaded.tokenizer, prepared, batch, reporter)
        plain, normalised = answers(scores, prepared)
        measured = choice_accuracies(
            task.name, plain, normalised, prepared, loaded.model, {**record, "usual": "accuracy"}
        )
        return measured, notes
    templated = task.chat_template and bool(getattr(loaded.tokenizer, "chat_template", None))
    prompts = [prompt_ids(loaded.tokenizer, task, examples, q, templated) for q in asked]
    texts = written_answers(loaded.model, loaded.tokenizer, prompts, task.stop, task.new_tokens, batch, reporter)
    right = [float(is_right(t, q.answers, task.match)) for t, q in zip(texts, asked, strict=True)]
    how = "written answer equals an expected one" if task.match == "exact" else "written answer holds an expected one"
    said = {"how": how, "usual": "accuracy", "stop": list(task.stop), "new_tokens": task.new_tokens}
    framed = {"begins": "with the chat template" if templated else "without a chat template"}
    return [accuracy(accuracy_id(task.name), right, loaded.model, {**record, **said, **framed})], notes


def choice_items(task: OwnTask, examples: Sequence[Question], asked: Sequence[Question]) -> list[Item]:
    """Each question after the examples, as lm-evaluation-harness joins them: a space before each option, an empty line
    after each example."""
    before = "".join(f"{_put(task, q)} {q.options[q.gold]}\n\n" for q in examples)
    return [options(before + _put(task, q), list(q.options), q.gold) for q in asked]


def prompt_ids(
    tokenizer: Any, task: OwnTask, examples: Sequence[Question], asked: Question, templated: bool
) -> list[int]:
    """What the model reads before it writes: a conversation by its chat template, or text as for options."""
    if not templated:
        before = "".join(f"{_put(task, q)} {q.answers[0]}\n\n" for q in examples)
        return opened_ids(tokenizer, before + _put(task, asked), closing(tokenizer))
    form = task.prompt or QUESTION
    messages: list[Message] = []
    for q in examples:
        messages.append({"role": "user", "content": form.replace(QUESTION, q.text)})
        messages.append({"role": "assistant", "content": q.answers[0]})
    messages.append({"role": "user", "content": form.replace(QUESTION, asked.text)})
    return templated_ids(messages, len(messages), tokenizer, True)


def _put(task: OwnTask, question: Question) -> str:
    return (task.prompt or _ASKED).replace(QUESTION, question.text)
