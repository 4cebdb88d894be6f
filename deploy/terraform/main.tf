# A controller and one agent for each target, in one VPC. Agents connect to the controller; there are
# no connections from outside.

data "aws_partition" "here" {}
data "aws_region" "here" {}
data "aws_caller_identity" "here" {}
data "aws_subnet" "fleet" {
  id = var.subnet_id
}

# Default images.
data "aws_ssm_parameter" "image" {
  for_each = toset(concat(
    var.controller_image_id == null ? ["cpu"] : [],
    [for agent in values(var.agents) : agent.device if agent.image_id == null],
  ))
  name = {
    "cpu"    = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    "cuda:0" = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
  }[each.key]
}

locals {
  tags       = merge(var.tags, { Project = "fleetmark", "fleetmark:campaign" = var.name })
  parameters = "/fleetmark/${var.name}"
  arn        = "arn:${data.aws_partition.here.partition}"
  # s3://BUCKET/PREFIX as ARNs for policies.
  objects = { for name, url in { programs = var.programs, models = var.models, results = var.results } :
    name => "${local.arn}:s3:::${trimprefix(url, "s3://")}/*" if url != null
  }
  models_bucket = var.models == null ? null : split("/", trimprefix(var.models, "s3://"))[0]
  models_prefix = var.models == null ? null : join("/", slice(split("/", trimprefix(var.models, "s3://")), 1, length(split("/", var.models)) - 2))
  parameter_arn = "${local.arn}:ssm:${data.aws_region.here.name}:${data.aws_caller_identity.here.account_id}:parameter${local.parameters}"
}

# Network access.

resource "aws_security_group" "controller" {
  name_prefix = "fleetmark-${var.name}-controller-"
  description = "Fleetmark controller: inbound from the agents of its campaign"
  vpc_id      = data.aws_subnet.fleet.vpc_id
  tags        = local.tags
}

resource "aws_security_group" "agents" {
  name_prefix = "fleetmark-${var.name}-agents-"
  description = "Fleetmark agents: no inbound traffic"
  vpc_id      = data.aws_subnet.fleet.vpc_id
  tags        = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "fleet" {
  description                  = "Agents, over TLS"
  security_group_id            = aws_security_group.controller.id
  referenced_security_group_id = aws_security_group.agents.id
  ip_protocol                  = "tcp"
  from_port                    = 7437
  to_port                      = 7437
}

resource "aws_vpc_security_group_egress_rule" "fleet" {
  description                  = "The controller"
  security_group_id            = aws_security_group.agents.id
  referenced_security_group_id = aws_security_group.controller.id
  ip_protocol                  = "tcp"
  from_port                    = 7437
  to_port                      = 7437
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = { controller = aws_security_group.controller.id, agents = aws_security_group.agents.id }
  description       = "S3, SSM, model hubs, messages"
  security_group_id = each.value
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# Permissions: the controller writes the agents' certificate, and agents read it.

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "controller" {
  statement {
    actions   = ["s3:GetObject"]
    resources = [local.objects.programs]
  }
  statement {
    actions   = ["s3:PutObject"]
    resources = [local.objects.results]
  }
  statement {
    actions   = ["ssm:PutParameter"]
    resources = ["${local.parameter_arn}/*"]
  }
}

data "aws_iam_policy_document" "agents" {
  statement {
    actions   = ["s3:GetObject"]
    resources = compact([local.objects.programs, lookup(local.objects, "models", null)])
  }
  dynamic "statement" {
    for_each = local.models_bucket == null ? [] : [local.models_bucket]
    content {
      actions   = ["s3:ListBucket"]
      resources = ["${local.arn}:s3:::${statement.value}"]
      condition {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = ["${local.models_prefix}/*"]
      }
    }
  }
  statement {
    actions   = ["ssm:GetParameter"]
    resources = ["${local.parameter_arn}/*"]
  }
}

resource "aws_iam_role" "of" {
  for_each           = { controller = data.aws_iam_policy_document.controller.json, agents = data.aws_iam_policy_document.agents.json }
  name_prefix        = "fleetmark-${each.key}-"
  description        = "Fleetmark campaign ${var.name}: ${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "of" {
  for_each = { controller = data.aws_iam_policy_document.controller.json, agents = data.aws_iam_policy_document.agents.json }
  name     = "fleetmark"
  role     = aws_iam_role.of[each.key].id
  policy   = each.value
}

resource "aws_iam_instance_profile" "of" {
  for_each    = aws_iam_role.of
  name_prefix = "fleetmark-${each.key}-"
  role        = each.value.name
  tags        = local.tags
}

# Instances. Shutdown terminates them, which ends billing.

resource "aws_instance" "controller" {
  ami                                  = var.controller_image_id != null ? var.controller_image_id : nonsensitive(data.aws_ssm_parameter.image["cpu"].value)
  instance_type                        = var.controller_instance_type
  subnet_id                            = var.subnet_id
  vpc_security_group_ids               = [aws_security_group.controller.id]
  iam_instance_profile                 = aws_iam_instance_profile.of["controller"].name
  associate_public_ip_address          = false
  instance_initiated_shutdown_behavior = "terminate"
  user_data_replace_on_change          = true
  user_data = templatefile("${path.module}/controller.sh.tftpl", {
    deadline_minutes = var.deadline_minutes
    programs         = var.programs
    results          = "${var.results}/${var.name}"
    parameters       = local.parameters
    matrix           = base64encode(var.matrix)
  })
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  root_block_device {
    volume_type = "gp3"
    volume_size = 20
    encrypted   = true
    tags        = local.tags
  }
  tags = merge(local.tags, { Name = "fleetmark-${var.name}-controller" })
  # A newer image must not replace the instance.
  lifecycle {
    ignore_changes = [ami]
  }
}

resource "aws_instance" "agent" {
  for_each                             = var.agents
  ami                                  = each.value.image_id != null ? each.value.image_id : nonsensitive(data.aws_ssm_parameter.image[each.value.device].value)
  instance_type                        = each.value.instance_type
  subnet_id                            = var.subnet_id
  vpc_security_group_ids               = [aws_security_group.agents.id]
  iam_instance_profile                 = aws_iam_instance_profile.of["agents"].name
  associate_public_ip_address          = false
  instance_initiated_shutdown_behavior = "terminate"
  user_data_replace_on_change          = true
  user_data = templatefile("${path.module}/agent.sh.tftpl", {
    deadline_minutes = var.deadline_minutes
    programs         = var.programs
    models           = var.models == null ? "" : var.models
    parameters       = local.parameters
    controller       = aws_instance.controller.private_ip
    target           = each.key
    device           = each.value.device
  })
  dynamic "instance_market_options" {
    for_each = each.value.spot ? [1] : []
    content {
      market_type = "spot"
      spot_options {
        spot_instance_type             = "one-time"
        instance_interruption_behavior = "terminate"
      }
    }
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  root_block_device {
    volume_type = "gp3"
    volume_size = each.value.volume_gb
    encrypted   = true
    tags        = local.tags
  }
  tags = merge(local.tags, { Name = "fleetmark-${var.name}-${each.key}", "fleetmark:target" = each.key })
  lifecycle {
    ignore_changes = [ami]
  }
}

# External enforcement of the deadline, for instances that can't shut down by themselves.

data "aws_iam_policy_document" "deadline_assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "deadline" {
  statement {
    actions   = ["ec2:TerminateInstances"]
    resources = ["${local.arn}:ec2:${data.aws_region.here.name}:${data.aws_caller_identity.here.account_id}:instance/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/fleetmark:campaign"
      values   = [var.name]
    }
  }
}

resource "aws_iam_role" "deadline" {
  name_prefix        = "fleetmark-deadline-"
  assume_role_policy = data.aws_iam_policy_document.deadline_assume.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "deadline" {
  name   = "fleetmark"
  role   = aws_iam_role.deadline.id
  policy = data.aws_iam_policy_document.deadline.json
}

resource "aws_scheduler_schedule" "deadline" {
  name                = "fleetmark-${var.name}-deadline"
  description         = "Terminates the instances of Fleetmark campaign ${var.name}"
  schedule_expression = "at(${formatdate("YYYY-MM-DD'T'hh:mm:ss", timeadd(timestamp(), "${var.deadline_minutes + 15}m"))})"
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = "${local.arn}:scheduler:::aws-sdk:ec2:terminateInstances"
    role_arn = aws_iam_role.deadline.arn
    input    = jsonencode({ InstanceIds = concat([aws_instance.controller.id], [for agent in aws_instance.agent : agent.id]) })
  }
  # The deadline counts from the first apply.
  lifecycle {
    ignore_changes = [schedule_expression]
  }
}
