{{/* Names, labels and images. */}}

{{/* Short enough that names of pods and labels of revisions fit into 63 characters. */}}
{{- define "omnivec2.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 36 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 36 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "omnivec2.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "omnivec2.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Selectors cannot be changed after an installation: they hold nothing that an upgrade changes.
     Call with (list $ COMPONENT). */}}
{{- define "omnivec2.selectorLabels" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ $top.Chart.Name }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Call with (list $ COMPONENT). */}}
{{- define "omnivec2.labels" -}}
{{- $top := index . 0 -}}
{{ include "omnivec2.selectorLabels" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_" }}
{{- with $top.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Call with (list $ IMAGE). */}}
{{- define "omnivec2.image" -}}
{{- $top := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default $top.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The first of some versions of a kind that the cluster serves, or the first, where none is known to:
     `helm template` knows only Kubernetes' own. Call with (list $ KIND VERSION...). */}}
{{- define "omnivec2.apiVersion" -}}
{{- $top := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $versions := slice . 2 -}}
{{- $found := first $versions -}}
{{- range reverse $versions -}}
{{- if $top.Capabilities.APIVersions.Has (printf "%s/%s" . $kind) -}}
{{- $found = . -}}
{{- end -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{/* A value as an environment variable has it: numbers of YAML are floats, lists are separated by commas. */}}
{{- define "omnivec2.plain" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%d" (int64 .) -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}
