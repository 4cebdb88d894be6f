"""Validates and applies the policy files of `controller decide` in the folders of its argument."""

import glob
import json
import os
import sys

import boto3
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from moto import mock_aws

os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
work = sys.argv[1]


def read(path):
    with open(path) as file:
        return json.load(file)


scaled = sorted(glob.glob(f"{work}/kubernetes-*/keda-scaledobject.json"))
assert len(scaled) == 3, scaled
for path in scaled:
    value = read(path)
    found = ScaledObject.model_validate(value)
    # Types alone would accept a key that KEDA doesn't know.
    again = json.loads(found.model_dump_json(by_alias=True, exclude_none=True))
    assert again["spec"] == value["spec"], (again["spec"], value["spec"])
    for trigger in value["spec"]["triggers"]:
        assert all(isinstance(one, str) for one in trigger["metadata"].values()), trigger
print("KEDA's types accept", len(scaled), "scaled objects")

with mock_aws():
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model(
        ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/x", PrimaryContainer={"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"}
    )
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.xlarge"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="summaries", EndpointConfigName="c")
    scaling = boto3.client("application-autoscaling")
    applied = 0
    for folder in sorted(glob.glob(f"{work}/sagemaker-*")):
        scaling.register_scalable_target(**read(f"{folder}/sagemaker-scalable-target.json"))
        policy = f"{folder}/sagemaker-scaling-policy.json"
        if os.path.exists(policy):
            scaling.put_scaling_policy(**read(policy))
            [found] = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
            stated = read(policy)["TargetTrackingScalingPolicyConfiguration"]
            assert found["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == stated["TargetValue"]
            applied += 1
        actions = f"{folder}/sagemaker-scheduled-actions.json"
        if os.path.exists(actions):
            for action in read(actions):
                scaling.put_scheduled_action(**action)
            found = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
            assert len(found) == len(read(actions)) > 0, found
            applied += 1
        terraform = read(f"{folder}/scaling.tf.json")["resource"]
        assert "aws_appautoscaling_target" in terraform
    assert applied == 2, applied
print("moto applies the target, the scaling policy and the schedule")
