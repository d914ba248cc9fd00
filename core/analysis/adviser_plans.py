"""The techniques the adviser ranks, as data: what each needs, what it gives, what speaks for and against it.

Figures are those the named papers publish, mostly for larger models; a model of the reader's own that was
measured counts for more, and the adviser puts it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TEXT = {"data": {"data": "sample:wiki", "split": "training", "length": 256}, "batch": 4}
EVALUATE: list[dict[str, Any]] = [{"step": "evaluate"}, {"step": "measure"}]
"""Quality and costs of the model as it stands."""
_R8 = {"data": {"data": "sample:reuters-r8/train", "form": "labels", "length": 128}, "batch": 16, "held_out": 200}
_CLASSES = {"labelled": {"data": "sample:reuters-r8/test"}}


@dataclass(frozen=True)
class Technique:
    """One way to make a model cheaper.

    Attributes:
        needs: conditions of `core.analysis.adviser.CONDITIONS` that must hold for it to be possible at all.
        points: what counts for (or against) it: an answer such as `deployment:phone`, and how much.
        kept: share of the blocks' parameters that is left, or None where no part is removed.
        byte_share: share of the weights' bytes beyond what `kept` says (int8 halves 16-bit weights).
        methods: registry ids whose measured candidates show what it did to this very model.
        steps, sweep, evaluation: the recipe, without model and name.
    """

    id: str
    title: str
    how: str
    why: str
    quality: str
    source: str
    takes: str
    against: str
    needs: tuple[str, ...] = ()
    points: Mapping[str, int] = field(default_factory=dict)
    kept: float | None = None
    byte_share: float = 1.0
    methods: tuple[str, ...] = ()
    steps: tuple[dict[str, Any], ...] = ()
    sweep: dict[str, Any] | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)


def _distil(steps: int) -> dict[str, Any]:
    return {"step": "distil", "losses": [{"loss": "logit_kl"}], **_TEXT, "budget": {"steps": steps}}


def _select(fraction: float) -> dict[str, Any]:
    target = {"block_fraction": fraction}
    return {
        "step": "select",
        "options": [{"method": m, "target": target} for m in ("width_activations", "block_influence", "angular")],
        "best": 2,
        "recovery": {"losses": [{"loss": "logit_kl"}], **_TEXT, "budget": {"steps": 20}},
    }


def select_and_distil(fraction: float) -> tuple[dict[str, Any], ...]:
    """Shapes tried in width and depth, an equal short recovery of the best two, and the winner distilled."""
    return (_select(fraction), {"step": "measure"}, _distil(150))


TECHNIQUES: tuple[Technique, ...] = (
    Technique(
        id="nothing",
        title="Leave the model as it is",
        how="Measure it on the machine it is meant for, and stop there if that is good enough.",
        why="Its weights fit into the memory you have, with room to work in.",
        quality="Nothing is lost.",
        source="Its size, from the file headers",
        takes="A few minutes of measuring.",
        against="It gets neither smaller nor faster.",
        needs=("fits",),
        points={"deployment:cloud": 3, "quality:nearly_all": 10, "quality:some": -3, "latency": -6},
        steps=tuple(EVALUATE),
    ),
    Technique(
        id="int8",
        title="Keep the weights as int8",
        how="Linear layers hold 8-bit integers with one scale per row; activations follow while it runs.",
        why="It halves 16-bit weights, needs no data, and takes a minute.",
        quality="Published with the largest activations kept in 16 bits: no loss up to 175 billion parameters. Plain "
        "int8, as here, comes close: look at the measured loss.",
        source="Dettmers et al. 2022, LLM.int8()",
        takes="A minute; no data.",
        against="Tokens may take longer where the processor has no fast int8 kernel: look at the measured latency.",
        points={
            "quality:nearly_all": 6,
            "quality:most": 3,
            "data:none": 4,
            "compute:minutes": 4,
            "deployment:edge": 3,
            "deployment:phone": 3,
            "deployment:realtime": -2,
            "too_large": 4,
        },
        byte_share=0.5,
        methods=("quantise",),
        steps=(*EVALUATE, {"step": "quantise"}, *EVALUATE),
    ),
    Technique(
        id="depth",
        title="Take a few layers out",
        how="Whole layers go, those that change their input least first. Nothing is trained. The recipe tries "
        "7, 13 and 20 % of the blocks; the size below is for 13 %.",
        why="Fewer layers mean fewer steps one after the other: latency falls with them on every machine.",
        quality="Published for 7 to 13 billion parameters: 92 % of the benchmark score with a quarter removed. Small "
        "models lose more.",
        source="Men et al. 2024, ShortGPT",
        takes="Minutes and some text to calibrate on.",
        against="Without training, more than a few layers cost much quality.",
        needs=("adapted", "layers"),
        points={
            "deployment:realtime": 5,
            "latency": 4,
            "compute:minutes": 4,
            "data:none": 2,
            "quality:some": 4,
            "quality:nearly_all": -4,
        },
        kept=0.87,
        methods=("block_influence", "angular", "loss_ablation", "healed_loss", "evolved", "depth_taylor"),
        sweep={"grid": [{"method": ["block_influence"], "target": [{"block_fraction": f} for f in (0.07, 0.13, 0.2)]}]},
    ),
    Technique(
        id="depth_distil",
        title="Take a quarter of the layers out, then distil",
        how="Layers go by block influence; then the smaller model learns from the original's probabilities.",
        why="Depth brings the most latency, and distillation brings back what it cost.",
        quality="Published: depth loses more than width at equal size and is faster; recovery decides.",
        source="Muralidharan et al. 2024, Minitron; Men et al. 2024, ShortGPT",
        takes="Training text, and hours on a processor or minutes on a graphics card.",
        against="The more text, the better: the budget of the recipe is a beginning.",
        needs=("causal", "adapted", "dense", "layers", "text", "time"),
        points={
            "deployment:realtime": 6,
            "latency": 5,
            "compute:hours": 3,
            "compute:gpu": 4,
            "quality:most": 4,
            "deployment:edge": 2,
        },
        kept=0.75,
        steps=(
            {"step": "prune", "method": "block_influence", "target": {"block_fraction": 0.25}},
            *EVALUATE,
            _distil(150),
            *EVALUATE,
        ),
    ),
    Technique(
        id="minitron",
        title="Minitron: try shapes, recover the best, distil the winner",
        how="Importance once, prunings in width and depth, a short equal recovery of the best two, then distillation.",
        why="Rankings change with recovery, so the winner is chosen after it.",
        quality="Published: up to 40 times fewer training tokens than training such a model from scratch.",
        source="Muralidharan et al. 2024, Minitron",
        takes="Training text, and hours on a processor or minutes on a graphics card.",
        against="It takes the longest of all to set right; budgets below a few million tokens only begin to recover.",
        needs=("causal", "adapted", "dense", "layers", "text", "time"),
        points={
            "compute:gpu": 6,
            "compute:hours": 3,
            "quality:most": 5,
            "quality:nearly_all": -2,
            "deployment:phone": 3,
            "deployment:edge": 3,
            "too_large": 3,
        },
        kept=0.75,
        steps=(*select_and_distil(0.25), *EVALUATE),
    ),
    Technique(
        id="minitron_twice",
        title="Minitron in two rounds, to less than half of the blocks",
        how="A third goes, recovery, another third goes, recovery: never more than a third at once.",
        why="Beyond a third in one step recovery does not catch up; two rounds get there.",
        quality="The published procedure repeats itself beyond a third; no figure for so small a budget is published.",
        source="Muralidharan et al. 2024, Minitron",
        takes="A lot of training text and a graphics card.",
        against="Much is lost on a short budget.",
        needs=("causal", "adapted", "dense", "layers", "text", "time"),
        points={"compute:gpu": 5, "quality:some": 5, "deployment:phone": 4, "too_large": 4, "compute:hours": -2},
        kept=0.45,
        steps=(_select(0.33), _distil(150), _select(0.33), _distil(150), *EVALUATE),
    ),
    Technique(
        id="student",
        title="A shallower student, distilled from the start",
        how="Two thirds of the layers, evenly spread, make a student that learns from the original's soft labels.",
        why="It is simple: nothing is measured before the training, and the shape is chosen by you.",
        quality="Published for an encoder with half of the layers: 97 % of the original's score.",
        source="Sanh et al. 2019, DistilBERT",
        takes="A lot of training text, and hours on a processor or a graphics card.",
        against="Choosing layers by importance, as the plans that prune do, loses less before the training.",
        needs=("causal", "adapted", "layers", "text", "time"),
        points={"compute:gpu": 4, "compute:hours": 2, "deployment:realtime": 3, "latency": 2, "quality:some": 3},
        kept=0.67,
        steps=(
            {
                "step": "distil",
                "design": {"layers": "two thirds"},
                "losses": [{"loss": "soft_labels", "parameters": {"temperature": 2.0}}],
                **_TEXT,
                "budget": {"steps": 200},
            },
            *EVALUATE,
        ),
    ),
    Technique(
        id="classifier",
        title="One task only: fine-tune an encoder, prune it, let it learn from itself",
        how="An encoder gets a head for your classes, loses neurons, and is taught by what it was before.",
        why="For one task a small classifier does what a chat model many times its size does.",
        quality="Published: a distilled encoder keeps 97 % with 40 % fewer parameters, 60 % faster.",
        source="Sanh et al. 2019, DistilBERT",
        takes="Labelled texts (a few thousand), minutes of training.",
        against="It does this one task and nothing else. The recipe shows it on Reuters news: put your files in.",
        needs=("encoder", "labels"),
        points={"data:labels": 9, "deployment:realtime": 4, "deployment:phone": 3, "compute:minutes": 3, "latency": 3},
        kept=0.67,
        evaluation=_CLASSES,
        steps=(
            {"step": "finetune", "losses": [{"loss": "cross_entropy"}], **_R8, "budget": {"steps": 340}},
            *EVALUATE,
            {"step": "prune", "method": "width_activations", "target": {"block_fraction": 0.33}},
            *EVALUATE,
            {
                "step": "distil",
                "teacher": "step:1",
                "losses": [{"loss": "soft_labels"}],
                **_R8,
                "budget": {"steps": 200},
            },
            *EVALUATE,
        ),
    ),
    Technique(
        id="experts",
        title="Take experts out of the mixture",
        how="Experts whose gate and output matter least go, and the router with them.",
        why="Experts hold most of a mixture's weights, and the active ones stay as they are.",
        quality="Published for large mixtures: nearly lossless on code with half of the experts removed.",
        source="Lasby et al. 2025, REAP",
        takes="Minutes and some text to calibrate on.",
        against="Latency stays: as many experts answer each token as before.",
        needs=("adapted", "experts"),
        points={"too_large": 6, "deployment:edge": 3, "deployment:cloud": 3, "quality:most": 4},
        kept=0.75,
        methods=("reap",),
        sweep={"grid": [{"method": ["reap"], "target": [{"block_fraction": 0.25}]}]},
    ),
    Technique(
        id="two_of_four",
        title="Two of every four weights, for a GPU that skips the zeros",
        how="SparseGPT keeps two of every four weights and adjusts them.",
        why="Graphics cards from NVIDIA's Ampere on have units for exactly this pattern.",
        quality="Published for Llama-2 7B: perplexity 5.12 becomes 10.17 (70B: 3.12 becomes 5.40).",
        source="Frantar & Alistarh 2023, SparseGPT; figures from Sun et al. 2023, Wanda",
        takes="Minutes and some text to calibrate on.",
        against="Faster only with sparse kernels in the serving software; on a processor it gains nothing.",
        needs=("sparse_gpu",),
        points={"deployment:cloud": 4, "quality:some": 2, "compute:gpu": 3},
        methods=("sparsegpt",),
        sweep={"grid": [{"method": ["sparsegpt"], "pattern": ["2:4"], "mode": "sequential"}]},
    ),
    Technique(
        id="zeros",
        title="Only set weights to zero",
        how="Wanda zeroes the weights that matter least, row by row.",
        why="It shows how much of the model is needed, and prepares formats that store zeros well.",
        quality="Published for Llama-2 7B at 50 %: perplexity 5.12 becomes 6.42.",
        source="Sun et al. 2023, Wanda",
        takes="Minutes and some text to calibrate on.",
        against="The model gets neither smaller nor faster: ordinary files and kernels store and multiply zeros too.",
        points={"quality:nearly_all": -4, "latency": -4, "too_large": -4},
        methods=("wanda", "magnitude", "sparsegpt"),
        sweep={"grid": [{"method": ["wanda"], "sparsity": [0.3, 0.5]}]},
    ),
)
"""In the order that breaks ties."""
