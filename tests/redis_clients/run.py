#!/usr/bin/env python3
"""The example redis, as redis-py, ioredis and node-redis see it: connecting, pipelines, transactions, channels, locks.

    python3 tests/redis_clients/run.py

It builds the example, and installs the clients once, into --home (by default ~/.cache/tiderace-ci/redis_clients). The two
clients for JavaScript need node and npm; where there is no npm, they are left out, and that is said.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
LIMIT = 120


def run(*command, **how):
    return subprocess.run([str(word) for word in command], check=True, **how)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--home", type=pathlib.Path, default=pathlib.Path.home() / ".cache/tiderace-ci/redis_clients")
    home = arguments.parse_args().home
    home.mkdir(parents=True, exist_ok=True)

    run("cargo", "build", "--quiet", "--all-features", "--example", "redis", cwd=PROJECT)
    example = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / "debug/examples/redis"

    python = home / "python/bin/python"
    if not python.exists():
        run(sys.executable, "-m", "venv", home / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt")
    clients = [("redis-py", [python, "-W", "ignore", HERE / "redis_py.py"])]
    if shutil.which("npm"):
        for name in ["package.json", "ioredis.js", "node_redis.js"]:
            shutil.copy(HERE / name, home)
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", cwd=home)
        clients += [("ioredis", ["node", home / "ioredis.js"]), ("node-redis", ["node", home / "node_redis.js"])]
    else:
        print("redis_clients: ioredis and node-redis are left out, there is no npm")

    with tempfile.TemporaryDirectory() as folder:
        socket = pathlib.Path(folder) / "redis.sock"
        command = [example, "--addr", "127.0.0.1:0", "--addr", f"unix://{socket}", "--cores", "2"]
        server = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
        try:
            port = re.search(r":(\d+)$", server.stdout.readline().strip()).group(1)
            server.stdout.readline()
            for name, client in clients:
                run(*client, port, socket, timeout=LIMIT)
                print(f"redis_clients: {name} is content", flush=True)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
