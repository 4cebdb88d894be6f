"""Checks the resources that the Terraform module created in moto.

usage: fleet_on_moto.py URL
"""

import base64
import json
import sys

import boto3


def client(service):
    return boto3.client(service, region_name="us-east-1", endpoint_url=sys.argv[1])


ec2, iam = client("ec2"), client("iam")
instances = [instance for reservation in ec2.describe_instances()["Reservations"] for instance in reservation["Instances"]]
tags = {instance["InstanceId"]: {tag["Key"]: tag["Value"] for tag in instance["Tags"]} for instance in instances}
assert sorted(instance["InstanceType"] for instance in instances) == ["g4dn.xlarge", "m5.large", "m5.xlarge"]
for instance in instances:
    mine = tags[instance["InstanceId"]]
    assert mine["Project"] == "fleetmark" and mine["fleetmark:campaign"] == "g4dn-vs-m5" and mine["team"] == "ml-platform", mine
    assert instance["MetadataOptions"]["HttpTokens"] == "required", instance["MetadataOptions"]
    assert "PublicIpAddress" not in instance or not instance["PublicIpAddress"]
    behaviour = ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="instanceInitiatedShutdownBehavior")
    assert behaviour["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate", behaviour
    start = ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")["UserData"]["Value"]
    start = base64.b64decode(start).decode()
    first = next(line for line in start.splitlines() if line and not line.startswith("#"))
    assert first == "shutdown -P +120", first
# The only inbound traffic is from agents to the controller.
groups = [group for group in ec2.describe_security_groups()["SecurityGroups"] if group["GroupName"].startswith("fleetmark-")]
assert len(groups) == 2, groups
for group in groups:
    for rule in group["IpPermissions"]:
        assert not rule["IpRanges"] and rule["FromPort"] == rule["ToPort"] == 7437, rule
    if "agents" in group["GroupName"]:
        assert not group["IpPermissions"], group
# Roles list their resources explicitly.
allowed = {}
for role in iam.list_roles()["Roles"]:
    if role["RoleName"].startswith("fleetmark-"):
        policy = iam.get_role_policy(RoleName=role["RoleName"], PolicyName="fleetmark")["PolicyDocument"]
        policy = json.loads(policy) if isinstance(policy, str) else policy
        for statement in policy["Statement"]:
            resources = statement["Resource"]
            assert "*" not in ([resources] if isinstance(resources, str) else resources), statement
            actions = statement["Action"]
            allowed.setdefault(role["RoleName"].split("-")[1], []).extend([actions] if isinstance(actions, str) else actions)
allowed = {role: sorted(actions) for role, actions in allowed.items()}
assert allowed == {
    "controller": ["s3:GetObject", "s3:PutObject", "ssm:PutParameter"],
    "agents": ["s3:GetObject", "s3:ListBucket", "ssm:GetParameter"],
    "deadline": ["ec2:TerminateInstances"],
}, allowed
schedule = client("scheduler").get_schedule(Name="fleetmark-g4dn-vs-m5-deadline")
ended = json.loads(schedule["Target"]["Input"])["InstanceIds"]
assert sorted(ended) == sorted(tags), "the deadline ends other machines"
print(f"{len(instances)} instances: IMDSv2 only, no public address, tagged, ended by {schedule['ScheduleExpression']} at the latest")
