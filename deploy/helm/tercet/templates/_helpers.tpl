{{- define "tercet.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tercet.labels" -}}
{{ include "tercet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The numbers of the nodes. */}}
{{- define "tercet.nodes" -}}
{{- $last := add .Values.firstNode .Values.replicas -1 | int -}}
{{- if gt $last 255 }}{{ fail (printf "the last node is %d: a zone has nodes 1 to 255" $last) }}{{ end -}}
{{- untilStep (int .Values.firstNode) (int (add $last 1)) 1 | toJson -}}
{{- end }}

{{/* The URL of a node: kubelet puts the pod's name in. */}}
{{- define "tercet.httpPublic" -}}
{{- with .Values.httpPublic }}{{ . }}{{ else }}{{ with .Values.ingress.host }}https://$(POD_NAME).{{ . }}{{ end }}{{ end -}}
{{- end }}

{{/* What the nodes read as files, if anything. */}}
{{- define "tercet.files" -}}
{{- with .Values.config }}
tercet.toml: |
  {{- . | trim | nindent 2 }}
{{- end }}
{{- with .Values.zoneMap }}
zones.toml: |
  [zones]
  {{- range $zone, $networks := . }}
  {{ $zone }} = {{ $networks | toJson }}
  {{- end }}
{{- end }}
{{- end }}
