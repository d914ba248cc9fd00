"""Every page by axe-core in both themes, by keyboard, and on a phone, with a finished study behind it."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from core.base.settings import Settings
from core.store import Store
from tests.e2e.conftest import Visitor, Visits
from tests.pages.study import failed_run, finished_study
from tests.pages.test_distil import distilled
from tests.pages.test_sensitivity import measured

COLOURS = ["color-contrast", "link-in-text-block"]
MOST_TABS = 400

PREPARE = """() => {
  const kinds = 'a[href], button, input, select, textarea, summary, iframe, canvas[tabindex], [contenteditable=true],'
    + '[role=button], [role=link], [role=slider], [role=combobox], [role=checkbox], [role=switch], [role=tab]';
  const drawn = e => e.getClientRects().length && getComputedStyle(e).visibility !== 'hidden';
  const seen = e => drawn(['radio', 'checkbox'].includes(e.type) ? e.closest('label') || e : e);
  const off = e => e.disabled || e.closest('[aria-hidden=true], [inert], [aria-disabled=true]');
  const steady = document.createElement('style');
  steady.textContent = '* { transition: none !important; animation: none !important }';
  document.head.append(steady);
  // Of the element and what is around it: Streamlit draws the ring on the frame. Of a table, which is a canvas, its
  // pixels.
  const look = element => {
    const canvas = element.closest('canvas'), said = canvas ? [canvas.toDataURL()] : [];
    for (let e = element, up = 0; e && up < 9; up++, e = e.parentElement)
      for (const part of [null, '::before', '::after']) {
        const s = getComputedStyle(e, part);
        said.push([s.outline, s.boxShadow, s.border, s.background, s.color, s.textDecoration, s.opacity].join());
      }
    return said.join();
  };
  const frame = () => new Promise(done => requestAnimationFrame(done));
  const controls = [...document.querySelectorAll(kinds)].filter(e => seen(e) && !off(e));
  const before = new Map(controls.map(e => [e, look(e)]));
  const focused = new Map();  // element -> whether it looks otherwise with the focus than before
  let last = null;
  window.keyboard = {
    tabbed: async () => {  // true where the round is over
      await frame();
      const now = document.activeElement;
      // Within a table or a page in the page the same element keeps the focus; between the ends nothing has it.
      if (now === last || now === document.body) return false;
      last = now;
      if (focused.has(now)) return now === [...focused.keys()][0];
      // A page in the page shows the focus on its own links and fields; what came later has no look to compare.
      const changed = () => now.tagName === 'IFRAME' || !before.has(now) || look(now) !== before.get(now);
      const patience = performance.now() + 3000;
      while (!changed() && performance.now() < patience) await frame();
      focused.set(now, changed());
      return false;
    },
    problems: () => {
      const place = e => (e.closest('[data-testid]') || e).dataset.testid;
      const name = e => `${e.ariaLabel || e.innerText || e.title} (${place(e)})`;
      // One of a group of radios takes Tab, the arrows move between them. What is inside a field (its arrow, its
      // steppers, the tags it holds) is done by keys of the field: arrow down and up, backspace.
      const group = e => e.type === 'radio' && [...focused.keys()].some(o => o.name === e.name);
      const inside = e => e.tabIndex < 0 && e.closest('.stSelectbox, .stMultiSelect, .stNumberInput')
        && [...focused.keys()].some(o => e.closest('[data-testid^=st].stElementContainer')?.contains(o));
      return [
        ...controls.filter(e => e.isConnected && !focused.has(e) && !group(e) && !inside(e))
          .map(e => `Tab never reaches ${name(e)}`),
        ...[...focused].filter(([e, shown]) => !shown).map(([e]) => `focus does not show on ${name(e)}`),
      ];
    },
  };
  document.activeElement.blur();
}"""


@pytest.fixture
def addresses(home: Settings, tiny_llama: Path) -> list[str]:
    """Every page, as a visitor with a finished study sees it."""
    folder = home.home / "models" / "tiny-llama"
    shutil.copytree(tiny_llama, folder)
    model = f"path:{folder}"
    measured(home, model)
    run, broken = finished_study(home, model=model, failed=1), failed_run(home)
    taught, _ = distilled(Store(home), model, steps=123, best_step=100, training_seconds=120.0)
    of, kind = urlencode({"model": model}), urlencode({"kind": "Folder", "folder": str(folder)})
    return [
        "",
        f"model?{kind}",
        f"sensitivity?{of}",
        f"sweep?{of}",
        f"sweep?run={run}",
        f"tradeoffs?run={run}",
        f"distil?{of}",
        f"distil?run={taught}",
        f"compare?run={run}",
        "runs",
        f"runs?run={run}",
        f"runs?run={broken}",
        f"report?run={run}",
    ]


def findings(page: Page, **options: object) -> list[str]:
    """What axe-core finds: a line an element."""
    found = Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [f"axe {rule['id']}: {node['html'][:160]}" for rule in found for node in rule["nodes"]]


def in_both_themes(tab: Visitor) -> list[str]:
    """What axe-core finds on an open page; in the dark, of its colours."""
    found = findings(tab.page)
    tab.page.emulate_media(color_scheme="dark")
    tab.settles()
    return found + findings(tab.page, runOnly=COLOURS)


def by_keyboard(page: Page) -> list[str]:
    """Tab from the top of the page until it comes round: what it never reaches, and where nobody sees where it is."""
    page.evaluate(PREPARE)
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("() => window.keyboard.tabbed()"):
            break
    else:
        return [f"Tab does not come round in {MOST_TABS} steps"]
    return [str(p) for p in page.evaluate("() => window.keyboard.problems()")]


def test_every_page_is_for_everybody(visits: Visits, home: Settings, addresses: list[str]) -> None:
    tab = visits(home)
    tab.page.set_default_timeout(120_000)  # a machine that does other work is no finding
    problems: list[str] = []
    for path in addresses:
        page = tab.opens(path)
        found = in_both_themes(tab) + by_keyboard(page)
        page.set_viewport_size({"width": 390, "height": 900})
        tab.settles()
        found += [f"{tab.overflow()} pixels too wide for a phone"] if tab.overflow() else []
        page.set_viewport_size({"width": 1440, "height": 900})
        page.emulate_media(color_scheme="light")
        problems += [f"{path.partition('=')[0] or 'start'}: {f}" for f in found]
    assert not problems, "\n".join(problems)
    tab.is_well()
