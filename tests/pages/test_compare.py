"""The Compare page with the real host behind it: texts, strips, the prompt set; empty, busy and refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.base.roles import LOCAL, Actor
from core.base.settings import Settings
from core.jobs import actions
from core.jobs.preview import client
from core.recipe.comparisons import Comparison
from core.registry.prompts import PROMPTS
from core.store import Store
from pages.frame.tokens import visible
from tests.pages.conftest import Opens, words
from tests.pages.study import kept_study

pytestmark = pytest.mark.jobs


@pytest.fixture
def study(settings: Settings, tiny_llama: Path) -> Iterator[dict[str, str]]:
    """A run over a tiny dense model, of which two candidates are kept; its parts by name."""
    yield kept_study(settings, tiny_llama)
    client.release(settings, LOCAL)


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception
    return app


def test_without_models_the_page_says_how_to_get_some(opens: Opens) -> None:
    assert "No model to compare yet" in words(opens("compare"))


def test_a_link_chooses_the_models(opens: Opens, study: dict[str, str]) -> None:
    app = opens("compare", run=study["run"], pick=[study["a"][:10], study["unsaved"][:10]])
    assert app.selectbox(key="compare-first").value == study["dense"]
    assert app.multiselect(key="compare-beside").value == [f"run:{study['a']}"]
    assert "its model was not kept" in words(app)
    app.multiselect(key="compare-beside").set_value([f"run:{study['b']}", f"run:{study['a']}"]).run()
    assert app.query_params["pick"] == [study["b"][:10], study["a"][:10]]


def test_models_write_and_are_compared_token_by_token(opens: Opens, store: Store, study: dict[str, str]) -> None:
    app = opens("compare", run=study["run"], pick=[study["a"][:10], study["b"][:10]])
    app.selectbox(key="compare-length").set_value(20).run()
    press(app, "compare-write")
    assert len(app.code) == 3 and all(c.value.strip() for c in app.code)
    assert words(app).count("tokens/s.") == 3 and not app.error
    press(app, "compare-tokens")
    shown = [(m.label, m.value) for m in app.metric]
    assert [label for label, _ in shown] == ["Mean KL", "Agreement", "First split"] * 2
    assert all(float(value.split()[0]) > 0 for label, value in shown if label == "Mean KL")
    assert len(app.dataframe) == 2 and len(app.code) == 3, "the texts stay"
    before = app.dataframe[0].value.to_dict()
    box = app.selectbox(key=f"compare-at-{store.comparisons.find()[0].id}-1")
    box.select_index(len(box.options) - 1).run()
    assert app.dataframe[0].value.to_dict() != before, "the table follows the chosen token"
    app.multiselect(key="compare-beside").set_value([f"run:{study['a']}"]).run()
    assert not app.metric and not app.code, "what was found for other models is not shown for these"


def test_what_was_compared_is_there_in_another_browser(opens: Opens, store: Store, study: dict[str, str]) -> None:
    """Texts, strips and a list of one's own prompts: found by the same models, and by their address alone."""
    app = opens("compare", run=study["run"], pick=[study["a"][:10]])
    app.text_area(key="compare-prompt").set_value("The old mill").run()
    app.number_input(key="compare-temperature").set_value(0.9).run()
    app.number_input(key="compare-seed").set_value(7).run()
    press(app, "compare-write")
    written = [c.value for c in app.code]
    press(app, "compare-tokens")
    app.radio(key="compare-prompts-from").set_value("Typed here").run()
    app.text_area(key="compare-prompts-typed").set_value("The river\nA mill\n\nThe river").run()
    press(app, "compare-set")
    saved = {s.kind: s for s in store.comparisons.find((study["dense"], f"run:{study['a']}"))}
    assert set(saved) == {"texts", "tokens", "prompts"} and saved["texts"].title == "The old mill"
    assert saved["texts"].settings == {"prompt": "The old mill", "tokens": 40, "temperature": 0.9, "seed": 7}
    assert saved["prompts"].settings["prompts"] == ["The river", "A mill"]
    assert sorted(app.query_params["saved"]) == sorted(s.id for s in saved.values())
    metrics = [(m.label, m.value) for m in app.metric]
    press(app, "compare-write")
    assert [c.value for c in app.code][:2] == written, "the same seed gives the same text"

    other = opens("compare", saved=[s.id for s in saved.values()])
    assert other.selectbox(key="compare-first").value == study["dense"]
    assert other.multiselect(key="compare-beside").value == [f"run:{study['a']}"]
    assert other.text_area(key="compare-prompt").value == "The old mill"
    assert other.number_input(key="compare-temperature").value == 0.9
    assert other.number_input(key="compare-seed").value == 7
    assert [c.value for c in other.code][:2] == written and [(m.label, m.value) for m in other.metric] == metrics
    assert len(other.dataframe[-1].value) == 2 and "temperature 0.9, seed 7. Saved today" in words(other)
    app.multiselect(key="compare-beside").set_value([f"run:{study['b']}"]).run()
    assert "saved" not in app.query_params and not app.code, "the address names no comparison of other models"
    by_models = opens("compare", run=study["run"], pick=[study["a"][:10]])
    assert [c.value for c in by_models.code][:2] == written


def test_an_address_of_a_deleted_comparison_says_so(opens: Opens, settings: Settings, study: dict[str, str]) -> None:
    made = Comparison(
        kind="texts",
        models=(study["dense"], f"run:{study['a']}"),
        names=("A", "B"),
        settings={"prompt": "x", "tokens": 20, "temperature": 0.0, "seed": 0},
        found={"texts": []},
    )
    store = Store(settings)
    saved = store.comparisons.add(made)
    assert "up to 20 tokens, greedily" in words(opens("compare", saved=saved.id)).lower()
    actions.delete(study["run"], settings, LOCAL)
    app = opens("compare", saved=saved.id)
    assert "There is no saved comparison at this address" in words(app) and len(app.error) == 1
    assert store.comparisons.find() == []


def test_who_may_only_look_sees_what_is_saved_and_starts_nothing(
    opens: Opens, store: Store, study: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = press(opens("compare", run=study["run"], pick=[study["a"][:10]]), "compare-write")
    written = [c.value for c in first.code]
    monkeypatch.setattr("pages.frame.login.actor", lambda: Actor("ann@x.org", "viewer"))
    app = opens("compare", saved=store.comparisons.find()[0].id)
    assert [c.value for c in app.code] == written
    locked = [b for b in app.button if str(b.key).startswith("compare-")]
    assert len(locked) == 5 and all(b.disabled for b in locked), "write, tokens, prompts, vote, delete"


def test_the_next_pair_is_written_while_one_is_read(opens: Opens, store: Store, study: dict[str, str]) -> None:
    """After the vote the next two texts come although nothing can be computed any more: they were there."""
    app = press(opens("compare", run=study["run"], pick=[study["a"][:10]]), "compare-vote-go")
    ahead = app.session_state["_compare-vote-ahead"][1]
    give_up = time.monotonic() + 60
    while not all(ahead.is_ready(p) for p in PROMPTS[1:3]) and time.monotonic() < give_up:
        time.sleep(0.05)
    store.runs.add("probe", "Timing", "", {}, LOCAL)
    press(app, "compare-vote-0")
    shown = app.session_state["_compare-vote"]
    assert shown["prompt"] == PROMPTS[1]
    assert [c.value for c in app.code] == [visible(t, lines=True) for t in shown["texts"]]
    assert sorted(shown["order"]) == sorted((study["dense"], f"run:{study['a']}"))


def test_a_list_that_cannot_be_read_is_refused_in_plain_words(opens: Opens, study: dict[str, str]) -> None:
    app = opens("compare", run=study["run"], pick=[study["a"][:10]])
    app.radio(key="compare-prompts-from").set_value("Typed here").run()
    assert app.button(key="compare-set").disabled and app.button(key="compare-set").label == "Compare on 0 prompts"
    app.text_area(key="compare-prompts-typed").set_value("\n".join(f"Prompt {i}" for i in range(201))).run()
    assert "more than 200 prompts" in words(app) and app.button(key="compare-set").disabled
    app.radio(key="compare-prompts-from").set_value("From a file").run()
    assert "One prompt on each line of a .txt" in words(app)


def test_hostile_prompts_stay_text(opens: Opens, study: dict[str, str]) -> None:
    app = opens("compare", run=study["run"], pick=[study["a"][:10]])
    app.text_area(key="compare-prompt").set_value("<img src=x> [a](http://evil.invalid) \u202eabc \x01").run()
    app.radio(key="compare-what").set_value("The prompt itself").run()
    press(app, "compare-tokens")
    html = "".join(str(e.proto.body) for e in app.get("html"))
    assert "<img" not in html and "&lt;" in html and "\u202e" not in html
    assert len(app.metric) == 3


def test_the_prompt_set(opens: Opens, study: dict[str, str]) -> None:
    app = press(opens("compare", run=study["run"], pick=[study["a"][:10]]), "compare-set")
    assert [m.label for m in app.metric] == ["Mean KL", "Agreement"]
    table = app.dataframe[0].value
    assert len(table) == len(PROMPTS)
    assert list(table["Mean KL, nats"]) == sorted(table["Mean KL, nats"], reverse=True)


def test_while_a_run_has_the_machine_nothing_can_be_started(opens: Opens, store: Store, study: dict[str, str]) -> None:
    store.runs.add("probe", "Timing", "", {}, LOCAL)
    app = opens("compare", run=study["run"], pick=[study["a"][:10]])
    assert "A run is using this machine" in words(app)
    assert all(app.button(key=k).disabled for k in ("compare-write", "compare-tokens", "compare-set"))


def test_a_refusal_is_a_sentence(opens: Opens, study: dict[str, str]) -> None:
    app = opens("compare", run=study["run"], pick=[study["a"][:10]])
    app.text_area(key="compare-prompt").set_value(" ").run()
    press(app, "compare-write")
    assert app.error and "The prompt is empty" in words(app)
    press(app, "compare-tokens")
    assert app.error and not app.metric


def test_a_blind_vote_hides_names_and_is_counted(opens: Opens, store: Store, study: dict[str, str]) -> None:
    app = press(opens("compare", run=study["run"], pick=[study["a"][:10]]), "compare-vote-go")
    first, second = study["dense"], f"run:{study['a']}"
    assert len(app.code) == 2 and "Text 1" in words(app) and "tokens/s." not in words(app)
    shown = app.session_state["_compare-vote"]
    assert sorted(shown["order"]) == sorted((first, second))
    press(app, "compare-vote-1")
    preferred = shown["order"][1]
    assert store.votes.tally(preferred, first if preferred == second else second) == (1, 0, 0)
    assert app.session_state["_compare-vote"]["prompt"] == PROMPTS[1], "the next two texts come by themselves"
    press(app, "compare-vote-none")
    assert store.votes.tally(first, second).neither == 1
    assert "of 1 vote (1 without a preference left out)" in words(app).replace("\\", "")
    press(app, "compare-vote-clear")
    assert store.votes.prompts(first, second) == set()


def test_trade_offs_leads_here_with_the_same_choice(opens: Opens, study: dict[str, str]) -> None:
    def links(*keys: str) -> list[str]:
        app = opens("tradeoffs", run=study["run"], pick=[k[:10] for k in keys])
        found = [e.proto for e in app.get("page_link")]
        return [p.query_string for p in found if p.label == "Compare what they write"]

    assert links(study["unsaved"]) == [], "nothing that is kept, nothing to compare"
    assert links(study["a"], study["b"]) == [f"run={study['run']}&pick={study['a'][:10]}&pick={study['b'][:10]}"]
