"""The page in a real browser, with the real program behind it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Program, Run, Watched, eventually, free_port

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
"""Kept as artefacts, not in git."""

TREE = """
[defaults]
stop_timeout = "2s"

[children.steady]
command = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done"]
tags = ["noisy"]

[children.fragile]
command = ["sh", "-c", "echo last words >&2; exec sleep 1000"]
restart = { backoff = ["3s"], intensity = 50, period = "60s" }
tags = ["weak", "quiet"]

[children.pipeline]
strategy = "rest_for_one"

[children.pipeline.children.loader]
command = ["sleep", "1000"]

[children.pipeline.children.sender]
command = ["sleep", "1000"]
tags = ["quiet"]
"""


def row(page: Page, path: str) -> Locator:
    return page.locator(f'.row[data-path="{path}"]')


def shown(page: Page) -> list[str]:
    """Return the paths of the rows, from top to bottom."""
    rows = page.locator(".body .row")
    places = rows.evaluate_all(
        "rows => rows.map(row => [Number(row.ariaRowIndex || row.getAttribute('aria-rowindex')),"
        " row.dataset.path])"
    )
    return [path for _, path in sorted(places)]


def look(page: Page, program: Program) -> None:
    page.goto(program.url)
    expect(page.get_by_role("status").get_by_text("live")).to_be_visible()


def test_a_killed_child_is_seen_going_down_counting_down_and_coming_back(
    run: Run, page: Page
) -> None:
    program = run(TREE)
    look(page, program)
    fragile = row(page, "fragile")
    expect(fragile).to_contain_text("running")
    first = fragile.locator(".c5").inner_text()
    assert first.isdigit()
    fragile.click()
    details = page.get_by_role("region", name="Details of fragile")
    expect(details.get_by_role("heading", name="fragile")).to_be_visible()

    program.kill("fragile")
    expect(fragile).to_contain_text("backing off")
    expect(fragile.locator(".c6")).to_contain_text("killed by SIGKILL")
    expect(page.locator(".totals")).to_contain_text("1 backing off")
    expect(details).to_contain_text("Next attempt in")
    expect(details.locator(".last-exit")).to_contain_text("last words")
    seen = set[str]()

    def has_counted_down() -> bool:
        seen.update(fragile.locator(".countdown").all_inner_texts())
        return len(seen) >= 3

    eventually(has_counted_down)
    assert all(re.fullmatch(r"in \d\.\d s|now", text) for text in seen)

    expect(fragile).to_contain_text("running")
    expect(fragile.locator(".c3")).to_contain_text("1")
    expect(fragile.locator(".c5")).not_to_have_text(first)
    expect(fragile.get_by_role("img", name="1 restarts seen")).to_be_visible()
    details.get_by_role("tab", name="Events").click()
    for said in ("ended, killed: killed by SIGKILL", "tries again in 3.0 s", "started"):
        expect(details.get_by_text(said).first).to_be_visible()


def test_rows_are_found_by_name_state_and_tag(run: Run, page: Page) -> None:
    look(page, run(TREE))
    everything = ["steady", "fragile", "pipeline", "pipeline/loader", "pipeline/sender"]
    eventually(lambda: shown(page) == everything)

    page.keyboard.press("/")
    page.keyboard.type("sender")
    eventually(lambda: shown(page) == ["pipeline", "pipeline/sender"])
    expect(page.get_by_text("1 of 5")).to_be_visible()
    page.keyboard.press("Escape")
    eventually(lambda: shown(page) == everything)

    page.keyboard.type("tag:quiet state:running")
    eventually(lambda: shown(page) == ["fragile", "pipeline", "pipeline/sender"])
    page.keyboard.press("Escape")
    page.get_by_label("Tag", exact=True).select_option("noisy")
    eventually(lambda: shown(page) == ["steady"])
    page.get_by_role("button", name="Clear").click()

    page.locator(".totals").get_by_role("button", name="running").click()
    eventually(lambda: shown(page) == everything)
    page.get_by_label("Filter", exact=True).fill("state:failed")
    page.get_by_role("button", name="running").click()
    expect(page.get_by_text("No child matches.")).to_be_visible()


def test_problems_come_first_when_asked_for(run: Run, page: Page) -> None:
    program = run(TREE.replace('"3s"', '"60s"'))
    look(page, program)
    program.kill("fragile")
    page.get_by_role("button", name="Problems first").click()
    eventually(lambda: shown(page)[:2] == ["fragile", "steady"])


def test_the_tree_is_walked_by_keyboard(run: Run, page: Page) -> None:
    look(page, run(TREE))
    grid = page.get_by_role("treegrid")
    expect(row(page, "pipeline/sender")).to_be_visible()
    grid.focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")

    def current() -> str | None:
        place = grid.get_attribute("aria-activedescendant")
        return page.locator(f"#{place}").get_attribute("data-path") if place else None

    eventually(lambda: current() == "pipeline")
    assert row(page, "pipeline").get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowLeft")
    expect(row(page, "pipeline/sender")).to_have_count(0)
    assert row(page, "pipeline").get_attribute("aria-expanded") == "false"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    eventually(lambda: current() == "pipeline/loader")
    page.keyboard.press("End")
    eventually(lambda: current() == "pipeline/sender")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="sender")).to_be_visible()
    page.keyboard.press("Home")
    expect(page.get_by_role("heading", name="steady")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("tab", name="Agents")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Filter", exact=True)).to_be_focused()


def test_output_is_followed_paused_and_cleared(run: Run, page: Page) -> None:
    look(page, run(TREE))
    row(page, "steady").click()
    page.get_by_role("tab", name="Log").click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("line 1")

    def last() -> int:
        return int(log.locator("div").last.inner_text().removeprefix("line "))

    before = last()
    eventually(lambda: last() > before + 3)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text(re.compile(r"\d+ new lines are waiting"))).to_be_visible()
    held = last()
    expect(page.get_by_text(re.compile(r"[3-9] new lines are waiting"))).to_be_visible()
    assert last() == held
    page.get_by_role("button", name="Resume").click()
    eventually(lambda: last() > held)
    page.get_by_role("button", name="Clear").click()
    eventually(lambda: int(log.locator("div").first.inner_text().removeprefix("line ")) > held)


def test_a_server_that_comes_back_is_found_again(run: Run, page: Page) -> None:
    ports = ("--http", f"127.0.0.1:{free_port()}", "--dashboard", f"127.0.0.1:{free_port()}")
    program = run(TREE, *ports)
    look(page, program)
    row(page, "fragile").click()
    pid = row(page, "fragile").locator(".c5")
    first = pid.inner_text()
    program.stop()
    expect(page.get_by_role("alert")).to_contain_text("Connection lost")
    expect(page.locator(".app.stale")).to_be_visible()
    expect(row(page, "fragile")).to_be_visible()

    again = run(TREE, *ports)
    again.until("tree.started")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".stale")).to_have_count(0)
    expect(pid).not_to_have_text(first)
    expect(page.get_by_role("region", name="Details of fragile")).to_be_visible()
    again.kill("fragile")
    expect(row(page, "fragile")).to_contain_text("backing off")


ATTACK = "<img src=x onerror=alert(1)>"
ATTACKS = f"""
[children."{ATTACK}"]
command = ["sh", "-c", "while true; do echo '<script>alert(2)</script>{ATTACK}'; sleep 0.1; done"]
tags = ["<b>bold</b>"]
probes = [{{ purpose = "readiness", interval = "200ms", timeout = "5s", failure_threshold = 1, \
command = ["sh", "-c", "echo '<svg onload=alert(3)>'; exit 1"] }}]

[children.ends]
command = ["sh", "-c", "echo '{ATTACK}'; sleep 1; exit 3"]
restart = {{ backoff = ["60s"] }}
"""


def test_what_children_say_stays_text(run: Run, page: Page) -> None:
    program = run(ATTACKS)
    look(page, program)
    child = page.locator(".body .row", has_text=ATTACK)
    expect(child.locator(".name")).to_have_text(ATTACK)
    expect(child.locator(".tag")).to_have_text("<b>bold</b>")
    expect(child).to_contain_text("not ready")
    child.click()
    details = page.get_by_role("region", name=f"Details of {ATTACK}")
    expect(details.get_by_role("heading", name=ATTACK)).to_be_visible()
    expect(details.locator(".probe .message")).to_contain_text("<svg onload=alert(3)>")
    details.get_by_role("tab", name="Log").click()
    expect(details.get_by_role("log")).to_contain_text(f"<script>alert(2)</script>{ATTACK}")
    details.get_by_role("tab", name="Events").click()
    details.get_by_role("button", name="Probes").click()
    expect(details.get_by_text("<svg onload=alert(3)>").first).to_be_visible()

    row(page, "ends").click()
    page.get_by_role("tab", name="About").click()
    expect(page.locator(".last-exit .output")).to_have_text(ATTACK)
    assert (
        page.locator("script:not([src]), img, b:has-text('bold'), [onload], [onerror]").count() == 0
    )


def test_a_token_is_asked_for_and_lets_children_be_stopped_and_started(
    run: Run, page: Page
) -> None:
    look(page, run(TREE, A2A_SUP_TOKEN="correct-horse"))
    row(page, "fragile").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("dialog", name="Stop fragile").get_by_text("Stop", exact=True).click()
    dialog = page.get_by_role("dialog", name="Token")
    for token, answer in (("", "A token is needed"), ("wrong", "The token is wrong")):
        if token:
            dialog.get_by_label("Token").fill(token)
            dialog.get_by_role("button", name="Use this token").click()
        expect(dialog.locator(".trouble")).to_contain_text(answer)
    dialog.get_by_label("Token").fill("correct-horse")
    dialog.get_by_role("button", name="Use this token").click()
    expect(page.get_by_text("fragile was stopped.")).to_be_visible()
    expect(row(page, "fragile")).to_contain_text("stopped")

    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("dialog", name="Start fragile").get_by_text("Start", exact=True).click()
    expect(page.get_by_text("fragile was started.")).to_be_visible()
    expect(row(page, "fragile")).to_contain_text("running")
    assert page.evaluate("JSON.stringify(localStorage)") == "{}"


def test_without_a_dashboard_the_page_asks_from_time_to_time(run: Run, page: Page) -> None:
    program = run(TREE, "--dashboard", "off")
    page.goto(program.url)
    expect(row(page, "fragile")).to_contain_text("running")
    program.kill("fragile")
    expect(row(page, "fragile")).to_contain_text("backing off")


def test_the_theme_that_was_chosen_is_kept(run: Run, browser: Browser) -> None:
    program = run(TREE)
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    watched = Watched(page)
    look(page, program)
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Use the dark theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    watched.check()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768), (390, 844)])
def test_it_fits_into_every_width(
    run: Run, browser: Browser, width: int, height: int, scheme: str
) -> None:
    program = run(TREE.replace('"3s"', '"60s"'))
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    watched = Watched(page)
    look(page, program)
    program.kill("fragile")
    expect(row(page, "fragile")).to_contain_text("backing off")
    for view in ("tree", "details"):
        if view == "details":
            row(page, "fragile").click()
            expect(page.get_by_role("heading", name="fragile")).to_be_in_viewport()
            expect(page.get_by_text("Next attempt")).to_be_in_viewport()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        cut = page.locator(".panel, .tree-pane, .top").evaluate_all(
            "(all, w) => all.filter(one => one.getBoundingClientRect().right > w + 1).length", width
        )
        assert cut == 0
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"{width}-{scheme}-{view}.png")
    watched.check()
    context.close()
