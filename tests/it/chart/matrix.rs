//! Values that set each switch of the chart at least once, by what they are about.

use serde_json::{Value, json};

#[expect(clippy::too_many_lines, reason = "data, one entry after another")]
pub(super) fn matrix() -> Vec<(&'static str, Value)> {
    let peer = json!([{ "podSelector": {} }, { "ipBlock": { "cidr": "10.0.0.0/8" } }]);
    vec![
        ("defaults", json!({})),
        (
            "nothing optional",
            json!({
                "crds": { "enabled": false }, "rbac": { "create": false, "userRoles": false }, "serviceAccount": { "create": false },
                "networkPolicy": { "enabled": false }, "persistence": { "enabled": false },
            }),
        ),
        (
            "names",
            json!({
                "fullnameOverride": "mdm", "nameOverride": "mdm", "commonLabels": { "team": "a" }, "commonAnnotations": { "b": "c" },
                "crds": { "keep": false, "annotations": { "d": "e" } }, "serviceAccount": { "name": "other", "annotations": { "f": "g" } },
            }),
        ),
        (
            "an address and a push certificate",
            json!({
                "publicUrl": "https://mdm.example.com:8443", "push": { "existingSecret": "apns" }, "evidenceInterval": "15m",
                "listenAddress": "::", "log": { "filter": "provost=debug,warn", "format": "human" }, "replicas": 0,
            }),
        ),
        (
            "proxies",
            json!({
                "proxy": { "enabled": true, "header": "X-Ssl-Cert", "trust": ["10.0.0.0/8", "2001:db8::7"] },
                "networkPolicy": { "proxy": { "from": [{ "podSelector": { "matchLabels": { "app": "proxy" } } }] } },
            }),
        ),
        (
            "an image",
            json!({
                "image": { "repository": "registry.example.com/provost", "digest": format!("sha256:{}", "0".repeat(64)),
                    "pullPolicy": "Always", "pullSecrets": [{ "name": "registry" }] },
            }),
        ),
        (
            "a claim of one's own",
            json!({ "persistence": { "existingClaim": "mine" } }),
        ),
        (
            "a claim",
            json!({
                "persistence": { "size": "20Gi", "storageClass": "fast", "accessModes": ["ReadWriteOncePod"], "keep": false,
                    "annotations": { "a": "b" } },
            }),
        ),
        (
            "evidence",
            json!({
                "evidence": { "enabled": true, "url": "https://provost.example.com:8444" },
                "networkPolicy": { "evidence": { "from": peer } },
            }),
        ),
        (
            "a trial",
            json!({ "persistence": { "enabled": false, "emptyDirSizeLimit": "1Gi" } }),
        ),
        (
            "Secrets for git",
            json!({
                "gitCredentials": [{ "namespace": "fleet", "secretName": "a" }, { "namespace": "fleet", "secretName": "b" },
                    { "namespace": "default", "secretName": "a" }], "rbac": { "aggregate": false },
            }),
        ),
        (
            "a load balancer",
            json!({
                "service": {
                    "devices": { "type": "LoadBalancer", "port": 8443, "nodePort": 30443, "loadBalancerClass": "example.com/lb",
                        "loadBalancerSourceRanges": ["17.0.0.0/8"], "externalTrafficPolicy": "Local", "annotations": { "a": "b" },
                        "labels": { "c": "d" } },
                    "admin": { "port": 80, "annotations": { "a": "b" }, "labels": { "c": "d" } },
                },
            }),
        ),
        (
            "node ports",
            json!({ "service": { "devices": { "type": "NodePort" } } }),
        ),
        (
            "peers",
            json!({
                "push": { "existingSecret": "apns" },
                "networkPolicy": {
                    "devices": { "from": peer }, "admin": { "from": peer }, "dns": { "to": peer, "ports": [53, 5353] },
                    "apiServer": { "to": peer, "ports": [16443] }, "git": { "to": peer }, "apns": { "to": peer },
                    "extraEgress": [{ "to": peer }], "extraIngress": [{ "from": peer }],
                },
            }),
        ),
        (
            "monitoring and a test",
            json!({
                "serviceMonitor": { "enabled": true, "interval": "30s", "labels": { "release": "prometheus" } },
                "helmTest": { "enabled": true, "image": "registry.example.com/wget:1" },
            }),
        ),
        (
            "placement",
            json!({
                "nodeSelector": { "kubernetes.io/os": "linux" }, "tolerations": [{ "key": "a", "operator": "Exists" }],
                "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "podAffinityTerm":
                    { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "a": "b" } } } }] } },
                "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": { "matchLabels": { "a": "b" } } }],
                "priorityClassName": "system-cluster-critical", "terminationGracePeriodSeconds": 120,
                "podLabels": { "a": "b" }, "podAnnotations": { "c": "d" }, "resources": { "limits": { "cpu": "1", "memory": "1Gi" } },
                "probes": { "startup": { "failureThreshold": 10 }, "liveness": { "timeoutSeconds": 1 }, "readiness": { "periodSeconds": 1 } },
            }),
        ),
        (
            "more of everything",
            json!({
                "extraArgs": ["--lease-duration=30s"], "extraEnv": [{ "name": "A", "value": "b" }],
                "extraVolumes": [{ "name": "more", "emptyDir": {} }], "extraVolumeMounts": [{ "name": "more", "mountPath": "/more" }],
                "extraObjects": [
                    { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "{{ .Release.Name }}-a" } },
                    "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: '{{ .Release.Name }}-b' }",
                ],
            }),
        ),
    ]
}
