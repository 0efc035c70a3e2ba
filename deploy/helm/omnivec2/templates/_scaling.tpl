{{/* Horizontal scaling and budgets, of gateways and of pools. */}}

{{/* An HPA. Call with a dict: top, name, component, target (kind, name), scaling, metrics (YAML of a list). */}}
{{- define "omnivec2.hpa" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  namespace: {{ .top.Release.Namespace }}
  labels:
    {{- include "omnivec2.labels" (list .top .component) | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ .kind }}
    name: {{ .name }}
  minReplicas: {{ .scaling.minReplicas }}
  maxReplicas: {{ .scaling.maxReplicas }}
  metrics:
    {{- .metrics | nindent 4 }}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      selectPolicy: Max
      policies:
        - {type: Percent, value: 100, periodSeconds: 30}
        - {type: Pods, value: 2, periodSeconds: 30}
    scaleDown:
      stabilizationWindowSeconds: {{ .scaling.scaleDownSeconds }}
      selectPolicy: Min
      policies:
        - {type: Percent, value: 25, periodSeconds: 60}
        - {type: Pods, value: 1, periodSeconds: 60}
{{- end -}}

{{/* A ScaledObject of KEDA, which makes an HPA. Call with a dict: top, name, component, kind, scaling, query,
     threshold. */}}
{{- define "omnivec2.scaledObject" -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .name }}
  namespace: {{ .top.Release.Namespace }}
  labels:
    {{- include "omnivec2.labels" (list .top .component) | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ .kind }}
    name: {{ .name }}
  pollingInterval: 15
  minReplicaCount: {{ .scaling.minReplicas }}
  maxReplicaCount: {{ .scaling.maxReplicas }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: {{ .scaling.scaleDownSeconds }}
          policies:
            - {type: Pods, value: 1, periodSeconds: 60}
  triggers:
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: {{ .top.Values.monitoring.keda.prometheusAddress }}
        query: {{ .query | quote }}
        threshold: {{ .threshold | quote }}
{{- end -}}

{{/* A PodDisruptionBudget. Call with a dict: top, name, component, budget, selector. */}}
{{- define "omnivec2.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .top.Release.Namespace }}
  labels:
    {{- include "omnivec2.labels" (list .top .component) | nindent 4 }}
spec:
  maxUnavailable: {{ .budget.maxUnavailable }}
  # A pod that is not ready serves nobody: it does not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- .selector | nindent 6 }}
{{- end -}}

{{/* Whether there may be more than one replica: "true" or nothing. Call with values of a component. */}}
{{- define "omnivec2.isMany" -}}
{{- if eq .autoscaling.kind "none" -}}
{{- if gt (int .replicas) 1 -}}true{{- end -}}
{{- else if gt (int .autoscaling.maxReplicas) 1 -}}true{{- end -}}
{{- end -}}
