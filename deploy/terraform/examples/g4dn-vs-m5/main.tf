# flan-t5-base on an NVIDIA T4 and on a CPU, both on demand, for at most two hours.

variable "subnet_id" {
  type = string
}

variable "bucket" {
  description = "Contains the release under fleetmark/0.1.0/ and the model under models/; results go to fleetmark/results/."
  type        = string
}

module "fleetmark" {
  source    = "../.."
  name      = "g4dn-vs-m5"
  subnet_id = var.subnet_id
  programs  = "s3://${var.bucket}/fleetmark/0.1.0"
  models    = "s3://${var.bucket}/models"
  results   = "s3://${var.bucket}/fleetmark/results"
  matrix    = file("${path.module}/matrix.toml")
  agents = {
    "g4dn.xlarge" = { instance_type = "g4dn.xlarge", device = "cuda:0" }
    "m5.xlarge"   = { instance_type = "m5.xlarge" }
  }
  deadline_minutes = 120
  tags             = { team = "ml-platform" }
}

output "results" {
  value = module.fleetmark.results
}
