#!/bin/sh
# How fast hearth pull is beside curl, both with SHA-256: a file of SIZE_MB (1024) from a server on this machine.
# Usage: bench/pull.sh [SIZE_MB]     needs curl, python3, sha256sum and openssl; HEARTH names the program (./hearth).
set -e
size=${1:-1024}
hearth=${HEARTH:-./hearth}
dir=$(mktemp -d "${TMPDIR:-/tmp}/hearth-bench-XXXXXX")
server=
trap '[ -z "$server" ] || kill $server; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
openssl enc -aes-128-ctr -pass pass:x -nosalt -pbkdf2 < /dev/zero 2> /dev/null | head -c $((size << 20)) > "$dir/file.gguf"
cat > "$dir/serve.py" <<'P'
import http.server, os, re, socketserver, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_HEAD(self): self.do_GET(True)
    def do_GET(self, head=False):
        size = os.path.getsize(sys.argv[1])
        m = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        a, b = (int(m[1]), int(m[2] or size - 1)) if m else (0, size - 1)
        self.send_response(206 if m else 200)
        if m: self.send_header("Content-Range", "bytes %d-%d/%d" % (a, b, size))
        self.send_header("Content-Length", str(b - a + 1))
        self.end_headers()
        if head: return
        self.wfile.flush()
        with open(sys.argv[1], "rb") as f:
            n = b - a + 1
            while n:
                k = os.sendfile(self.connection.fileno(), f.fileno(), a, min(n, 1 << 20))
                if not k: return
                a += k
                n -= k
class S(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
s = S(("127.0.0.1", 0), H)
print(s.server_port, flush=True)
s.serve_forever()
P
python3 "$dir/serve.py" "$dir/file.gguf" > "$dir/port" &
server=$!
while [ ! -s "$dir/port" ]; do sleep 0.1; done
url=http://127.0.0.1:$(cat "$dir/port")/file.gguf
now() { date +%s.%N; }
for round in 1 2 3; do
    rm -rf "$dir/store" "$dir/got"
    a=$(now)
    curl -sf -o "$dir/got" "$url" && sha256sum "$dir/got" > /dev/null
    b=$(now)
    rm -f "$dir/got"
    HEARTH_MODELS=$dir/store "$hearth" pull "$url" > /dev/null
    c=$(now)
    echo "$a $b $c" | awk -v mb="$size" '{ x = $2 - $1; y = $3 - $2
        printf "curl, then sha256sum: %5.0f MB/s   hearth pull: %5.0f MB/s   %3.0f %%\n", mb / x, mb / y, 100 * x / y }'
done
