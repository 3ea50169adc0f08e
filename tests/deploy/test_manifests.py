"""The manifests hold together: what one part of them names, another part has."""

import re

from chassis.policy import read_policy
from services import POLICY
from tests.deploy.conftest import K8S, Manifest, settings_of
from tools import network_policies

SERVICES = {"ingest", "profile", "segment", "sender", "reports"}
HEALTH = 50053
NAME, PART_OF = "app.kubernetes.io/name", "app.kubernetes.io/part-of"
# What the labels that policies select by are called in the README.
ROLES = {"migrate", "postgres", "redis", "opentelemetry-collector", "kube-dns"} | SERVICES


def of(rendered: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in rendered if m["kind"] in kinds}


def workloads(rendered: list[Manifest]) -> dict[str, Manifest]:
    return of(rendered, "Deployment", "StatefulSet", "Job")


def pod(workload: Manifest) -> Manifest:
    return workload["spec"]["template"]["spec"]


def labels(workload: Manifest) -> dict[str, str]:
    return workload["spec"]["template"]["metadata"]["labels"]


def matches(selector: dict[str, str], found: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= found.items()


def test_every_service_is_deployed_and_migrated(rendered):
    assert set(of(rendered, "Deployment")) == SERVICES
    assert set(of(rendered, "Job")) == {f"migrate-{service}" for service in SERVICES}
    for service in SERVICES:
        container = pod(of(rendered, "Deployment")[service])["containers"][0]
        assert container["args"] == [f"services.{service}"]
        migration = pod(of(rendered, "Job")[f"migrate-{service}"])["containers"][0]
        assert migration["args"] == [f"services.{service}", "migrate"]


def test_selectors_select_the_pods_they_mean(rendered):
    for name, workload in of(rendered, "Deployment", "StatefulSet").items():
        assert matches(workload["spec"]["selector"]["matchLabels"], labels(workload)), name
        spread = pod(workload).get("topologySpreadConstraints", [])
        assert all(matches(s["labelSelector"]["matchLabels"], labels(workload)) for s in spread)
        assert all(key in labels(workload) for s in spread for key in s["matchLabelKeys"][:-1])
    running = of(rendered, "Deployment", "StatefulSet").values()
    for name, service in of(rendered, "Service").items():
        selected = [w for w in running if matches(service["spec"]["selector"], labels(w))]
        assert [w["metadata"]["name"] for w in selected] == [name.removesuffix("-http")]
    for name, budget in of(rendered, "PodDisruptionBudget").items():
        selector = budget["spec"]["selector"]["matchLabels"]
        chosen = [w["metadata"]["name"] for w in running if matches(selector, labels(w))]
        assert chosen == [name]


def test_services_lead_to_ports_that_containers_open(rendered):
    running = of(rendered, "Deployment", "StatefulSet")
    for name, service in of(rendered, "Service").items():
        container = pod(running[name.removesuffix("-http")])["containers"][0]
        opened = {port["name"]: port["containerPort"] for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in opened, name
            if service["spec"].get("clusterIP") == "None":
                assert port["port"] == opened[port["targetPort"]], "headless: no port mapping"


def test_the_settings_name_the_ports_and_services_that_there_are(rendered):
    settings = settings_of(rendered)
    services = of(rendered, "Service")
    for deployment in of(rendered, "Deployment").values():
        opened = {p["name"]: p["containerPort"] for p in pod(deployment)["containers"][0]["ports"]}
        assert opened["grpc"] == int(settings["GRPC_PORT"])
        assert opened["api"] == int(settings["API_PORT"])
        assert opened["health"] == int(settings["HEALTH_PORT"])
        assert opened.get("http", 8080) == int(settings["HTTP_PORT"])
    for key, target in settings.items():
        if key.endswith("_TARGET"):
            name, port = target.removeprefix("dns:///").split(":")
            assert name == key.removesuffix("_TARGET").lower()
            assert int(port) in [p["port"] for p in services[name]["spec"]["ports"]]
    stop = float(settings["DRAIN_S"]) + float(settings["GRACE_S"])
    for deployment in of(rendered, "Deployment").values():
        assert stop + 10 <= pod(deployment)["terminationGracePeriodSeconds"]


def test_every_deployment_is_probed_bounded_and_protected(rendered):
    accounts, budgets = of(rendered, "ServiceAccount"), of(rendered, "PodDisruptionBudget")
    for name, deployment in of(rendered, "Deployment").items():
        container = pod(deployment)["containers"][0]
        opened = [port["containerPort"] for port in container["ports"]]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["grpc"]["port"] in opened, (name, probe)
            assert container[probe]["grpc"]["port"] == HEALTH, "probes have no certificates"
        assert pod(deployment)["serviceAccountName"] == name
        assert name in accounts
        assert name in budgets


def test_every_pod_is_restricted(rendered):
    for name, workload in workloads(rendered).items():
        spec = pod(workload)
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
    (namespace,) = of(rendered, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_image_has_a_version_that_stays(rendered):
    for name, workload in workloads(rendered).items():
        for container in pod(workload)["containers"]:
            image = container["image"].rpartition("/")[2]
            tagged = re.fullmatch(r"[\w.-]+(:[\w.-]+|@sha256:[0-9a-f]{64})", image)
            assert tagged, f"{name}: {image}"
            assert not image.endswith(":latest"), name


def test_secrets_are_referenced_and_never_written(rendered):
    assert not of(rendered, "Secret")
    settings = settings_of(rendered)
    secret = re.compile(r"SECRET|TOKEN|PASSWORD|KEY|DATABASE_URL|REDIS_URL")
    assert not [key for key in settings if secret.search(key) and not key.endswith("_FILE")]
    for name, workload in workloads(rendered).items():
        for container in pod(workload)["containers"]:
            literal = [e["name"] for e in container.get("env", []) if "value" in e]
            assert not [key for key in literal if secret.search(key)], name


def test_the_readme_lists_exactly_the_secrets_that_are_referenced(rendered):
    used: dict[str, set[str]] = {}
    for workload in workloads(rendered).values():
        for container in pod(workload)["containers"]:
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    reference = variable["valueFrom"]["secretKeyRef"]
                    used.setdefault(reference["name"], set()).add(reference["key"])
            for source in container.get("envFrom", []):
                if "secretRef" in source:
                    used.setdefault(source["secretRef"]["name"], set())
        for volume in pod(workload).get("volumes", []):
            if "secret" in volume:
                used.setdefault(volume["secret"]["secretName"], set())
    documented = {
        row[0].split("`")[1]: set(re.findall(r"`([\w.]+)`", row[1]))
        for row in table("secret", "keys")
    }
    assert used.keys() <= documented.keys()
    assert documented.keys() - used.keys() <= {"stores"}
    for name, keys in used.items():
        assert keys in (documented[name], set()), name


def table(*heading: str) -> list[list[str]]:
    """The rows of the README's table whose heading begins so."""
    lines = iter((K8S / "README.md").read_text().splitlines())
    for line in lines:
        if line.startswith("| " + " | ".join(heading) + " |"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def role(selector: Manifest) -> str:
    """The README's word for whom one `from`, `to` or `podSelector` means."""
    if "ipBlock" in selector:
        return "internet"
    for whose, word in (("gateway", "gateway"), ("client", "clients")):
        if selector.get("namespaceSelector") == {"matchLabels": {f"merhaba.dev/{whose}": "true"}}:
            return word
    found = selector["podSelector"]["matchLabels"]
    if found == {PART_OF: "merhaba"}:
        return "every pod"
    (value,) = found.values()
    assert value in ROLES, f"a policy selects by {found}, which the README has no word for"
    return value


def edges(rendered: list[Manifest], direction: str) -> set[tuple[str, str, str]]:
    """(from, to, port) of every edge that the base's policies allow in one direction."""
    peers = {"egress": "to", "ingress": "from"}[direction]
    found = set()
    for name, policy in of(rendered, "NetworkPolicy").items():
        if name not in SERVICES | {"every-pod", "migrate"}:
            continue
        own = role(policy["spec"])
        for rule in policy["spec"].get(direction, []):
            assert rule[peers], "an empty list of peers would mean everybody"
            for peer in rule[peers]:
                for port in rule["ports"]:
                    ends = (own, role(peer)) if direction == "egress" else (role(peer), own)
                    found.add((*ends, str(port["port"])))
    return found


def test_the_network_policies_are_the_call_graph_of_the_readme(rendered):
    documented = {(row[0], row[1], row[2]) for row in table("from", "to", "port")}
    assert edges(rendered, "egress") == {
        edge for edge in documented if edge[0] not in {"gateway", "clients"}
    }
    assert edges(rendered, "ingress") == {edge for edge in documented if edge[1] in SERVICES}


def test_the_network_policies_are_made_from_who_may_call_what():
    assert network_policies.FILE.read_text() == network_policies.text(read_policy(POLICY)), (
        "run `python tools/network_policies.py`"
    )


def test_certificates_are_mounted_where_the_settings_look_for_them(rendered):
    settings = settings_of(rendered)
    for name, deployment in of(rendered, "Deployment").items():
        volumes = {volume["name"]: volume for volume in pod(deployment)["volumes"]}
        assert volumes["tls"]["secret"]["secretName"] == f"{name}-tls"
        mounts = {mount["mountPath"] for mount in pod(deployment)["containers"][0]["volumeMounts"]}
        for key in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE", "KEYS_FILE"):
            assert settings[key].rpartition("/")[0] in mounts


def test_what_no_policy_allows_is_denied(rendered):
    deny = of(rendered, "NetworkPolicy")["default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_names_that_are_referenced_exist(rendered):
    maps, accounts = of(rendered, "ConfigMap"), of(rendered, "ServiceAccount")
    for name, workload in of(rendered, "Deployment", "Job").items():
        assert pod(workload)["serviceAccountName"] in accounts, name
        for container in pod(workload)["containers"]:
            for source in container.get("envFrom", []):
                if "configMapRef" in source:
                    assert source["configMapRef"]["name"] in maps, name
            volumes = {volume["name"] for volume in pod(workload)["volumes"]}
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, name
