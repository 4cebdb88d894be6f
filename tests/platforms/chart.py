"""Checks properties of the rendered Helm chart that schemas can't express.

usage: chart.py RENDERED.yaml OWN.yaml MATRIX.toml     writes the built-in resources (Kubernetes' schemas don't cover custom ones) and the matrix
"""

import sys
import tomllib

import yaml

documents = [document for document in yaml.safe_load_all(open(sys.argv[1])) if document]
yaml.safe_dump_all([document for document in documents if document["kind"] != "ServiceMonitor"], open(sys.argv[2], "w"))


def of(kind):
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


def selects(selector, labels):
    return selector.items() <= labels.items()


(matrix,) = of("ConfigMap").values()
matrix = matrix["data"]["matrix.toml"]
open(sys.argv[3], "w").write(matrix)
asked = {target["name"]: target.get("agents", 1) for target in tomllib.loads(matrix)["target"]}

workloads = of("Job") | of("Deployment")
templates = {name: workload["spec"]["template"] for name, workload in workloads.items()}
agents = {name: template for name, template in templates.items() if template["metadata"]["labels"]["app.kubernetes.io/component"] == "agent"}
(controller,) = (name for name in templates if name not in agents)

for name, template in templates.items():
    pod = template["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 65532, name
    assert pod["automountServiceAccountToken"] is False, name
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"] and security["capabilities"] == {"drop": ["ALL"]}, name
    # Guaranteed with whole CPUs, as required by the static policy.
    resources = container["resources"]
    assert resources["requests"] == resources["limits"] and resources["limits"]["cpu"].isdigit(), name
    mounted = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    for secret in mounted & set(of("Secret")):
        keys = set(of("Secret")[secret]["data"])
        assert "ca.key" not in keys and not ("controller.key" in keys and name != controller), f"{name} gets {keys}"

(service,) = of("Service").values()
assert selects(service["spec"]["selector"], templates[controller]["metadata"]["labels"])
ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
policies = of("NetworkPolicy").values()
budgets = of("PodDisruptionBudget").values()
placed, gpus = {}, 0
for name, template in agents.items():
    spec, pod, labels = workloads[name]["spec"], template["spec"], template["metadata"]["labels"]
    assert not selects(service["spec"]["selector"], labels), f"{name} gets the controller's calls"
    (container,) = pod["containers"]
    arguments = dict(argument.removeprefix("--").partition("=")[::2] for argument in container["args"][1:])
    assert arguments["controller"] == f"https://{service['metadata']['name']}:{ports['fleet']}", arguments
    if workloads[name]["kind"] == "Job":
        assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"], name
        assert spec["activeDeadlineSeconds"] and pod["restartPolicy"] == "Never", name
        placed[arguments["target"]] = spec["completions"]
    else:
        placed[arguments["target"]] = spec["replicas"]
    assert arguments["threads"] == container["resources"]["limits"]["cpu"], name
    # Agents never share a machine, across releases and namespaces.
    (apart,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname" and apart["namespaceSelector"] == {}, apart
    assert selects(apart["labelSelector"]["matchLabels"], labels), apart
    if "instance-type" in arguments:
        assert pod["nodeSelector"]["node.kubernetes.io/instance-type"] == arguments["instance-type"], name
    if "nvidia.com/gpu" in container["resources"]["limits"]:
        gpus += 1
        assert arguments["device"] == "cuda:0", name
        assert any(toleration.get("key") == "nvidia.com/gpu" for toleration in pod["tolerations"]), name
    else:
        assert "device" not in arguments, name
    assert sum(selects(policy["spec"]["podSelector"]["matchLabels"], labels) for policy in policies) == 1, name
    if budgets:
        (budget,) = (one for one in budgets if selects(one["spec"]["selector"]["matchLabels"], labels))
        assert budget["spec"]["minAvailable"] == placed[arguments["target"]], name
assert placed == asked, f"the matrix asks for {asked}, and {placed} are placed"
for ingress in of("Ingress").values():
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            to = path["backend"]["service"]
            assert to["name"] == service["metadata"]["name"] and to["port"]["name"] in ports, to
for monitor in of("ServiceMonitor").values():
    assert selects(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
    assert all(endpoint["port"] in ports for endpoint in monitor["spec"]["endpoints"])
print(f"{len(documents)} resources, {sum(placed.values())} agents of {len(placed)} targets, {gpus} with a GPU", end="; ")
