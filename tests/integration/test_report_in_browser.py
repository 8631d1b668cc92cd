"""report.html of a real run in a real browser: it asks nobody for anything, finds samples, and shows foreign text as text."""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from assay_runner.backends.base import Response, ResponseError
from support.pictures import write_pictures
from support.runs import AnsweringBackend, planned, results_bytes, worker

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM.exists() and DRIVER.exists()),
    reason="needs Debian's chromium and chromium-driver: apt-get install chromium chromium-driver",
)

DOCUMENTS = 5200
FAILED = 13
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><!--<script>"


class Backend(AnsweringBackend):
    """Says red, something hostile to document 3, and nothing to some."""

    def _response(self, request):
        document = int(request.key.split("/")[1])
        if document % 400 == 399:
            return Response(request.key, error=ResponseError("Timeout", f"<b>late</b> {document}"), attempts=4)
        return Response(request.key, text=HOSTILE if document == 3 else "red", tokens_out=1, latency=0.01 * document)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_pictures(folder / "tasks", DOCUMENTS)
    run = planned(folder, tasks=[{"name": "pictures"}], chunkSize=400, errorPolicy={"maxErrorRate": 0.1})
    asyncio.run(worker(run, backend=Backend(), index=0).run())
    results = json.loads(results_bytes(run))
    return run, results


@pytest.fixture(scope="module")
def browser():
    options, profile = webdriver.ChromeOptions(), tempfile.mkdtemp()
    options.binary_location = str(CHROMIUM)
    for switch in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.set_window_size(1280, 1000)
    driver.execute_cdp_cmd("Network.enable", {})
    yield driver
    driver.quit()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def page(run, browser):
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(f"file://{run[0].store.location('report.html').removeprefix('file://')}")
    yield browser
    assert browser.get_log("browser") == []


def texts(page, column):
    return [cell.text for cell in page.find_elements(By.CSS_SELECTOR, f"#table tbody tr > :nth-child({column})")]


def count(page):
    return page.find_element(By.ID, "count").text


def search(page, words):
    box = page.find_element(By.ID, "search")
    box.clear()
    box.send_keys(words)


def choose(page, field, value):
    Select(page.find_element(By.ID, field)).select_by_value(value)


def opened(page, row=0):
    page.find_elements(By.CSS_SELECTOR, "#table tbody .opener")[row].click()
    return page.find_element(By.ID, "detail")


def test_it_shows_the_numbers_of_results_json_and_asks_nobody_for_anything(page, run):
    [metric] = run[1]["tasks"][0]["metrics"]
    shown = [float(one.get_attribute("value")) for one in page.find_elements(By.CSS_SELECTOR, ".scores data")]
    assert shown == [metric[name] for name in ("value", "stderr", "ci_low", "ci_high")]
    assert count(page) == "5,200 samples" and len(texts(page, 1)) == 50
    opened(page).find_element(By.ID, "detail-close").click()
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"}
    assert any(url.endswith("report.html") for url in asked)
    assert {url.split(":")[0] for url in asked} <= {"file", "blob"}
    rules = page.find_element(By.CSS_SELECTOR, "meta[http-equiv]").get_attribute("content")
    assert rules.startswith("default-src 'none'") and "unsafe" not in rules


def test_search_and_filters_narrow_the_rows_together(page, run):
    search(page, '"THING 519"')
    assert count(page) == "11 of 5,200 samples match" and "pictures/519/0" in texts(page, 1)
    choose(page, "outcome", "wrong")
    assert count(page) == "2 of 5,200 samples match" and texts(page, 1) == ["pictures/5192/0", "pictures/5196/0"]
    page.find_element(By.ID, "reset").click()
    choose(page, "error", "Timeout")
    assert count(page) == f"{FAILED} of 5,200 samples match"
    assert texts(page, 2) == ["! Error"] * FAILED and "<b>late</b> 399" in texts(page, 6)[0]
    assert run[1]["tasks"][0]["errors"] == {"Timeout": FAILED}
    search(page, "no such words")
    assert count(page) == "0 of 5,200 samples match" and texts(page, 1) == []


def test_columns_sort_and_pages_turn_over_all_rows(page):
    head = page.find_element(By.CSS_SELECTOR, 'th[data-column="latency"]')
    head.find_element(By.TAG_NAME, "button").click()
    assert texts(page, 1)[:2] == ["pictures/0/0", "pictures/1/0"] and head.get_attribute("aria-sort") == "ascending"
    head.find_element(By.TAG_NAME, "button").click()
    assert texts(page, 1)[0] == "pictures/5198/0", "5199 has failed and has no latency"
    page.find_element(By.ID, "page").send_keys(Keys.CONTROL + "a")
    page.switch_to.active_element.send_keys("104", Keys.ENTER)
    assert len(texts(page, 1)) == 50 and texts(page, 1)[-1] == "pictures/5199/0"
    assert not page.find_element(By.ID, "next").is_enabled()


def test_a_sample_opens_with_its_medium_prompt_answer_target_and_score(page):
    search(page, "pictures/42/0")
    detail = opened(page)
    assert "What is the colour of thing 42?" in detail.text
    assert [one.text for one in detail.find_elements(By.CSS_SELECTOR, "section > .text")] == ["red", "red"]
    assert "exact_match" in detail.text and "0.42 s" in detail.text
    image = detail.find_element(By.CSS_SELECTOR, "figure img")
    page.execute_async_script("arguments[0].decode().finally(arguments[1])", image)
    assert page.execute_script("return arguments[0].naturalWidth", image) == 2
    assert page.current_url.endswith("#sample=pictures%2F42%2F0")
    page.find_element(By.ID, "detail-close").send_keys(Keys.ESCAPE)
    assert not detail.is_displayed()


def test_the_keyboard_finds_opens_and_turns_samples(page):
    page.find_element(By.TAG_NAME, "body").send_keys("/")
    page.switch_to.active_element.send_keys('"thing 77"')
    opener = page.find_element(By.CSS_SELECTOR, "#table tbody .opener")
    opener.send_keys(Keys.ENTER)
    title = lambda: page.find_element(By.ID, "detail-title").text  # noqa: E731
    assert title() == "pictures/77/0"
    page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert title() == "pictures/770/0"
    page.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert title() == "pictures/77/0"


def test_what_a_model_answers_is_text_whatever_it_says(page):
    search(page, "pictures/3/0")
    assert texts(page, 6) == [HOSTILE]
    assert opened(page).find_element(By.CSS_SELECTOR, "section > .text").text == HOSTILE
    assert page.title != "owned" and not page.find_elements(By.CSS_SELECTOR, "img[src=x]")


def test_it_is_dark_or_light_as_the_system_is_or_as_the_reader_says(page):
    def paper():
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    def system(scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    system("light")
    light = paper()
    system("dark")
    dark = paper()
    assert light != dark
    button = page.find_element(By.ID, "theme")
    button.click()
    assert button.text == "Theme: light" and paper() == light
    system("light")
    button.click()
    assert button.text == "Theme: dark" and paper() == dark
    button.click()
    assert paper() == light
