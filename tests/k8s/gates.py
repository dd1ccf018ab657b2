"""The checkers that every build of the manifests has to pass, and what each finds.

All but `build` look at many builds at once, in one directory with a file each: starting them
takes longer than looking.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.k8s.references import Object, Objects, grace_is_enough, problems, token_is_mounted

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv" / "manifests" / "bin"
"""Where `make manifests-test` installs the checkers."""
VERSIONS = ("1.28", "1.37")
"""Of Kubernetes: the oldest that these manifests are for, and the newest with a schema."""
CUSTOM = {"PrometheusRule", "ServiceMonitor"}
"""Kinds of an operator. The rules are promtool's to check, the monitor is ours."""
MONITOR_KEYS = {
    "spec": {"jobLabel", "selector", "endpoints"},
    "endpoints": {"port", "path", "interval", "scrapeTimeout"},
}

ACCEPTED = {
    "CKV_K8S_43": "a digest is known when the image has been pushed: docs/kubernetes.md says how",
    "CKV_K8S_15": "a version's tag is never moved, so nothing need be pulled again",
}
"""The baseline of the policy scan: what it finds in good manifests, and why it stays."""

Findings = dict[str, list[str]]


class Refused(Exception):
    """kustomize did not build it."""


def build(folder: Path) -> str:
    """Return what kustomize makes of an overlay."""
    standalone = shutil.which("kustomize")
    command = [standalone, "build"] if standalone else ["kubectl", "kustomize"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise Refused(done.stderr)
    return done.stdout


def load(text: str) -> Objects:
    return [each for each in yaml.safe_load_all(text) if each]


def dump(objects: Iterable[Object]) -> str:
    return yaml.safe_dump_all(objects, sort_keys=False)


# --- the gates -----------------------------------------------------------------------------------


def schema(directory: Path) -> Findings:
    """Hold every file against the schemas of Kubernetes; its warnings count."""
    found: Findings = defaultdict(list)
    files = sorted(directory.glob("*.yaml"))
    for version in VERSIONS:
        done = subprocess.run(
            [TOOLS / "kubernetes-validate", "--strict", "-k", version, *files],
            capture_output=True,
            text=True,
            check=False,
        )
        # A traceback says nothing about the files.
        assert not done.stderr, done.stderr
        said = set()
        for line in done.stdout.splitlines():
            match = re.match(r"(\w+) +(\S+/)?([^/ ]+)\.yaml (.*)", line)
            if match is None:
                continue
            said.add(match[3])
            custom = re.match(r"Couldn't find schema for kind (\w+) ", match[4])
            if match[1] != "INFO" and not (custom and custom[1] in CUSTOM):
                found[match[3]].append(f"{version}: {match[4]}")
        assert said == {file.stem for file in files}, "a file was not looked at"
    return found


def policy(directory: Path) -> Findings:
    """Have the policy scan look at every file."""
    done = subprocess.run(
        [
            *(TOOLS / "checkov", "--directory", directory, "--framework", "kubernetes"),
            *("--output", "json", "--compact"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BC_SKIP_MAPPING": "TRUE", "CHECKOV_RUN_SCA_PACKAGE_SCAN": "false"},
    )
    report: dict[str, Any] = json.loads(done.stdout)["results"]
    found: Findings = defaultdict(list)
    for each in report["failed_checks"]:
        found[Path(each["file_path"]).stem].append(f"{each['check_id']} {each['check_name']}")
    for file in report["parsing_errors"]:
        found[Path(file).stem].append("not read")
    return found


def references(directory: Path, scratch: Path) -> Findings:
    """Hold the objects of every file against each other and against the program."""
    found: Findings = {}
    for file in sorted(directory.glob("*.yaml")):
        objects = load(file.read_text(encoding="utf-8"))
        found[file.stem] = [
            *problems(objects),
            *custom_kinds(objects),
            *grace_is_enough(objects, scratch),
            *token_is_mounted(objects, scratch),
        ]
    return found


def custom_kinds(objects: Objects) -> list[str]:
    """Return the keys of a ServiceMonitor that are none we know."""
    found = []
    for each in objects:
        if each["kind"] == "ServiceMonitor":
            unknown = each["spec"].keys() - MONITOR_KEYS["spec"]
            for endpoint in each["spec"].get("endpoints", ()):
                unknown |= endpoint.keys() - MONITOR_KEYS["endpoints"]
            found += [f"ServiceMonitor: unknown key {key}" for key in sorted(unknown)]
    return found


def rules(objects: Objects) -> Object:
    """Return the groups of the PrometheusRule, as Prometheus itself reads them."""
    (rule,) = [each for each in objects if each["kind"] == "PrometheusRule"]
    groups: Object = rule["spec"]
    return groups


def promtool(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False
    )


def alerts(directory: Path, scratch: Path) -> Findings:
    """Have promtool read the rules of every file that has some."""
    found: Findings = {}
    for file in sorted(directory.glob("*.yaml")):
        objects = load(file.read_text(encoding="utf-8"))
        if any(each["kind"] == "PrometheusRule" for each in objects):
            text = yaml.safe_dump(rules(objects))
            (scratch / "rules.yaml").write_text(text, encoding="utf-8")
            done = promtool("check", "rules", "--lint-fatal", "rules.yaml", cwd=scratch)
            found[file.stem] = (done.stdout + done.stderr).splitlines() if done.returncode else []
    return found
