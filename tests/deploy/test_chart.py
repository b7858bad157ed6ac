"""The Helm chart, rendered by Helm: what Kubernetes would take, and what an operator would look for."""

import subprocess
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from tests.deploy.conftest import CHART, GIVEN, Manifest, RefusedError, Render, kubernetes_says

from lifecycle.http import DRAIN_SECONDS

SERVERS = ("catalog-api-serve", "price-history-serve")
WORKERS = ("catalog-api-work", "offers-sync-work", "price-history-work")
EVERYTHING: Manifest = {
    "image": {"digests": {"offers-sync": f"sha256:{'0' * 64}"}, "pullSecrets": ["registry"]},
    "services": {"catalog-api": {"migrationSecret": "catalog-api-owner"}},
    "settings": {"LOG_LEVEL": "DEBUG"},
    "processes": {
        **{name: {"autoscaling": {"enabled": True}} for name in SERVERS},
        "price-history-work": {"settings": {"KNOWN_PRODUCTS": 10_000_000, "LOG_LEVEL": "INFO"}},
        "offers-sync-work": {"settings": {"OFFERS_POLL_INTERVAL_SECONDS": 0.5}},
    },
    "keda": {"enabled": True, "brokerSecret": "keda-broker"},
    "networkPolicy": {
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "database": {"to": [{"ipBlock": {"cidr": "10.1.0.0/24"}}]},
    },
    "serviceAccountName": "aggregator",
    "priorityClassName": "high",
    "podAnnotations": {"a.example/b": "c"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "extraEnv": [{"name": "PGSSLROOTCERT", "value": "/ca/ca.crt"}],
    "extraVolumes": [{"name": "ca", "secret": {"secretName": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
}

# What the chart uses of https://keda.sh/docs/2.16/reference/scaledobject-spec/: KEDA's own schema comes in no package.
_METADATA = {"type": "object", "additionalProperties": {"type": "string"}}
_OBJECT = {"type": "object", "additionalProperties": False}
_NAMED = {**_OBJECT, "required": ["name"], "properties": {"name": {"type": "string"}}}
_TRIGGER = {
    "type": {"enum": ["rabbitmq", "cpu"]},
    "metricType": {"enum": ["Utilization"]},
    "metadata": _METADATA,
    "authenticationRef": _NAMED,
}
SCALED_OBJECT: Manifest = {
    **_OBJECT,
    "required": ["scaleTargetRef", "triggers"],
    "properties": {
        "scaleTargetRef": _NAMED,
        "pollingInterval": {"type": "integer"},
        "minReplicaCount": {"type": "integer"},
        "maxReplicaCount": {"type": "integer"},
        "triggers": {"items": {**_OBJECT, "required": ["type", "metadata"], "properties": _TRIGGER}},
    },
}


def named(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Those of a kind, by their names without the release's."""
    prefix = "shop-product-aggregator-"
    return {m["metadata"]["name"].removeprefix(prefix): m for m in manifests if m["kind"] == kind}


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    return (m["spec"]["template"]["spec"] for m in manifests if m["kind"] in ("Deployment", "Job"))


def environment(manifest: Manifest) -> dict[str, Any]:
    """Values by name, and for those from a secret its name."""
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return {
        entry["name"]: entry.get("value") or entry["valueFrom"]["secretKeyRef"]["name"] for entry in container["env"]
    }


@pytest.fixture(scope="session")
def least(render: Render) -> list[Manifest]:
    return render()


@pytest.fixture(scope="session")
def most(render: Render) -> list[Manifest]:
    return render(EVERYTHING)


def test_helm_finds_no_fault(helm: str) -> None:
    chosen = [word for setting in GIVEN for word in ("--set", setting)]
    linted = subprocess.run([helm, "lint", "--strict", CHART, *chosen], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
    assert "[WARNING]" not in linted.stdout


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("rendered", ["least", "most"])
def test_kubernetes_takes_every_manifest(version: str, rendered: str, request: pytest.FixtureRequest) -> None:
    manifests = request.getfixturevalue(rendered)
    own = [manifest for manifest in manifests if not manifest["apiVersion"].startswith("keda.sh/")]
    said = kubernetes_says(own, version)
    assert sum(line.startswith("INFO") and " passed " in line for line in said) == len(own) == len(said), said


def test_kubernetes_schemas_notice_a_misspelt_field(least: list[Manifest]) -> None:
    deployment = named(least, "Deployment")["catalog-api-work"]
    misspelt = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    assert "ERROR" in "".join(kubernetes_says([misspelt], "1.30"))


def test_no_name_is_used_twice(most: list[Manifest]) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in most]
    assert len(names) == len(set(names))


def test_names_of_a_long_release_fit_a_label(render: Render) -> None:
    # A name is a label's value too, of 63 characters at most, and a Deployment's pods add eleven to it.
    assert max(len(manifest["metadata"]["name"]) for manifest in render(release="r" * 53)) <= 63


def test_every_process_runs_twice_and_one_may_be_drained_at_a_time(least: list[Manifest]) -> None:
    deployments, budgets = named(least, "Deployment"), named(least, "PodDisruptionBudget")
    assert set(deployments) == set(budgets) == {*SERVERS, *WORKERS}
    for name, deployment in deployments.items():
        assert deployment["spec"]["replicas"] == 2
        assert budgets[name]["spec"]["maxUnavailable"] == 1
        assert budgets[name]["spec"]["selector"] == deployment["spec"]["selector"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_pods_can_do_nothing_but_their_work(most: list[Manifest], least: list[Manifest]) -> None:
    seen = 0
    for pod in (*pods(most), *pods(least)):
        seen += 1
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert container["resources"]["limits"].keys() == {"memory"}
    assert seen == 16


def test_probes_ask_the_port_that_the_process_is_told(least: list[Manifest]) -> None:
    for name, deployment in named(least, "Deployment").items():
        told = environment(deployment)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        host, port = ("HOST", "PORT") if name in SERVERS else ("HEALTH_HOST", "HEALTH_PORT")
        assert told[host] == "0.0.0.0"
        assert container["ports"] == [{"name": "http", "containerPort": int(told[port])}]
        for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
            assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "http"}
        service, command = name.rsplit("-", 1)
        assert container["command"] == [service, command]


def test_services_lead_to_the_servers_and_the_catalog_to_price_history(least: list[Manifest]) -> None:
    services, deployments = named(least, "Service"), named(least, "Deployment")
    for name in SERVERS:
        service = services[name.removesuffix("-serve")]
        assert service["spec"]["selector"] == deployments[name]["spec"]["selector"]["matchLabels"]
        assert service["spec"]["ports"][0]["port"] == int(environment(deployments[name])["PORT"])
    url = environment(deployments["catalog-api-serve"])["PRICE_HISTORY_URL"]
    service = services["price-history"]
    assert url == f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"


def test_there_is_time_to_drain(least: list[Manifest]) -> None:
    for name, deployment in named(least, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        sleep = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert (sleep > 0) == (name in SERVERS)
        assert pod["terminationGracePeriodSeconds"] >= sleep + DRAIN_SECONDS + 10


def test_migrations_run_first_by_their_own_role_and_keep_their_log(most: list[Manifest]) -> None:
    jobs = named(most, "Job")
    assert set(jobs) == {f"{service}-migrate" for service in ("catalog-api", "offers-sync", "price-history")}
    for name, job in jobs.items():
        annotations = job["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation"
        told = environment(job)
        assert told["DATABASE_URL"] == ("catalog-api-owner" if name == "catalog-api-migrate" else name[:-8])
        assert "RABBITMQ_URL" not in told
        assert job["spec"]["template"]["spec"]["containers"][0]["command"] == [name[:-8], "migrate"]
    assert environment(jobs["catalog-api-migrate"])["API_AUTH"] == "required"
    assert environment(named(most, "Deployment")["catalog-api-serve"])["DATABASE_URL"] == "catalog-api"
    # What a hook needs has to be a hook too, and earlier: nothing else of the release is there yet.
    policy = named(most, "NetworkPolicy")["migrate"]["metadata"]["annotations"]
    assert policy["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(policy["helm.sh/hook-weight"]) < 0
    assert all("serviceAccount" not in pod for pod in pods(most))


def test_secrets_come_from_secrets_and_each_service_gets_its_own(least: list[Manifest]) -> None:
    assert not named(least, "Secret")
    for name, deployment in named(least, "Deployment").items():
        entries = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        secret = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in entries if "valueFrom" in entry}
        service = name.rsplit("-", 1)[0]
        assert {reference["name"] for reference in secret.values()} <= {service, "price-history-token"}
        assert all(reference["key"] == variable for variable, reference in secret.items())
        needed = {variable for variable, reference in secret.items() if not reference.get("optional")}
        assert needed == {"DATABASE_URL", "RABBITMQ_URL"} | ({"PRICE_HISTORY_TOKEN"} if name in SERVERS else set())


def test_the_api_is_closed_unless_told_otherwise(least: list[Manifest], render: Render) -> None:
    for name in SERVERS:
        assert environment(named(least, "Deployment")[name])["API_AUTH"] == "required"
        assert environment(named(render(None, "apiAuth=off"), "Deployment")[name])["API_AUTH"] == "off"
    with pytest.raises(RefusedError, match="apiAuth"):
        render(None, "apiAuth=none")


def test_only_the_catalog_and_metrics_reach_price_history(least: list[Manifest], most: list[Manifest]) -> None:
    catalog = {"podSelector": {"matchLabels": {
        "app.kubernetes.io/name": "product-aggregator",
        "app.kubernetes.io/instance": "shop",
        "app.kubernetes.io/component": "catalog-api-serve",
    }}}  # fmt: skip
    scraper = EVERYTHING["networkPolicy"]["metricsFrom"][0]
    for manifests, more in ((least, []), (most, [scraper])):
        policies = named(manifests, "NetworkPolicy")
        assert set(policies) == {*SERVERS, *WORKERS, "migrate"}
        assert [rule["from"] for rule in policies["price-history-serve"]["spec"]["ingress"]] == [[catalog, *more]]
        for worker in WORKERS:
            assert [rule["from"] for rule in policies[worker]["spec"]["ingress"]] == [more] * len(more)
    for policy in named(most, "NetworkPolicy").values():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        # An empty list of peers would be everyone.
        assert all(rule["from"] for rule in policy["spec"]["ingress"])


def test_pods_reach_what_they_need_and_no_more(most: list[Manifest]) -> None:
    def ports(name: str) -> set[int]:
        rules = named(most, "NetworkPolicy")[name]["spec"]["egress"]
        return {port["port"] for rule in rules for port in rule["ports"]}

    assert ports("catalog-api-serve") == {53, 5432, 5671, 5672, 8001}
    assert ports("catalog-api-work") == {53, 5432, 5671, 5672, 443}
    assert ports("offers-sync-work") == {53, 5432, 5671, 5672, 80, 443}
    assert ports("price-history-serve") == {53, 5432}
    assert ports("price-history-work") == {53, 5432, 5671, 5672}
    assert ports("migrate") == {53, 5432}
    (webhooks,) = [
        rule
        for rule in named(most, "NetworkPolicy")["catalog-api-work"]["spec"]["egress"]
        if {"port": 443, "protocol": "TCP"} in rule["ports"]
    ]
    assert "10.0.0.0/8" in webhooks["to"][0]["ipBlock"]["except"]
    for policy in named(most, "NetworkPolicy").values():
        (database,) = [rule for rule in policy["spec"]["egress"] if {"port": 5432, "protocol": "TCP"} in rule["ports"]]
        assert database["to"] == [{"ipBlock": {"cidr": "10.1.0.0/24"}}]


def test_what_scales_a_deployment_is_one_thing_and_not_its_replicas(
    least: list[Manifest], most: list[Manifest]
) -> None:
    assert not named(least, "HorizontalPodAutoscaler")
    assert not named(least, "ScaledObject")
    scalers = {**named(most, "HorizontalPodAutoscaler"), **named(most, "ScaledObject")}
    assert set(named(most, "HorizontalPodAutoscaler")) == set(SERVERS)
    assert set(named(most, "ScaledObject")) == {"catalog-api-work", "offers-sync-work"}
    for name, deployment in named(most, "Deployment").items():
        assert ("replicas" in deployment["spec"]) == (name not in scalers)
        if name in scalers:
            assert scalers[name]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_workers_scale_by_queues_that_exist_and_are_shared(most: list[Manifest]) -> None:
    from aggregator_contracts.topology import SUBSCRIPTIONS  # noqa: PLC0415 - here it says what the names stand for

    shared = {subscription.queue for subscription in SUBSCRIPTIONS if not subscription.ordered}
    (authentication,) = named(most, "TriggerAuthentication").values()
    assert authentication["spec"] == {"secretTargetRef": [{"parameter": "host", "name": "keda-broker", "key": "host"}]}
    for name, scaled in named(most, "ScaledObject").items():
        jsonschema.validate(scaled["spec"], SCALED_OBJECT)
        triggers = [trigger for trigger in scaled["spec"]["triggers"] if trigger["type"] == "rabbitmq"]
        queues = {trigger["metadata"]["queueName"] for trigger in triggers}
        assert queues == {queue for queue in shared if queue.startswith(name.removesuffix("work").removesuffix("-"))}
        assert all(trigger["authenticationRef"]["name"] == authentication["metadata"]["name"] for trigger in triggers)


def test_settings_reach_their_process_as_a_person_would_write_them(most: list[Manifest]) -> None:
    deployments = named(most, "Deployment")
    assert environment(deployments["price-history-work"])["KNOWN_PRODUCTS"] == "10000000"
    assert environment(deployments["offers-sync-work"])["OFFERS_POLL_INTERVAL_SECONDS"] == "0.5"
    assert environment(deployments["price-history-work"])["LOG_LEVEL"] == "INFO"
    assert environment(deployments["catalog-api-work"])["LOG_LEVEL"] == "DEBUG"
    assert environment(named(most, "Job")["price-history-migrate"])["LOG_LEVEL"] == "DEBUG"


def test_images_are_pinned_where_a_digest_is_given(most: list[Manifest]) -> None:
    images = {name: m["spec"]["template"]["spec"]["containers"][0]["image"] for name, m in named(most, "Job").items()}
    assert images["offers-sync-migrate"] == f"registry.example/aggregator/offers-sync@sha256:{'0' * 64}"
    assert images["catalog-api-migrate"] == "registry.example/aggregator/catalog-api:0.1.0"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("image.registry=", "image.registry is required"),
        ("offersBaseUrl=", "offersBaseUrl is required"),
        ("offersBaseUrl=offers.example", "offersBaseUrl"),
        ("keda.enabled=true", "keda.brokerSecret is required"),
        ("processes.price-history-work.settings.RETENTION_DAY=3", "RETENTION_DAY"),
        ("processes.catalog-api-serve.settings.API_AUTH=off", "API_AUTH"),
        ("processes.offers-sync.replicas=3", "offers-sync"),
        ("processes.offers-sync-work.replicas=-1", "replicas"),
        ("runAsUser=0", "runAsUser"),
        ("imagePullPolicy=Always", "imagePullPolicy"),
    ],
)
def test_what_is_missing_or_misspelt_is_refused_by_name(setting: str, said: str, render: Render) -> None:
    with pytest.raises(RefusedError, match=said):
        render(None, setting)
