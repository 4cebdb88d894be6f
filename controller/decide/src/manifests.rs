//! The policy of a choice as files that platforms accept. JSON is YAML, so `kubectl apply -f` takes them, too.

use super::decision::Decision;
use super::options::{COOLDOWN_S, bounds_beside};
use super::prediction::{Choice, SizedPolicy};
use serde_json::{Value, json};
use traffic::Platform;

/// A file with the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub file: String,
    pub text: String,
}

/// The alarm of a fleet without instances is evaluated each minute.
const ALARM_S: u32 = 60;
const DAYS: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
/// Where the pod autoscaler's metric comes from: a Prometheus of the cluster.
const PROMETHEUS: &str = "http://prometheus.monitoring.svc:9090";

/// The files of a choice; `name` is that of the endpoint or deployment. A base has an endpoint or deployment of its own,
/// `NAME-base`, and the files of both have the name of their part in front.
pub fn manifests(decision: &Decision, choice: &Choice, name: &str) -> Vec<Manifest> {
    let Some(base) = &choice.base else {
        return files(decision, &Plan::of(decision, choice, name, "fleet"));
    };
    let name = valid_name(name);
    let fixed = SizedPolicy::Fixed { instances: base.instances };
    let of_base = Choice { sized: fixed, base: None, ..choice.clone() };
    let parts = [("base", &of_base), ("peak", choice)];
    let of_part = |(part, choice): (&'static str, &Choice)| {
        let plan = Plan::of(decision, choice, &format!("{name}-{part}"), part);
        let prefixed = |one: Manifest| Manifest { file: format!("{part}-{}", one.file), ..one };
        files(decision, &plan).into_iter().map(prefixed).collect::<Vec<_>>()
    };
    parts.into_iter().flat_map(of_part).collect()
}

fn files(decision: &Decision, plan: &Plan<'_>) -> Vec<Manifest> {
    let files: Vec<(&'static str, Value)> = match decision.fleet.platform {
        Platform::Sagemaker if plan.choice.is_serverless() => vec![
            ("sagemaker-endpoint-config.json", plan.endpoint_config()),
            ("endpoint.tf.json", plan.terraform_of_serverless()),
        ],
        Platform::Sagemaker => {
            let mut files = vec![("sagemaker-scalable-target.json", plan.scalable_target())];
            files.extend(plan.target_tracking().map(|it| ("sagemaker-scaling-policy.json", it)));
            if plan.has_zero() {
                files.push(("sagemaker-first-copy-policy.json", plan.first_copy()));
                files.push(("sagemaker-first-copy-alarm.json", plan.first_copy_alarm()));
            }
            let actions = plan.scheduled_actions();
            if !actions.is_empty() {
                files.push(("sagemaker-scheduled-actions.json", Value::Array(actions)));
            }
            files.push(("scaling.tf.json", plan.terraform()));
            files
        }
        Platform::Kubernetes => {
            let mut files = vec![("keda-scaledobject.json", plan.scaled_object())];
            files.extend(plan.pod_autoscaler().map(|it| ("horizontal-pod-autoscaler.json", it)));
            files
        }
    };
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
    let manifest =
        |(file, value): (&str, Value)| Manifest { file: file.to_owned(), text: text(&value) };
    files.into_iter().map(manifest).collect()
}

/// A number of instances from an hour of a slot on.
struct Change {
    slot: usize,
    instances: u32,
    /// Until the next change.
    hours: usize,
}

struct Plan<'a> {
    decision: &'a Decision,
    choice: &'a Choice,
    name: String,
    /// Names its resources in Terraform, where the files of a folder are one module.
    label: &'static str,
    min: u32,
    max: u32,
}

impl<'a> Plan<'a> {
    fn of(decision: &'a Decision, choice: &'a Choice, name: &str, label: &'static str) -> Self {
        let (min, max) = match &choice.sized {
            SizedPolicy::Fixed { instances } => (*instances, *instances),
            SizedPolicy::Tracking { .. } => {
                let base = choice.base.as_ref().map_or(0, |base| base.instances);
                bounds_beside(&decision.fleet, base)
            }
            SizedPolicy::Scheduled { instances, .. } => (
                instances.iter().copied().min().unwrap_or(1),
                instances.iter().copied().max().unwrap_or(1),
            ),
            SizedPolicy::Serverless { max_concurrency, .. } => (0, *max_concurrency),
        };
        Self { decision, choice, name: valid_name(name), label, min, max }
    }

    /// Only endpoints of inference components can have no instance.
    fn has_zero(&self) -> bool {
        self.min == 0
    }

    fn resource(&self) -> String {
        if self.has_zero() {
            return format!("inference-component/{}", self.name);
        }
        format!("endpoint/{}/variant/AllTraffic", self.name)
    }

    fn dimension(&self) -> &'static str {
        if self.has_zero() {
            return "sagemaker:inference-component:DesiredCopyCount";
        }
        "sagemaker:variant:DesiredInstanceCount"
    }

    fn metric(&self) -> &'static str {
        if self.has_zero() {
            return "SageMakerInferenceComponentInvocationsPerCopy";
        }
        "SageMakerVariantInvocationsPerInstance"
    }

    /// As long as a start takes, in whole minutes, so that failures during it don't add a second copy.
    fn first_copy_cooldown_s(&self) -> u32 {
        let facts = self.decision.candidate(self.choice);
        let fleet = &self.decision.fleet;
        let start_s = fleet.provisioning_s + fleet.load_s.or(facts.load_s).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "minutes")]
        let minutes = (start_s / 60.0).ceil().max(1.0) as u32;
        60 * minutes
    }

    /// For `aws application-autoscaling put-scaling-policy --cli-input-json`: the copy that target tracking can't add,
    /// because without a copy there is no metric.
    fn first_copy(&self) -> Value {
        json!({
            "PolicyName": format!("{}-first-copy", self.name),
            "ServiceNamespace": "sagemaker",
            "ResourceId": self.resource(),
            "ScalableDimension": self.dimension(),
            "PolicyType": "StepScaling",
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Maximum",
                "Cooldown": self.first_copy_cooldown_s(),
                "StepAdjustments": [{ "MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1 }],
            },
        })
    }

    /// For `aws cloudwatch put-metric-alarm --cli-input-json FILE --alarm-actions ARN`, with that of the policy.
    fn first_copy_alarm(&self) -> Value {
        json!({
            "AlarmName": format!("{}-first-copy", self.name),
            "Namespace": "AWS/SageMaker",
            "MetricName": "NoCapacityInvocationFailures",
            "Dimensions": [{ "Name": "InferenceComponentName", "Value": self.name }],
            "Statistic": "Sum",
            "Period": ALARM_S,
            "EvaluationPeriods": 1,
            "DatapointsToAlarm": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": 1.0,
            "TreatMissingData": "notBreaching",
        })
    }

    /// For `aws sagemaker create-endpoint-config --cli-input-json`.
    fn endpoint_config(&self) -> Value {
        let (memory_mb, max_concurrency) = self.memory_and_concurrency();
        json!({
            "EndpointConfigName": self.name,
            "ProductionVariants": [{
                "VariantName": "AllTraffic",
                "ModelName": self.name,
                "ServerlessConfig": {
                    "MemorySizeInMB": memory_mb,
                    "MaxConcurrency": max_concurrency,
                },
            }],
        })
    }

    /// A serverless endpoint of the SageMaker model of its name.
    fn terraform_of_serverless(&self) -> Value {
        let (memory_mb, max_concurrency) = self.memory_and_concurrency();
        let label = self.label;
        json!({ "resource": {
            "aws_sagemaker_endpoint_configuration": { label: {
                "name": self.name,
                "production_variants": {
                    "variant_name": "AllTraffic",
                    "model_name": self.name,
                    "serverless_config": {
                        "memory_size_in_mb": memory_mb,
                        "max_concurrency": max_concurrency,
                    },
                },
            } },
            "aws_sagemaker_endpoint": { label: {
                "name": self.name,
                "endpoint_config_name":
                    format!("${{aws_sagemaker_endpoint_configuration.{label}.name}}"),
            } },
        } })
    }

    fn memory_and_concurrency(&self) -> (u32, u32) {
        match self.choice.sized {
            SizedPolicy::Serverless { memory_mb, max_concurrency } => (memory_mb, max_concurrency),
            _ => (0, 0),
        }
    }

    /// Requests per second of one instance; `None` without target tracking.
    fn target_rate(&self) -> Option<f64> {
        match self.choice.sized {
            SizedPolicy::Tracking { target_rate, .. } => Some(target_rate),
            _ => None,
        }
    }

    /// For `aws application-autoscaling register-scalable-target --cli-input-json`.
    fn scalable_target(&self) -> Value {
        json!({
            "ServiceNamespace": "sagemaker",
            "ResourceId": self.resource(),
            "ScalableDimension": self.dimension(),
            "MinCapacity": self.min,
            "MaxCapacity": self.max,
        })
    }

    /// For `aws application-autoscaling put-scaling-policy --cli-input-json`.
    fn target_tracking(&self) -> Option<Value> {
        let per_minute = rounded(self.target_rate()? * 60.0);
        Some(json!({
            "PolicyName": format!("{}-requests-per-instance", self.name),
            "ServiceNamespace": "sagemaker",
            "ResourceId": self.resource(),
            "ScalableDimension": self.dimension(),
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": per_minute,
                "PredefinedMetricSpecification": { "PredefinedMetricType": self.metric() },
                "ScaleOutCooldown": COOLDOWN_S,
                "ScaleInCooldown": COOLDOWN_S,
            },
        }))
    }

    /// For `aws application-autoscaling put-scheduled-action --cli-input-json`, one each.
    fn scheduled_actions(&self) -> Vec<Value> {
        let action = |change: &Change| {
            let (days, hour) = self.days_and_hour(change.slot);
            let days = days.unwrap_or("*");
            json!({
                "ServiceNamespace": "sagemaker",
                "ScheduledActionName": format!("{}-{}", self.name, change.slot),
                "ResourceId": self.resource(),
                "ScalableDimension": self.dimension(),
                "Schedule": format!("cron(0 {hour} ? * {days} *)"),
                "Timezone": self.decision.traffic.time_zone,
                "ScalableTargetAction": {
                    "MinCapacity": change.instances,
                    "MaxCapacity": change.instances,
                },
            })
        };
        self.changes().iter().map(action).collect()
    }

    /// The resources of AWS's Terraform provider.
    fn terraform(&self) -> Value {
        let label = self.label;
        let mut resources = json!({
            "aws_appautoscaling_target": { label: {
                "service_namespace": "sagemaker",
                "resource_id": self.resource(),
                "scalable_dimension": self.dimension(),
                "min_capacity": self.min,
                "max_capacity": self.max,
            } },
        });
        let of_target = |key: &str| format!("${{aws_appautoscaling_target.{label}.{key}}}");
        let common = |name: String| {
            json!({
                "name": name,
                "service_namespace": of_target("service_namespace"),
                "resource_id": of_target("resource_id"),
                "scalable_dimension": of_target("scalable_dimension"),
            })
        };
        if let Some(rate) = self.target_rate() {
            let mut policy = common(format!("{}-requests-per-instance", self.name));
            policy["policy_type"] = json!("TargetTrackingScaling");
            policy["target_tracking_scaling_policy_configuration"] = json!({
                "target_value": rounded(rate * 60.0),
                "predefined_metric_specification": { "predefined_metric_type": self.metric() },
                "scale_out_cooldown": COOLDOWN_S,
                "scale_in_cooldown": COOLDOWN_S,
            });
            resources["aws_appautoscaling_policy"] = json!({ label: policy });
        }
        if self.has_zero() {
            let first = format!("{label}_first_copy");
            let mut policy = common(format!("{}-first-copy", self.name));
            policy["policy_type"] = json!("StepScaling");
            policy["step_scaling_policy_configuration"] = json!({
                "adjustment_type": "ChangeInCapacity",
                "metric_aggregation_type": "Maximum",
                "cooldown": self.first_copy_cooldown_s(),
                "step_adjustment": { "metric_interval_lower_bound": 0, "scaling_adjustment": 1 },
            });
            resources["aws_appautoscaling_policy"][&first] = policy;
            resources["aws_cloudwatch_metric_alarm"] = json!({ &first: {
                "alarm_name": format!("{}-first-copy", self.name),
                "alarm_actions": [format!("${{aws_appautoscaling_policy.{first}.arn}}")],
                "namespace": "AWS/SageMaker",
                "metric_name": "NoCapacityInvocationFailures",
                "dimensions": { "InferenceComponentName": self.name },
                "statistic": "Sum",
                "period": ALARM_S,
                "evaluation_periods": 1,
                "datapoints_to_alarm": 1,
                "comparison_operator": "GreaterThanOrEqualToThreshold",
                "threshold": 1,
                "treat_missing_data": "notBreaching",
            } });
        }
        let mut actions = serde_json::Map::new();
        for change in self.changes() {
            let (days, hour) = self.days_and_hour(change.slot);
            let mut action = common(format!("{}-{}", self.name, change.slot));
            action["schedule"] = json!(format!("cron(0 {hour} ? * {} *)", days.unwrap_or("*")));
            action["timezone"] = json!(self.decision.traffic.time_zone);
            action["scalable_target_action"] =
                json!({ "min_capacity": change.instances, "max_capacity": change.instances });
            actions.insert(format!("{label}_slot_{}", change.slot), action);
        }
        if !actions.is_empty() {
            resources["aws_appautoscaling_scheduled_action"] = Value::Object(actions);
        }
        json!({ "resource": resources })
    }

    /// KEDA's `ScaledObject`: scaled by Prometheus, or by the clock.
    fn scaled_object(&self) -> Value {
        let triggers = match (&self.choice.sized, self.target_rate()) {
            (SizedPolicy::Fixed { instances }, _) => {
                vec![self.cron("0 0 * * *", "59 23 * * *", *instances)]
            }
            (_, Some(rate)) => vec![json!({
                "type": "prometheus",
                "metricType": "AverageValue",
                "metadata": {
                    "serverAddress": PROMETHEUS,
                    "query": self.query(),
                    "threshold": rounded(rate).to_string(),
                },
            })],
            _ => self.changes().iter().map(|change| self.cron_of(change)).collect(),
        };
        json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": { "name": self.name },
            "spec": {
                "scaleTargetRef": { "name": self.name },
                "pollingInterval": 15,
                "cooldownPeriod": COOLDOWN_S,
                "minReplicaCount": self.min,
                "maxReplicaCount": self.max,
                "triggers": triggers,
            },
        })
    }

    /// Requests per second of the deployment; beside a base, those of both that the base doesn't carry.
    fn query(&self) -> String {
        match &self.choice.base {
            None => format!("sum(rate(http_requests_total{{service=\"{}\"}}[1m]))", self.name),
            Some(base) => format!(
                "clamp_min(sum(rate(http_requests_total{{service=~\"{}-(base|peak)\"}}[1m])) - {}, 0)",
                self.name.trim_end_matches("-peak"),
                rounded(base.rate)
            ),
        }
    }

    fn cron_of(&self, change: &Change) -> Value {
        let at = |slot: usize| {
            let (day, hour) = self.days_and_hour(slot);
            format!("0 {hour} * * {}", day.unwrap_or("*"))
        };
        let slots = self.slots();
        let end = (change.slot + change.hours) % slots;
        if change.hours == slots {
            return self.cron("0 0 * * *", "59 23 * * *", change.instances);
        }
        self.cron(&at(change.slot), &at(end), change.instances)
    }

    fn cron(&self, start: &str, end: &str, instances: u32) -> Value {
        json!({
            "type": "cron",
            "metadata": {
                "timezone": self.decision.traffic.time_zone,
                "start": start,
                "end": end,
                "desiredReplicas": instances.to_string(),
            },
        })
    }

    /// An autoscaler on the metric `http_requests_per_second` of pods, without KEDA.
    fn pod_autoscaler(&self) -> Option<Value> {
        // Beside a base, the pods' own requests aren't what the policy needs, and there may be no pod.
        let rate = self.target_rate().filter(|_| self.choice.base.is_none())?;
        #[expect(clippy::cast_possible_truncation, reason = "a rate in thousandths")]
        let quantity = format!("{}m", (rate * 1000.0).round().max(1.0) as i64);
        Some(json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": self.name },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": self.name },
                // Without a feature gate the autoscaler itself has no zero.
                "minReplicas": self.min.max(1),
                "maxReplicas": self.max,
                "metrics": [{
                    "type": "Pods",
                    "pods": {
                        "metric": { "name": "http_requests_per_second" },
                        "target": { "type": "AverageValue", "averageValue": quantity },
                    },
                }],
                "behavior": { "scaleDown": { "stabilizationWindowSeconds": COOLDOWN_S } },
            },
        }))
    }

    fn slots(&self) -> usize {
        match &self.choice.sized {
            SizedPolicy::Scheduled { instances, .. } => instances.len(),
            _ => 0,
        }
    }

    /// The slots in which a schedule changes; one if it is constant.
    fn changes(&self) -> Vec<Change> {
        let SizedPolicy::Scheduled { instances, .. } = &self.choice.sized else {
            return Vec::new();
        };
        let slots = instances.len();
        let before = |slot: usize| instances[(slot + slots - 1) % slots];
        let mut begins: Vec<usize> =
            (0..slots).filter(|slot| instances[*slot] != before(*slot)).collect();
        if begins.is_empty() {
            begins.push(0);
        }
        let next = |place: usize| begins.get(place + 1).copied().unwrap_or(begins[0] + slots);
        let change = |(place, slot): (usize, &usize)| Change {
            slot: *slot,
            instances: instances[*slot],
            hours: next(place) - slot,
        };
        begins.iter().enumerate().map(change).collect()
    }

    /// The day of a weekly schedule, and the hour.
    fn days_and_hour(&self, slot: usize) -> (Option<&'static str>, usize) {
        let day = (self.slots() > 24).then(|| DAYS[slot / 24 % 7]);
        (day, slot % 24)
    }
}

/// Three decimals: platforms take finite numbers of any precision, and people read them.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Lower-case letters, digits and dashes, as endpoints and Kubernetes accept.
fn valid_name(name: &str) -> String {
    let plain = |letter: char| {
        let letter = letter.to_ascii_lowercase();
        if letter.is_ascii_lowercase() || letter.is_ascii_digit() { letter } else { '-' }
    };
    let name: String = name.chars().map(plain).take(40).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "fleet".to_owned() } else { name.to_owned() }
}
