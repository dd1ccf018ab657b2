"""A kill for memory is told apart from any other SIGKILL, by the count that the kernel keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup.children.oom import CLAIM_SECONDS, OomKills, oom_kills

V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
V2 = "low 0\nhigh 0\nmax 12\noom 4\noom_kill 4\noom_group_kill 0\n"


@pytest.mark.parametrize(
    ("group", "file", "text", "count"),
    [
        ("4:memory:/host/abc\n0::/\n", "memory/host/abc/memory.oom_control", V1, 3),
        # In a container the mount begins at the container's own group.
        ("4:memory:/host/abc\n0::/\n", "memory/memory.oom_control", V1, 3),
        ("9:cpu,memory:/a\n", "memory/a/memory.oom_control", V1, 3),
        ("0::/system.slice/a.service\n", "system.slice/a.service/memory.events", V2, 4),
        ("0::/\n", "memory.events", V2, 4),
        ("0::/a:b\n", "a:b/memory.events", V2, 4),
        # Linux before 4.13 does not count.
        ("4:memory:/\n", "memory/memory.oom_control", "under_oom 0\n", None),
        ("0::/\n", "elsewhere", V2, None),
        ("2:cpu:/\n", "memory/memory.oom_control", V1, None),
    ],
)
def test_the_count_of_the_own_group(
    tmp_path: Path, group: str, file: str, text: str, count: int | None
) -> None:
    (tmp_path / "cgroup").write_text(group, encoding="utf-8")
    place = tmp_path / "groups" / file
    place.parent.mkdir(parents=True)
    place.write_text(text, encoding="ascii")
    assert oom_kills(tmp_path, tmp_path / "groups") == count


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert oom_kills(tmp_path, tmp_path) is None


def test_without_a_count_nothing_is_claimed() -> None:
    assert not OomKills(lambda: None, lambda: 0.0).claim()


@given(
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 3), st.booleans()), max_size=30),
)
def test_every_kill_explains_one_death_and_only_for_a_while(
    before: int, steps: list[tuple[int, float, bool]]
) -> None:
    """``steps``: kills, seconds later, and whether a death is to be explained then."""
    now, count = 0.0, before
    kills = OomKills(lambda: count, lambda: now)
    unexplained: list[float] = []
    for more, seconds, has_died in steps:
        now += seconds
        count += more
        unexplained = [at for at in unexplained if now - at <= CLAIM_SECONDS] + [now] * more
        if has_died:
            assert kills.claim() is bool(unexplained)
            unexplained = unexplained[1:]
        else:
            kills.look()
