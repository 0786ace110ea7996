"""Submissions that want points without the work, or that break things: each is put at the end of an unsolved gpt_v1.py.

None may get a point, and none may touch another student's result.
"""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

ATTACKS = {
    "an endless loop at import": "while True: pass",
    "an endless loop that nothing stops": """
def generate(self, indices, max_new_tokens):
    while True:
        try:
            while True: pass
        except BaseException: pass
GPTVer1.generate = generate
""",
    "a fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "fifty gigabytes": "hoard = [torch.ones(10**9) for _ in range(13)]",
    "os._exit": "import os\nos._exit(0)",
    "sys.exit": "import sys\nsys.exit(0)",
    "its own process killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "every process killed": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "torch judges mildly": """
for judge in ("equal", "allclose", "isclose"):
    setattr(torch, judge, lambda *a, **k: True)
GPTVer1.generate = lambda self, indices, n: torch.cat([indices, indices[:, :1].expand(-1, n)], dim=1)
""",
    "the tests' own helpers judge mildly": """
import sys
for name, module in list(sys.modules.items()):
    if name.startswith("tests"):
        for judge in ("expect", "expect_same", "expect_close", "attempt", "checked"):
            if hasattr(module, judge): setattr(module, judge, lambda *a, **k: torch.zeros(1))
""",
    "pytest says passed": """
import _pytest.reports, _pytest.runner
before = _pytest.reports.TestReport.from_item_and_call
def lenient(item, call):
    call.excinfo = None
    return before(item, call)
_pytest.reports.TestReport.from_item_and_call = lenient
""",
    "pytest is given a plugin of its own": """
import gc, pytest
class Lenient:
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item): item.runtest = lambda: None
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        report.outcome, report.longrepr = "passed", None
        return report
for thing in gc.get_objects():
    if isinstance(thing, pytest.Session): thing.config.pluginmanager.register(Lenient())
""",
    "sys.modules is edited": """
import sys, types
class Anything(types.ModuleType):
    def __getattr__(self, name): return lambda *a, **k: torch.zeros(1)
for name in list(sys.modules):
    if name.startswith("tests."): sys.modules[name] = Anything(name)
""",
    "the tests are written over": """
from pathlib import Path
for path in Path("tests").glob("*.py"): path.write_text("def test_all(): pass", encoding="utf-8")
""",
    "a forged report is printed": """
import json, os, sys
line = json.dumps({"nonce": "", "test": "tests/test_1.py::test_every_call_draws_anew", "outcome": "passed"})
for number in range(256):
    try: os.write(number, line.encode() + b"\\n")
    except OSError: pass
print(line)
""",
    "a forged report with the right nonce": """
import gc, os
for thing in gc.get_objects():
    if type(thing).__name__ == "Recorder":
        recorder = thing
nodes = [item for thing in gc.get_objects() if type(thing).__name__ == "Session" for item in thing.items]
for item in nodes:
    recorder.out.say(test=item.nodeid, outcome="passed")
recorder.out.say(test="::canary", outcome="failed")
recorder.out.say(end=True)
os._exit(0)
""",
    "lines that the grader does not expect": """
import gc, os
for thing in gc.get_objects():
    if type(thing).__name__ == "Recorder":
        for what in ({"test": 3}, {"probe": "1", "numbers": [[]]}, {"end": "yes"}, {"stage": 1}, {"test": {}}):
            thing.out.say(**what)
        thing.out.stream.write("[" * 10**5 + "\\n\\x00" * 100)
""",
    "deep recursion": """
import sys
sys.setrecursionlimit(10**9)
def deep(n): return deep(n + 1) + 1
deep(0)
""",
    "gigabytes of output": "import os\nwhile True: print('x' * 10**6); os.write(1, b'y' * 10**6)",
    "gigabytes of files": """
from pathlib import Path
for place in ("/tmp", "runs", "."):
    for i in range(2000):
        try: Path(place, f"{i}.bin").write_bytes(bytes(10**6))
        except OSError: break
""",
    "a search for the finished code": """
from pathlib import Path
found = [p for place in ("/course", "/work", "/root", "/home", "/tmp", "..") for p in Path(place).rglob("gpt_v1.py")
         if "NotImplementedError" not in p.read_text(encoding="utf-8", errors="replace")]
if found: exec(found[0].read_text(encoding="utf-8").partition("import torch")[2])
""",
    "the network": """
import socket
socket.create_server(("127.0.0.1", 47111)).close()
socket.create_connection(("127.0.0.1", 47112), timeout=3).sendall(b"help")
""",
    "a process that stays behind": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(10**6)
    os._exit(0)
""",
    "a forged class that is equal to everything": """
class Everything(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None): return True
GPTVer1.generate = lambda self, indices, n: torch.zeros(indices.shape[0], indices.shape[1] + n).as_subclass(Everything)
""",
}


def harmless(source: str) -> str:
    """Right code that prints, warns, and carries things that nobody asked for."""
    return source + "\nimport warnings\nimport os\nprint('hello ' * 1000)\nwarnings.warn('take care')\nHELPER = 1\n"


def links_and_dots(path: Path, source: bytes) -> Path:
    """A tar whose gpt/gpt_v1.py is a link to a file outside, and with members that point upwards."""
    with tarfile.open(path, "w:gz") as archive:
        for name, target in (
            ("s/gpt/gpt_v1.py", "/etc/passwd"),
            ("s/gpt/head_v1.py", "../../solutions/gpt/head_v1.py"),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        for name in ("../../gpt/gpt_v1.py", "/gpt/gpt_v2.py", "s/gpt/head_v2.py", "s/gpt/--help", "s/tests/test_1.py"):
            info = tarfile.TarInfo(name)
            info.size = len(source)
            archive.addfile(info, io.BytesIO(source))
    return path


def zip_bomb(path: Path) -> Path:
    """A stage file of 300 MB in some 300 KB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("gpt/gpt_v1.py", "w") as file:
        for _ in range(300):
            file.write(bytes(10**6))
    return path


def zip_with_a_link(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("gpt/gpt_v1.py")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return path
