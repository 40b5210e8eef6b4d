#!/usr/bin/env python3
"""Stands in for llama-server: prints a recorded log, then answers /health, until it is told to end.

FAKE_LOG names the file with the log; FAKE_END 'oom', 'crash' or '' says how it goes on; FAKE_STUBBORN makes
it ignore Ctrl-C. The log's last lines of an out-of-memory start are those of llama.cpp on CUDA.
"""

import http.server
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

OUT_OF_MEMORY = """\
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9.00 MiB on device 0: cudaMalloc failed: out of memory
llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers
srv    load_model: failed to load model, 'model.gguf'
"""


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def main() -> None:
    if os.environ.get("FAKE_STUBBORN"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.environ.get("FAKE_PIDS"):
        worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["FAKE_PIDS"]).write_text(f"{os.getpid()} {worker.pid}")
    sys.stderr.write(Path(os.environ["FAKE_LOG"]).read_text())
    sys.stderr.flush()
    end = os.environ.get("FAKE_END", "")
    if end == "oom":
        sys.stderr.write(OUT_OF_MEMORY)
    if end:
        sys.exit(1)
    port = int(sys.argv[sys.argv.index("--port") + 1])
    time.sleep(0.2)
    server = http.server.HTTPServer(("127.0.0.1", port), Health)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("cleaning up before exit...", flush=True)


if __name__ == "__main__":
    main()
