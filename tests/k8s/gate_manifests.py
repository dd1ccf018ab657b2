"""What k8s/ builds passes every gate, and every mistake of a long list is found by one."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.k8s import gates
from tests.k8s.mutants import MUTANTS, SOURCE_MUTANTS
from tests.k8s.references import of_kind, template_of

K8S = gates.ROOT / "k8s"
OVERLAYS = ("dev", "production")
GATES = ("schema", "policy", "references", "alerts")
Verdicts = dict[str, gates.Findings]


@pytest.fixture(scope="module")
def builds() -> dict[str, str]:
    return {name: gates.build(K8S / "overlays" / name) for name in OVERLAYS}


@pytest.fixture(scope="module")
def verdicts(builds: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """What each gate finds in the overlays and in every mutant of production."""
    directory = tmp_path_factory.mktemp("builds")
    for name, text in builds.items():
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    for name, mutant in MUTANTS.items():
        objects = copy.deepcopy(gates.load(builds["production"]))
        mutant.change(objects)
        (directory / f"{name}.yaml").write_text(gates.dump(objects), encoding="utf-8")
    scratch = tmp_path_factory.mktemp("scratch")
    policy = gates.policy(directory)
    return {
        "schema": gates.schema(directory),
        "policy": {name: [line for line in policy[name] if not accepted(line)] for name in policy},
        "all of policy": policy,
        "references": gates.references(directory, scratch),
        "alerts": gates.alerts(directory, scratch),
    }


def accepted(finding: str) -> bool:
    return finding.split(maxsplit=1)[0] in gates.ACCEPTED


@pytest.mark.timeout(300)  # the first to ask for the verdicts waits for all checkers
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_gate_passes_an_overlay(overlay: str, verdicts: Verdicts) -> None:
    assert {gate: verdicts[gate].get(overlay, []) for gate in GATES} == {g: [] for g in GATES}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_is_found(name: str, verdicts: Verdicts) -> None:
    found = {gate for gate in GATES if verdicts[gate].get(name)}
    assert found >= set(MUTANTS[name].gates)


@pytest.mark.parametrize("name", SOURCE_MUTANTS)
def test_a_mistake_in_a_file_is_not_built(name: str, tmp_path: Path) -> None:
    mutant = SOURCE_MUTANTS[name]
    shutil.copytree(K8S, tmp_path / "k8s")
    file = tmp_path / "k8s" / mutant.file
    good = file.read_text(encoding="utf-8")
    assert good.count(mutant.good) == 1
    file.write_text(good.replace(mutant.good, mutant.bad), encoding="utf-8")
    with pytest.raises(gates.Refused):
        gates.build(tmp_path / "k8s" / "overlays" / "dev")


@pytest.mark.timeout(300)
def test_what_the_policy_scan_may_find_is_really_there(verdicts: Verdicts) -> None:
    found = {line.split()[0] for line in verdicts["all of policy"]["production"]}
    assert found == set(gates.ACCEPTED)


def test_both_overlays_hold_what_a_deployment_needs(builds: dict[str, str]) -> None:
    base = {
        *("Namespace", "ConfigMap", "StatefulSet", "Service", "PodDisruptionBudget"),
        *("NetworkPolicy", "ServiceAccount"),
    }
    more = {"HorizontalPodAutoscaler", "Ingress", "ServiceMonitor", "PrometheusRule"}
    kinds = {name: {each["kind"] for each in gates.load(builds[name])} for name in OVERLAYS}
    assert kinds == {"dev": base, "production": base | more}


def test_the_autoscaler_keeps_the_rules_that_its_users_know(builds: dict[str, str]) -> None:
    (scaler,) = of_kind(gates.load(builds["production"]), "HorizontalPodAutoscaler")
    spec = scaler["spec"]
    shares = {
        each["resource"]["name"]: each["resource"]["target"]["averageUtilization"]
        for each in spec["metrics"]
    }
    assert (spec["minReplicas"], spec["maxReplicas"], shares) == (2, 10, {"cpu": 70, "memory": 80})
    down, up = spec["behavior"]["scaleDown"], spec["behavior"]["scaleUp"]
    assert down["stabilizationWindowSeconds"] == 300
    assert [tuple(each.values()) for each in down["policies"]] == [(60, "Percent", 50)]
    assert {tuple(each.values()) for each in up["policies"]} == {
        (30, "Percent", 100),
        (30, "Pods", 2),
    }


def test_a_changed_tree_is_a_rollout(tmp_path: Path) -> None:
    shutil.copytree(K8S, tmp_path / "k8s")
    tree_of: Callable[[], str] = lambda: next(  # noqa: E731
        volume["configMap"]["name"]
        for each in of_kind(
            gates.load(gates.build(tmp_path / "k8s/overlays/production")), "StatefulSet"
        )
        for volume in template_of(each)["spec"]["volumes"]
        if volume["name"] == "tree"
    )
    before = tree_of()
    with (tmp_path / "k8s/base/tree.toml").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert tree_of() != before
