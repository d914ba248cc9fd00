"""What the models write, in every form of a report: read back from what was saved, escaped, votes by hand."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from pptx import Presentation

from core.base.settings import Settings
from core.recipe.comparisons import Comparison
from core.report.comparisons import with_comparisons
from core.report.html import to_html
from core.report.json import to_json
from core.report.model import Report, build
from core.report.pptx import to_pptx
from core.report.story import story
from core.store import Store
from tests.pages.study import finished_study

HOSTILE = "<img src=x onerror=alert(1)> ran\n\u202edown"


def kl(value: float, text: str, differs: bool = False) -> dict[str, object]:
    return {"text": text, "kl": value, "differs": differs}


@pytest.fixture
def made(home: Settings) -> tuple[Store, Report, list[str]]:
    """A report on one candidate, with texts, a list of two prompts and four votes; ids of what was saved."""
    store = Store(home)
    run = store.runs.get(finished_study(home))
    results = store.candidates.results(run_id=run.id)
    key = results[1].key
    models, names = (run.model, f"run:{key}"), ("Original", "Candidate")
    texts = Comparison(
        kind="texts",
        models=models,
        names=names,
        settings={"prompt": "The river", "tokens": 20, "temperature": 0.7, "seed": 3},
        found={"texts": [{"model": 0, "text": "ran to the sea"}, {"model": 1, "text": "ran to its end"}]},
    )
    rows = [
        {
            "model": 1,
            "number": n,
            "prompt": f"Prompt {n} <b>",
            "text": HOSTILE,
            "own": "<i>own</i>",
            "mean": 0.5,
            "agreement": 50.0,
            "tokens": [kl(0.0, "<img src=x onerror=alert(1)>"), kl(3.0, " ran\n\u202edown", True)],
        }
        for n in range(2)
    ]
    listed = Comparison(
        kind="prompts",
        models=models,
        names=names,
        settings={"prompts": ["Prompt 0 <b>", "Prompt 1 <b>"], "tokens": 20, "temperature": 0, "seed": 0},
        found={"rows": rows, "results": []},
    )
    ids = [store.comparisons.add(c).id for c in (texts, listed)]
    for prompt, better in (("a", run.model), ("b", run.model), ("c", f"run:{key}"), ("d", None)):
        store.votes.add(run.model, f"run:{key}", prompt, better)
    report = build(run, results, [key], audience="engineers")
    return store, with_comparisons(report, store, [ids[0], f"{ids[1]}.1", "0" * 16, f"{ids[1]}.7"]), ids


class Reads(HTMLParser):
    """Tags and text of the section, as a browser sees them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def section(report: Report) -> str:
    page = to_html(report)
    start = page.index("<h2>What the models write</h2>")
    return page[start : page.index("<h2>", start + 1)]


def test_chosen_texts_stand_side_by_side_and_stay_text(made: tuple[Store, Report, list[str]]) -> None:
    _, report, _ = made
    source = section(report)
    seen = Reads(source)
    assert "img" not in seen.tags and "i" not in seen.tags and "b" not in seen.tags
    for said in ("After “The river”", "ran to the sea", "ran to its end", "After “Prompt 1 <b>”", "<i>own</i>"):
        assert said in seen.text, said
    assert "Prompt 0" not in seen.text, "only the chosen prompt of the list"
    assert "temperature 0.7 with seed 3" in seen.text and "always the likeliest one" in seen.text
    assert "ran to <mark>its end</mark>" in source, "marked from where it leaves the original's"
    assert '<span class="k0">' in source and '<span class="k4 other"> ran' in source
    assert "\u202e" not in source and "mean KL 0.500 nats" in seen.text


def test_the_vote_comes_with_its_exact_test(made: tuple[Store, Report, list[str]]) -> None:
    """2 of 3 votes: the two-sided sign test gives 2 * (3 + 1) / 8 = 1."""
    _, report, _ = made
    vote = report.said.votes[0]
    assert (vote.original, vote.candidate, vote.neither, vote.p) == (2, 1, 1, 1.0)
    said = "The original got 2 and A. " + report.chosen[0].label
    assert said in vote.sentence and "1 of 3 votes (1 without a preference left out)" in vote.sentence
    assert said in Reads(section(report)).text


def test_executives_read_no_divergence(made: tuple[Store, Report, list[str]]) -> None:
    _, report, _ = made
    said = Reads(section(replace(report, audience="executives"))).text
    assert "it expects the same word in 50 % of the places." in said and "KL" not in said


def test_slides_pptx_and_json_have_the_same(made: tuple[Store, Report, list[str]]) -> None:
    _, report, _ = made
    shown = [s for s in story(report) if s.kind == "texts"]
    assert [s.title for s in shown] == ["After “The river”", "After “Prompt 1 <b>”"]
    assert shown[0].table[1:] == (("Original", "ran to the sea"), (f"A. {report.chosen[0].label}", "ran to its end"))
    deck = Presentation(io.BytesIO(to_pptx(report)))
    words = "\n".join(s.text_frame.text for slide in deck.slides for s in slide.shapes if s.has_text_frame)
    assert "Original: ran to the sea" in words and "<i>own</i>" in words and "1 of 3 votes" in words
    told = json.loads(to_json(report))["said"]
    assert told["texts"][0]["others"][0]["text"] == "ran to its end" and told["votes"][0]["p"] == 1.0
    assert told["texts"][1]["others"][0]["tokens"][1] == {"text": " ran\n\u202edown", "kl": 3.0, "differs": True}


def test_what_is_gone_is_counted_and_a_report_without_any_says_nothing(made: tuple[Store, Report, list[str]]) -> None:
    store, report, ids = made
    assert report.said.gone == 2
    store.comparisons.remove(ids[0])
    assert with_comparisons(report, store, [ids[0]]).said.gone == 1
    store.votes.clear(report.run.model, f"run:{report.chosen[0].key}")
    empty = with_comparisons(report, store)
    assert "What the models write" not in to_html(empty)
    assert not any(s.kind == "texts" for s in story(empty))
