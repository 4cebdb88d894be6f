"""Converts a rendered chart for `podman kube play`: standard input -> standard output.

podman supports Pods, ConfigMaps and PersistentVolumeClaims. Debian's 4.3.1 mounts Secrets readable only by root, so they
become ConfigMaps. An Indexed Job becomes one Pod per index, and a Job one Pod. The controller's pod gets the name of its
Service, so that agents find it. All other resources are dropped, listed on standard error, and not tested.
"""

import base64
import sys

import yaml

documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
services = {document["metadata"]["name"]: document["spec"]["selector"]
            for document in documents if document["kind"] == "Service"}
kept, left_out = [], []
for document in documents:
    kind, name = document["kind"], document["metadata"]["name"]
    if kind in ("ConfigMap", "PersistentVolumeClaim"):
        kept.append(document)
    elif kind == "Secret":
        plain = {key: base64.b64decode(value).decode() for key, value in document["data"].items()}
        kept.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": plain})
    elif kind == "Job":
        spec = document["spec"]
        template = spec["template"]
        pod = template["spec"]
        # Fields for the scheduler and the kubelet.
        for key in ("affinity", "nodeSelector", "tolerations"):
            pod.pop(key, None)
        for container in pod["containers"]:
            # Drops CPU quotas: the machine may have only two cores.
            container.pop("resources", None)
            for probe in ("livenessProbe", "readinessProbe"):
                container.pop(probe, None)
        for volume in pod.get("volumes", []):
            if "secret" in volume:
                volume["configMap"] = {"name": volume.pop("secret")["secretName"]}
        labels = template["metadata"]["labels"]
        for index in range(spec.get("completions", 1)):
            of_index = yaml.safe_load(yaml.safe_dump(pod))
            pod_name = f"{name}-{index}"
            if spec.get("completionMode") == "Indexed":
                for container in of_index["containers"]:
                    container.setdefault("env", []).append({"name": "JOB_COMPLETION_INDEX", "value": str(index)})
            else:
                for service, selector in services.items():
                    if selector.items() <= labels.items():
                        pod_name = service
            kept.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod_name, "labels": labels}, "spec": of_index})
    else:
        left_out.append(f"{kind} {name}")
# Resources mounted by pods come first.
kept.sort(key=lambda document: document["kind"] == "Pod")
yaml.safe_dump_all(kept, sys.stdout)
print("left out: " + ", ".join(left_out), file=sys.stderr)
