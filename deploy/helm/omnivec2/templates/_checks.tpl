{{/* Combinations of values that the schema cannot see. */}}
{{- define "omnivec2.check" -}}
{{- if and .Values.grpcRoute.enabled (not .Values.gateway.grpc.enabled) -}}
{{- fail "grpcRoute.enabled needs gateway.grpc.enabled" -}}
{{- end -}}
{{- if and (eq .Values.mode "embedded") (eq .Values.models.from "bucket") -}}
{{- fail "models.from: bucket is read by Triton: set mode to triton, or pull a checkpoint (models.from: pull)" -}}
{{- end -}}
{{- if and (eq .Values.models.from "imageVolume") (semverCompare "<1.31.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail "models.from: imageVolume needs Kubernetes 1.31 or newer" -}}
{{- end -}}
{{- if and .Values.sharedState.url .Values.sharedState.existingSecret.name -}}
{{- fail "set sharedState.url or sharedState.existingSecret.name, not both" -}}
{{- end -}}
{{- if and (eq .Values.mode "triton") (not .Values.triton.pools) -}}
{{- fail "mode triton needs at least one pool in triton.pools" -}}
{{- end -}}
{{- end -}}
