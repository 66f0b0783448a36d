"""From the front page to the transactions that prove a likeness, in a real browser, with and without JavaScript."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tasks.simulator.server import Simulator


def start_sample(page: Page, name: str) -> None:
    page.goto("/")
    sample = page.locator("form", has=page.locator("textarea")).filter(has_text=name).first
    if sample.count():
        sample.get_by_role("button", name="Analyse").click()
    else:
        page.get_by_text(name, exact=True).locator("xpath=ancestor::*[.//button][1]").get_by_role(
            "button", name="Analyse"
        ).click()


def test_a_sample_list_becomes_pairs_and_pairs_open_their_proof(quiet: Page) -> None:
    page = quiet
    start_sample(page, "Copy traders")
    page.wait_for_url("**/analyses/*")
    expect(page.get_by_text("24 of 24").first).to_be_visible()
    first = page.locator("#pairs-card li").first
    expect(first).to_be_visible()
    first.locator("summary .chevron").first.click()
    expect(first.locator("table").first).to_be_visible()
    assert first.locator("tbody tr").count() > 2


def test_two_clicks_lead_from_a_sentence_to_the_transactions_that_prove_it(quiet: Page) -> None:
    page = quiet
    start_sample(page, "Copy traders")
    page.wait_for_url("**/analyses/*")
    led = page.locator("#insights .insight-line").filter(has_text="Leader and follower")
    expect(led).to_be_visible()
    led.locator(".insight-proof").click()
    first = page.locator("#matches tbody tr").first
    expect(first).to_be_in_viewport()
    for link in first.locator("a.explorer").all()[-2:]:
        expect(link).to_have_attribute("href", re.compile(r"^https://solscan\.io/tx/\w+$"))


def test_the_preview_judges_every_line_while_one_types(quiet: Page, chain: Simulator) -> None:
    page = quiet
    good = chain.world.addresses[:2]
    page.goto("/")
    field = page.locator("textarea[name=addresses]:visible").first
    field.fill(f"{good[0]},first\n{good[1]}\n{good[0]}\nEPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v\n")
    preview = page.locator("#preview")
    expect(preview.get_by_text("Same as line 1")).to_be_visible()
    expect(preview.get_by_text("token mint")).to_be_visible()
    expect(preview.get_by_role("button", name="Analyse 2 wallets")).to_be_visible()


def test_a_list_that_is_refused_comes_back_as_it_was(page: Page, chain: Simulator) -> None:
    page.goto("/")
    page.locator("textarea[name=addresses]:visible").first.fill(f"{chain.world.addresses[0]},alone")
    page.locator("#preview").get_by_role("button", name="Analyse").click()
    expect(page.locator("textarea[name=addresses]:visible").first).to_have_value(f"{chain.world.addresses[0]},alone")
    expect(page.get_by_text("two", exact=False).first).to_be_visible()


def test_everything_works_without_javascript(browser: Browser, base_url: str) -> None:
    context = browser.new_context(base_url=base_url, java_script_enabled=False)
    page = context.new_page()
    start_sample(page, "Two desks")
    page.wait_for_url("**/analyses/*")
    for _ in range(60):
        if page.locator("#pairs-card li a").count() and "2 of 2" in page.content():
            break
        page.wait_for_timeout(500)
        page.reload()
    href = page.locator("#pairs-card a[href*='/pairs/']").first.get_attribute("href")
    page.goto(href)
    expect(page.get_by_text("Portfolio overlap").first).to_be_visible()
    page.get_by_role("link", name="Capital audit A").click()
    expect(page.get_by_text("The sums agree.")).to_be_visible()
    context.close()


def test_activity_shows_every_job_at_its_end(quiet: Page) -> None:
    page = quiet
    start_sample(page, "Two desks")
    page.wait_for_url("**/analyses/*")
    expect(page.get_by_text("2 of 2").first).to_be_visible()
    page.goto("/activity")
    rows = page.locator("tbody tr")
    expect(rows.first).to_be_visible()
    expect(rows.first).to_contain_text("succeeded")  # the page asks again while a job runs
    assert "initiated" not in page.content().lower()
