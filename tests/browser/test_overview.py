"""Agents and metrics, in a real browser, with the real program behind them."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Run, eventually

TREE = """
[children.time]
mcp = ["mcp-server-time", "--local-timezone", "UTC"]
restart = { backoff = ["2s"] }

[children.idle]
command = ["sleep", "1000"]

[agents.echo]
name = "Echo <b>elsewhere</b>"
category = "utility"
enabled = false
"""
CHARTS = {
    "Memory": r"\d+(\.\d+)? MB",
    "Event loop lag": r"[\d.,]+ ms",
    "Load, 1 minute": r"\d+(\.\d+)?",
    "Servers running": "2",
    "Servers unhealthy or failed": "0",
    "Clients of the dashboard": "1",
}
LINE = """canvas => {
    const probe = document.createElement("canvas").getContext("2d");
    const style = getComputedStyle(document.documentElement);
    probe.fillStyle = style.getPropertyValue("--accent").trim();
    probe.fillRect(0, 0, 1, 1);
    const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
    const shown = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let at = 0; at < shown.length; at += 4) {
        const far = Math.abs(shown[at] - red) + Math.abs(shown[at + 1] - green) +
            Math.abs(shown[at + 2] - blue);
        if (far < 24 && shown[at + 3] > 128) count += 1;
    }
    return count;
}"""
"""Pixels of the line's colour: there are none before there are two points."""


def overview(page: Page, tab: str) -> Locator:
    page.get_by_role("tab", name=tab).click()
    return page.get_by_role("tabpanel", name=tab)


def test_servers_are_agents_with_their_tools_enabled_while_they_are_up(
    run: Run, page: Page
) -> None:
    program = run(TREE)
    program.until("child.ready", child="time", ready=True)
    page.goto(program.url)
    agents = overview(page, "Agents")
    server = agents.get_by_role("row").filter(has=page.get_by_role("button", name="time"))
    expect(server).to_contain_text("mcp")
    expect(server).to_contain_text("auto-managed")
    expect(server).to_contain_text("get_current_time, convert_time")
    expect(server.get_by_role("cell").last).to_have_text("enabled")
    elsewhere = agents.get_by_role("row").filter(has_text="utility")
    expect(elsewhere).to_contain_text("Echo <b>elsewhere</b>")
    expect(elsewhere.get_by_role("cell").last).to_have_text("disabled")
    expect(elsewhere.get_by_role("button")).to_have_count(0)
    expect(agents.get_by_role("row")).to_have_count(3)  # the head, and no row for "idle"

    program.kill("time")
    expect(server.get_by_role("cell").last).to_have_text("disabled")
    expect(server.get_by_role("cell").last).to_have_text("enabled")
    server.get_by_role("button", name="time").click()
    expect(page.get_by_role("region", name="Details of time")).to_be_visible()


def test_the_charts_have_numbers_and_then_lines(run: Run, page: Page) -> None:
    program = run(TREE)
    program.until("child.ready", child="time", ready=True)
    page.goto(program.url)
    metrics = overview(page, "Metrics")
    charts = metrics.locator("figure")
    expect(charts).to_have_count(len(CHARTS))
    for name, number in CHARTS.items():
        caption = charts.filter(has_text=name).locator("figcaption b")
        expect(caption).to_have_text(re.compile(rf"^{number}\s*$"))
    lag = charts.filter(has_text="Event loop lag").locator("canvas")
    eventually(lambda: int(lag.evaluate(LINE)) > 20)
    memory = charts.filter(has_text="Memory").locator("canvas")
    assert memory.evaluate(LINE) > 20
