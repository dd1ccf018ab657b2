"""The OpenAPI document against the real program: whatever is asked, the answer is as described."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.core.result import Ok

from tests.app.conftest import Program, Start

TOKEN = "secret-of-this-test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
TREE = """
[children.api]
command = ["sh", "-c", "echo hello; exec sleep 1000"]

[children.web]
replicas = 2
command = ["sleep", "1000"]

[children.pipeline]
strategy = "rest_for_one"
[children.pipeline.children.loader]
command = ["sleep", "1000"]
"""
PATHS = ["api", "web", "web/0", "pipeline", "pipeline/loader", "nobody"]
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
MODES = schemathesis.GenerationMode
OPERATIONS = {
    "GET /tree",
    "GET /status",
    "GET /usage",
    "GET /children/{path}",
    "GET /children/{path}/logs",
    "POST /children/{path}/start",
    "POST /children/{path}/stop",
    "POST /children/{path}/restart",
    "POST /children/{path}/scale",
    "GET /events",
    "GET /agents",
    "POST /reload",
    "GET /openapi.json",
}


@pytest.fixture
async def site(start: Start, tmp_path: Path) -> tuple[Program, str]:
    """Have the program serve a small tree, and return it with its address."""
    file = trio.Path(tmp_path / "tree.toml")
    await file.write_text(TREE)
    program = await start("run", file, A2A_SUP_TOKEN=TOKEN)
    up = await program.until("tree.started")
    return program, f"http://{up['http']}"


def ask_everything(address: str) -> dict[str, int]:
    """Ask what is documented, well and badly; return how often each status was answered."""
    base = f"{address}/api/v1"
    document = httpx.get(f"{base}/openapi.json").raise_for_status().json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=base)
    found: dict[str, int] = {}
    asked: set[str] = set()
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        asked.add(operation.label)
        ask_one(operation, MODES.POSITIVE, 15, found)
        if operation.query or operation.body:
            ask_one(operation, MODES.NEGATIVE, 15, found)
    assert asked == OPERATIONS
    return found


def ask_one(operation: Any, mode: schemathesis.GenerationMode, count: int, found: Any) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), path=st.sampled_from(PATHS))
    def ask(case: schemathesis.Case[Any], path: str) -> None:
        # What is generated hardly ever names a child that there is.
        if mode is MODES.POSITIVE and case.path_parameters:
            case.path_parameters["path"] = path
        if is_endless(case):
            case.query["follow"] = 0
        # Ten wrong tokens, and the right one has to wait too: they have a test of their own.
        case.headers.pop("Authorization", None)
        answer = case.call(headers=BEARER, timeout=20)
        case.validate_response(answer, checks=CHECKS)
        # 504 is the answer to a command that was given too little time, and to nothing else.
        assert answer.status_code < 500 or answer.json()["type"] == "/problems/timed-out"
        found[str(answer.status_code)] = found.get(str(answer.status_code), 0) + 1

    ask()


def is_endless(case: schemathesis.Case[Any]) -> bool:
    """Return whether the answer would be a stream: those are tested by themselves."""
    default = 1 if case.operation.label == "GET /events" else 0
    return "follow" in str(case.operation.query) and str(case.query.get("follow", default)) == "1"


@pytest.mark.timeout(120)
async def test_every_answer_is_as_documented(site: tuple[Program, str]) -> None:
    program, address = site
    ask: Callable[[], dict[str, int]] = partial(ask_everything, address)
    found = await trio.to_thread.run_sync(ask)
    # It was asked well and badly, not only one of them.
    assert found.keys() >= {"200", "400", "404", "422"}
    assert not program.told("api.failed")
    assert not program.told("control.failed")
