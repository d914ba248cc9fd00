"""What the figures of some studies speak for, read by column and kept until the store changes."""

from __future__ import annotations

from core.analysis.candidates import briefs
from core.analysis.given_up import LOSS
from core.analysis.recommendation import COSTS, Recommendation, recommend
from core.registry.metrics import metric
from core.store import Store
from pages.frame.cached import cached
from pages.study.tradeoff_figures import MONEY, Figures, Versions, heads, metrics, values, wanted

_WITH_SETTINGS = ("accuracy", "accuracy_norm", "f1", "sparsity_pruned")
"""Figures whose settings say how they were compared, or what they count."""


@cached(48)
def recommendation(
    store: Store,
    runs: Versions,
    x: str,
    methods: tuple[str, ...],
    limits: tuple[tuple[str, float], ...],
    share: float | None,
    price: float | None = None,
) -> Recommendation | None:
    """The choice among the candidates of these methods (none: of all).

    Args:
        x: what is made small where it is a cost; else the usual one is.
        price: of an hour of the machine, in USD, where money is asked for.
    """
    measured = {m for run in runs for m in metrics(store, run)} | {MONEY}
    asked = {"loss", "perplexity", LOSS, "sparsity_pruned", *COSTS, *(m for m, _ in limits)}
    asked |= {x} if metric(x).role == "cost" else set()
    asked |= {m for m in measured if metric(m).role == "quality" and m.partition(":")[0] in _WITH_SETTINGS}
    figures = {m: _told(store, runs, m, price) for m in asked & measured}
    known = briefs([h for h in heads(store, runs) if wanted(h, methods)], figures)
    dense = {h.key for h in heads(store, runs) if h.baseline}
    return recommend(
        [b for b in known if b.key not in dense],
        next((b for b in known if b.key in dense), None),
        cost=x if metric(x).role == "cost" else None,
        limits=dict(limits),
        share=share,
    )


def _told(store: Store, runs: Versions, metric_id: str, price: float | None) -> Figures:
    if metric_id.partition(":")[0] not in _WITH_SETTINGS:
        return values(store, runs, metric_id, price)
    found: Figures = {}
    for run, _ in reversed(runs):
        found |= store.columns.timed(run, metric_id)
    return found
