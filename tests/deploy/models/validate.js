// Manifests as a JSON list on stdin; what is wrong with those of kinds that operators bring, a line each.
import { readFileSync } from "node:fs";

const packages = {
  "cert-manager.io": "cert-manager",
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
  "postgresql.cnpg.io": "cloudnative-pg",
};

for (const manifest of JSON.parse(readFileSync(0, "utf8"))) {
  const [group, version] = manifest.apiVersion.split("/");
  const kinds = await import(`@kubernetes-models/${packages[group]}/${group}/${version}/${manifest.kind}`);
  try {
    new kinds[manifest.kind](manifest).validate();
  } catch (error) {
    console.log(`${manifest.kind} ${manifest.metadata.name}: ${error.message}`);
  }
}
