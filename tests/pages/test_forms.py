"""The Model page on a real folder, and the Sweep page's form: what it asks, refuses, estimates and starts."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from core.analysis.estimate import MachineProbe, probe_path
from core.base.settings import Settings
from core.recipe.files import load_recipe
from core.recipe.recipe import Recipe, Trim
from core.store import Store
from pages.forms.own_tests import task_names
from tests.pages.conftest import Opens, words

PROBE = MachineProbe(
    dtype="bfloat16",
    threads=2,
    forward_flops=2e11,
    decode_seconds_per_layer=1e-3,
    rank_weights_per_second=5e7,
    write_bytes_per_second=2e8,
)


@pytest.fixture
def folder(settings: Settings, tiny_llama: Path) -> str:
    """A tiny model under the home's root, as a reference."""
    target = settings.home / "models" / "tiny-llama"
    shutil.copytree(tiny_llama, target)
    return f"path:{target}"


def test_a_sample_is_fetched_on_request_with_its_size(opens: Opens, store: Store) -> None:
    app = opens("model")
    said = words(app)
    assert "92.9 MB" in said and "Apache" in said and "4-bit" in said.replace("\\", "")
    next(b for b in app.button if b.label == "Fetch it").click().run()
    run = store.runs.find()[0]
    assert (run.kind, run.recipe["sample"], run.state) == ("fetch", "smollm2-135m", "queued")
    assert any(b.label == "Cancel" for b in app.button)


def test_terms_are_accepted_before_an_opt_in_sample_is_fetched(opens: Opens, store: Store) -> None:
    app = opens("model", sample="Gemma 3 270M")
    assert "Gemma Terms of Use" in words(app)
    button = next(b for b in app.button if b.label == "Fetch it")
    assert button.disabled
    app.checkbox(key="terms-gemma3-270m").check().run()
    button = next(b for b in app.button if b.label == "Fetch it")
    assert not button.disabled
    button.click().run()
    assert store.runs.find()[0].recipe == {"sample": "gemma3-270m", "accept_terms": True}


def test_a_folder_shows_its_anatomy(opens: Opens, folder: str) -> None:
    app = opens("model", kind="Folder", folder=folder)
    shown = {m.label: m.value for m in app.metric}
    assert shown["Layers"] == "4" and shown["Hidden size"] == "32"
    assert shown["Query / key-value heads"] == "4 / 2"
    # Tied embeddings 384 x 32; a layer: attention 2 x 32 x 32 + 2 x 32 x 16, MLP 3 x 32 x 64, norms 2 x 32; norm 32.
    assert shown["Parameters"] == f"{(384 * 32 + 4 * (3072 + 6144 + 64) + 32) / 1e3:.1f} k"
    said = words(app)
    assert "shares the word embeddings" in said
    forms = app.dataframe[1].value
    assert dict(zip(forms["Format"], forms["Possible"], strict=True)) == {
        "int8 weights": "Yes",
        "Hugging Face folder": "Yes",
        "ONNX": "Yes",
        "ONNX, int8": "Yes",
        "ONNX, float16": "Yes",
        "GGUF": "Yes",
        "GGUF, Q8_0": "Yes",
        "GGUF, Q4_0": "Yes",
    }
    cells = [str(v) for v in app.table[0].value.to_numpy().ravel()]
    assert "Key-value cache, per token" in cells and "256 B" in cells, "2 x 2 heads x 8 x 2 bytes x 4 layers"


@pytest.mark.parametrize(
    ("kind", "key", "value", "says"),
    [
        ("Folder", "folder", "path:/etc", "outside"),
        ("Folder", "folder", "/nowhere/at/all", ""),
        ("Hub", "hub", "not a name", "no model reference"),
        ("Hub", "hub", "somebody/something", ""),
    ],
)
def test_what_is_no_model_is_a_sentence_and_a_remedy(opens: Opens, kind: str, key: str, value: str, says: str) -> None:
    app = opens("model", kind=kind, **{key: value})
    assert len(app.error) == 1
    assert app.error[0].value.strip(), "a remedy"
    assert says in words(app).replace("\\", "")


def test_a_hub_model_is_downloaded_by_a_job(opens: Opens, store: Store) -> None:
    app = opens("model", kind="Hub", hub="somebody/something@main")
    next(b for b in app.button if b.label == "Download it").click().run()
    run = store.runs.find()[0]
    assert (run.kind, run.model) == ("download", "hub:somebody/something@main")


def test_without_a_model_the_sweep_page_leads_to_one(opens: Opens) -> None:
    assert "No model yet" in words(opens("sweep"))


def test_the_form_estimates_and_starts_what_it_shows(
    opens: Opens, settings: Settings, folder: str, store: Store
) -> None:
    probe_path(settings).write_text(PROBE.model_dump_json())
    app = opens("sweep", model=folder, sparsity=["40", "55"], layers="1", name="A study")
    shown = {m.label: m.value for m in app.metric}
    assert shown["To measure"] == "6", "dense, two methods at two sparsities, one layer fewer"
    assert shown["Time"].startswith("about ")
    assert "timed probe" in words(app)
    recipe = load_recipe(next(c.value for c in app.code if "sweep:" in c.value))
    assert recipe.sweep is not None
    assert [p.label() for p in recipe.sweep.trials()] == [
        "Magnitude 40 %",
        "Magnitude 55 %",
        "Wanda 40 %",
        "Wanda 55 %",
        "Layer removal (block influence), 1 layer removed, healed",
    ]
    next(b for b in app.button if b.label == "Start the sweep").click().run()
    run = next(r for r in store.runs.find() if r.kind == "sweep")
    assert run.parsed() == recipe
    assert app.query_params["run"] == run.id


def test_questions_of_ones_own_go_into_the_recipe(opens: Opens, folder: str, settings: Settings) -> None:
    file = settings.roots[0] / "my questions.csv"
    file.write_text("question,A,B,answer\nhot?,ice,fire,B\ncold?,ice,fire,A\nwet?,sea,fire,A\n")
    app = opens("sweep", model=folder, own=[f"path:{file}"], shots="1", items="40")
    assert "As questions with options: 3 rows" in words(app).replace("\\", "")
    evaluation = load_recipe(next(c.value for c in app.code if "sweep:" in c.value)).evaluation
    (task,) = evaluation.own_tasks
    assert (task.name, task.data, task.shots, evaluation.items) == ("own-my-questions", f"path:{file}", 1, 40)
    assert task_names(["path:/a/q.csv", "hub:x/q@main"]) == ["own-q", "own-q-2"]
    file.write_text("question,A,B,answer\nhot?,ice,fire,sun\n")
    assert "'sun' in line 2" in words(opens("sweep", model=folder, own=[f"path:{file}"])).replace("\\", "")


def test_a_smaller_vocabulary_is_explained_and_started_with_the_measurements_of_the_form(
    opens: Opens, folder: str, store: Store
) -> None:
    app = opens("sweep", model=folder, sparsity=["40"], **{"trim-floor": "3", "trim-minutes": "2"})
    assert "12.3 k numbers" in words(app)
    sweep = load_recipe(next(c.value for c in app.code if "sweep:" in c.value))
    next(b for b in app.button if b.label == "Trim the vocabulary").click().run()
    recipe = next(r for r in store.runs.find() if r.kind == "recipe").parsed()
    assert isinstance(recipe, Recipe)
    assert [s.step for s in recipe.steps] == ["trim", "evaluate", "measure", "distil", "evaluate", "measure"]
    assert recipe.steps[0] == Trim(floor=3)
    assert (recipe.evaluation, recipe.latency) == (sweep.evaluation, sweep.latency)


def test_a_size_fills_in_the_form_and_each_says_its_time(
    opens: Opens, settings: Settings, folder: str, store: Store
) -> None:
    probe_path(settings).write_text(PROBE.model_copy(update={"taken": time.time()}).model_dump_json())
    app = opens("sweep", model=folder)
    size = app.radio(key="size")
    options = list(size.options)
    assert [o.split(",")[0] for o in options] == ["Quick", "Normal", "Thorough"]
    assert all(", about " in o for o in options) and size.value == "normal"
    assert ", timed today" in words(app) and not [b for b in app.button if b.label.startswith("Time this machine")]
    size.set_value("thorough").run()
    numbers = {n.key: n.value for n in app.number_input}
    assert (numbers["sequences"], numbers["tokens"], numbers["repeats"]) == (128, 65_536, 15)
    recipe = load_recipe(next(c.value for c in app.code if "sweep:" in c.value))
    assert (recipe.calibration.sequences, recipe.evaluation.tokens) == (128, 65_536)


def test_a_machine_that_was_busy_when_it_was_timed_says_so_and_is_timed_again(
    opens: Opens, settings: Settings, folder: str, store: Store
) -> None:
    busy = {"taken": time.time(), "contended": True, "other_cpu_cores": 1.63}
    probe_path(settings).write_text(PROBE.model_copy(update=busy).model_dump_json())
    app = opens("sweep", model=folder)
    assert "Other work kept 1.6 cores busy while this machine was timed" in words(app)
    next(b for b in app.button if b.label == "Time this machine again").click().run()
    assert store.runs.find()[0].kind == "probe"


def test_an_untimed_machine_is_said_and_can_be_timed(opens: Opens, folder: str, store: Store) -> None:
    app = opens("sweep", model=folder)
    assert {m.label: m.value for m in app.metric}["Time"] == "not known yet"
    next(b for b in app.button if b.label == "Time this machine").click().run()
    assert store.runs.find()[0].kind == "probe"


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"sparsity": "120"}, "below 1"),
        ({"sparsity": "lots"}, "sparsity"),
        ({"weights": "", "depth": ""}, "Nothing is chosen"),
        ({"seeds": "-1"}, "must be at least 0; you gave -1"),
    ],
)
def test_a_wrong_choice_is_refused_before_the_start(
    opens: Opens, folder: str, choice: dict[str, str], says: str, store: Store
) -> None:
    app = opens("sweep", model=folder, **choice)
    assert says in words(app).replace("\\", "")
    assert next(b for b in app.button if b.label == "Start the sweep").disabled
    assert store.runs.count() == 0


def test_too_many_trials_are_refused(opens: Opens, folder: str) -> None:
    app = opens("sweep", model=folder, sparsity=[str(n) for n in range(1, 99)], seeds=["0", "1", "2", "3"])
    assert "at most 500" in words(app)
