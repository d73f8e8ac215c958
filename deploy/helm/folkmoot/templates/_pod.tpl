{{- /* What every process of the cluster is made of. */ -}}
{{- define "folkmoot.labels" -}}
app.kubernetes.io/name: folkmoot
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* One line of TOML a setting: JSON's texts, numbers and lists are TOML's too. */ -}}
{{- define "folkmoot.toml" -}}
{{- range $name, $value := . }}
{{ $name }} = {{ toJson $value }}
{{- end }}
{{- end }}

{{- define "folkmoot.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
volumeMounts:
  - { name: config, mountPath: /etc/folkmoot, readOnly: true }
  - { name: data, mountPath: /var/lib/folkmoot }
  - { name: token, mountPath: /run/secrets/folkmoot, readOnly: true }
  {{- range .Values.secretFiles }}
  - { name: {{ printf "secret-%s" .name }}, mountPath: {{ printf "/run/folkmoot/%s" .name }}, readOnly: true }
  {{- end }}
env:
  - { name: FOLKMOOT_TOKEN_SECRET_FILE, value: /run/secrets/folkmoot/secret.key }
{{- end }}

{{- define "folkmoot.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
volumes:
  - name: config
    configMap: { name: {{ .Release.Name }}-folkmoot }
  # Nothing of the data is here: only the secret, in memory.
  - name: data
    emptyDir: { medium: Memory, sizeLimit: 16Mi }
  - name: token
    secret: { secretName: {{ .Values.tokenSecretName }} }
  {{- range .Values.secretFiles }}
  - name: {{ printf "secret-%s" .name }}
    secret: { secretName: {{ .secretName }} }
  {{- end }}
{{- end }}
