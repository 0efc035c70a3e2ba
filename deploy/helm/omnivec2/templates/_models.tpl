{{/* Where models come from. */}}

{{/* The volume `models`, unless a claim of a StatefulSet has that name. Call with $. */}}
{{- define "omnivec2.modelsVolume" -}}
{{- $models := .Values.models -}}
- name: models
{{- if eq $models.from "claim" }}
  persistentVolumeClaim:
    claimName: {{ required "models.from is claim: set models.claim.name" $models.claim.name }}
    readOnly: true
{{- else if eq $models.from "imageVolume" }}
  image:
    reference: {{ required "models.from is imageVolume: set models.imageVolume.reference" $models.imageVolume.reference }}
    pullPolicy: {{ $models.imageVolume.pullPolicy }}
{{- else }}
  emptyDir:
    sizeLimit: {{ $models.sizeLimit }}
{{- end }}
{{- end -}}

{{/* The volume of a checkpoint that is pulled. Call with $. */}}
{{- define "omnivec2.checkpointVolume" -}}
{{- if eq .Values.models.from "pull" -}}
- name: checkpoint
  emptyDir:
    sizeLimit: {{ .Values.models.sizeLimit }}
{{- end -}}
{{- end -}}

{{/* The mount of `models` in the container that serves them. Call with (list $ WRITABLE). */}}
{{- define "omnivec2.modelsMount" -}}
{{- $models := (index . 0).Values.models -}}
- name: models
  mountPath: /models
{{- if not (index . 1) }}
  readOnly: true
{{- end }}
{{- if and (eq $models.from "claim") $models.claim.subPath }}
  subPath: {{ $models.claim.subPath }}
{{- end }}
{{- end -}}

{{/* Whether the pod writes its repository itself: "true" or nothing. Call with $. */}}
{{- define "omnivec2.assembles" -}}
{{- if has .Values.models.from (list "image" "pull") -}}true{{- end -}}
{{- end -}}

{{/* The init container that pulls a checkpoint. Call with $. */}}
{{- define "omnivec2.pullContainer" -}}
{{- if eq .Values.models.from "pull" -}}
- name: pull
  image: {{ include "omnivec2.image" (list . .Values.gateway.image) }}
  imagePullPolicy: {{ .Values.gateway.image.pullPolicy }}
  args: [pull, {{ required "models.from is pull: set models.pull.address" .Values.models.pull.address | quote }}, /checkpoint/pulled]
  {{- include "omnivec2.credentials" . | nindent 2 }}
  {{- include "omnivec2.restrictedContainer" . | nindent 2 }}
  resources:
    requests: {cpu: 250m, memory: 256Mi, ephemeral-storage: 1Gi}
    limits: {cpu: "1", memory: 1Gi, ephemeral-storage: 8Gi}
  volumeMounts:
    - name: checkpoint
      mountPath: /checkpoint
    - name: tmp
      mountPath: /tmp
{{- end -}}
{{- end -}}

{{/* The option that names the checkpoint. One that is not there makes `serve` take a repository as it is. */}}
{{- define "omnivec2.checkpointOption" -}}
{{- if eq .Values.models.from "pull" -}}
--checkpoint=/checkpoint/pulled
{{- else if ne .Values.models.from "image" -}}
--checkpoint=/none
{{- end -}}
{{- end -}}

{{/* Credentials of buckets and hubs, as environment variables. Call with $. */}}
{{- define "omnivec2.credentials" -}}
{{- with .Values.models.credentials.existingSecret -}}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end -}}
{{- end -}}
