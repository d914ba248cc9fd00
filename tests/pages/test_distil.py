"""The Distil page: empty, as a form, while it runs, when it ended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from core.base.errors import Impossible, recorded_remedy
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.hooks import STOP_AND_KEEP
from core.recipe.recipe import Recipe
from core.recipe.results import Result, Trial
from core.registry.measurement import Measurement
from core.store import Store
from tests.analysis.test_regained import AFTER, BEFORE, TEACHER
from tests.pages.conftest import Opens, links, words

HOSTILE = "![x](https://example.com/x.png) <script>alert(1)</script>"


def model_in(settings: Settings, tiny_llama: Path) -> str:
    folder = settings.home / "models" / "teacher"
    shutil.copytree(tiny_llama, folder)
    return f"path:{folder}"


def started(store: Store, model: str) -> str:
    recipe = Recipe.model_validate(
        {"name": "Recover", "model": model, "steps": [{"step": "distil"}, {"step": "evaluate"}]}
    )
    run_id = store.runs.add("recipe", recipe.name, recipe.model, recipe.model_dump(mode="json"), LOCAL)
    store.runs.claim(run_id)
    points = [
        (name, step, value)
        for step in (1, 2)
        for name, value in (
            ("loss/logit_kl", 2.0 / step),
            ("loss/total", 2.0 / step),
            ("learning_rate", 1e-4),
            ("tokens_per_second", 260.0),
            ("memory_bytes", 1e9),
            ("seconds_left", 300.0),
        )
    ]
    store.series.add(run_id, [*points, ("held_out/total", 0, 1.5), ("held_out/logit_kl", 0, 1.5)])
    return run_id


def test_without_a_model_it_leads_to_one(opens: Opens) -> None:
    assert "No model yet" in words(opens("distil"))


def test_without_a_candidate_it_says_how_to_get_one(opens: Opens, settings: Settings, tiny_llama: Path) -> None:
    model_in(settings, tiny_llama)
    app = opens("distil")
    said = words(app)
    assert "No pruned model is kept yet" in said and "No student is chosen" in said
    assert next(b for b in app.button if b.label == "Start").disabled


def test_a_designed_student_is_queued_as_its_recipe_says(
    opens: Opens, settings: Settings, store: Store, tiny_llama: Path
) -> None:
    model = model_in(settings, tiny_llama)
    app = opens("distil", student="Designed here")
    assert '"Layers"' not in words(app)
    next(b for b in app.button if b.label == "Start").click().run()
    assert not app.exception
    run = store.runs.find(kinds=("recipe",))[0]
    step = run.recipe["steps"][0]
    assert run.model == model and step["design"]["layers"] == 2  # two thirds of four
    assert [t["loss"] for t in step["losses"]] == ["logit_kl"] and step["budget"]["minutes"] == 15
    assert [s["step"] for s in run.recipe["steps"]] == ["distil", "evaluate", "measure"]
    assert app.query_params["run"] == run.id


def test_while_it_runs_it_shows_curves_and_can_be_stopped_and_kept(
    opens: Opens, settings: Settings, store: Store, tiny_llama: Path
) -> None:
    run_id = started(store, model_in(settings, tiny_llama))
    store.events.add(run_id, "info", "Sample", sample="student", step=2, prompt="The river", text=HOSTILE)
    app = opens("distil", run=run_id)
    shown = {m.label: m.value for m in app.metric}
    assert shown["Step"] == "2" and shown["Tokens a second"] == "260" and "Training left" not in shown
    assert HOSTILE in [c.value for c in app.code], "model text is shown as text"
    next(b for b in app.button if b.label == "Stop and keep").click().run()
    assert not app.exception
    assert (settings.run_folder(run_id) / STOP_AND_KEEP).is_file()
    said = next(i for i in app.info if "Stopping" in i.proto.title)
    assert said.proto.title == "Stopping: 2 steps done so far are kept"
    assert not any(b.label == "Stop and keep" for b in app.button), "it is not asked twice"


def distilled(store: Store, model: str, **facts: object) -> tuple[str, list[str]]:
    """A finished run: the teacher, the pruned student, and the student after its training; losses of eight windows."""
    recipe = Recipe.model_validate(
        {
            "name": "Recover",
            "model": model,
            "steps": [{"step": "prune", "method": "wanda", "sparsity": 0.5}, {"step": "distil"}],
        }
    )
    run_id = store.runs.add("recipe", recipe.name, recipe.model, recipe.model_dump(mode="json"), LOCAL)
    store.runs.claim(run_id)
    prune, distil = recipe.steps[0], recipe.steps[1]
    trials = [
        Trial(index=0, key="0" * 24, label="Dense"),
        Trial(index=1, key="1" * 24, label="Wanda 50 %", prune=prune),
        Trial(index=2, key="2" * 24, label="Wanda 50 %, taught", distil=distil),
    ]
    store.trials.add(run_id, trials)
    for trial, samples in zip(trials, (TEACHER, BEFORE, AFTER), strict=True):
        loss = Measurement(metric="loss", value=sum(samples) / 8, unit="nats", samples=samples, settings={"window": 64})
        store.candidates.add(
            Result(
                key=trial.key,
                label=trial.label,
                model=model,
                method=trial.method,
                baseline=trial.dense,
                baseline_key=trials[0].key,
                parent=trials[1].key if trial.distil else None,
                saved=not trial.dense,
                distil=trial.distil.model_dump(mode="json") if trial.distil else None,
                measurements=[loss],
                facts=facts if trial.distil else {},
            )
        )
        if not trial.dense:
            shutil.copytree(Path(model.removeprefix("path:")), store.candidates.folder(trial.key) / "model")
        store.trials.finish(run_id, trial.index)
    checks = ((0, 4.0), (10, 3.0), (20, 2.5), (30, 2.0))
    points = [("held_out/total", step, value) for step, value in checks] + [("teacher/total", 0, 1.5)]
    store.series.add(run_id, [*points, ("loss/total", 30, 2.1)])
    store.runs.finish(run_id, "done")
    return run_id, [t.key for t in trials]


def test_what_came_of_it_stands_first(opens: Opens, settings: Settings, store: Store, tiny_llama: Path) -> None:
    """By hand: 5 before, 4 after, 3.6 the teacher: 1 of 1.4 lost nats came back, in two minutes."""
    facts = {"steps": 123, "best_step": 100, "training_seconds": 120.0, "stopped": "Stopped on request."}
    run_id, keys = distilled(store, model_in(settings, tiny_llama), **facts)
    app = opens("distil", run=run_id)
    shown = {m.label: (m.value, m.delta) for m in app.metric}
    losses = [shown[w][0] for w in ("Before", "After", "Teacher")]
    assert losses == ["5 nats", "4 nats", "3.6 nats"]
    share, spread = shown["Recovered of the lost loss"]
    low, high = (int(x) for x in spread.removesuffix(" %").split(" to "))
    assert share == "71 %" and 60 < low < 71 < high < 85
    assert shown["Gain a minute"][0] == "0.5 nats"
    said = words(app).replace("\\", "")
    assert "Stopped on request after **123 steps**; the weights of step 100" in said
    assert "Would more training help? Probably: the last quarter of the checks gave 25 % of the whole gain" in said
    pick = f"run={run_id}&pick={keys[2][:10]}&pick={keys[1][:10]}"
    assert links(app)["Compare"] == pick == links(app)["Report"]
    figure = json.loads(app.get("plotly_chart")[1].proto.spec)
    levels = {t["text"][-1]: t["y"] for t in figure["data"] if t.get("text")}
    assert levels == {"Undistilled": [4.0, 4.0], "Teacher": [1.5, 1.5]}


def test_a_run_without_a_step_says_which_of_three_things_that_means(
    opens: Opens, settings: Settings, store: Store, tiny_llama: Path
) -> None:
    recipe = Recipe.model_validate(
        {"name": "R", "model": model_in(settings, tiny_llama), "steps": [{"step": "distil"}]}
    )
    run_id = store.runs.add("recipe", recipe.name, recipe.model, recipe.model_dump(mode="json"), LOCAL)
    store.runs.claim(run_id)
    assert "The teacher is measured first; then every step adds a point." in words(opens("distil", run=run_id))
    store.runs.finish(run_id, "done")
    said = words(opens("distil", run=run_id))
    assert "Nothing had to be trained" in said
    assert "The same student was trained before, and its result is used." in said
    assert "No step yet" not in said and "The reason stands above" not in said
    store.runs.requeue(run_id, LOCAL)
    store.runs.claim(run_id)
    store.runs.finish(run_id, "failed", cause="It broke.", remedy="Mend it.")
    said = words(opens("distil", run=run_id))
    assert "No step was made" in said and "The reason stands above." in said and "It broke" in said


def test_what_cannot_work_is_refused_on_the_page(opens: Opens, settings: Settings, tiny_llama: Path) -> None:
    model = model_in(settings, tiny_llama)
    app = opens("sweep", model=model, tokens="100", window="256")
    said = words(app)
    assert "100 evaluation tokens do not fill one window of 256" in said
    assert next(b for b in app.button if b.label == "Start the sweep").disabled
    fits = opens("sweep", model=model, tokens="512", window="256")
    assert not next(b for b in fits.button if b.label == "Start the sweep").disabled


def test_a_failure_that_would_repeat_offers_no_retry(
    opens: Opens, settings: Settings, store: Store, tiny_llama: Path
) -> None:
    run_id = started(store, model_in(settings, tiny_llama))
    remedy = recorded_remedy(Impossible("It cannot be.", "Ask for less."))
    store.runs.finish(run_id, "failed", cause="It cannot be.", remedy=remedy)
    app = opens("distil", run=run_id)
    assert "start a changed recipe as a new run" in words(app)
    assert not any(b.label == "Retry" for b in app.button)


def test_a_failed_run_says_why(opens: Opens, settings: Settings, store: Store, tiny_llama: Path) -> None:
    run_id = started(store, model_in(settings, tiny_llama))
    store.runs.finish(run_id, "failed", cause="The loss is not a number.", remedy="Lower the learning rate.")
    app = opens("distil", run=run_id)
    assert "The loss is not a number" in words(app).replace("\\", "")
    assert any(b.label == "Retry" for b in app.button)


def test_a_student_with_another_tokenizer_is_taught_by_the_text(
    opens: Opens, settings: Settings, tiny_llama: Path
) -> None:
    model_in(settings, tiny_llama)
    folder = settings.home / "models" / "stranger"
    shutil.copytree(tiny_llama, folder)
    read = json.loads((folder / "tokenizer.json").read_text())
    read["model"]["vocab"] = {f"{token}`": number for token, number in read["model"]["vocab"].items()}
    (folder / "tokenizer.json").write_text(json.dumps(read))
    asked = {"teacher": f"path:{settings.home}/models/teacher", "student": "Another model"}
    assert "different tokenizers" not in words(opens("distil", **asked))
    app = opens("distil", **asked, **{"student-model": f"path:{folder}"})
    assert not app.exception and "Teacher and student have different tokenizers" in words(app)
    mix = app.selectbox(key="mix-across")
    assert mix.options == ["A teacher with another tokenizer", "Fine-tuning", "A mix of my own"]
    assert mix.value == "other_tokenizer"
    assert not next(b for b in app.button if b.label == "Start").disabled
