{{- define "provost.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- /* 50 characters, so that the longest suffix still makes a name of 63. */ -}}
{{- define "provost.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "provost.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Cluster-wide objects carry the namespace too, so that two releases of one name do not meet. */ -}}
{{- define "provost.clusterName" -}}
{{- if eq .Release.Namespace (include "provost.fullname" .) -}}
{{- include "provost.fullname" . -}}
{{- else -}}
{{- printf "%s-%s" .Release.Namespace (include "provost.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "provost.selector" -}}
app.kubernetes.io/name: {{ include "provost.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "provost.labels" -}}
{{ include "provost.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The annotations line of an object's metadata: those of its own and those for all. Call with (list $ own). */ -}}
{{- define "provost.annotations" -}}
{{- $root := index . 0 -}}
{{- with merge (dict) (index . 1) $root.Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end -}}
{{- end -}}

{{- define "provost.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "provost.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "provost.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "provost.publicUrl" -}}
{{- if .Values.publicUrl -}}
{{- .Values.publicUrl -}}
{{- else -}}
{{- $port := int .Values.service.devices.port -}}
{{- printf "https://%s.%s.svc" (include "provost.fullname" .) .Release.Namespace -}}
{{- if ne $port 443 -}}{{- printf ":%d" $port -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* An address to listen on. Call with (list $ port). */ -}}
{{- define "provost.listen" -}}
{{- $address := (index . 0).Values.listenAddress -}}
{{- if contains ":" $address -}}[{{ $address }}]{{- else -}}{{ $address }}{{- end -}}:{{ index . 1 }}
{{- end -}}

{{- /* One rule of a NetworkPolicy. Call with (list "from" or "to", a dict with the peers and ports, protocols). */ -}}
{{- define "provost.networkRule" -}}
{{- $direction := index . 0 -}}
{{- $rule := index . 1 -}}
{{- $protocols := index . 2 }}
    - ports:
        {{- range $port := $rule.ports }}
        {{- range $protocol := $protocols }}
        - port: {{ $port }}
          protocol: {{ $protocol }}
        {{- end }}
        {{- end }}
      {{- with get $rule $direction }}
      {{ $direction }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
