"""Validates CreateProcessingJob requests against AWS's API model as shipped with botocore.

usage: controller launch sagemaker ... --dry-run | sagemaker_model.py
"""

import json
import re
import sys

import botocore.session
from botocore.validate import ParamValidator

shape = botocore.session.get_session().get_service_model("sagemaker").operation_model("CreateProcessingJob").input_shape


def patterns(shape, value, path):
    """Constraints that botocore doesn't check: patterns, maximum lengths and enumerations."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            patterns(shape.members[name], inner, f"{path}.{name}")
    elif shape.type_name == "list":
        assert len(value) <= shape.metadata.get("max", len(value)), f"{path}: {len(value)} entries"
        for index, inner in enumerate(value):
            patterns(shape.member, inner, f"{path}[{index}]")
    elif shape.type_name == "map":
        for name, inner in value.items():
            patterns(shape.key, name, f"{path}.{name}")
            patterns(shape.value, inner, f"{path}.{name}")
    elif shape.type_name == "string":
        assert len(value) <= shape.metadata.get("max", len(value)), f"{path}: {len(value)} characters"
        enum = getattr(shape, "enum", None)
        assert not enum or value in enum, f"{path}: {value} is none of {enum}"
        # The patterns use Java's Unicode classes, which Python's re doesn't support.
        pattern = re.sub(r"\\p\{[LN]\}", r"\\w", shape.metadata.get("pattern", "")).replace(r"\p{Z}", r"\s")
        assert not pattern or re.fullmatch(pattern, value), f"{path}: {value} isn't {pattern}"
    elif shape.type_name == "integer":
        assert shape.metadata.get("min", value) <= value <= shape.metadata.get("max", value), f"{path}: {value}"


requests = json.load(sys.stdin)
assert requests, "no request"
for request in requests:
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    patterns(shape, request, request["ProcessingJobName"])
print(f"{len(requests)} requests fit AWS's model of CreateProcessingJob")
