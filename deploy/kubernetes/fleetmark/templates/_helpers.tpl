{{- define "fleetmark.name" -}}
{{- printf "%s-fleetmark" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* A target's name as a Kubernetes name: ml.g4dn.xlarge -> ml-g4dn-xlarge */}}
{{- define "fleetmark.slug" -}}
{{- regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trunc 24 | trimAll "-" -}}
{{- end -}}

{{- define "fleetmark.labels" -}}
app.kubernetes.io/name: fleetmark
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "fleetmark.selector" -}}
app.kubernetes.io/name: fleetmark
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* (image, root) -> repository:tag or repository@digest */}}
{{- define "fleetmark.image" -}}
{{- $image := index . 0 -}}{{- $root := index . 1 -}}
{{- if $image.digest -}}{{ printf "%s@%s" $image.repository $image.digest }}
{{- else -}}{{ printf "%s:%s" $image.repository (default $root.Chart.AppVersion $image.tag) }}
{{- end -}}
{{- end -}}

{{/* Security context of every pod: no privileges, and only its volumes are writable. */}}
{{- define "fleetmark.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "fleetmark.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "fleetmark.controllerSecret" -}}
{{- default (printf "%s-controller-certs" (include "fleetmark.name" .)) .Values.certificates.controllerSecret -}}
{{- end -}}
{{- define "fleetmark.agentSecret" -}}
{{- default (printf "%s-agent-certs" (include "fleetmark.name" .)) .Values.certificates.agentSecret -}}
{{- end -}}

{{/* (target, root) -> an agent's pod, without its restart policy */}}
{{- define "fleetmark.agentPod" -}}
{{- $target := index . 0 -}}{{- $root := index . 1 -}}
{{- $gpus := default 0 $target.gpus | int -}}
{{ include "fleetmark.pod" $root }}
{{- with $target.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
terminationGracePeriodSeconds: 30
{{- if or $target.instanceType $target.nodeSelector }}
nodeSelector:
  {{- with $target.instanceType }}
  node.kubernetes.io/instance-type: {{ . }}
  {{- end }}
  {{- with $target.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- if or $gpus $target.tolerations }}
tolerations:
  {{- if $gpus }}
  - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
  {{- end }}
  {{- with $target.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
# Agents never share a machine, across all releases: they would measure each other's load.
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        namespaceSelector: {}
        labelSelector:
          matchLabels: {app.kubernetes.io/name: fleetmark, app.kubernetes.io/component: agent}
containers:
  - name: agent
    image: {{ include "fleetmark.image" (list $root.Values.image.agent $root) }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args:
      - join
      - --controller=https://{{ include "fleetmark.name" $root }}-controller:7437
      - {{ printf "--target=%s" $target.name | quote }}
      {{- with $target.instanceType }}
      - --instance-type={{ . }}
      {{- end }}
      - --threads={{ $target.cpu }}
      {{- if $gpus }}
      - --device=cuda:0
      {{- end }}
      - --ca=/run/certs/ca.pem
      {{- if $root.Values.certificates.useToken }}
      - --token-file=/run/certs/token
      {{- else }}
      - --cert=/run/certs/agent.pem
      - --key=/run/certs/agent.key
      {{- end }}
      - --metrics=9465
      {{- with $target.extraArgs }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- include "fleetmark.container" $root | nindent 4 }}
    # Requests equal limits and CPUs are whole, so the pod is Guaranteed and gets exclusive cores
    # under the static CPU policy.
    resources:
      {{- $resources := dict "cpu" (toString $target.cpu) "memory" $target.memory }}
      {{- if $gpus }}{{ $_ := set $resources "nvidia.com/gpu" (toString $gpus) }}{{ end }}
      requests: {{ toJson $resources }}
      limits: {{ toJson $resources }}
    livenessProbe:
      exec: {command: [/usr/local/bin/agent, health, --metrics, "9465"]}
      # Infrequent, to avoid disturbing measurements.
      periodSeconds: 60
      timeoutSeconds: 10
      failureThreshold: 5
    volumeMounts:
      - {name: certs, mountPath: /run/certs, readOnly: true}
      - {name: data, mountPath: /data}
      - {name: tmp, mountPath: /tmp}
      {{- with $target.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: certs
    secret: {secretName: {{ include "fleetmark.agentSecret" $root }}, defaultMode: 0440}
  - {name: data, emptyDir: {}}
  - {name: tmp, emptyDir: {}}
  {{- with $target.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Egress of every pod: DNS, and HTTPS if allowed. */}}
{{- define "fleetmark.egress" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- if .Values.networkPolicy.allowHttps }}
- ports: [{port: 443, protocol: TCP}]
  to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]
{{- end }}
{{- end -}}
