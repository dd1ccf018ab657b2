"""How much Hypothesis tries: the same examples every time in CI, new ones elsewhere."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: a slow machine is not a wrong answer.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# A program that a test starts must not meet another one on the usual ports.
os.environ["A2A_SUP_HTTP"] = os.environ["A2A_SUP_DASHBOARD"] = "127.0.0.1:0"
