"""Mistakes that people make in manifests, to be put into good ones, and who finds each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from tests.k8s.references import Object, Objects, of_kind, template_of


@attrs.frozen
class Mutant:
    """One mistake in what was built.

    Attributes:
        change: makes it.
        gates: those that have to find it; others may.
    """

    change: Callable[[Objects], None]
    gates: tuple[str, ...]


@attrs.frozen
class SourceMutant:
    """One mistake in a file, which is not built then."""

    file: str
    good: str
    bad: str


def one(objects: Objects, kind: str, name: str = "a2a-sup") -> Object:
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def stateful(objects: Objects) -> Object:
    return one(objects, "StatefulSet")


def pod(objects: Objects) -> Object:
    spec: Object = template_of(stateful(objects))["spec"]
    return spec


def container(objects: Objects) -> Object:
    first: Object = pod(objects)["containers"][0]
    return first


def rule(objects: Objects, alert: str) -> Object:
    all_rules = one(objects, "PrometheusRule")["spec"]["groups"][0]["rules"]
    (found,) = [each for each in all_rules if each["alert"] == alert]
    return dict_of(found)


def dict_of(value: Any) -> Object:
    assert isinstance(value, dict)
    return value


def typo_in_a_key(objects: Objects) -> None:
    container(objects)["livenesProbe"] = container(objects).pop("livenessProbe")


def word_for_a_number(objects: Objects) -> None:
    stateful(objects)["spec"]["minReadySeconds"] = "five"


def no_selector(objects: Objects) -> None:
    del stateful(objects)["spec"]["selector"]


def removed_api(objects: Objects) -> None:
    one(objects, "PodDisruptionBudget")["apiVersion"] = "policy/v1beta1"


def selector_of_others(objects: Objects) -> None:
    stateful(objects)["spec"]["selector"]["matchLabels"] = {"app.kubernetes.io/name": "other"}


def wrong_unit(objects: Objects) -> None:
    container(objects)["resources"]["limits"]["memory"] = "512MiB"


def wrong_word(objects: Objects) -> None:
    pod(objects)["securityContext"]["seccompProfile"]["type"] = "RuntimeDefualt"


def name_in_capitals(objects: Objects) -> None:
    one(objects, "PodDisruptionBudget")["metadata"]["name"] = "A2A_Sup"


def port_too_large(objects: Objects) -> None:
    container(objects)["ports"][0]["containerPort"] = 80800


def probe_of_an_unknown_port(objects: Objects) -> None:
    container(objects)["readinessProbe"]["httpGet"]["port"] = "web"


def root(objects: Objects) -> None:
    del pod(objects)["securityContext"]["runAsNonRoot"]
    pod(objects)["securityContext"]["runAsUser"] = 0


def no_limits(objects: Objects) -> None:
    del container(objects)["resources"]["limits"]


def latest(objects: Objects) -> None:
    container(objects)["image"] = "registry.example.com/a2a-sup:latest"


def no_such_account(objects: Objects) -> None:
    pod(objects)["serviceAccountName"] = "supervisor"


def request_above_limit(objects: Objects) -> None:
    container(objects)["resources"]["requests"]["memory"] = "1Gi"


def two_handlers(objects: Objects) -> None:
    container(objects)["livenessProbe"]["tcpSocket"] = {"port": 3000}


def service_selects_none(objects: Objects) -> None:
    one(objects, "Service")["spec"]["selector"] = {"app": "a2a-sup"}


def privileged(objects: Objects) -> None:
    container(objects)["securityContext"]["privileged"] = True


def grace_below_the_stop_timeouts(objects: Objects) -> None:
    pod(objects)["terminationGracePeriodSeconds"] = 30


def mount_without_a_volume(objects: Objects) -> None:
    pod(objects)["volumes"] = [each for each in pod(objects)["volumes"] if each["name"] != "tmp"]


def config_map_of_another_name(objects: Objects) -> None:
    (tree,) = [each for each in pod(objects)["volumes"] if each["name"] == "tree"]
    tree["configMap"]["name"] = "a2a-sup-tree"


def secret_that_nobody_brings(objects: Objects) -> None:
    (token,) = [each for each in pod(objects)["volumes"] if each["name"] == "token"]
    token["secret"]["secretName"] = "token"


def token_in_another_place(objects: Objects) -> None:
    for mount in container(objects)["volumeMounts"]:
        if mount["name"] == "token":
            mount["mountPath"] = "/run/secrets"


def one_claim_for_all_pods(objects: Objects) -> None:
    del stateful(objects)["spec"]["volumeClaimTemplates"]
    pod(objects)["volumes"].append(
        {"name": "state", "persistentVolumeClaim": {"claimName": "a2a-data"}}
    )


def service_port_to_nowhere(objects: Objects) -> None:
    one(objects, "Service")["spec"]["ports"][1]["targetPort"] = "websocket"


def ingress_to_no_service(objects: Objects) -> None:
    paths = one(objects, "Ingress")["spec"]["rules"][0]["http"]["paths"]
    paths[0]["backend"]["service"]["name"] = "a2a-dashboard"


def autoscaler_of_another_kind(objects: Objects) -> None:
    one(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["kind"] = "Deployment"


def replicas_beside_an_autoscaler(objects: Objects) -> None:
    stateful(objects)["spec"]["replicas"] = 2


def port_that_nothing_listens_on(objects: Objects) -> None:
    for variable in container(objects)["env"]:
        if variable["name"] == "A2A_SUP_HTTP":
            variable["value"] = "0.0.0.0:8080"


def variable_that_nobody_reads(objects: Objects) -> None:
    container(objects)["env"].append({"name": "METRICS_PORT", "value": "3000"})


def liveness_by_readiness(objects: Objects) -> None:
    container(objects)["livenessProbe"]["httpGet"]["path"] = "/readyz"


def monitor_of_an_unknown_port(objects: Objects) -> None:
    one(objects, "ServiceMonitor")["spec"]["endpoints"][0]["port"] = "metrics"


def token_of_the_cluster(objects: Objects) -> None:
    pod(objects)["automountServiceAccountToken"] = True


def not_pid_1(objects: Objects) -> None:
    pod(objects)["shareProcessNamespace"] = True


def namespace_that_allows_all(objects: Objects) -> None:
    del one(objects, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]


def service_with_an_unknown_protocol(objects: Objects) -> None:
    one(objects, "Service")["spec"]["ports"][0]["protocol"] = 6


def file_that_is_not_mounted(objects: Objects) -> None:
    container(objects)["args"] = ["/etc/a2a-sup/config.toml"]


def typo_in_promql(objects: Objects) -> None:
    rule(objects, "A2aSupCrashLoop")["expr"] = "increse(a2a_sup_child_restarts_total[15m]) > 5"


def unknown_key_of_a_rule(objects: Objects) -> None:
    rule(objects, "A2aSupCrashLoop")["wait"] = rule(objects, "A2aSupCrashLoop").pop("for")


MUTANTS = {
    change.__name__: Mutant(change, tuple(gates))
    for change, *gates in (
        (typo_in_a_key, "schema"),
        (word_for_a_number, "schema"),
        (no_selector, "schema", "references"),
        (removed_api, "references"),
        (selector_of_others, "references"),
        (wrong_unit, "references"),
        (wrong_word, "references", "policy"),
        (name_in_capitals, "references"),
        (port_too_large, "references"),
        (probe_of_an_unknown_port, "references"),
        (root, "references", "policy"),
        (no_limits, "references", "policy"),
        (latest, "references", "policy"),
        (no_such_account, "references"),
        (request_above_limit, "references"),
        (two_handlers, "references"),
        (service_selects_none, "references"),
        (privileged, "references", "policy"),
        (grace_below_the_stop_timeouts, "references"),
        (mount_without_a_volume, "references"),
        (config_map_of_another_name, "references"),
        (secret_that_nobody_brings, "references"),
        (token_in_another_place, "references"),
        (one_claim_for_all_pods, "references"),
        (service_port_to_nowhere, "references"),
        (ingress_to_no_service, "references"),
        (autoscaler_of_another_kind, "references"),
        (replicas_beside_an_autoscaler, "references"),
        (port_that_nothing_listens_on, "references"),
        (variable_that_nobody_reads, "references"),
        (liveness_by_readiness, "references"),
        (monitor_of_an_unknown_port, "references"),
        (token_of_the_cluster, "references", "policy"),
        (not_pid_1, "references"),
        (namespace_that_allows_all, "references"),
        (service_with_an_unknown_protocol, "schema"),
        (file_that_is_not_mounted, "references"),
        (typo_in_promql, "alerts"),
        (unknown_key_of_a_rule, "alerts"),
    )
}

SOURCE_MUTANTS = {
    "duplicate_key": SourceMutant(
        "base/stateful-set.yaml",
        "  minReadySeconds: 5\n",
        "  minReadySeconds: 5\n  minReadySeconds: 10\n",
    ),
    "resource_that_is_not_there": SourceMutant(
        "base/kustomization.yaml", "  - services.yaml\n", "  - service.yaml\n"
    ),
    "patch_of_nothing": SourceMutant(
        "overlays/dev/small.yaml", "  name: a2a-sup\nspec", "  name: a2a-supervisor\nspec"
    ),
    "unknown_key_of_kustomize": SourceMutant(
        "overlays/dev/kustomization.yaml", "replicas:\n", "replica:\n"
    ),
    "wrong_indentation": SourceMutant(
        "base/stateful-set.yaml", "      containers:\n", "     containers:\n"
    ),
}
