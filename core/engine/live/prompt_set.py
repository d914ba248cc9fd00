"""The live operation `compare_set`: the models side by side on many prompts, so that one text does not decide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.analysis.proportions import grouped_share
from core.analysis.statistics import mean_interval
from core.base.errors import RetortError
from core.engine.live.forced import compare_tokens, continued, summary
from core.engine.live.generate import drawn, encoded, next_tokens, references_of, text_of, writer
from core.engine.live.host import Host
from core.registry.prompts import FEWEST_PROMPTS, MOST_PROMPTS, PROMPTS

SET_TOKENS = 24


def compare_set(host: Host, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Events: `stage`, a `row` per prompt and student, then a `result` per student.

    Args:
        request: `models` (references; the first is the teacher), and optionally `prompts` (else those of
            `core.registry.prompts`), `tokens` (else `SET_TOKENS`), `temperature` and `seed` as in `generate`.

    The teacher writes after each prompt; the students are compared on its texts, and write after the prompt as well. A
    `row` has `model`, `number` (place of its prompt), `prompt`, `text` (the teacher's), `own` (the student's), `tokens`
    (of `text`, each with `text`, `kl` in nats and `differs`), `mean` (KL in nats) and `agreement` (%). A `result` has
    `model`, `mean` over prompts and `agreement` (%), each with its 95 % interval over prompts (`low`, `high`,
    `agreement_low`, `agreement_high`; None below `FEWEST_PROMPTS`), `prompts` and `compared` (tokens).

    Raises:
        RetortError: no prompt or too many, or as `forced`.
    """
    references, draw = references_of(request, least=2), drawn(request, SET_TOKENS)
    prompts = _prompts(host, request)
    yield {"stage": "Loading the models."}
    teacher, *students = [writer(host, r) for r in references]
    rows: dict[int, list[dict[str, Any]]] = {i: [] for i in range(1, len(references))}
    for number, prompt in enumerate(prompts):
        yield {"stage": f"Prompt {number + 1} of {len(prompts)}."}
        ids, first = continued(host, teacher, references[0], prompt, draw)
        if ids.shape[1] == first:
            continue  # the teacher ended the text at once: there is nothing to compare
        text = text_of(teacher, ids[0, first:].tolist())
        for place, student in enumerate(students, start=1):
            tokens = compare_tokens(teacher, student, ids, first, host.checkpoint)
            written: list[int] = []
            for token, _ in next_tokens(student.model, encoded(student, prompt, draw.tokens), *draw):
                host.checkpoint()
                written.append(token)
            row = {"model": place, "number": number, "prompt": prompt, "text": text, **summary(tokens)}
            row["own"] = text_of(student, written)
            row["tokens"] = [{"text": t.text, "kl": t.kl, "differs": t.differs} for t in tokens[first:]]
            rows[place].append(row)
            yield {"row": row}
    for place, found in rows.items():
        if not found:
            raise RetortError("The first model writes nothing after any prompt.", "Choose another model as first.")
        yield {"result": {"model": place, **_summed(found)}}


def _summed(rows: list[dict[str, Any]]) -> dict[str, object]:
    """Over the prompts: tokens of one prompt depend on each other, prompts do not."""
    sizes = [int(r["compared"]) for r in rows]
    kl = mean_interval([r["mean"] for r in rows])
    same = grouped_share([r["agreement"] / 100.0 * n for r, n in zip(rows, sizes, strict=True)], sizes)
    enough = len(rows) >= FEWEST_PROMPTS
    ends = {"low": kl.low, "high": kl.high, "agreement_low": 100.0 * same.low, "agreement_high": 100.0 * same.high}
    return {
        "prompts": len(rows),
        "compared": sum(sizes),
        "mean": kl.value,
        "agreement": 100.0 * same.value,
        **{name: end if enough else None for name, end in ends.items()},
    }


def _prompts(host: Host, request: dict[str, Any]) -> list[str]:
    limit = host.settings.limits.prompt_characters
    found = [str(p)[:limit] for p in request.get("prompts", PROMPTS)]
    found = [p for p in dict.fromkeys(found) if p.strip()]
    if not 0 < len(found) <= MOST_PROMPTS:
        many = f"These are {len(found)} prompts, and at most {MOST_PROMPTS} are taken."
        raise RetortError(many if found else "There is no prompt.", f"Write 1 to {MOST_PROMPTS} prompts.")
    return found
