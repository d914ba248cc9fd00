"""Limits on the Trade-offs page: in the address, drawn, and said in words."""

from __future__ import annotations

import json

from core.base.settings import Settings
from tests.pages.conftest import Opens, words
from tests.pages.study import finished_study


def drawn(page: object) -> dict[str, object]:
    return json.loads(page.get("plotly_chart")[0].proto.spec)["layout"]  # type: ignore[attr-defined, no-any-return]


def test_a_limit_is_said_and_shaded(opens: Opens, settings: Settings) -> None:
    run = finished_study(settings)
    page = opens("tradeoffs", run=run, x="disk_bytes")
    before = len(drawn(page).get("shapes", []))  # type: ignore[arg-type]
    assert "within the limits" not in words(page)
    page.number_input(key="limit-disk_bytes").set_value(250.0).run()
    assert not page.exception and "models are within the limits" in words(page)
    kinds = [shape["type"] for shape in drawn(page)["shapes"]]  # type: ignore[index]
    assert before == 4, "two lines through the original; what is beyond +5 % loss, and its edge"
    assert kinds == ["line", "line", "rect", "line"] and drawn(page)["shapes"][2]["x0"] == 250e6  # type: ignore[index]
    page.number_input(key="limit-disk_bytes").set_value(0.001).run()
    assert "No model is within these limits" in words(page)
