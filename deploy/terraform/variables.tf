variable "name" {
  description = "Name of the campaign and of all its resources."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "Expected lower-case letters, digits and dashes, at most 31 characters, starting with a letter."
  }
}

variable "subnet_id" {
  description = "A private subnet of the VPC: no instance gets a public address. It needs access to S3 and SSM (a NAT gateway, or endpoints)."
  type        = string
}

variable "matrix" {
  description = "Text of matrix.toml. Its targets must be the keys of agents."
  type        = string
  validation {
    condition     = length(var.matrix) < 8000
    error_message = "Expected fewer than 8,000 bytes: the matrix is part of the user data."
  }
}

variable "agents" {
  description = "One instance per target of the matrix."
  type = map(object({
    instance_type = string
    spot          = optional(bool, false)
    device        = optional(string, "cpu")
    image_id      = optional(string) # default: Amazon Linux 2023, with NVIDIA's driver for cuda
    volume_gb     = optional(number, 60)
  }))
  validation {
    condition     = length(var.agents) > 0 && alltrue([for agent in values(var.agents) : contains(["cpu", "cuda:0"], agent.device)])
    error_message = "Expected at least one agent, with device cpu or cuda:0."
  }
}

variable "programs" {
  description = "Location of the release, as s3://BUCKET/PREFIX: controller, agent, SHA256SUMS."
  type        = string
  validation {
    condition     = can(regex("^s3://[^/]+/.+[^/]$", var.programs))
    error_message = "Expected s3://BUCKET/PREFIX without a trailing slash."
  }
}

variable "models" {
  description = "Models to copy to /opt/fleetmark/models on the agents, as s3://BUCKET/PREFIX. Not needed for built-in or hub models."
  type        = string
  default     = null
  validation {
    condition     = var.models == null ? true : can(regex("^s3://[^/]+/.+[^/]$", var.models))
    error_message = "Expected s3://BUCKET/PREFIX without a trailing slash."
  }
}

variable "results" {
  description = "Location for the results, as s3://BUCKET/PREFIX."
  type        = string
  validation {
    condition     = can(regex("^s3://[^/]+/.+[^/]$", var.results))
    error_message = "Expected s3://BUCKET/PREFIX without a trailing slash."
  }
}

variable "controller_instance_type" {
  description = "Instance type of the controller, which measures nothing; a small one is enough."
  type        = string
  default     = "m5.large"
}

variable "controller_image_id" {
  description = "AMI of the controller. Default: Amazon Linux 2023."
  type        = string
  default     = null
}

variable "deadline_minutes" {
  description = "All instances are terminated after this time. Limits the cost of a forgotten fleet."
  type        = number
  default     = 240
  validation {
    condition     = var.deadline_minutes >= 10 && var.deadline_minutes <= 10080
    error_message = "Expected between 10 minutes and a week."
  }
}

variable "tags" {
  description = "Additional tags, for billing."
  type        = map(string)
  default     = {}
}
