"""Pages in a real browser: no error, no request, charts drawn, filters and keys work, by day, by night, on a phone."""

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

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as driver:
        yield driver


def opened(browser: Any, page: Path, *, width: int = 1200, dark: bool = False) -> None:
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
    charts, drawn = browser.execute_script(
        "const all = [...document.querySelectorAll('.chart')];"
        "return [all.length, all.filter((one) => one.querySelector('.main-svg .trace, .main-svg .legend')).length]"
    )
    assert charts > 0
    assert drawn == charts


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


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_a_comparison(comparison: Comparison, browser: Any, tmp_path: Path, width: int, dark: bool) -> None:
    opened(browser, comparison.save(tmp_path / "comparison.html"), width=width, dark=dark)
    panels = browser.execute_script("return [...document.querySelectorAll('h2')].map((h) => h.textContent)")
    assert {"Quality", "Metrics", "Forgetting", "Overfitting", "Quality and cost", "Latency", "Rows"} <= set(panels)
    legend = browser.execute_script("return document.querySelector('.chart .legendtext').textContent")
    assert legend == "old & <b>gone</b>"
    text = browser.execute_script("return getComputedStyle(document.querySelector('.chart .xtick text')).fill")
    page = browser.execute_script("return getComputedStyle(document.body).color")
    assert text == page
    for name, count in (("regressed", 0), ("fixed", 18), ("both_wrong", 3), ("changed", 18), ("all", 30)):
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
