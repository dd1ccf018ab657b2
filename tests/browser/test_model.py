"""The page's own picture of the tree: after any changes it is that of the server's reference."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import a2a_sup.serve
from a2a_sup.model.delta import apply

Json = dict[str, Any]
MODEL = Path(a2a_sup.serve.__file__).parent / "static" / "app" / "model.js"

# Reads one story per line, a snapshot and then deltas, and tells the tree after each of them.
READER = """
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
const source = readFileSync(process.argv[1], "utf8");
const { Tree } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
const picture = (tree, path) => tree.below.get(path).map((child) => {
  const { supervisor, ...fields } = tree.children.get(child);
  if (supervisor === null) return { ...fields, supervisor };
  return { ...fields, supervisor: {
    path: supervisor.path, strategy: supervisor.strategy, children: picture(tree, child) } };
});
for await (const line of createInterface({ input: process.stdin })) {
  const [snapshot, ...deltas] = JSON.parse(line);
  const tree = new Tree();
  tree.replace(snapshot);
  const told = [picture(tree, "")];
  for (const delta of deltas) {
    const taken = tree.change(delta);
    told.push(taken ? picture(tree, "") : null);
    if (tree.children.size !== tree.totals().all) throw new Error("totals");
  }
  console.log(JSON.stringify(told));
}
"""


class Reader:
    """The page's model, run by node."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", "--input-type=module", "-e", READER, str(MODEL)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self, story: list[Json]) -> list[Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(story) + "\n")
        self._process.stdin.flush()
        told: list[Any] = json.loads(self._process.stdout.readline())
        return told

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def child(path: str, *, number: int, is_supervisor: bool) -> Json:
    below = {"path": path, "strategy": "one_for_one"} if is_supervisor else None
    name = path.rpartition("/")[2]
    fields = {"state": "running", "restarts": number, "tags": [], "healthy": None}
    return {"name": name, "path": path, **fields, "supervisor": below}


def paths(root: Json) -> Iterator[tuple[str, bool]]:
    for each in root["children"]:
        yield each["path"], each["supervisor"] is not None
        if each["supervisor"] is not None:
            yield from paths(each["supervisor"])


def draw_change(draw: st.DataObject, root: Json, number: int) -> Json:
    """Return a change that fits: of a child that is there, or of a new one below a supervisor."""
    known = dict(paths(root))
    supervisors = ["", *(path for path, is_one in known.items() if is_one)]
    is_known = draw.draw(st.booleans())
    if known and is_known:
        path = draw.draw(st.sampled_from(sorted(known)))
        if draw.draw(st.integers(0, 3)) == 0:
            return {"path": path, "child": None}
    else:
        above = draw.draw(st.sampled_from(supervisors))
        path = f"{above}/n{number}" if above else f"n{number}"
    is_supervisor = draw.draw(st.booleans())
    return {"path": path, "child": child(path, number=number, is_supervisor=is_supervisor)}


def normal(children: list[Json]) -> list[Json]:
    """Return children with an empty list below each supervisor that nothing was told of."""
    found = copy.deepcopy(children)
    for each in found:
        if each["supervisor"] is not None:
            each["supervisor"]["children"] = normal(each["supervisor"].get("children", []))
    return found


@given(st.data())
def test_a_snapshot_and_its_changes_make_the_next_picture(
    reader: Reader, data: st.DataObject
) -> None:
    root: Json = {"path": "", "strategy": "one_for_one", "children": []}
    head = {"revision": 7, "time": 1.0, "wall_time": 100.0}
    story: list[Json] = [{**head, "tree": {"name": "app", "root": copy.deepcopy(root)}}]
    expected = [normal(root["children"])]
    number = 0
    for batch in range(data.draw(st.integers(1, 6))):
        changes = []
        for _ in range(data.draw(st.integers(1, 5))):
            number += 1
            changes.append(draw_change(data, root, number))
            apply(root, copy.deepcopy(changes[-1:]))
            root["children"] = normal(root["children"])
        times = {"time": 2.0, "wall_time": 101.0}
        story.append({"from": 7 + batch, "to": 8 + batch, **times, "changes": changes})
        expected.append(normal(root["children"]))
    assert reader.read(story) == expected
    # The last picture as a snapshot is the same as the way to it.
    last = {**head, "tree": {"name": "app", "root": {**root, "children": expected[-1]}}}
    assert reader.read([last]) == expected[-1:]


def test_a_delta_that_does_not_follow_is_refused(reader: Reader) -> None:
    tree = {"name": "app", "root": {"path": "", "strategy": "one_for_one", "children": []}}
    snapshot = {"revision": 7, "time": 1.0, "wall_time": 100.0, "tree": tree}
    changes = [{"path": "a", "child": child("a", number=0, is_supervisor=False)}]
    for begin in (6, 8):
        delta = {"from": begin, "to": 9, "time": 2.0, "wall_time": 101.0, "changes": changes}
        assert reader.read([snapshot, delta]) == [[], None]
