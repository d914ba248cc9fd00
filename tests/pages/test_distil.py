"""The Distil page: empty, as a form, while it runs, when it ended."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.base.errors import Impossible, recorded_remedy
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.hooks import STOP_AND_KEEP
from core.recipe.recipe import Recipe
from core.store import Store
from tests.pages.conftest import Opens, words

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
