#!/bin/sh
# How long `hearth list` takes for N (500) models of the store: the first time, and when the index knows them.
# Usage: bench/list.sh [N]     needs python3; HEARTH names the program (./hearth).
set -e
n=${1:-500}
hearth=$(cd "$(dirname "${HEARTH:-./hearth}")" && pwd)/$(basename "${HEARTH:-./hearth}")
dir=$(mktemp -d "${TMPDIR:-/tmp}/hearth-bench-XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
HOME=$dir/home HEARTH_MODELS=$dir/store
export HOME HEARTH_MODELS
python3 - "$dir" "$n" "$hearth" <<'P'
import hashlib, json, os, struct, subprocess, sys, time
dir, n, hearth = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = lambda t: struct.pack("<Q", len(t)) + t.encode()
for i in range(n):
    kv = [("general.architecture", "llama"), ("general.name", "model %d" % i)]
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, len(kv)) + b"".join(s(k) + struct.pack("<I", 8) + s(v) for k, v in kv)
    h = hashlib.sha256(data).hexdigest()
    os.makedirs(dir + "/store/blobs", exist_ok=True)
    open(dir + "/store/blobs/sha256-" + h, "wb").write(data)
    folder = dir + "/store/manifests/registry.ollama.ai/library/model%d" % (i // 5)
    os.makedirs(folder, exist_ok=True)
    json.dump({"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + h, "size": len(data)}]},
              open(folder + "/%db" % (i % 5), "w"))
for what in ["first"] + 5 * ["again"]:
    t = time.time()
    out = subprocess.run([hearth, "list"], capture_output=True, text=True).stdout
    print("%s: %d lines, %.1f ms" % (what, out.count("\n"), 1000 * (time.time() - t)))
P
