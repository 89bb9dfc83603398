"""The pages in a real browser: no error in its console, live curves, by day and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.browser import needs_browser, opened_browser

from .conftest import Running, ended, rows, until, uploaded


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as driver:
        yield driver


def text(browser: Any) -> str:
    found: str = browser.execute_script("return document.querySelector('main').innerText")
    return found


@needs_browser
@pytest.mark.slow
def test_a_job_is_watched_as_it_goes(browser: Any, server: Running) -> None:
    client = server.client()
    files = {"training_file": uploaded(client, rows(40)), "validation_file": uploaded(client, rows(4))}
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4, "batch_size": 2}}}
    browser.get(server.url)
    job = client.fine_tuning.jobs.create(model="tiny", suffix="<b>x", method=method, **files)  # type: ignore[arg-type]
    until(lambda: text(browser), lambda said: job.id in said, 20)  # the page was not loaded again
    browser.get(f"{server.url}/jobs/{job.id}")
    until(lambda: text(browser), lambda said: "Step " in said, 60)
    done = ended(client, job.id)
    until(lambda: text(browser), lambda said: "step_metrics.csv" in said and "Step 80/80" in said, 20)
    drawn, labels = browser.execute_script(
        "const all = (which) => [...document.querySelectorAll(which)];"
        "return [all('polyline').map((one) => one.points.length), all('svg').map((one) => one.ariaLabel)]"
    )
    assert drawn[0] == drawn[2] == 80
    assert 8 <= drawn[1] == drawn[3] <= 12
    loss, accuracy = labels
    assert loss.startswith("training loss ")
    assert accuracy.startswith("training token accuracy ")
    for width in (1200, 380):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wide, shown = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= shown
    browser.find_element("link text", done.fine_tuned_model).click()
    chosen = browser.execute_script("return document.getElementById('model').value")
    assert chosen == done.fine_tuned_model
    browser.find_element("id", "prompt").send_keys("say 3")
    browser.find_element("css selector", "#try button").click()
    answered = "const form = document.getElementById('try');"
    answered += "return form.querySelector('button').disabled ? '' : form.querySelector('output').textContent"
    said = until(lambda: browser.execute_script(answered), bool, 60)
    assert "does not exist" not in said
    browser.get(f"{server.url}/?model=none")
    assert browser.get_log("browser") == []


def test_results_are_plain_csv_and_a_page_is_no_frame(server: Running) -> None:
    client = server.client()
    job = client.fine_tuning.jobs.create(model="tiny", training_file=uploaded(client, b"{}\n"))
    answer = httpx.get(f"{server.url}/jobs/{job.id}/results.csv")
    assert answer.text == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
    page = httpx.get(f"{server.url}/jobs/{job.id}")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.text
    assert httpx.get(f"{server.url}/jobs/ftjob-none").status_code == 404
