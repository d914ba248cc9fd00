"""Every page empty, populated and failed: what it says and what can be done next."""

from __future__ import annotations

import pytest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs import actions
from core.store import Store
from tests.pages.conftest import Opens, words
from tests.pages.study import failed_run, finished_study, recipe


def test_start_without_runs_leads_to_the_sample_study(opens: Opens) -> None:
    app = opens()
    assert app.title[0].value == "Make a language model smaller, and see what it cost"
    assert [c.value for c in app.caption if c.value.startswith("Step")] == [f"Step {n}" for n in (1, 2, 3, 4)]
    assert "178.5 MB" in words(app), "the download is named with its size before it starts"
    assert any(b.label == "Run the sample study" for b in app.button)


def test_the_first_click_queues_downloads_then_the_study(opens: Opens, store: Store) -> None:
    app = opens()
    next(b for b in app.button if b.label == "Run the sample study").click().run()
    assert not app.exception
    queued = store.runs.find(oldest_first=True)
    assert [r.kind for r in queued] == ["fetch", "fetch", "sweep"]
    assert queued[-1].name == "Sample study"
    assert app.query_params["run"] == queued[-1].id, "a reload comes back to the run"
    assert "Waiting for its turn" in words(app)


def test_start_with_a_study_says_what_was_gained(opens: Opens, settings: Settings) -> None:
    finished_study(settings)
    said = words(opens()).replace("\\", "")
    assert "Your studies" in said
    assert "Nothing here is smaller within +5 % loss." in said
    assert (
        "The closest is Layer removal (block influence), 2 layers removed (file \u22125 %, token \u22125 %, loss "
        "+9.8 %). The sparsest within +5 % loss is Wanda 30 % (30 % zeros, loss +3.6 %); zeros save no room."
    ) in said


def test_start_with_a_failed_study_only(opens: Opens, settings: Settings) -> None:
    failed_run(settings)
    assert "There is no folder" in words(opens())


@pytest.mark.parametrize(("page", "says"), [("tradeoffs", "Nothing to compare yet"), ("runs", "No runs yet")])
def test_empty_pages_say_what_to_do(opens: Opens, page: str, says: str) -> None:
    assert says in words(opens(page))


def test_tradeoffs_draws_and_compares(opens: Opens, settings: Settings) -> None:
    run_id = finished_study(settings)
    app = opens("tradeoffs")
    assert app.query_params["run"] == run_id, "the link names the study"
    said = words(app).replace("\\", "")
    assert "A. Layer removal (block influence), 2 layers removed" in said and "B. Wanda 30 %" in said
    assert {m.label for m in app.metric} == {"Loss change", "Perplexity", "Weights on disk", "Latency per token"}


def test_tradeoffs_keeps_the_choice_of_a_link(opens: Opens, settings: Settings, store: Store) -> None:
    run_id = finished_study(settings)
    rows = [r for r in store.candidates.rows(run_id=run_id) if not r.baseline]
    app = opens("tradeoffs", run=run_id, pick=[rows[0].key[:10], rows[-1].key[:10]], x="decode_ms")
    said = words(app).replace("\\", "")
    assert f"A. {rows[0].label}" in said and f"B. {rows[-1].label}" in said
    assert app.selectbox(key="x").value == "decode_ms"


def test_tradeoffs_forgets_a_deleted_study(opens: Opens, settings: Settings) -> None:
    first, second = finished_study(settings), finished_study(settings, name="Second study")
    app = opens("tradeoffs", run=second)
    actions.delete(second, settings, LOCAL)
    app.query_params.clear()
    app.run()
    assert not app.exception and not app.error
    assert app.query_params["run"] == first


def test_tradeoffs_of_another_baseline_free_run(opens: Opens, settings: Settings) -> None:
    run_id = failed_run(settings)
    said = words(opens("tradeoffs", run=run_id))
    assert "No candidate is finished yet" in said
    assert "There is no folder" in said


def test_near_the_baseline_counts_what_it_hides(opens: Opens, settings: Settings) -> None:
    finished_study(settings)
    app = opens("tradeoffs", near="true")
    hidden = [c.value for c in app.caption if "outside the view" in c.value]
    assert hidden and hidden[0].startswith(":material/visibility_off: 3 points lie outside the view")


def test_runs_lists_and_opens_one(opens: Opens, settings: Settings) -> None:
    run_id = finished_study(settings, failed=2)
    failed_run(settings)
    app = opens("runs")
    assert set(app.dataframe[0].value["Run"]) == {"Sample study", "Broken study"}
    app = opens("runs", run=run_id)
    assert app.title[0].value == "Sample study"
    assert "The weights of layer 3 are not finite" in words(app).replace("\\", "")
    assert any(b.label == "Retry what failed" for b in app.button)


def test_retry_puts_only_the_failed_trials_back(opens: Opens, settings: Settings, store: Store) -> None:
    run_id = finished_study(settings, failed=2)
    app = opens("runs", run=run_id)
    app.button(key="retry-one").click().run()
    states = [t.state for t in store.trials.of(run_id)]
    assert store.runs.get(run_id).state == "queued"
    assert states.count("queued") == 2 and states.count("done") == 10


def test_delete_asks_first(opens: Opens, settings: Settings, store: Store) -> None:
    run_id = finished_study(settings)
    app = opens("runs", run=run_id)
    assert store.runs.count() == 1
    app.button(key="delete-one").click().run()
    assert store.runs.count() == 0
    assert app.title[0].value == "Runs"


def test_an_unknown_run_is_a_sentence(opens: Opens) -> None:
    assert "There is no run" in words(opens("runs", run="nonsense"))


def test_a_queued_run_says_what_it_waits_for(opens: Opens, settings: Settings, store: Store) -> None:
    first, second = actions.submit(recipe(), settings, LOCAL), actions.submit(recipe(), settings, LOCAL)
    said = words(opens("sweep", run=second)).replace("\\", "")
    assert "Waits for 'Sample study', which is next in the queue." in said
    store.runs.claim(first)
    opened = opens("runs", run=second)
    bars = [str(e.proto.text).replace("\\", "") for e in opened.get("progress")]
    assert "Waits for 'Sample study', which is running." in bars


def test_cancel_a_queued_sweep(opens: Opens, settings: Settings, store: Store) -> None:
    run_id = actions.submit(recipe(), settings, LOCAL)
    app = opens("sweep", run=run_id)
    assert "Waiting for its turn" in words(app) or "No point yet" in words(app)
    app.button(key="cancel-sweep").click().run()
    assert store.runs.get(run_id).state == "cancelled"


@pytest.mark.slow
def test_thousands_of_runs_are_paged(opens: Opens, store: Store) -> None:
    for i in range(300):
        store.runs.add("sweep", f"Study {i}", "sample:smollm2-135m", {}, LOCAL)
    app = opens("runs")
    assert len(app.dataframe[0].value) == 200
    assert any("300 runs" in c.value for c in app.caption)
