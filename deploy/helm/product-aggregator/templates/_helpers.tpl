{{- /* Which processes there are, and how each differs: the one table that the other templates go through. */ -}}
{{- define "aggregator.processes" -}}
catalog-api-serve: {service: catalog-api, command: serve, port: 8000, calls: [database, broker, price-history]}
catalog-api-work: {service: catalog-api, command: work, port: 8080, calls: [database, broker, webhooks], queues: [catalog-api.offers, catalog-api.registrations]}
offers-sync-work: {service: offers-sync, command: work, port: 8080, calls: [database, broker, offers-ms], queues: [offers-sync.products]}
price-history-serve: {service: price-history, command: serve, port: 8001, calls: [database]}
price-history-work: {service: price-history, command: work, port: 8080, calls: [database, broker]}
{{- end -}}

{{- define "aggregator.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What identifies the pods of a component, for ever: a Deployment's selector can't be changed. [root, component] */ -}}
{{- define "aggregator.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- /* [root, component] */ -}}
{{- define "aggregator.labels" -}}
{{- $root := index . 0 -}}
{{ include "aggregator.selector" . }}
app.kubernetes.io/part-of: {{ $root.Chart.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- /* [root, service] */ -}}
{{- define "aggregator.image" -}}
{{- $root := index . 0 -}}
{{- $service := index . 1 -}}
{{- $image := $root.Values.image -}}
{{- $name := printf "%s/%s" (required "image.registry is required, such as registry.example.com/product-aggregator" $image.registry | trimSuffix "/") $service -}}
{{- with get $image.digests $service -}}
{{- printf "%s@%s" $name . -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* A number as a person would write it: Helm's own text of ten million is 1e+07, which no setting takes. */ -}}
{{- define "aggregator.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{- /* Environment entries of a map of settings. */ -}}
{{- define "aggregator.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "aggregator.text" $value | quote }}
{{- end -}}
{{- end -}}

{{- /* Environment entries from keys of a Secret. [secret, optional, key, key…] */ -}}
{{- define "aggregator.secrets" -}}
{{- $secret := index . 0 -}}
{{- $optional := index . 1 -}}
{{- range slice . 2 }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ . }}
      {{- if $optional }}
      optional: true
      {{- end }}
{{- end -}}
{{- end -}}

{{- /* What every pod has in common beside its container. */ -}}
{{- define "aggregator.pod" -}}
automountServiceAccountToken: false
# Else every Service of the namespace would put variables of its own choice into the environment.
enableServiceLinks: false
{{- with .Values.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.runAsUser }}
  runAsGroup: {{ .Values.runAsUser }}
  seccompProfile:
    type: RuntimeDefault
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* What every container has in common beside its command and environment. [root, service] */ -}}
{{- define "aggregator.container" -}}
{{- $root := index . 0 -}}
image: {{ include "aggregator.image" . }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with $root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
