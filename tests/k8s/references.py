"""What no checker of manifests looks at: whether the objects fit each other and the program.

A rule takes all objects of one build and yields what is wrong, one line each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from a2a_sup.app.config import build, read_config
from a2a_sup.app.deadline import MARGIN, stop_bound

Object: TypeAlias = dict[str, Any]
Objects: TypeAlias = list[Object]
Rule: TypeAlias = Callable[[Objects], Iterator[str]]

API_VERSIONS = {
    "ConfigMap": "v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Ingress": "networking.k8s.io/v1",
    "Namespace": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "StatefulSet": "apps/v1",
}
"""What we use. Another version of these was removed, or is not yet in every cluster."""
BROUGHT = {"a2a-sup-token", "a2a-sup-tls"}
"""Secrets that whoever deploys makes: docs/kubernetes.md says how."""
VARIABLES = {
    "A2A_SUP_HTTP",
    "A2A_SUP_DASHBOARD",
    "A2A_SUP_CONTROL",
    "A2A_SUP_LOG_FORMAT",
    "A2A_SUP_LOGS",
    "A2A_SUP_STATE_DIR",
    "LOG_LEVEL",
}
PATHS = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
HANDLERS = {"exec", "httpGet", "tcpSocket", "grpc"}
GRACE_TO_SPARE = 15
"""Seconds of grace that are still no mistake beyond the supervisor's own last deadline."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_UNITS = {
    "m": 0.001,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def problems(objects: Objects) -> list[str]:
    """Return all that is wrong with the objects of one build; nothing, if they fit."""
    return [problem for rule in RULES for problem in rule(objects)]


def of_kind(objects: Iterable[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def name_of(each: Object) -> str:
    return f"{each['kind']} {each['metadata']['name']}"


def named(objects: Objects, kind: str, name: str) -> Object | None:
    found = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found[0] if found else None


def template_of(workload: Object) -> Object:
    template: Object = workload["spec"]["template"]
    return template


def labels_of(each: Object) -> dict[str, str]:
    labels: dict[str, str] = each["metadata"].get("labels", {})
    return labels


def is_selected(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def pods(objects: Objects, selector: Mapping[str, str]) -> list[Object]:
    """Return the templates whose pods a selector finds."""
    templates = [template_of(each) for each in of_kind(objects, "StatefulSet")]
    return [each for each in templates if is_selected(labels_of(each), selector)]


def containers(objects: Objects) -> Iterator[tuple[Object, Object]]:
    for workload in of_kind(objects, "StatefulSet"):
        for container in template_of(workload)["spec"]["containers"]:
            yield workload, container


def ports_of(template: Object) -> set[str | int]:
    """Return the names and numbers of the ports of a pod."""
    ports = [port for each in template["spec"]["containers"] for port in each.get("ports", ())]
    return {port["name"] for port in ports} | {port["containerPort"] for port in ports}


def amount(quantity: object) -> float | None:
    """Return what a quantity is; None if it is none."""
    match = _QUANTITY.fullmatch(str(quantity))
    return float(match[1]) * _UNITS.get(match[2], 1) if match else None


# --- every object --------------------------------------------------------------------------------


def versions_exist(objects: Objects) -> Iterator[str]:
    for each in objects:
        known = API_VERSIONS.get(each["kind"])
        if each["apiVersion"] != known:
            yield f"{name_of(each)}: {each['apiVersion']} was removed or is unknown, not {known}"


def names_are_names(objects: Objects) -> Iterator[str]:
    for each in objects:
        if not _NAME.fullmatch(each["metadata"]["name"]):
            yield f"{name_of(each)}: not a name"


def all_are_in_the_namespace(objects: Objects) -> Iterator[str]:
    namespaces = {
        each["metadata"]["name"]: labels_of(each) for each in of_kind(objects, "Namespace")
    }
    for each in objects:
        namespace = each["metadata"].get("namespace")
        if each["kind"] != "Namespace" and namespace not in namespaces:
            yield f"{name_of(each)}: no Namespace {namespace}"
    for name, labels in namespaces.items():
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace {name}: its pods are not held to the restricted standard"


# --- who selects whom -----------------------------------------------------------------------------


def selectors_select(objects: Objects) -> Iterator[str]:
    for each in of_kind(objects, "StatefulSet"):
        selector = each["spec"].get("selector", {}).get("matchLabels", {})
        if not selector or not is_selected(labels_of(template_of(each)), selector):
            yield f"{name_of(each)}: its selector does not select its own pods"
    for each in of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy"):
        if not pods(objects, selector_of(each)):
            yield f"{name_of(each)}: selects no pod"
    for each in of_kind(objects, "ServiceMonitor"):
        if not monitored(objects, each):
            yield f"{name_of(each)}: selects no Service"


def selector_of(each: Object) -> dict[str, str]:
    """Return which pods an object is about; of one that does not say so, a selector of none."""
    spec = each["spec"]
    none = {"": ""}
    match each["kind"]:
        case "Service":
            selector = spec.get("selector", none)
        case "NetworkPolicy":
            selector = spec["podSelector"].get("matchLabels", {})
        case _:
            selector = spec.get("selector", {}).get("matchLabels", none)
    return dict(selector)


def monitored(objects: Objects, monitor: Object) -> list[Object]:
    selector = monitor["spec"]["selector"]["matchLabels"]
    return [each for each in of_kind(objects, "Service") if is_selected(labels_of(each), selector)]


def ports_are_there(objects: Objects) -> Iterator[str]:
    for each in of_kind(objects, "Service", "NetworkPolicy"):
        for port in target_ports(each):
            for template in pods(objects, selector_of(each)):
                if port not in ports_of(template):
                    yield f"{name_of(each)}: no pod has the port {port}"
    for each in of_kind(objects, "ServiceMonitor"):
        for service in monitored(objects, each):
            names = {port["name"] for port in service["spec"]["ports"]}
            for endpoint in each["spec"]["endpoints"]:
                if endpoint["port"] not in names:
                    yield f"{name_of(each)}: {name_of(service)} has no port {endpoint['port']}"


def target_ports(each: Object) -> list[str | int]:
    """Return the ports of pods that a Service or a NetworkPolicy leads to."""
    if each["kind"] == "Service":
        return [port.get("targetPort", port["port"]) for port in each["spec"]["ports"]]
    rules = each["spec"].get("ingress", ())
    return [port["port"] for rule in rules for port in rule.get("ports", ())]


def ingress_leads_somewhere(objects: Objects) -> Iterator[str]:
    for each in of_kind(objects, "Ingress"):
        for rule in each["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = named(objects, "Service", backend["name"])
                if service is None:
                    yield f"{name_of(each)}: no Service {backend['name']}"
                elif backend["port"]["name"] not in {p["name"] for p in service["spec"]["ports"]}:
                    yield f"{name_of(each)}: {name_of(service)} has no {backend['port']['name']}"
        for tls in each["spec"].get("tls", ()):
            if tls["secretName"] not in BROUGHT:
                yield f"{name_of(each)}: nobody brings the Secret {tls['secretName']}"


def autoscaler_scales(objects: Objects) -> Iterator[str]:
    for each in of_kind(objects, "HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        workload = named(objects, target["kind"], target["name"])
        if workload is None:
            yield f"{name_of(each)}: no {target['kind']} {target['name']} to scale"
            continue
        if "replicas" in workload["spec"]:
            yield f"{name_of(workload)}: replicas undo what {name_of(each)} did, at every apply"
        if each["spec"]["minReplicas"] > each["spec"]["maxReplicas"]:
            yield f"{name_of(each)}: minReplicas > maxReplicas"
        for metric in each["spec"]["metrics"]:
            resource = metric["resource"]["name"]
            for container in template_of(workload)["spec"]["containers"]:
                if resource not in container.get("resources", {}).get("requests", {}):
                    yield f"{name_of(each)}: a share of {resource}, and none is requested"


# --- pods -----------------------------------------------------------------------------------------


def pods_have_what_they_name(objects: Objects) -> Iterator[str]:
    for each in of_kind(objects, "StatefulSet"):
        spec = template_of(each)["spec"]
        account = spec.get("serviceAccountName")
        if named(objects, "ServiceAccount", str(account)) is None:
            yield f"{name_of(each)}: no ServiceAccount {account}"
        service = named(objects, "Service", each["spec"].get("serviceName", ""))
        if service is None or service["spec"].get("clusterIP") != "None":
            yield f"{name_of(each)}: serviceName is no headless Service"
        volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
        claims = {
            claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", ())
        }
        for name, volume in volumes.items():
            source = volume.get("configMap", {}).get("name")
            if source is not None and named(objects, "ConfigMap", source) is None:
                yield f"{name_of(each)}: volume {name}: no ConfigMap {source}"
            secret = volume.get("secret", {}).get("secretName")
            if secret is not None and secret not in BROUGHT:
                yield f"{name_of(each)}: volume {name}: nobody brings the Secret {secret}"
            if "persistentVolumeClaim" in volume:
                yield f"{name_of(each)}: volume {name}: one claim for all pods; each needs its own"
        mounted = {m["name"] for c in spec["containers"] for m in c.get("volumeMounts", ())}
        for name in mounted - volumes.keys() - claims:
            yield f"{name_of(each)}: no volume {name} to mount"
        for name in (volumes.keys() | claims) - mounted:
            yield f"{name_of(each)}: volume {name} is not mounted"


def probes_ask_what_is_served(objects: Objects) -> Iterator[str]:
    for workload, container in containers(objects):
        place = f"{name_of(workload)}: {container['name']}"
        for kind, path in PATHS.items():
            probe = container.get(kind)
            if probe is None:
                yield f"{place}: no {kind}"
                continue
            if len(HANDLERS & probe.keys()) != 1:
                yield f"{place}: {kind}: one of {sorted(HANDLERS)} and no more"
            get = probe.get("httpGet", {})
            if get.get("path") != path:
                yield f"{place}: {kind}: asks {get.get('path')}, not {path}"
            if get.get("port") not in ports_of(template_of(workload)):
                yield f"{place}: {kind}: no port {get.get('port')}"
            if probe.get("timeoutSeconds", 1) > probe.get("periodSeconds", 10):
                yield f"{place}: {kind}: waits longer than until the next"


def ports_are_those_of_the_program(objects: Objects) -> Iterator[str]:
    for workload, container in containers(objects):
        place = f"{name_of(workload)}: {container['name']}"
        variables = {each["name"]: each.get("value", "") for each in container.get("env", ())}
        for name in variables.keys() - VARIABLES:
            yield f"{place}: env: {name}: the program reads {', '.join(sorted(VARIABLES))}"
        listens = {
            name: int(variables.get(variable, ":0").rpartition(":")[2])
            for name, variable in {"http": "A2A_SUP_HTTP", "dashboard": "A2A_SUP_DASHBOARD"}.items()
        }
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        if listens != ports:
            yield f"{place}: it listens on {listens}, and its ports are {ports}"
        for port in ports.values():
            if not 1024 <= port <= 65535:
                yield f"{place}: port {port}: not for a user without privileges, or no port"


def limits_are_limits(objects: Objects) -> Iterator[str]:
    for workload, container in containers(objects):
        place = f"{name_of(workload)}: {container['name']}"
        resources = container.get("resources", {})
        for resource in ("cpu", "memory"):
            request = amount(resources.get("requests", {}).get(resource))
            limit = amount(resources.get("limits", {}).get(resource))
            if request is None or limit is None:
                yield f"{place}: {resource}: needs a request and a limit, as numbers with units"
            elif request > limit:
                yield f"{place}: {resource}: requests more than its limit"


def pods_are_restricted(objects: Objects) -> Iterator[str]:
    """Pod Security's ``restricted`` standard, and the image's own user."""
    for workload, container in containers(objects):
        place = f"{name_of(workload)}: {container['name']}"
        spec = template_of(workload)["spec"]
        context = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
        wanted = {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "fsGroup": 10001,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for key, value in wanted.items():
            if context.get(key) != value:
                yield f"{place}: {key} is {context.get(key)}, not {value}"
        if context.get("privileged"):
            yield f"{place}: privileged"
        for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            if spec.get(key):
                yield f"{place}: {key}: it has to be PID 1 of its own"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{place}: gets a token of the cluster"


def images_have_versions(objects: Objects) -> Iterator[str]:
    for workload, container in containers(objects):
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        if tag in {"", "latest"}:
            yield f"{name_of(workload)}: {container['image']}: which version?"


# --- the tree -------------------------------------------------------------------------------------


def trees(objects: Objects, directory: Path) -> Iterator[tuple[Object, Path]]:
    """Write the tree of each workload into a directory; yield where it is."""
    for workload, container in containers(objects):
        volumes = {each["name"]: each for each in template_of(workload)["spec"]["volumes"]}
        for mount in container["volumeMounts"]:
            source = volumes.get(mount["name"], {}).get("configMap", {}).get("name")
            configuration = named(objects, "ConfigMap", str(source))
            for name, text in (configuration or {}).get("data", {}).items():
                if f"{mount['mountPath']}/{name}" in container.get("args", ()):
                    file = directory / f"{workload['metadata']['name']}.toml"
                    file.write_text(text, encoding="utf-8")
                    yield workload, file


def token_is_mounted(objects: Objects, directory: Path) -> list[str]:
    """Hold the token file that a tree names against what is mounted."""
    found = []
    for workload, file in trees(objects, directory):
        token = read_config(file, {}).serve.token_file
        spec = template_of(workload)["spec"]
        secrets = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
        mounts = [mount for each in spec["containers"] for mount in each["volumeMounts"]]
        places = {mount["mountPath"] for mount in mounts if mount["name"] in secrets}
        if token is not None and str(Path(token).parent) not in places:
            found.append(f"{name_of(workload)}: no Secret is mounted where {token} is read")
        if token is None and places:
            found.append(f"{name_of(workload)}: a token is mounted that nothing reads")
    return found


def grace_is_enough(objects: Objects, directory: Path) -> list[str]:
    """Hold the grace period against the stop timeouts of the tree that is mounted."""
    found = []
    checked = set()
    for workload, file in trees(objects, directory):
        checked.add(name_of(workload))
        seconds = stop_bound(build(read_config(file, {}), logs_dir=None)) + MARGIN
        grace = template_of(workload)["spec"].get("terminationGracePeriodSeconds", 30)
        if not seconds <= grace <= seconds + GRACE_TO_SPARE:
            found.append(
                f"{name_of(workload)}: a grace period of {grace} s, where the supervisor ends "
                f"itself after {seconds:g} s at the latest"
            )
    for workload in of_kind(objects, "StatefulSet"):
        if name_of(workload) not in checked:
            found.append(f"{name_of(workload)}: the file it is to run is not mounted")
    return found


RULES: list[Rule] = [
    versions_exist,
    names_are_names,
    all_are_in_the_namespace,
    selectors_select,
    ports_are_there,
    ingress_leads_somewhere,
    autoscaler_scales,
    pods_have_what_they_name,
    probes_ask_what_is_served,
    ports_are_those_of_the_program,
    limits_are_limits,
    pods_are_restricted,
    images_have_versions,
]
