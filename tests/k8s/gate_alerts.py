"""The alerts fire when they should, say where to read on, and ask for metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s import gates

HERE = Path(__file__).parent
MONITORING = gates.ROOT / "k8s" / "components" / "monitoring"
METRICS = {
    *("a2a_sup_child_up", "a2a_sup_child_healthy", "a2a_sup_child_ready"),
    *("a2a_sup_child_uptime_seconds", "a2a_sup_child_backoff_seconds", "a2a_sup_children"),
    *("a2a_sup_child_restarts_total", "a2a_sup_child_exits_total", "a2a_sup_probes_total"),
    *("a2a_sup_events_dropped_total", "a2a_sup_probe_duration_seconds_bucket"),
    *("a2a_sup_http_request_duration_seconds_bucket", "a2a_sup_restart_duration_seconds_bucket"),
    *("a2a_sup_event_loop_lag_seconds_bucket", "a2a_sup_dashboard_clients"),
    "a2a_sup_dashboard_cut_total",
    *("a2a_sup_leftovers_swept_total", "a2a_total_agents", "a2a_enabled_agents"),
    *("process_resident_memory_bytes", "up"),
}
_METRIC = re.compile(r"\b(?:a2a_\w+|process_\w+|up)\b")


def groups() -> dict[str, Any]:
    return gates.rules(gates.load((MONITORING / "alerts.yaml").read_text(encoding="utf-8")))


def alerts() -> list[dict[str, Any]]:
    return [rule for group in groups()["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "a2a-sup.json").read_text(encoding="utf-8"))
    return found


def queries() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def metrics_in(expression: str) -> set[str]:
    without_labels = re.sub(r"\{[^}]*\}", "", expression)
    return set(_METRIC.findall(without_labels))


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups()), encoding="utf-8")
    shutil.copy(HERE / "alerts.yaml", tmp_path)
    return tmp_path


def test_alerts_fire_when_they_should(bench: Path) -> None:
    done = gates.promtool("test", "rules", "alerts.yaml", cwd=bench)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire_and_not_to_fire() -> None:
    told: dict[str, set[bool]] = {alert["alert"]: set() for alert in alerts()}
    plan = yaml.safe_load((HERE / "alerts.yaml").read_text(encoding="utf-8"))
    for test in plan["tests"]:
        for case in test["alert_rule_test"]:
            told[case["alertname"]].add(bool(case["exp_alerts"]))
    assert told == {name: {True, False} for name in told}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_leads_to_its_section(alert: dict[str, Any]) -> None:
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    text = (gates.ROOT / page).read_text(encoding="utf-8")
    assert anchor == alert["alert"].lower()
    section = text.split(f"\n## {alert['alert']}\n")[1].split("\n## ")[0]
    # What it means, and what to do about it.
    assert "**Means**" in section
    assert "**Do**" in section


def test_runbooks_are_of_alerts_that_exist() -> None:
    text = (gates.ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (A2aSup\w+)$", text, re.MULTILINE) == [a["alert"] for a in alerts()]


def test_alerts_and_dashboard_ask_for_metrics_that_exist() -> None:
    asked = [*(alert["expr"] for alert in alerts()), *queries()]
    unknown = {name for expression in asked for name in metrics_in(expression)} - METRICS
    assert not unknown


def test_the_dashboard_shows_every_metric_that_is_not_in_another(bench: Path) -> None:
    shown = {name for expression in queries() for name in metrics_in(expression)}
    # `up` is Prometheus' own; whether a child is up is told by its uptime.
    assert METRICS - shown == {"up", "a2a_sup_child_up"}


def test_prometheus_can_read_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(queries())
    ]
    text = yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]})
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    done = gates.promtool("check", "rules", "rules.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_do_not_overlap_and_have_a_name_each() -> None:
    panels = dashboard()["panels"]
    cells = [
        (x, y)
        for each in panels
        for x in range(each["gridPos"]["x"], each["gridPos"]["x"] + each["gridPos"]["w"])
        for y in range(each["gridPos"]["y"], each["gridPos"]["y"] + each["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({each["title"] for each in panels}) == len({each["id"] for each in panels})
