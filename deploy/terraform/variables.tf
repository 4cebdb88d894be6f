variable "name" {
  description = "Names the campaign and all that is made for it."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "Lower-case letters, digits and dashes, at most 31, beginning with a letter."
  }
}

variable "subnet_id" {
  description = "A subnet of the VPC, private: no instance gets a public address. It needs ways to S3 and SSM (a NAT gateway, or endpoints)."
  type        = string
}

variable "matrix" {
  description = "matrix.toml as text. Its targets are the keys of agents."
  type        = string
  validation {
    condition     = length(var.matrix) < 8000
    error_message = "It travels as user data: at most 8,000 bytes."
  }
}

variable "agents" {
  description = "One instance for each target of the matrix."
  type = map(object({
    instance_type = string
    spot          = optional(bool, false)
    device        = optional(string, "cpu") # cuda:0 takes the program agent-cuda
    image_id      = optional(string)        # default: Amazon Linux 2023, with NVIDIA's driver for cuda
    volume_gb     = optional(number, 60)
  }))
  validation {
    condition     = length(var.agents) > 0 && alltrue([for agent in values(var.agents) : contains(["cpu", "cuda:0"], agent.device)])
    error_message = "At least one, and device is cpu or cuda:0."
  }
}

variable "programs" {
  description = "Where the release lies, as s3://BUCKET/PREFIX: controller, agent, agent-cuda where it is needed, SHA256SUMS."
  type        = string
  validation {
    condition     = can(regex("^s3://[^/]+/.+[^/]$", var.programs))
    error_message = "Give s3://BUCKET/PREFIX without a slash at its end."
  }
}

variable "models" {
  description = "Models that agents find under /opt/fleetmark/models, as s3://BUCKET/PREFIX. None: builtin models, or those of a hub."
  type        = string
  default     = null
  validation {
    condition     = var.models == null ? true : can(regex("^s3://[^/]+/.+[^/]$", var.models))
    error_message = "Give s3://BUCKET/PREFIX without a slash at its end."
  }
}

variable "results" {
  description = "Where results go, as s3://BUCKET/PREFIX."
  type        = string
  validation {
    condition     = can(regex("^s3://[^/]+/.+[^/]$", var.results))
    error_message = "Give s3://BUCKET/PREFIX without a slash at its end."
  }
}

variable "controller_instance_type" {
  description = "The controller measures nothing: a small one will do."
  type        = string
  default     = "m5.large"
}

variable "controller_image_id" {
  description = "Default: Amazon Linux 2023."
  type        = string
  default     = null
}

variable "deadline_minutes" {
  description = "All instances end after so long, whatever happens: what a forgotten fleet costs at most."
  type        = number
  default     = 240
  validation {
    condition     = var.deadline_minutes >= 10 && var.deadline_minutes <= 10080
    error_message = "Between 10 minutes and a week."
  }
}

variable "tags" {
  description = "Further tags, for the bill."
  type        = map(string)
  default     = {}
}
