"""The special tokens around a window of text, decided per use.

A tokenizer says what it puts around a text. What is before it, a model expects. What is after it is right for masked
models ([SEP]) and wrong where a text is cut anywhere and the next token is predicted: there, an end token would be
counted as a word of the text.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from core.base.errors import RetortError
from core.recipe.parts import StartToken


class Frame(NamedTuple):
    """Ids before and after the text of a window."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


def special_frame(tokenizer: Any) -> Frame:
    """What the tokenizer puts around a text: ([bos], []) for Gemma, ([CLS], [SEP]) for BERT."""
    plain = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
    full = tokenizer("a", add_special_tokens=True, verbose=False)["input_ids"]
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return Frame(tuple(full[:start]), tuple(full[start + len(plain) :]))
    return Frame()


def frame_for(tokenizer: Any, task: str, start: StartToken = "tokenizer") -> Frame:
    """What stands around a window.

    Args:
        task: what the model does; one that predicts the next token, or writes a target, gets nothing after a text.
        start: `tokenizer`: before it stands what the tokenizer puts there; `none`: nothing; `each`: its start token,
            whether it puts it there or not.

    Raises:
        RetortError: `each`, and the tokenizer has no start token.
    """
    own = special_frame(tokenizer)
    after = () if task in ("causal", "seq2seq") else own.after
    if start == "none":
        return Frame((), after)
    return Frame(own.before or _start(tokenizer), after) if start == "each" else Frame(own.before, after)


def closing(tokenizer: Any) -> int:
    """How many tokens the tokenizer puts after a text."""
    return len(special_frame(tokenizer).after)


def opened_ids(tokenizer: Any, text: str, after: int | None = None) -> list[int]:
    """The ids of a text that is to be continued: with what the tokenizer puts before it, without an end token.

    `after`: what `closing` gives, where it is known.
    """
    ids: list[int] = tokenizer(text, verbose=False)["input_ids"]
    return ids[: len(ids) - (closing(tokenizer) if after is None else after)]


def spoken(tokenizer: Any, frame: Frame) -> str:
    """What each window begins (and ends) with: 'with <s>', for the settings beside a figure."""
    before, after = (" ".join(tokenizer.convert_ids_to_tokens(list(ids))) for ids in frame)
    ends = f", ends with {after}" if after else ""
    return f"with {before or 'the text itself'}{ends}"


def _start(tokenizer: Any) -> tuple[int, ...]:
    for number in (tokenizer.bos_token_id, tokenizer.cls_token_id):
        if number is not None:
            return (int(number),)
    raise RetortError(
        "The recipe asks for a start token before each window, and this tokenizer has none.",
        "Set 'start_token' to tokenizer or none.",
    )
