"""Trade-offs with several studies, filters and thousands of points; every choice is in the address, by its key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.results import Result, Trial
from core.registry.measurement import Measurement
from core.store import Store
from tests.pages.conftest import Opens, links, markup, words
from tests.pages.study import finished_study


def spec(page: AppTest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.get("plotly_chart")[0].proto.spec)
    return found


def drawn(page: AppTest) -> set[str]:
    """Keys of the candidates on the chart."""
    return {key for trace in spec(page)["data"] for key in trace.get("customdata") or ()}


def study(store: Store, name: str, candidates: list[Result], **fields: Any) -> str:
    run = store.runs.add("sweep", name, candidates[0].model, {"name": name}, LOCAL, **fields)
    store.runs.claim(run)
    store.trials.add(run, [Trial(index=i, key=c.key, label=c.label) for i, c in enumerate(candidates)])
    for i, c in enumerate(candidates):
        store.candidates.add(c)
        store.trials.finish(run, i)
    store.runs.finish(run, "done")
    return run


def candidate(key: str, method: str, perplexity: float, megabytes: float, of: str, window: int = 512) -> Result:
    measured = [
        Measurement(metric="perplexity", value=perplexity, unit="", settings={"corpus": "wiki", "window": window}),
        Measurement(metric="disk_bytes", value=megabytes * 1e6, unit="B"),
        Measurement(
            metric="decode_ms",
            value=megabytes / 10,
            unit="ms",
            settings={}
            if method == "dense"
            else {
                "baseline_value": 27.0,
                "ratio": megabytes / 270,
                "ratio_low": megabytes / 270 - 0.01,
                "ratio_high": megabytes / 270 + 0.01,
            },
        ),
    ]
    return Result(
        key=key,
        label=f"{method} {key}",
        model="sample:x",
        method=method,
        baseline=method == "dense",
        baseline_key=of,
        measurements=measured,
    )


def sweep(name: str, window: int = 512) -> list[Result]:
    base = f"dense-of-{name}"
    return [
        candidate(base, "dense", 20.0, 270, base, window),
        candidate(f"wanda-of-{name}", "wanda", 24.0, 270, base, window),
        candidate(f"layers-of-{name}", "block_influence", 30.0, 220, base, window),
    ]


def test_studies_measured_alike_stand_on_one_chart_quantised_ones_among_them(opens: Opens, store: Store) -> None:
    first = study(store, "Sweep", sweep("a"))
    base = "dense-of-b"
    second = study(
        store, "Int8", [candidate(base, "dense", 20.0, 270, base), candidate("int8-of-b", "quantise", 20.5, 165, base)]
    )
    page = opens("tradeoffs", run=[first, second])
    assert drawn(page) == {"dense-of-a", "wanda-of-a", "layers-of-a", "dense-of-b", "int8-of-b"}
    assert {t["name"] for t in spec(page)["data"]} >= {"int8 weights", "Wanda", "Dense baselines"}
    assert page.query_params["run"] == [first, second] and not page.info


def test_a_study_measured_otherwise_is_left_out_and_the_reason_is_said(opens: Opens, store: Store) -> None:
    first, second = study(store, "Sweep", sweep("a")), study(store, "Short windows", sweep("b", window=256))
    page = opens("tradeoffs", run=[first, second])
    assert drawn(page) == {"dense-of-a", "wanda-of-a", "layers-of-a"}
    (why,) = [i.value.replace("\\", "") for i in page.info]
    assert (
        "Short windows is not drawn together with Sweep: the window in tokens of perplexity is 256 and not 512" in why
    )


def test_filters_by_method_model_and_tag_hold_and_are_in_the_address(opens: Opens, store: Store) -> None:
    tagged = study(store, "Tagged", sweep("a"), tags=["keep"])
    other = sweep("b")
    for c in other:
        c.model = "sample:y"
    study(store, "Newest", other)
    page = opens("tradeoffs")
    assert "dense-of-b" in drawn(page)
    page = opens("tradeoffs", tag="keep")
    assert page.multiselect(key="run").value == [tagged] and "dense-of-a" in drawn(page)
    page = opens("tradeoffs", model="sample:x", method="wanda")
    assert drawn(page) == {"dense-of-a", "wanda-of-a"}
    page.multiselect(key="method").set_value(["block_influence"]).run()
    assert drawn(page) == {"dense-of-a", "layers-of-a"} and page.query_params["method"] == "block_influence"
    page.multiselect(key="method").set_value([]).run()
    assert len(drawn(page)) == 3 and "method" not in page.query_params


def test_an_address_that_changes_is_followed_as_back_and_forward_do(opens: Opens, settings: Settings) -> None:
    run = finished_study(settings)
    page = opens("tradeoffs", run=run)
    page.selectbox(key="x").set_value("decode_ms").run()
    assert page.query_params["x"] == "decode_ms", "the key, not the words shown"
    assert "Latency per token" in spec(page)["layout"]["xaxis"]["title"]["text"]
    del page.query_params["x"]
    page.run()
    assert page.selectbox(key="x").value == "removed" and "x" not in page.query_params
    page.query_params["x"] = "prefill_ms"
    page.run()
    assert page.selectbox(key="x").value == "prefill_ms"
    page.query_params["x"] = "no such figure"
    page.run()
    assert page.selectbox(key="x").value == "removed" and not page.exception


def test_a_limit_on_a_figure_that_is_no_axis_stays_when_axes_change(opens: Opens, store: Store) -> None:
    run = study(store, "Sweep", sweep("a"))
    page = opens("tradeoffs", run=run)
    page.selectbox(key="_more").set_value("decode_ms").run()
    page.number_input(key="limit-decode_ms").set_value(25.0).run()
    said = words(page).replace("\\", "")
    assert "Latency per token at most 25 ms, which is not drawn, rules out 2 of 3" in said
    struck = next(t for t in spec(page)["data"] if t["name"].startswith("Struck through"))
    assert set(struck["customdata"]) == {"dense-of-a", "wanda-of-a"}
    page.selectbox(key="x").set_value("decode_ms").run()
    assert "which is not drawn" not in words(page) and page.number_input(key="limit-decode_ms").value == 25.0
    page.selectbox(key="x").set_value("disk_bytes").run()
    assert "rules out 2 of 3" in words(page) and page.number_input(key="limit-decode_ms").value == 25.0


def test_links_onward_name_the_study_that_has_the_chosen_candidate(opens: Opens, store: Store) -> None:
    first, second = study(store, "One", sweep("a")), study(store, "Two", sweep("b"))
    page = opens("tradeoffs", run=[first, second], pick="layers-of-b"[:10])
    assert links(page)["Make a report"].startswith(f"run={second}&pick=")


def timed(found: Result, value: float, ratio: float | None = None, dense: float = 0.0, **more: Any) -> Result:
    """The candidate with another latency: the dense model took `dense` beside it, and the error is 1 %."""
    turns = (
        {"baseline_value": dense, "ratio": ratio, "ratio_low": ratio - 0.01, "ratio_high": ratio + 0.01}
        if ratio
        else {}
    )
    decode = Measurement(metric="decode_ms", value=value, unit="ms", settings={**turns, **more})
    kept = [m for m in found.measurements if m.metric != "decode_ms"]
    return found.model_copy(update={"measurements": [*kept, decode]})


def test_a_slow_moment_of_the_dense_model_makes_no_candidate_fast(opens: Opens, store: Store) -> None:
    dense, wanda, layers = sweep("a")
    slow = [
        timed(dense, 120.0),
        timed(wanda, 50.15, 1.003, 50.0),
        timed(layers, 80.0, 0.8, 100.0, contended=True, other_cpu_cores=1.3),
    ]
    alone = timed(candidate("alone-of-a", "magnitude", 22.0, 270, dense.key), 5.0)
    run = study(store, "Sweep", [*slow, alone])
    page = opens("tradeoffs", run=run, x="decode_ms", **{"limit-decode_ms": "50"})
    chart = spec(page)
    assert "ratio to the dense model timed in turns, \u00d7 50 ms" in chart["layout"]["xaxis"]["title"]["text"]
    at = {k: x for t in chart["data"] for k, x in zip(t.get("customdata") or (), t["x"], strict=False)}
    assert at == pytest.approx({dense.key: 50.0, wanda.key: 50.15, layers.key: 40.0}), "and the fourth is not drawn"
    hovers = {
        k: h
        for t in chart["data"]
        if isinstance(t.get("hovertext"), list)
        for k, h in zip(t["customdata"], t["hovertext"], strict=True)
    }
    assert "100.3 % (99.3 to 101.3 %) of the dense model" in hovers[wanda.key]
    assert "No difference from the dense model beyond the error" in hovers[wanda.key]
    assert "Timed on a busy machine: other work took 1.3 cores" in hovers[layers.key]
    square = next(t for t in chart["data"] if t["name"].startswith("In a square"))
    assert square["customdata"] == [layers.key]
    said = words(page).replace("\\", "")
    assert "times 50 ms, the time of the dense model (the median of its 2 timings)" in said
    assert "1 candidate not drawn: timed without the dense model in turns" in said
    assert "Best by perplexity: dense dense-of-a (20 at 50 ms)" in said


def test_the_table_is_made_when_it_is_opened(opens: Opens, store: Store) -> None:
    page = opens("tradeoffs", run=study(store, "Sweep", sweep("a")))
    assert not page.dataframe


@pytest.mark.slow
def test_of_thousands_everything_is_drawn_and_what_is_left_out_is_said(opens: Opens, store: Store) -> None:
    base = candidate("dense", "dense", 20.0, 300, "dense")
    many = [candidate(f"m{i}", ("wanda", "magnitude")[i % 2], 21 + i % 97, 300 - i % 50, "dense") for i in range(1_000)]
    run = store.runs.add("sweep", "Many", "sample:x", {}, LOCAL)
    store.trials.add(run, [Trial(index=i, key=c.key, label=c.label) for i, c in enumerate([base, *many])])
    store.candidates._index([base, *many])
    page = opens("tradeoffs", run=run)
    assert len(drawn(page)) == 1_001
    said = words(page).replace("\\", "")
    assert "With 1,001 candidates, error bars are drawn for the front only" in said
    assert "The list holds" in said and len(page.multiselect(key="_picker").options) <= 203


def test_of_very_many_recoveries_none_is_drawn_and_that_is_said(opens: Opens, store: Store) -> None:
    base, found = candidate("dense", "dense", 20.0, 300, "dense"), []
    for i in range(61):
        before = candidate(f"before{i}", "block_influence", 40 + i, 250 - i, "dense")
        after = candidate(f"after{i}", "distil", 30 + i, 250 - i, "dense").model_copy(update={"parent": before.key})
        found += [before, after]
    for many, said in ((found, "61 candidates were trained after pruning"), (found[:-2], None)):
        page = opens("tradeoffs", run=study(store, "Recovered", [base, *many]))
        arrows = [a for a in spec(page)["layout"].get("annotations", []) if a.get("showarrow")]
        assert len(arrows) == (0 if said else 60)
        assert ("trained after pruning. Arrows" in words(page)) == bool(said) and (said or "") in words(page)


def test_what_was_timed_on_a_busy_machine_is_marked_and_can_be_timed_again(
    opens: Opens, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.jobs.submissions.ensure_runner", lambda _: False)  # the queue is what is looked at
    dense, wanda, layers = sweep("a")
    disturbed = timed(layers, 40.0, 0.8, 50.0, contended=True, other_cpu_cores=1.3)
    run = study(store, "Sweep", [dense, wanda, disturbed])
    page = opens("tradeoffs", run=run, pick=layers.key[:10])
    assert "Timed on a busy machine: other work took 1.3 cores. Its times may be off." in words(page).replace("\\", "")
    page.button(key=f"time-{run}-{layers.key}").click().run()
    assert not page.exception
    (timing,) = store.runs.find(kinds=("time",))
    assert (timing.state, timing.recipe) == ("queued", {"run": run, "candidates": [layers.key]})
    assert not any(b.key == f"time-{run}-{layers.key}" for b in page.button), "it is on its way: no second click"
    store.runs.request_cancel(timing.id)
    listed = opens("runs", run=run)
    assert "Times of 1 candidate were taken on a busy machine" in words(listed).replace("\\", "")
    listed.button(key=f"time-{run}-{layers.key}").click().run()
    assert not listed.exception and len(store.runs.find(kinds=("time",), states=("queued",))) == 1
    quiet = study(store, "Quiet", sweep("b"))
    assert "busy machine" not in words(opens("runs", run=quiet))


def test_measured_and_estimated_energy_are_not_drawn_together(opens: Opens, store: Store) -> None:
    counted = {"dense0": 2.0, "aaaa01": 1.8, "aaaa02": 1.2}
    candidates = []
    for i, key in enumerate(("dense0", "aaaa01", "aaaa02", "aaaa03")):
        one = candidate(key, "wanda" if i else "dense", 25.0 + i, 270.0, "dense0")
        joules = Measurement(
            metric="energy_j_per_token",
            value=counted.get(key, 0.02),
            unit="J",
            obtained="measured" if key in counted else "estimated",
            settings={"counter": "RAPL"} if key in counted else {"watts": 20.0},
        )
        candidates.append(one.model_copy(update={"measurements": [*one.measurements, joules]}))
    page = opens("tradeoffs", run=study(store, "Mixed", candidates), x="energy_j_per_token")
    assert drawn(page) == set(counted)
    assert "Energy per token is shown where it was measured. Left out is 1 candidate, where it was estimated" in words(
        page
    ).replace("\\", "")
    assert not any(":material/timer:" in c.value for c in page.caption), "a counted energy is no time"
    sizes = opens("tradeoffs", run=store.runs.find()[0].id, x="disk_bytes")
    assert drawn(sizes) == {*counted, "aaaa03"} and "Left out" not in words(sizes)


def test_money_is_an_axis_at_the_price_the_reader_names(opens: Opens, store: Store) -> None:
    """3.60 USD an hour make one USD for a million tokens of every millisecond a token takes: 27 ms dense, 22 ms cut."""
    run = study(store, "Sweep", sweep("a"))
    page = opens("tradeoffs", run=run, x="cost_per_mtok", price="3.6")
    told = spec(page)
    assert told["layout"]["xaxis"]["title"]["text"].startswith("Cost per million tokens, USD (lower is better)")
    placed = {key: x for t in told["data"] for key, x in zip(t.get("customdata") or (), t["x"], strict=False)}
    assert placed["layers-of-a"] == pytest.approx(22.0) and placed["wanda-of-a"] == pytest.approx(27.0)
    assert page.number_input(key="price").value == 3.6
    report = links(page)["Make a report"]
    assert "price=3.6" in report and "x=cost_per_mtok" in report
    within = opens("tradeoffs", run=run, **{"limit-cost_per_mtok": "25", "price": "3.6"})
    assert "1 of 3 models are within the limits" in markup(within), "27 USD are above 25"
    assert "price" not in {n.key for n in opens("tradeoffs", run=run).number_input}
