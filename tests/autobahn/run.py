#!/usr/bin/env python3
"""The Autobahn conformance suite for WebSockets, against the examples ws_echo and ws_client.

    python3 tests/autobahn/run.py                 all 517 cases, in both directions (half an hour)
    python3 tests/autobahn/run.py --quick         groups 1 to 10, and a sample of 12 and 13
    python3 tests/autobahn/run.py --only 5.* 7.1.* --side server

It builds the examples, and installs the suite once, into --home (by default ~/.cache/tiderace-ci/autobahn). The suite needs a
Python 2.7; where there is none, that of Debian 11 is unpacked beside it, which needs apt but no root.

It fails when a case failed, when more than two of a direction were less strict than they could be, or when a connection
was not closed cleanly.
"""

import argparse
import fnmatch
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
# Of the groups with compression: each size and each way of fragmenting once, and both ends of the windows.
SAMPLE = ["12.1.[1369]", "12.2.4", "12.3.7", "12.4.11", "12.5.16", "13.1.2", "13.2.5", "13.3.8", "13.4.11", "13.5.1", "13.6.6", "13.7.9"]
QUICK = ["%d.*" % group for group in range(1, 11)] + SAMPLE
# Cases that end before what they want to see may have happened: texts that could be refused earlier than at their end.
MOST_NON_STRICT = 2
PYTHON2 = ["python2.7-minimal", "libpython2.7-minimal", "libpython2.7-stdlib", "libssl1.1", "libffi7"]


def run(*command, **how):
    return subprocess.run([str(word) for word in command], check=True, **how)


def python2(home):
    """A Python 2.7, as a command and its environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHONNOUSERSITE"] = "1"
    for found in filter(None, [os.environ.get("AUTOBAHN_PYTHON2"), shutil.which("python2.7")]):
        # What some version managers leave in the path only says that there is none.
        if subprocess.run([found, "-c", "import ssl, zlib, ctypes"], env=environment, capture_output=True).returncode == 0:
            return found, environment
    root = home / "python2"
    if not (root / "usr/bin/python2.7").exists():
        unpack_python2(home, root)
    libraries = next((root / "usr/lib").glob("*-linux-gnu*"))
    environment["LD_LIBRARY_PATH"] = str(libraries)
    return str(root / "usr/bin/python2.7"), environment


def unpack_python2(home, root):
    """Debian 11's, from where this system gets its own packages."""
    print("autobahn: unpacking Python 2.7", flush=True)
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True, check=True)
    mirrors = [uri for uri in targets.stdout.split() if uri.rstrip("/").endswith("/debian")]
    if not mirrors:
        sys.exit("autobahn: no Python 2.7; name one in AUTOBAHN_PYTHON2")
    apt = home / "apt"
    for folder in ["lists/partial", "cache/archives/partial", "debs"]:
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "sources.list").write_text("deb [signed-by=%s] %s bullseye main\n" % (key, mirrors[0]))
    options = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "Dir::State::status": apt / "status",
        "Acquire::Check-Valid-Until": "false",
        "APT::Sandbox::User": "root",
    }
    options = [word for key, value in options.items() for word in ("-o", "%s=%s" % (key, value))]
    run("apt-get", "-qq", *options, "update")
    run("apt-get", "-qq", *options, "download", *PYTHON2, cwd=apt / "debs")
    for deb in (apt / "debs").glob("*.deb"):
        run("dpkg-deb", "-x", deb, root)
    shutil.rmtree(apt)


class Suite:
    def __init__(self, home):
        self.home = home.resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        self.python, self.environment = python2(self.home)
        self.environment["PYTHONPATH"] = str(self.home / "site")
        wanted = (HERE / "requirements.txt").read_text()
        stamp = self.home / "installed"
        if not stamp.exists() or stamp.read_text() != wanted:
            self.install()
            stamp.write_text(wanted)

    def install(self):
        print("autobahn: installing the suite", flush=True)
        site, pip = self.home / "site", self.home / "pip"
        shutil.rmtree(site, ignore_errors=True)
        # The last pip for Python 2, fetched by that of Python 3; and what builds the packages that are sources.
        run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", pip, "pip==20.3.4")
        shutil.unpack_archive(next(pip.glob("pip-*.whl")), pip / "build", "zip")
        environment = dict(self.environment, PYTHONPATH=str(pip / "build"))
        install = [self.python, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
        run(*install, "--target", pip / "build", "setuptools==44.1.1", "wheel==0.37.1", env=environment, stderr=subprocess.DEVNULL)
        requirements = HERE / "requirements.txt"
        run(*install, "--target", site, "-r", requirements, env=environment, stderr=subprocess.DEVNULL)
        (site / "zope/__init__.py").touch()
        shutil.rmtree(pip)

    def command(self, mode, spec):
        """The suite, as its own program starts it, but listening here alone."""
        program = (
            "import sys, unittest\n"
            "sys.modules.setdefault('unittest2', unittest)\n"
            "from twisted.internet import reactor\n"
            "listen = reactor.listenTCP\n"
            "reactor.listenTCP = lambda port, factory, *_, **__: listen(port, factory, interface='127.0.0.1')\n"
            "sys.argv = ['wstest'] + sys.argv[1:]\n"
            "from autobahntestsuite.wstest import run\n"
            "run()\n"
        )
        return [self.python, "-c", program, "-m", mode, "--webport", "0", "-s", str(spec)]

    def cases(self):
        program = (
            "import sys, unittest, json\n"
            "sys.modules.setdefault('unittest2', unittest)\n"
            "import autobahntestsuite.case as c\n"
            "from autobahntestsuite.caseset import CaseSet\n"
            "print(json.dumps(list(CaseSet(c.CaseSetname, c.CaseBasename, c.Cases, c.CaseCategories, c.CaseSubCategories).CasesById)))\n"
        )
        listed = run(self.python, "-c", program, env=self.environment, capture_output=True, text=True)
        return sorted(json.loads(listed.stdout.splitlines()[-1]), key=lambda case: [int(number) for number in case.split(".")])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def against_server(suite, examples, cases, reports):
    server = subprocess.Popen([examples / "ws_echo", "--addr", "127.0.0.1:0", "--cores", "1"], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[-1]
        spec = {"outdir": str(reports), "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}, "options": {}}
        spec["servers"] = [{"agent": "tiderace", "url": "ws://" + address}]
        (reports / "spec.json").write_text(json.dumps(spec))
        with open(reports / "log", "w") as log:
            run(*suite.command("fuzzingclient", reports / "spec.json"), env=suite.environment, stdout=log, stderr=log)
    finally:
        server.kill()


def against_client(suite, examples, cases, reports):
    url = "ws://127.0.0.1:%d" % free_port()
    spec = {"outdir": str(reports), "url": url, "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}, "options": {}}
    (reports / "spec.json").write_text(json.dumps(spec))

    def client(path):
        # What a case does may be an error to a client, so how it ends is no verdict.
        command = [examples / "ws_client", "--addr", url + path, "--echo", "yes", "--compress", "yes"]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600).returncode

    with open(reports / "log", "w") as log:
        server = subprocess.Popen(suite.command("fuzzingserver", reports / "spec.json"), env=suite.environment, stdout=log, stderr=log)
        try:
            began = time.monotonic()
            while client("/getCaseCount") != 0:
                if server.poll() is not None or time.monotonic() - began > 60:
                    sys.exit("autobahn: the fuzzing server does not answer; see %s" % (reports / "log"))
                time.sleep(0.2)
            for number in range(1, len(cases) + 1):
                client("/runCase?case=%d&agent=tiderace" % number)
            client("/updateReports?agent=tiderace")
        finally:
            server.kill()


def verdict(side, cases, reports):
    """Prints how it went; says whether that will do."""
    index = reports / "index.json"
    results = json.loads(index.read_text()).get("tiderace", {}) if index.exists() else {}
    counts, wrong = {}, []
    for case in cases:
        result = results.get(case, {"behavior": "MISSING", "behaviorClose": "MISSING"})
        behavior, close = result["behavior"], result["behaviorClose"]
        counts[behavior] = counts.get(behavior, 0) + 1
        if behavior not in ("OK", "NON-STRICT", "INFORMATIONAL") or close not in ("OK", "INFORMATIONAL"):
            wrong.append("%s: %s, closed %s" % (case, behavior, close))
    counted = ", ".join("%d %s" % (count, behavior) for behavior, count in sorted(counts.items()))
    print("autobahn: %s, %d cases: %s" % (side, len(cases), counted))
    print("".join("  %s\n" % line for line in wrong), end="", flush=True)
    return not wrong and counts.get("NON-STRICT", 0) <= MOST_NON_STRICT


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--only", nargs="+", metavar="CASE")
    arguments.add_argument("--side", choices=["server", "client"])
    arguments.add_argument("--home", type=pathlib.Path, default=pathlib.Path.home() / ".cache/tiderace-ci/autobahn")
    arguments.add_argument("--install", action="store_true", help="installs the suite, and no more")
    chosen = arguments.parse_args()
    suite = Suite(chosen.home)
    if chosen.install:
        return
    run("cargo", "build", "--quiet", "--release", "--features", "websocket", "--example", "ws_echo", "--example", "ws_client", cwd=PROJECT)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
    patterns = chosen.only or (QUICK if chosen.quick else ["*"])
    cases = [case for case in suite.cases() if any(fnmatch.fnmatch(case, pattern) for pattern in patterns)]
    is_good = bool(cases)
    for side, test in [("server", against_server), ("client", against_client)]:
        if chosen.side in (None, side):
            reports = target / "autobahn" / side
            shutil.rmtree(reports, ignore_errors=True)
            reports.mkdir(parents=True)
            test(suite, target / "release/examples", cases, reports)
            is_good &= verdict(side, cases, reports)
    sys.exit(0 if is_good else 1)


main()
