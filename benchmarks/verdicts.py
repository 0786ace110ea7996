"""Whether the stage tests ever say something false on a busy machine: the whole suite on the finished code, many times.

python benchmarks/verdicts.py [--runs 100] [--at-once 4]

Several runs at once, two for each core, keep every core busy for each other all the time. OMP_NUM_THREADS is 1 and 2 in
turn. Each of the runs must be green; what one that is not says is printed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITE = [sys.executable, "-m", "pytest", "--solutions", "-q", "-p", "no:cacheprovider", "tests"]


def run(number: int) -> tuple[int, subprocess.CompletedProcess[str], float]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(1 + number % 2), "PYTHONUTF8": "1"}
    start = time.perf_counter()
    done = subprocess.run(SUITE, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    return number, done, time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=2 * (os.cpu_count() or 1))
    args = parser.parse_args()
    red, times = 0, []
    with ThreadPoolExecutor(args.at_once) as pool:
        for future in as_completed([pool.submit(run, number) for number in range(args.runs)]):
            number, done, seconds = future.result()
            times.append(seconds)
            last = done.stdout.strip().splitlines()[-1:]
            print(f"{len(times):4} of {args.runs}, OMP_NUM_THREADS={1 + number % 2}: {' '.join(last)}", flush=True)
            if done.returncode:
                red += 1
                print(done.stdout + done.stderr)
    print(f"{red} of {args.runs} runs red; {statistics.median(times):.0f} s each, {max(times):.0f} s at the longest")
    return int(red > 0)


if __name__ == "__main__":
    sys.exit(main())
