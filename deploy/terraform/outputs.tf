output "controller" {
  description = "Instance id of the controller."
  value       = aws_instance.controller.id
}

output "agents" {
  description = "Instance ids of the agents, by target."
  value       = { for target, agent in aws_instance.agent : target => agent.id }
}

output "results" {
  description = "Location of the results after the controller has exited."
  value       = "${var.results}/${var.name}/"
}
