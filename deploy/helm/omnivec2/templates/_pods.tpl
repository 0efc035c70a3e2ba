{{/* What pods of all components have in common. */}}

{{/* Fields of a pod's spec that keep it restricted. Call with $. */}}
{{- define "omnivec2.restrictedPod" -}}
serviceAccountName: {{ include "omnivec2.serviceAccountName" . }}
automountServiceAccountToken: false
# A Service named omnivec2 would otherwise set OMNIVEC2_PORT, which is a setting, in every pod.
enableServiceLinks: false
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  # Volumes belong to this group: claims are made for root otherwise.
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "omnivec2.restrictedContainer" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Where pods go. Call with (list $ SELECTOR-LABELS PLACE); PLACE has nodeSelector, tolerations, affinity,
     topologySpreadConstraints and runtimeClassName. */}}
{{- define "omnivec2.placement" -}}
{{- $labels := index . 1 -}}
{{- $place := index . 2 -}}
{{- with $place.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with $place.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $place.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $place.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if $place.topologySpreadConstraints }}
  {{- toYaml $place.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $labels | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Requests and limits, with GPUs. Call with (list RESOURCES GPU). */}}
{{- define "omnivec2.resources" -}}
{{- $resources := deepCopy (index . 0) -}}
{{- $gpu := index . 1 -}}
{{- if $gpu.count -}}
{{- $_ := set $resources "limits" (merge (dict $gpu.resource (int $gpu.count)) ($resources.limits | default dict)) -}}
{{- end -}}
resources:
  {{- toYaml $resources | nindent 2 }}
{{- end -}}

{{/* The whole cores of a limit of CPU, rounded up; nothing without a limit. Call with resources. */}}
{{- define "omnivec2.cores" -}}
{{- with (.limits | default dict).cpu -}}
{{- $cpu := toString . -}}
{{- if hasSuffix "m" $cpu -}}
{{- ceil (divf (trimSuffix "m" $cpu | float64) 1000) | int64 -}}
{{- else -}}
{{- ceil (float64 $cpu) | int64 -}}
{{- end -}}
{{- end -}}
{{- end -}}
