"""Pages in a real browser: no error, no request, nothing cut off, filters and keys, by day, by night, on a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftkit.backends import Answer
from ftkit.evaluation import Comparison, Probes, compare, evaluate, overview
from tests.browser import needs_browser, opened_browser
from tests.evaluation.scripted import TRIAGE, VISITS, ScriptedModel, answered, answers, dataset, failed, visit
from tests.evaluation.test_probes import Assistant, number
from tests.render.test_pages import intents

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as driver:
        yield driver


def opened(browser: Any, page: Path, *, width: int = 1280, dark: bool = False) -> None:
    """Open ``page`` and see that nothing went wrong and nothing but the page was asked for."""
    phone = width < 500
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    browser.get_log("performance")
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    wide, shown = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= shown
    assert not phone or shown == width
    assert browser.execute_script(CUT_OFF) == []
    assert browser.execute_script(FAINT) == []


CUT_OFF = """
// Elements that end beyond the window, unless what holds them can be scrolled.
return [...document.querySelectorAll("main *")].filter((element) => {
  const box = element.getBoundingClientRect();
  const list = element.closest(".scroll");
  const scrolls = list && list.scrollWidth > list.clientWidth;
  const hidden = element.closest("figcaption, [hidden], details:not([open]) > :not(summary)");
  return box.width > 0 && !hidden && box.right > innerWidth + 1 && !scrolls;
}).map((element) => element.outerHTML.slice(0, 120));
"""

FAINT = """
// Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, level AA).
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const behind = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
};
const found = [];
for (const element of document.querySelectorAll("main *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || element.closest("figcaption, title, option, [hidden]") || !element.getClientRects().length) continue;
  const ground = behind(element);
  const [one, two] = [light(over(rgba(getComputedStyle(element).color), ground)), light(ground)].sort((a, b) => b - a);
  const contrast = (one + 0.05) / (two + 0.05);
  if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.outerHTML.slice(0, 100)}`);
}
return found;
"""


def shown(browser: Any) -> int:
    count: int = browser.execute_script(
        "return [...document.querySelectorAll('article')].filter((r) => !r.hidden).length"
    )
    return count


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    data = dataset(tmp_path, VISITS, [visit(n) for n in range(30)])

    def said(wrong: int) -> Assistant:
        return Assistant(
            lambda note: json.dumps(visit(number(note), age=0 if number(note) % 10 < wrong else number(note) + 20)),
            lambda row: wrong == 1 and row.startswith("talk"),
            name="<m>",
        )

    before, after = (
        evaluate(said(wrong), data, probes=Probes(general=60, train=data), label=label, gpu_hour_usd=2)
        for wrong, label in ((7, "old & <b>gone</b>"), (1, "new"))
    )
    return compare(before, after, margin=0.05)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_a_comparison(comparison: Comparison, browser: Any, tmp_path: Path, width: int, dark: bool) -> None:
    opened(browser, comparison.save(tmp_path / "comparison.html"), width=width, dark=dark)
    panels = browser.execute_script("return [...document.querySelectorAll('h2')].map((h) => h.textContent)")
    assert {"Quality", "Metrics", "Forgetting", "Overfitting", "Quality and cost", "Latency", "Rows"} <= set(panels)
    assert "old & <b>gone</b>" in browser.execute_script(
        "return [...document.querySelectorAll('.chart .legend li')].map((item) => item.textContent)"
    )
    widths = browser.execute_script(
        "return [...document.querySelectorAll('.chart svg')].filter((one) => !one.closest('.legend'))"
        ".map((one) => one.clientWidth)"
    )
    assert min(widths) > 100
    assert max(widths) > 0.65 * min(width, 1000)
    # The first screen has the four answers; on a phone, change, interval and verdict are beside the metric's name.
    facts = browser.execute_script(
        "return [...document.querySelectorAll('.fact')].map((one) => one.getBoundingClientRect().bottom)"
    )
    assert len(facts) == 4
    assert max(facts) <= 900
    for column in (6, 7, 8, 9):
        cell = f".changes tbody tr > :nth-child({column})"
        box = browser.execute_script(f"return document.querySelector('{cell}').getBoundingClientRect().toJSON()")
        assert 0 < box["right"] <= width
    for name, count in (("regressed", 0), ("fixed", 18), ("both_wrong", 3), ("changed", 18), ("wrong", 3), ("all", 30)):
        browser.execute_script(f"document.querySelector('[data-filter={name}]').click()")
        assert shown(browser) == count
    assert browser.execute_script("return document.getElementById('shown').textContent") == "30 rows"


def test_search_and_keys(comparison: Comparison, browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    opened(browser, comparison.save(tmp_path / "comparison.html"))
    keys = ActionChains(browser)
    keys.send_keys("/").send_keys("P7").send_keys(Keys.ESCAPE).perform()
    assert shown(browser) == 1
    browser.execute_script(
        "const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'))"
    )
    ActionChains(browser).send_keys("jjk").perform()
    focused = browser.execute_script("return document.activeElement.querySelector('b').textContent")
    assert focused == "r0"


def test_metrics_link_to_their_rows_and_rows_are_filtered_and_sorted(
    comparison: Comparison, browser: Any, tmp_path: Path
) -> None:
    opened(browser, comparison.save(tmp_path / "comparison.html"))
    browser.execute_script("document.querySelector('.changes [data-show=\"field=1\"]').click()")
    assert shown(browser) == 21
    assert (
        browser.execute_script("return document.querySelector('[data-facet=field]').selectedOptions[0].text")
        == "age (21)"
    )
    browser.execute_script("document.querySelector('.tile.fixed').click()")
    assert shown(browser) == 18
    choose = (
        "const list = document.querySelector(arguments[0]); list.value = arguments[1];"
        "list.dispatchEvent(new Event('change'))"
    )
    browser.execute_script("document.querySelector('[data-filter=all]').click()")
    browser.execute_script(choose, "[data-facet=failure]", "7")
    assert shown(browser) == 3
    browser.execute_script(choose, "[data-facet=failure]", "")
    browser.execute_script(choose, "#sort", "score")
    first = "return [...document.querySelectorAll('article b')].slice(0, 4).map((one) => one.textContent)"
    assert browser.execute_script(first) == ["r0", "r10", "r20", "r1"]
    browser.execute_script(choose, "#sort", "position")
    assert browser.execute_script(first) == ["r0", "r1", "r2", "r3"]


def test_there_are_few_tab_stops_and_each_row_can_be_reached(
    comparison: Comparison, browser: Any, tmp_path: Path
) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    opened(browser, comparison.save(tmp_path / "comparison.html"))
    reached = []
    for _ in range(40):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        reached.append(browser.execute_script("return document.activeElement.tagName"))
        if reached[-1] == "BODY":
            break
    assert len(reached) < 25
    assert reached.count("ARTICLE") == 1
    browser.execute_script("document.activeElement.blur()")
    ActionChains(browser).send_keys("jj").send_keys(Keys.ENTER).perform()
    assert browser.execute_script("return document.activeElement.querySelector('details').open")


@pytest.mark.slow
def test_many_choices(browser: Any, tmp_path: Path) -> None:
    report = intents(tmp_path)
    opened(browser, report.save(tmp_path / "intents.html"))
    browser.execute_script("document.querySelector('[data-show^=\"wanted=10&\"]').click()")
    assert shown(browser) == 2
    opened(browser, report.save(tmp_path / "intents.html"), width=390, dark=True)


def test_a_report_and_an_overview(comparison: Comparison, browser: Any, tmp_path: Path) -> None:
    opened(browser, comparison.after.save(tmp_path / "report.html"))
    found = overview([comparison.before, comparison.after, comparison.after])
    opened(browser, found.save(tmp_path / "overview.html"), width=390)
    browser.execute_script("document.querySelector('[data-filter=split]').click()")
    assert shown(browser) == 18


def test_choices_with_failures(browser: Any, tmp_path: Path) -> None:
    data = dataset(tmp_path, TRIAGE, ["urgent", "soon", "later"] * 6)
    said: list[str | Answer] = [answered("soon")] * 12 + [failed("</script><script>alert(1)</script>")] * 6
    report = evaluate(ScriptedModel(TRIAGE, answers(said)), data, label="</script><script>alert(1)</script>")
    opened(browser, report.save(tmp_path / "choices.html"), dark=True)


def test_the_page_prints(comparison: Comparison, browser: Any, tmp_path: Path) -> None:
    opened(browser, comparison.save(tmp_path / "comparison.html"), dark=True)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 50_000
