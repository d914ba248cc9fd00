"""The live operations `classify` and `labelled`: answers of classifiers to the same labelled texts, and those texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from core.base.errors import RetortError
from core.engine.data.classification import LabelledTexts, load_labelled
from core.engine.evaluate.classify import predictions
from core.engine.live.generate import references_of
from core.engine.live.host import Host
from core.engine.live.preview import Watched
from core.engine.models.compatibility import class_names
from core.engine.models.load import Loaded
from core.recipe.parts import Columns, LabelledSource

MOST_LISTED = 1_000
MOST_CHARACTERS = 2_000
_CHUNK = 128  # texts between two words of how far it is
_BATCH = 16
_ANSWERS = "answers to labelled texts"
_SETS = 4  # whose answers stay with a model


def classify(host: Host, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Events: `stage`, then one `classified`.

    Args:
        request: `models` (references), `data` (labelled texts as a recipe names them) and `items` (the first so
            many of them; None: all).

    `classified` has `labels` (classes, in the first model's order), `gold` and `predicted` (a list for each model)
    as indices of them, `dtypes`, and `texts`: (index, text) of those that do not get one answer from all models, cut
    after `MOST_CHARACTERS`, the first `MOST_LISTED` of them.

    Raises:
        RetortError: a model that tells no classes apart, other classes than the first model's, or unusable texts.
    """
    references = references_of(request, least=1)
    yield {"stage": "Loading the first model."}
    names = class_names(_classifier(host, references[0]).model)
    texts = _texts(host, request, names)
    predicted, dtypes = [], []
    for place, reference in enumerate(references, start=1):
        yield {"stage": f"Loading model {place} of {len(references)}."}
        loaded = _classifier(host, reference)
        answers: list[int] = []
        for answers in _answers(host, reference, loaded, texts):
            yield {"stage": f"Model {place} of {len(references)}: {len(answers):,} of {len(texts.texts):,} texts."}
        order = _order(names, class_names(loaded.model))
        predicted.append([order[a] for a in answers])
        dtypes.append(str(loaded.dtype).removeprefix("torch."))
    yield {
        "classified": {
            "labels": names,
            "gold": texts.labels,
            "predicted": predicted,
            "dtypes": dtypes,
            "texts": _parted(texts, predicted),
        }
    }


def labelled(host: Host, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Event: one `classified`, from answers the runs kept: no model is loaded.

    Args:
        request: `data`, `items`, `labels` (classes in the order the answers count them), and `predicted`.

    Raises:
        RetortError: unusable texts, or not as many of them as there are answers.
    """
    names = [str(name) for name in request.get("labels", [])]
    yield {"stage": "Reading the texts."}
    texts = _texts(host, request, names)
    predicted = [[int(a) for a in given] for given in request.get("predicted", [])]
    if not predicted or any(len(given) != len(texts.texts) for given in predicted):
        raise RetortError(
            "The labelled texts are not those the models were measured on: their number has changed.",
            "Measure the models again, or restore the texts.",
        )
    yield {
        "classified": {
            "labels": names,
            "gold": texts.labels,
            "predicted": predicted,
            "dtypes": [],
            "texts": _parted(texts, predicted),
        }
    }


def _parted(texts: LabelledTexts, predicted: list[list[int]]) -> list[tuple[int, str]]:
    """(index, beginning) of the first texts that do not get one answer from all models."""
    differ = [i for i, given in enumerate(zip(*predicted, strict=True)) if len(set(given)) > 1]
    return [(i, texts.texts[i][:MOST_CHARACTERS]) for i in differ[:MOST_LISTED]]


def _classifier(host: Host, reference: str) -> Loaded:
    loaded = host.model(reference)
    if loaded.task != "classification":
        raise RetortError(f"'{reference[:200]}' tells no classes apart.", "Choose classification models only.")
    return loaded


def _texts(host: Host, request: dict[str, Any], names: list[str]) -> LabelledTexts:
    columns, classes = request.get("columns"), request.get("classes")
    source = LabelledSource(
        str(request.get("data", "")),
        str(request.get("split") or "test"),
        Columns.model_validate(columns) if isinstance(columns, dict) else Columns(),
        {str(k): str(v) for k, v in classes.items()} if isinstance(classes, dict) else {},
    )
    found = load_labelled(source, host.settings, host.actor, names)
    items = request.get("items")
    return found.first(None if items is None else max(2, int(items)))


def _answers(host: Host, reference: str, loaded: Loaded, texts: LabelledTexts) -> Iterator[list[int]]:
    """The model's own class indices of ever more texts, the whole list last. Kept with the model."""
    kept: dict[str, list[int]] = host.beside(reference).setdefault(_ANSWERS, {})
    key = hashlib.sha256(repr((texts.texts, texts.pairs)).encode(errors="surrogatepass")).hexdigest()
    if key not in kept:
        found: list[int] = []
        for start in range(0, len(texts.texts), _CHUNK):
            part = texts.texts[start : start + _CHUNK]
            seconds = None if texts.pairs is None else texts.pairs[start : start + _CHUNK]
            found += predictions(loaded.model, loaded.tokenizer, part, _BATCH, Watched(host), seconds)
            yield found
        while len(kept) >= _SETS:
            del kept[next(iter(kept))]
        kept[key] = found
    yield kept[key]


def _order(names: list[str], own: list[str]) -> list[int]:
    """For each class of a model, its place among the first model's. Raises RetortError for other classes."""
    if sorted(names) != sorted(own) or len(set(names)) < len(names):
        raise RetortError(
            "These models tell different classes apart, so their answers cannot be compared.",
            "Compare classifiers of the same classes, such as candidates of one study.",
        )
    return [names.index(name) for name in own]
