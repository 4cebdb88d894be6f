"""Validates and applies the policy files of `controller decide` in the folders of its argument.

A fleet of two targets has the files of each part, with `base-` or `peak-` in front.
"""

import glob
import json
import os
import sys

import boto3
from botocore.exceptions import ParamValidationError
from botocore.validate import ParamValidator
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from moto import mock_aws

os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
work = sys.argv[1]


def read(path):
    with open(path) as file:
        return json.load(file)


def check_scaled(value):
    found = ScaledObject.model_validate(value)
    # Types alone would accept a key that KEDA doesn't know.
    again = json.loads(found.model_dump_json(by_alias=True, exclude_none=True))
    assert again["spec"] == value["spec"], (again["spec"], value["spec"])
    for trigger in value["spec"]["triggers"]:
        assert all(isinstance(one, str) for one in trigger["metadata"].values()), trigger


def refused(what, of, *errors):
    """A check that nothing fails is no check."""
    try:
        of()
    except errors:
        return
    sys.exit(f"{what} is accepted")


scaled = sorted(glob.glob(f"{work}/kubernetes-*/*keda-scaledobject.json"))
assert len(scaled) == 3 + 2 * 2, scaled
for path in scaled:
    check_scaled(read(path))
broken = read(scaled[-1])
broken["spec"]["minReplicas"] = broken["spec"].pop("minReplicaCount")
refused("a scaled object with an unknown key", lambda: check_scaled(broken), AssertionError, ValueError)
names = {read(path)["metadata"]["name"] for path in scaled}
assert names == {"summaries", "summaries-base", "summaries-peak"}, names
print("KEDA's types accept", len(scaled), "scaled objects, and refuse an unknown key")


def apply(scaling, folder, part, seen):
    """Applies the files of a part, and compares what moto has then."""
    target = read(f"{folder}/{part}sagemaker-scalable-target.json")
    scaling.register_scalable_target(**target)
    of_target = {"ServiceNamespace": "sagemaker", "ResourceId": target["ResourceId"]}
    policy = f"{folder}/{part}sagemaker-scaling-policy.json"
    if os.path.exists(policy):
        scaling.put_scaling_policy(**read(policy))
        [found] = scaling.describe_scaling_policies(**of_target)["ScalingPolicies"]
        stated = read(policy)["TargetTrackingScalingPolicyConfiguration"]
        assert found["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == stated["TargetValue"]
        seen.append("tracking")
    actions = f"{folder}/{part}sagemaker-scheduled-actions.json"
    if os.path.exists(actions):
        for action in read(actions):
            scaling.put_scheduled_action(**action)
        found = scaling.describe_scheduled_actions(**of_target)["ScheduledActions"]
        assert len(found) == len(read(actions)) > 0, found
        seen.append("scheduled")
    assert "aws_appautoscaling_target" in read(f"{folder}/{part}scaling.tf.json")["resource"]


def check_request(client, operation, value):
    """Against the service model: keys, types, ranges, and words where the model lists them."""
    shape = client.meta.service_model.operation_model(operation).input_shape
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), report.generate_report()

    def check_words(shape, value):
        if shape.type_name == "structure":
            for key, member in value.items():
                check_words(shape.members[key], member)
        elif shape.type_name == "list":
            for member in value:
                check_words(shape.member, member)
        elif getattr(shape, "enum", None):
            assert value in shape.enum, (value, shape.enum)

    check_words(shape, value)


def check_scale_to_zero(folder):
    """Target tracking down to zero, and an alarm whose action adds the first copy. moto has no inference components."""
    scaling, cloudwatch = boto3.client("application-autoscaling"), boto3.client("cloudwatch")
    target = read(f"{folder}/sagemaker-scalable-target.json")
    assert target["ResourceId"] == "inference-component/summaries" and target["MinCapacity"] == 0, target
    check_request(scaling, "RegisterScalableTarget", target)
    check_request(scaling, "PutScalingPolicy", read(f"{folder}/sagemaker-scaling-policy.json"))
    first = read(f"{folder}/sagemaker-first-copy-policy.json")
    check_request(scaling, "PutScalingPolicy", first)
    # At least the 240 s of provisioning, so that failures during the start don't add copies.
    cooldown = first["StepScalingPolicyConfiguration"]["Cooldown"]
    assert cooldown >= 240 and cooldown % 60 == 0, cooldown
    cloudwatch.put_metric_alarm(**read(f"{folder}/sagemaker-first-copy-alarm.json"), AlarmActions=["arn:aws:autoscaling:x"])
    [alarm] = cloudwatch.describe_alarms()["MetricAlarms"]
    assert alarm["MetricName"] == "NoCapacityInvocationFailures", alarm
    wrong = target | {"ScalableDimension": "sagemaker:inference-component:Copies"}
    refused("an unknown dimension", lambda: check_request(scaling, "RegisterScalableTarget", wrong), AssertionError)


with mock_aws():
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model(
        ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/x", PrimaryContainer={"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"}
    )
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.xlarge"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    for name in names:
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="c")
    scaling = boto3.client("application-autoscaling")
    seen = []
    zero, serverless = f"{work}/sagemaker-zero-tracking", f"{work}/sagemaker-zero-serverless"
    for folder in sorted({*glob.glob(f"{work}/sagemaker-*")} - {zero, serverless}):
        for part in ("base-", "peak-") if "base" in os.path.basename(folder) else ("",):
            apply(scaling, folder, part, seen)
    assert sorted(seen) == ["scheduled", "scheduled", "tracking", "tracking"], seen
    check_scale_to_zero(zero)
    config = read(f"{serverless}/sagemaker-endpoint-config.json")
    config["ProductionVariants"][0]["ModelName"] = "m"
    sagemaker.create_endpoint_config(**config)
    [found] = sagemaker.describe_endpoint_config(EndpointConfigName="summaries")["ProductionVariants"]
    assert found["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 20}, found
    config["ProductionVariants"][0]["ServerlessConfig"]["MemorySize"] = 2048
    refused("a serverless endpoint with an unknown key", lambda: sagemaker.create_endpoint_config(**config), ParamValidationError)
    broken = read(f"{work}/sagemaker-tracking/sagemaker-scaling-policy.json")
    broken["TargetTrackingScalingPolicyConfiguration"]["Target"] = 1
    refused("a scaling policy with an unknown key", lambda: scaling.put_scaling_policy(**broken), ParamValidationError)
    stray = read(f"{work}/sagemaker-base-tracking/peak-sagemaker-scalable-target.json") | {"ScalableDimension": "sagemaker:variant:Instances"}
    refused("an unknown dimension", lambda: scaling.register_scalable_target(**stray), scaling.exceptions.ValidationException)
print("moto applies targets, scaling policies and schedules of fleets of one and of two targets, and a serverless endpoint;")
print("  the service model accepts scale to zero; a broken file of each is refused")
