{{- /* What every process of the cluster is made of. */ -}}
{{- define "folkmoot.labels" -}}
app.kubernetes.io/name: folkmoot
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* A role's own settings over those of all, as JSON. Never sprig's "merge": what is false or 0 counts as not set there,
       and a shared `metrics_open: true` would open /metrics of the gateways too, which say false. */ -}}
{{- define "folkmoot.settings" -}}
{{- toJson (mergeOverwrite (deepCopy .all) .own) }}
{{- end }}

{{- /* The file of a process. One line of TOML a setting: JSON's texts, numbers and lists are TOML's too. */ -}}
{{- define "folkmoot.toml" -}}
host = "0.0.0.0"
port = 8420
roles = [{{ quote .role }}]
{{- range $name, $value := .settings }}
{{ $name }} = {{ toJson $value }}
{{- end }}
{{- end }}

{{- define "folkmoot.container" -}}
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
volumeMounts:
  - { name: config, mountPath: /etc/folkmoot, readOnly: true }
  - { name: data, mountPath: /var/lib/folkmoot }
  - { name: token, mountPath: /run/secrets/folkmoot, readOnly: true }
  {{- range .root.Values.secretFiles }}
  - { name: {{ printf "secret-%s" .name }}, mountPath: {{ printf "/run/folkmoot/%s" .name }}, readOnly: true }
  {{- end }}
env:
  - { name: FOLKMOOT_TOKEN_SECRET_FILE, value: /run/secrets/folkmoot/secret.key }
  {{- with .settings.nats_credentials_file }}
  # Files of a Secret can be read by fsGroup, and the program takes this one only where nobody else can read it. So the
  # entrypoint has to see the name: it makes a copy of it, and has the program read that.
  - { name: FOLKMOOT_NATS_CREDENTIALS_FILE, value: {{ quote . }} }
  {{- end }}
{{- end }}

{{- define "folkmoot.pod" -}}
automountServiceAccountToken: false
# Else Kubernetes writes each Service's address into the environment under the Service's name. Those of a release called
# folkmoot begin with FOLKMOOT_ as settings do: the program knows no such settings, and does not start.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
volumes:
  - name: config
    configMap: { name: {{ .config }} }
  # Nothing of the data is here: only copies of secrets, in memory.
  - name: data
    emptyDir: { medium: Memory, sizeLimit: 16Mi }
  - name: token
    secret: { secretName: {{ .root.Values.tokenSecretName }} }
  {{- range .root.Values.secretFiles }}
  - name: {{ printf "secret-%s" .name }}
    secret: { secretName: {{ .secretName }} }
  {{- end }}
{{- end }}
