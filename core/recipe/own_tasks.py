"""Questions of people's own in a recipe: where they lie, what their columns mean, and when an answer is right."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from core.base.text import is_line
from core.recipe.references import rows_form
from core.recipe.strict import Name, Strict

QUESTION = "{question}"
TaskKind = Literal["choice", "written"]
AnswerForm = Literal["text", "letter", "index", "number"]


def asking(prompt: str) -> str:
    """Raises ValueError for a prompt without the place of the question."""
    if QUESTION not in prompt:
        raise ValueError(f"has no '{QUESTION}': say where the question stands, as in 'Question: {QUESTION}\\nAnswer:'")
    return prompt


def lines(text: str) -> str:
    """Raises ValueError for characters that nobody sees; line breaks and tabs are seen by what they do."""
    if not is_line(text.replace("\n", " ").replace("\t", " ")):
        raise ValueError("holds control characters or other characters that cannot be seen")
    return text


_LINES = {"format": "lines"}
StopText = Annotated[str, Field(min_length=1, max_length=100, json_schema_extra={**_LINES}), AfterValidator(lines)]
Prompt = Annotated[
    str,
    Field(min_length=1, max_length=10_000, json_schema_extra={**_LINES}),
    AfterValidator(lines),
    AfterValidator(asking),
]


class TaskColumns(Strict):
    """Which column of the questions means what; what is left out is told from names and contents, and said."""

    question: Name | None = None
    options: tuple[Name, ...] = Field((), max_length=26)
    """One column that holds a list of options, or a column for each option, in order."""
    answer: Name | None = None
    """The right option, or the text (or a list of texts) that a written answer is compared with."""


class OwnTask(Strict):
    """Questions from a file of your own or a hub data set; every candidate answers the same ones."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$")]
    """What the task is called beside its figures: letters, digits, hyphens, underscores."""
    data: str
    """`path:` a file (JSON lines, CSV and others) or `hub:org/name@revision`."""
    split: Name | None = None
    """Of a hub data set; left out: its part `test`."""
    columns: TaskColumns | None = None
    kind: TaskKind | None = None
    """`choice`: the option the model finds most likely is its answer. `written`: the model writes one. Left out:
    `choice` where the file has options."""
    answers: AnswerForm | None = None
    """How the right option is named: its text, its letter, its `index` from 0 or its `number` from 1."""
    match: Literal["exact", "contains"] = "exact"
    """Written answers: the whole answer is the expected one, or holds it as whole words. Case, spaces and punctuation
    around it do not count."""
    shots: int = Field(0, ge=0, le=64)
    """The first so many questions are shown with their answers before each of the others, and are not asked."""
    prompt: Prompt | None = None
    """How a question is put. Left out: `Question: {question}`, and `Answer:` on a line of its own; a written answer by
    the chat template is asked by the question alone."""
    chat_template: bool = True
    """Written answers: the model's chat template puts the question, where it has one."""
    stop: tuple[StopText, ...] = Field(("\n\n",), max_length=16)
    """A written answer ends before the first of these texts, or with the model's end of text."""
    new_tokens: int = Field(32, ge=1, le=8_192)
    """A written answer has at most so many tokens."""

    @field_validator("data")
    @classmethod
    def known_data(cls, value: str) -> str:
        return rows_form(value)

    @property
    def mapping(self) -> TaskColumns:
        """The columns the recipe names."""
        return self.columns or TaskColumns()
