"""Every text on every page against what lies behind it: WCAG 2.2 AA, in both themes."""

from __future__ import annotations

import pytest

from core.base.settings import Settings
from pages.frame import shell
from tests.e2e.conftest import Visits
from tests.pages.study import failed_run, finished_study

TEXTS = """() => {
  const rgba = c => { const n = c.match(/[\\d.]+/g).map(Number); return n.length === 3 ? [...n, 1] : n };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const found = [];
  const nodes = document.createTreeWalker(document.querySelector('[data-testid=stApp]'), NodeFilter.SHOW_TEXT);
  for (let n; (n = nodes.nextNode());) {
    const e = n.parentElement, style = getComputedStyle(e);
    if (!n.textContent.trim() || !e.getClientRects().length || style.visibility === 'hidden') continue;
    if (e.closest('svg, [disabled], [aria-disabled=true], script, style')) continue;
    let opacity = 1;
    for (let p = e; p; p = p.parentElement) opacity *= Number(getComputedStyle(p).opacity);
    if (opacity === 0) continue;
    const back = behind(e), color = rgba(style.color);
    color[3] *= opacity;
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const icon = e.dataset.testid === 'stIconMaterial';
    found.push([n.textContent.trim().slice(0, 40), over(color, back), back, icon || large ? 3 : 4.5]);
  }
  return found;
}"""


def luminance(color: list[float]) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: list[float], b: list[float]) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out(visits: Visits, home: Settings, theme: str) -> None:
    tab = visits(home, theme=theme)
    pale: list[str] = []

    def check(path: str) -> None:
        page = tab.opens(path)
        texts = page.evaluate(TEXTS)
        assert len(texts) > 10, f"nothing to read on {path}"
        pale.extend(
            f"{path}: '{text}' {contrast(color, back):.2f} of {needed}"
            for text, color, back, needed in texts
            if contrast(color, back) < needed
        )

    for path in ("", *(name for name in shell.PAGES if name != "start")):
        check(path)  # empty
    run_id = finished_study(home, failed=1)
    broken = failed_run(home)
    for path in ("", "runs", "tradeoffs", f"runs?run={run_id}", f"runs?run={broken}", f"sweep?run={run_id}"):
        check(path)
    assert not pale, "\n".join(pale)
