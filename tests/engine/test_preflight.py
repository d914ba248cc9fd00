"""What the files tell is refused before any work, in the same words' sense as the engine with the weights at hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.analysis.sensitivity import SensitivitySpec
from core.base.errors import Impossible, RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.engine.models.architectures import FAMILIES, adapter_for
from core.engine.prune.structured import parts_of
from core.engine.prune.targets import Question, plan_for
from core.jobs import actions
from core.preflight import pruning
from core.preflight.check import refuse_impossible
from core.preflight.subject import Subject
from core.recipe.recipe import Prune, Recipe
from core.registry.families import FAMILIES as KNOWN
from core.registry.methods import METHODS
from core.store import Store
from tests.engine.models.wild import edit
from tests.engine.models.zoo import tiny

PLAIN = [{"loss": "cross_entropy"}]
TEXT = {"length": 32}
CHAT = {"data": "path:talks.jsonl", "split": None, "form": "chat"}
LABELS = {"data": "path:labels.csv", "split": None, "form": "labels"}
TOKENS = 384  # of the tiny Llama's tokenizer
Saved = Callable[..., Path]


@pytest.fixture
def saved(home: Settings, tiny_llama: Path) -> Saved:
    """A model of the zoo in a folder of the home, with the tiny Llama's tokenizer."""

    def save(name: str, **changes: Any) -> Path:
        folder = home.roots[0] / f"{name}-{len(list(home.roots[0].iterdir()))}"
        tiny(name, **{"vocab_size": TOKENS, **changes}).save_pretrained(folder)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tiny_llama / file, folder)
        edit(folder, "tokenizer_config.json", mask_token="<|endoftext|>")
        return folder

    return save


def recipe(model: Path, *steps: dict[str, Any], **more: Any) -> Recipe:
    short = {
        "evaluation": {"tokens": 64, "window": 32},
        "calibration": {"length": 32, "sequences": 2},
        "latency": {"prompt": 8, "new_tokens": 2, "repeats": 1},
    }
    known = {"name": "t", "model": f"path:{model}", **short, **({"steps": list(steps)} if steps else {}), **more}
    return Recipe.model_validate(known)


def sweep(*grids: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"sweep": {"grid": list(grids), **more}}


def lesson(**changes: Any) -> dict[str, Any]:
    return {"step": "distil", "data": dict(TEXT), **changes}


def structured(method: str, **target: Any) -> dict[str, Any]:
    more = {k: target.pop(k) for k in ("parts", "protect", "multiple", "heal") if k in target}
    return {"step": "prune", "method": method, "target": target, **more}


SIZES = "does not fit its model: .*(asks for|is 4, and of|names layer 7)"  # said first, from the config alone
WANDA = {"step": "prune", "method": "wanda", "sparsity": 0.5}
REFUSED: list[tuple[str, list[dict[str, Any]], str]] = [
    ("gpt2", [{"step": "quantise"}], r"Step 1 \('int8 weights'\) cannot be done: .*Conv1D"),
    ("mixtral", [{"step": "quantise", "of": "baseline"}], "experts are stored in one block"),
    ("mixtral", [structured("width_activations", block_fraction=0.2)], "they lie inside its experts"),
    ("llama", [structured("reap", sizes={"experts": 2})], "no experts to remove"),
    ("mixtral", [structured("reap", sizes={"experts": 1})], "Each token uses 2 experts"),
    ("llama", [structured("block_influence", remove_layers=4)], "4 layers cannot be removed: the model has 4, and one"),
    ("llama", [structured("block_influence", remove_layers=2, protect=(0, 1, 2))], "3 of them protected"),
    ("llama", [structured("width_norm", remove_layers=1)], "does not remove layers"),
    ("llama", [structured("block_influence", sizes={"heads": 2})], "removes layers only"),
    ("llama", [structured("width_norm", sizes={"intermediate": 41})], "has 40 for 'intermediate', less than 41"),
    ("llama", [structured("width_norm", sizes={"heads": 5})], "5 query heads cannot be shared evenly by 2"),
    ("llama", [structured("width_norm", block_fraction=0.9)], r"At most \d\d.\d % of block parameters can be removed"),
    ("llama", [structured("searched", block_fraction=0.98)], r"At most 9\d.\d % of block parameters can be removed"),
    ("llama", [structured("searched", megabytes=0.02)], "cannot be brought down to 0.02 MB this way"),
    ("llama", [structured("block_influence", megabytes=0.001)], "cannot be brought down to 0.001 MB"),
    ("gpt2", [structured("width_norm", block_fraction=0.2, parts=("heads",))], "tied to its heads"),
    ("llama", [structured("width_flap", block_fraction=0.2, parts=("hidden",))], "FLAP ranks neurons and heads"),
    ("bert", [structured("depth_taylor", remove_layers=1)], "predicts the next token"),
    ("llama", [{**WANDA, "protect": (7,)}], "Layer 7 cannot be protected: the model's layers are 0 to 3"),
    ("llama", [{**WANDA, "protect": (0, 1, 2, 3)}], "Every layer is protected"),
    (
        "llama",
        [structured("block_influence", remove_layers=1), {**WANDA, "allocation": "sensitivity"}],
        "does not exist yet, and no sensitivity was measured with Wanda",
    ),
    ("llama", [WANDA, lesson(lora={"rank": 2})], r"Step 2 .* would not stay zero"),
    ("llama", [lesson(lora={"rank": 2, "modules": ("c_attn",)})], "no linear layer named c_attn"),
    ("llama", [lesson(data={"length": 65})], "65 tokens long, and the student reads at most 64"),
    ("llama", [lesson(design={"layers": 5})], "should have 5 layers, and the teacher has 4"),
    ("llama", [lesson(cache={"k": 4}, data={**TEXT, "streaming": True})], "these are streamed"),
    ("bert", [lesson(cache={"k": 4})], "masked anew each time"),
    ("bert", [lesson(on_policy={"prompt": 4})], "'on_policy' needs a model that continues a text"),
    ("bert", [lesson(losses=PLAIN, teacher_texts={"prompt": 4})], "'teacher_texts' needs a model that continues"),
    ("bert", [lesson(losses=PLAIN, data={**TEXT, **CHAT})], "'form: chat' needs a model that continues a text"),
    ("bert-encoder", [lesson()], "no output layer"),
    ("bert-classifier", [lesson(losses=PLAIN)], "A classifier learns from texts with labels"),
    ("llama", [lesson(data={**TEXT, **LABELS})], "teacher is a causal model and the student a classification"),
    ("bert", [{"step": "export", "format": "gguf"}], "cannot be exported as GGUF"),
    (
        "llama",
        [lesson(step="finetune", losses=PLAIN, data={**TEXT, **LABELS}), {"step": "export", "format": "gguf"}],
        "cannot be exported as GGUF: .*language models",
    ),
    (
        "llama",
        [structured("width_flap", block_fraction=0.2, heal="none"), {"step": "export", "format": "gguf"}],
        "its layers have biases",
    ),
    ("llama", [{"step": "quantise"}, {"step": "export", "format": "onnx"}], "int8 weights have no ONNX form"),
    ("mixtral", [{"step": "export", "format": "onnx"}], "products of its experts"),
]


@pytest.mark.parametrize(("name", "steps", "cause"), REFUSED)
def test_what_can_be_known_is_refused_before_the_start(
    saved: Saved, home: Settings, name: str, steps: list[dict[str, Any]], cause: str
) -> None:
    asked = recipe(saved(name), *steps)
    with pytest.raises(RetortError, match=cause) as refused:
        refuse_impossible(asked, home)
    assert refused.value.remedy.endswith(".")
    assert isinstance(refused.value, Impossible) == ("sensitivity" not in cause), "a sensitivity can be measured"
    with pytest.raises(RetortError, match=f"{cause}|{SIZES}"):
        actions.submit(asked, home, LOCAL)
    assert Store(home).runs.find() == []


ALLOWED: list[tuple[str, list[dict[str, Any]]]] = [
    ("llama", [structured("block_influence", remove_layers=3), {"step": "export", "format": "onnx"}]),
    ("llama", [structured("width_norm", block_fraction=0.3), structured("width_norm", block_fraction=0.5)]),
    ("llama", [WANDA, lesson(), lesson(lora={"rank": 2}, keep_zeros=False)]),
    ("llama", [structured("block_influence", remove_layers=1), lesson(teacher="step:1", lora={"rank": 2})]),
    ("llama", [structured("width_flap", block_fraction=0.2, heal="closed-form"), {"step": "export", "format": "gguf"}]),
    ("llama", [structured("width_flap", block_fraction=0.2, heal="none"), {"step": "export"}]),
    ("bert", [lesson(losses=PLAIN), {"step": "export", "format": "onnx"}]),
    ("bert-encoder", [lesson(step="finetune", losses=PLAIN, data={**TEXT, **LABELS})]),
    ("mixtral", [structured("reap", sizes={"experts": 2})]),
    ("gpt2", [structured("width_norm", block_fraction=0.2, parts=("hidden",))]),
]


@pytest.mark.parametrize(("name", "steps"), ALLOWED)
def test_what_can_be_done_is_not_refused(saved: Saved, home: Settings, name: str, steps: list[dict[str, Any]]) -> None:
    refuse_impossible(recipe(saved(name), *steps), home)


def test_a_sweep_names_the_trials_that_cannot_be_done(saved: Saved, home: Settings) -> None:
    grids = sweep(
        {"method": ["magnitude", "wanda"], "sparsity": [0.5], "allocation": "sensitivity"},
        {"method": "block_influence", "target": [{"remove_layers": 1}, {"remove_layers": 9}]},
    )
    asked = recipe(saved("llama"), **grids)
    with pytest.raises(RetortError) as refused:
        refuse_impossible(asked, home)
    assert not isinstance(refused.value, Impossible), "the sensitivity can be measured, and the sweep resumed"
    assert refused.value.cause == (
        "'Magnitude 50 % (by sensitivity)' cannot be done: The sensitivity of this model was not measured with "
        "Magnitude up to 50 %. Nor can 'Wanda 50 % (by sensitivity)'; 'Layer removal (block influence), 9 layers "
        "removed': 3 of 4 candidates."
    )
    coming = [SensitivitySpec(model=asked.model, method=m, sparsities=(0.6,)) for m in ("magnitude", "wanda")]
    with pytest.raises(Impossible, match="^'Layer removal"):
        refuse_impossible(asked, home, coming=coming)
    too_little = [spec.model_copy(update={"sparsities": (0.4,)}) for spec in coming]
    with pytest.raises(RetortError, match="3 of 4 candidates"):
        refuse_impossible(asked, home, coming=too_little)


def test_a_queued_measurement_counts(saved: Saved, home: Settings) -> None:
    asked = recipe(saved("llama"), **sweep({"method": "wanda", "sparsity": [0.5], "allocation": "sensitivity"}))
    spec = SensitivitySpec(model=asked.model, method="wanda", sparsities=(0.5,))
    with pytest.raises(RetortError, match="was not measured with Wanda"):
        actions.check_recipe(asked, home)
    Store(home).runs.add("sensitivity", "s", asked.model, spec.model_dump(mode="json"), LOCAL)
    actions.check_recipe(asked, home)


def test_texts_longer_than_the_model_reads_are_refused(saved: Saved, home: Settings) -> None:
    model, grid = saved("llama"), sweep({"method": "wanda", "sparsity": [0.5]})
    for more, cause in (
        ({"evaluation": {"tokens": 128, "window": 65}}, "evaluation.window"),
        ({"calibration": {"length": 65}}, "calibration.length"),
        ({"latency": {"prompt": 60, "new_tokens": 5}}, "Timing needs 65 tokens"),
        ({"evaluation": {"tokens": 16, "window": 32}}, "16 evaluation tokens do not fill one window of 32"),
    ):
        with pytest.raises(Impossible, match=cause):
            refuse_impossible(recipe(model, **grid, **more), home)
    refuse_impossible(recipe(model, **grid, latency={"prompt": 60, "new_tokens": 4}), home)
    uncalibrated = sweep({"method": "magnitude", "sparsity": [0.5]})
    refuse_impossible(recipe(model, **uncalibrated, calibration={"length": 65}), home)


def test_a_teacher_that_lacks_tokens_is_refused(saved: Saved, home: Settings) -> None:
    model, wide, other = saved("llama"), saved("llama", vocab_size=400), saved("llama")
    refuse_impossible(recipe(model, lesson(teacher=f"path:{wide}")), home)  # rows that no text uses
    path = other / "tokenizer.json"
    read = json.loads(path.read_text())
    vocabulary = read["model"]["vocab"]
    one = list(vocabulary)[5]
    vocabulary["another"] = vocabulary.pop(one)
    path.write_text(json.dumps(read))
    with pytest.raises(Impossible, match="The student has tokens that the teacher lacks"):
        refuse_impossible(recipe(model, lesson(teacher=f"path:{other}")), home)
    refuse_impossible(recipe(model, lesson(teacher=f"path:{saved('llama')}")), home)


def test_the_light_list_of_square_families_is_the_engines() -> None:
    assert {name for name, known in FAMILIES.items() if known[0].square} == {f.id for f in KNOWN.values() if f.square}


AMOUNTS: list[dict[str, Any]] = [
    {"method": m, "target": t, **more}
    for m, more in (
        ("block_influence", {}),
        ("block_influence", {"protect": (0, 2)}),
        ("width_norm", {}),
        ("width_norm", {"parts": ("heads",)}),
        ("width_norm", {"parts": ("kv_groups",)}),
    )
    for t in (
        *({"block_fraction": f} for f in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)),
        {"total_fraction": 0.3},
        {"total_fraction": 0.8},
        {"megabytes": 0.01},
        {"megabytes": 0.2},
        {"remove_layers": 3},
        {"sizes": {"layers": 2}},
        {"sizes": {"heads": 3}},
        {"sizes": {"intermediate": 64}},
    )
]


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert", "mixtral", "gemma3", "opt", "gpt-neox"])
def test_nothing_is_refused_that_the_engine_can_do(name: str, saved: Saved, home: Settings) -> None:
    from core.catalogue.references import resolve
    from core.preflight.subject import subject_of

    folder = saved(name)
    model = tiny(name, vocab_size=TOKENS)
    architecture, subject = adapter_for(model), subject_of(resolve(f"path:{folder}", home, LOCAL))
    refused = 0
    for given in AMOUNTS:
        step = Prune.model_validate(given)
        light = pruning.obstacle(step, subject, "float32", home)
        if light is None:
            continue
        refused += 1
        removable = tuple(i for i in range(architecture.layers) if i not in step.protect)
        with pytest.raises(RetortError):
            parts = parts_of(METHODS[step.method], step, architecture)
            plan_for(Question(model, None, architecture, parts, removable, step.multiple), step)
    assert refused > 5, "the test looked at something"
    assert isinstance(subject, Subject)


def test_another_tokenizer_is_taught_by_the_text(saved: Saved, home: Settings, tmp_path: Path) -> None:
    model, stranger = saved("llama"), saved("llama")
    path = stranger / "tokenizer.json"
    read = json.loads(path.read_text())
    read["model"]["vocab"] = {f"{token}x": number for token, number in read["model"]["vocab"].items()}
    path.write_text(json.dumps(read))
    other = f"path:{stranger}"
    with pytest.raises(Impossible, match="compare token by token") as refused:
        refuse_impossible(recipe(model, lesson(teacher=other)), home)
    assert "span_likelihood" in refused.value.remedy and "teacher_texts" in refused.value.remedy
    refuse_impossible(recipe(model, lesson(teacher=other, losses=[{"loss": "span_likelihood"}])), home)
    texts = {"losses": [{"loss": "cross_entropy"}], "teacher_texts": {"sequences": 4, "prompt": 8}}
    refuse_impossible(recipe(model, lesson(teacher=other, **texts)), home)
    chat = {"data": f"path:{tmp_path}/a.jsonl", "form": "chat", "length": 32}
    with pytest.raises(Impossible, match="template of its own"):
        refuse_impossible(recipe(model, lesson(teacher=other, **texts, data=chat)), home)
    masked = saved("bert")
    with pytest.raises(Impossible, match="'span_likelihood' needs a model that continues a text"):
        refuse_impossible(recipe(masked, lesson(losses=[{"loss": "span_likelihood"}])), home)
