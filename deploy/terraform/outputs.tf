output "controller" {
  description = "The controller's instance."
  value       = aws_instance.controller.id
}

output "agents" {
  description = "The agents' instances by target."
  value       = { for target, agent in aws_instance.agent : target => agent.id }
}

output "results" {
  description = "Where results lie when the controller has ended."
  value       = "${var.results}/${var.name}/"
}
