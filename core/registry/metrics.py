"""What a measurement is, and which metrics exist: label, unit, direction, digits.

Pages, charts and reports take every label from here. A new metric is a function that measures it and one entry in
`METRICS`; another package adds one by an entry point of the group `retort.metrics` (docs/extending.md).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.registry.tasks import TASK_SETS, accuracy_id, task_label

Better = Literal["lower", "higher"]
Role = Literal["quality", "cost", "detail"]


class Metric(BaseModel):
    """One thing that can be known about a candidate."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    unit: str
    better: Better
    role: Role
    explain: str
    digits: int = 3  # significant digits shown
    entry: str = ""
    """What measures it, as `module:function`; empty for what the engine measures by itself.

    `f(model, tokenizer, windows) -> float | None`: the loaded model in evaluation mode, its tokenizer, and the tokens
    of the evaluation text, `(windows, length)` int64 on the CPU. None where it does not apply to this model.
    """


def _m(id: str, label: str, unit: str, better: Better, role: Role, explain: str, digits: int = 3) -> Metric:
    return Metric(id=id, label=label, unit=unit, better=better, role=role, explain=explain, digits=digits)


_ENERGY = "Energy to write one more token: from the machine's own counter, else power times time, marked estimated."

METRICS: dict[str, Metric] = {
    m.id: m
    for m in (
        _m(
            "perplexity",
            "Perplexity",
            "",
            "lower",
            "quality",
            "How surprised the model is by unseen text: exp of the mean loss per token.",
            4,
        ),
        _m("loss", "Loss per token", "nats", "lower", "quality", "Mean negative log-likelihood of a token.", 4),
        _m(
            "loss_change",
            "Loss change",
            "nats",
            "lower",
            "quality",
            "Loss per token minus the baseline's on the same windows, compared in pairs.",
            3,
        ),
        _m(
            "kl_to_teacher",
            "KL to the baseline",
            "nats",
            "lower",
            "quality",
            "Mean Kullback-Leibler divergence of the predicted distributions of tokens from the baseline's.",
            3,
        ),
        _m(
            "top1_agreement",
            "Same top token as the baseline",
            "%",
            "higher",
            "quality",
            "Share of the predicted positions where the most likely token is the baseline's.",
            3,
        ),
        _m(
            "bits_per_byte",
            "Bits per byte",
            "bits",
            "lower",
            "quality",
            "What the text takes when the model predicts it: its loss in bits over its bytes, whatever its tokens are.",
            4,
        ),
        _m("accuracy", "Accuracy", "", "higher", "quality", "Share of items answered correctly.", 3),
        _m(
            "accuracy_norm",
            "Accuracy, length-normalised",
            "",
            "higher",
            "quality",
            "Share of items whose best answer per character is the right one.",
            3,
        ),
        _m("f1", "F1 (macro)", "", "higher", "quality", "Mean over classes of the F1 score.", 3),
        _m(
            "removed",
            "Sparsity, or share removed",
            "%",
            "higher",
            "detail",
            "Zeros among the weights a method may prune, or, of a smaller model, the share of all parameters taken "
            "out.",
            3,
        ),
        _m("parameters", "Parameters", "", "lower", "cost", "Numbers stored in the model, tied ones once.", 4),
        _m(
            "nonzero_parameters",
            "Non-zero parameters",
            "",
            "lower",
            "detail",
            "Parameters that are not zero. Zeros still take space and time in a dense model.",
            4,
        ),
        _m(
            "sparsity_pruned",
            "Sparsity of the pruned matrices",
            "%",
            "higher",
            "detail",
            "Zeros among the weights the method may prune: what was asked for.",
        ),
        _m(
            "sparsity_model",
            "Sparsity of the whole model",
            "%",
            "higher",
            "detail",
            "Zeros among all parameters, embeddings and head included.",
        ),
        _m(
            "disk_bytes",
            "Weights on disk",
            "B",
            "lower",
            "cost",
            "Bytes of the files that hold the weights; tokenizer and configuration are not counted.",
            4,
        ),
        _m(
            "memory_bytes",
            "Memory of the weights",
            "B",
            "lower",
            "cost",
            "Bytes of parameters and buffers once loaded.",
            4,
        ),
        _m(
            "peak_memory_bytes",
            "Peak memory",
            "B",
            "lower",
            "cost",
            "Peak resident memory of a fresh process that loads the model and generates.",
            4,
        ),
        _m(
            "kv_bytes_per_token",
            "Key-value cache per token",
            "B",
            "lower",
            "cost",
            "Memory each token of context takes while generating.",
            4,
        ),
        _m("prefill_ms", "Prefill latency", "ms", "lower", "cost", "Time to read the prompt, one sequence.", 3),
        _m("decode_ms", "Latency per token", "ms", "lower", "cost", "Time to write one more token, one sequence.", 3),
        _m(
            "batch_prefill_ms",
            "Prefill latency of a batch",
            "ms",
            "lower",
            "cost",
            "Time to read the prompts of a whole batch.",
            3,
        ),
        _m(
            "batch_decode_ms",
            "Latency per token of a batch",
            "ms",
            "lower",
            "cost",
            "Time to write one more token for every sequence of a batch.",
            3,
        ),
        _m("energy_j_per_token", "Energy per token", "J", "lower", "cost", _ENERGY, 3),
        _m(
            "cost_per_mtok",
            "Cost per million tokens",
            "",
            "lower",
            "cost",
            "Price of a machine-hour divided by the tokens it writes.",
            3,
        ),
        _m(
            "energy_kwh_per_mtok",
            "Energy per million tokens",
            "kWh",
            "lower",
            "cost",
            "What was counted for one token times a million; else power of the machine times the time it takes.",
            3,
        ),
        _m(
            "reload_difference",
            "Largest logit difference after reload",
            "",
            "lower",
            "detail",
            "Saved, loaded by plain transformers in a fresh process, compared. Its texts there are greedy, whatever "
            "the model's own generation settings ask for.",
            2,
        ),
    )
}


def _of_task(metric_id: str) -> Metric | None:
    """The accuracy on one task, 'accuracy:TASK' or 'accuracy_norm:TASK'."""
    base, _, task = metric_id.partition(":")
    if not task or base not in ("accuracy", "accuracy_norm"):
        return None
    general = METRICS[base]
    label = f"{task_label(task)} accuracy" + (", length-normalised" if base == "accuracy_norm" else "")
    return general.model_copy(update={"id": metric_id, "label": label})


def of_tasks() -> dict[str, Metric]:
    """The two accuracies of every task, the usual one first."""
    return {
        m.id: m
        for t in TASK_SETS.values()
        for normalised in (t.normalised, not t.normalised)
        if (m := _of_task(accuracy_id(t.id, normalised))) is not None
    }


METRICS |= of_tasks()


def metric(metric_id: str) -> Metric:
    """The metric's description; an unknown id (from a newer home) is shown under its own name."""
    known = METRICS.get(metric_id) or _of_task(metric_id)
    return known or _m(metric_id, metric_id, "", "lower", "detail", "Recorded by another version of Retort.")
