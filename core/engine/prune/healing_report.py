"""What healing says about itself: facts for the result, sentences for people."""

from __future__ import annotations

from dataclasses import dataclass

from core.engine.prune.prune_report import PruneReport
from core.registry.formatting import percent


@dataclass(frozen=True)
class Healed:
    """One matrix that was to be solved again.

    Attributes:
        layer: of the dense model, counted from 0.
        part: the matrix's name in its layer.
        refused: why it could not be; then the others say nothing.
        ridge: the strength that was best on the held-out tokens.
        before, after: squared error on the held-out tokens, as a share of the squares of what should come out.
        tokens, held_out: solved on, and held out.
        short: there was too little text for the weaker ridges.
    """

    layer: int
    part: str
    refused: str = ""
    ridge: float = 0.0
    before: float = 0.0
    after: float = 0.0
    tokens: int = 0
    held_out: int = 0
    short: bool = False

    @property
    def applied(self) -> bool:
        return not self.refused and self.after < self.before


def describe(report: PruneReport, found: list[Healed], divergences: tuple[float, float] | None, seconds: float) -> None:
    """Facts under `healing`, and sentences: what was healed, what was not and why.

    Args:
        divergences: KL from the dense model on held-out text, as cut and healed; None where it was not measured.
    """
    solved = [h for h in found if not h.refused]
    healed = [h for h in solved if h.applied]
    worse = divergences is not None and divergences[1] >= divergences[0]
    report.facts["healing"] = {
        "matrices": [
            {
                "layer": h.layer,
                "part": h.part,
                **(
                    {"refused": h.refused}
                    if h.refused
                    else {
                        "ridge": h.ridge,
                        "error_before": h.before,
                        "error_after": h.after,
                        "applied": h.applied and not worse,
                    }
                ),
            }
            for h in found
        ],
        "tokens": solved[0].tokens if solved else 0,
        "held_out_tokens": solved[0].held_out if solved else 0,
        **({} if divergences is None else {"kl_as_cut": divergences[0], "kl_healed": divergences[1]}),
        "applied": bool(healed) and not worse,
        "seconds": seconds,
    }
    if worse and divergences is not None:
        report.note(
            f"Left as cut: with {_matrices(len(healed))} solved again on {healed[0].tokens:,} tokens of calibration "
            f"text, predictions on held-out text were no nearer to the dense model's (KL {divergences[1]:.3f} nats, as "
            f"cut {divergences[0]:.3f}). More calibration text may help."
        )
        return
    if healed:
        before, after = (sum(getattr(h, at) for h in healed) / len(healed) for at in ("before", "after"))
        report.note(
            f"Healed: {_were(len(healed))} solved again by least squares on {healed[0].tokens:,} tokens of "
            f"calibration text; the squared error on {healed[0].held_out:,} held-out tokens fell from "
            f"{percent(before, 1)} to {percent(after, 1)}"
            + (
                f", and KL from the dense model from {divergences[0]:.3f} to {divergences[1]:.3f}."
                if divergences
                else "."
            )
        )
    if len(healed) < len(solved):
        report.note(f"{_were(len(solved) - len(healed))} left as cut: healing was no better on held-out text.")
    if any(h.short for h in solved):
        report.note(
            "There was little calibration text for healing, so it was held back by a stronger ridge: calibrate on "
            "more or longer sequences."
        )
    for h in found:
        if h.refused:
            report.note(f"The layers removed after layer {h.layer} are not healed: {h.refused}.")


def _matrices(count: int) -> str:
    return "1 matrix" if count == 1 else f"{count:,} matrices"


def _were(count: int) -> str:
    return f"{_matrices(count)} {'was' if count == 1 else 'were'}"
