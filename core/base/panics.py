"""Failures of compiled code that are no ordinary exceptions, told in a sentence.

A library written in Rust (tokenizers, safetensors) that runs into what it holds for impossible "panics": Python then
gets a `pyo3_runtime.PanicException`, which is a BaseException, so that `except Exception` lets it pass.
"""

from __future__ import annotations

from types import TracebackType

from core.base.errors import RetortError


def is_panic(error: BaseException) -> bool:
    """Whether compiled code has panicked. The type cannot be imported, and is made anew by each library."""
    return type(error).__name__ == "PanicException"


def is_failure(error: BaseException) -> bool:
    """Whether this is something that went wrong, and not a wish to end (Ctrl-C, SystemExit)."""
    return isinstance(error, Exception) or is_panic(error)


def panic_in_words(error: BaseException) -> RetortError | None:
    """The sentence for a panic; None for anything else."""
    if not is_panic(error):
        return None
    what = " ".join(str(error).split())[:200] or "no message"
    if _passed(error.__traceback__, "token"):
        return RetortError(
            f"The model's tokenizer broke off with an internal error (a panic): {what}",
            "Its tokenizer.json holds what the tokenizers library cannot work with: take the tokenizer of an undamaged "
            "copy of the model. Trying again ends the same way.",
        )
    return RetortError(
        f"A compiled library broke off with an internal error (a panic): {what}",
        "Check the model's files, or take an undamaged copy of the model. Trying again ends the same way.",
    )


def _passed(trace: TracebackType | None, word: str) -> bool:
    """Whether the failure came through code whose file or function has the word in its name."""
    while trace is not None:
        code = trace.tb_frame.f_code
        if word in code.co_filename.rpartition("/site-packages/")[2].lower() or word in code.co_name.lower():
            return True
        trace = trace.tb_next
    return False
