"""Many visitors at once: drawings sent to the page by concurrent clients, and how long each search took.

    python scripts/load_test.py                                   # starts a page of its own
    python scripts/load_test.py --url http://127.0.0.1:7860      # one that runs already, such as a Space

Clients talk to the page as a browser does, through its queue. Prints failures, the median and the 95th percentile; the
exit code is 1 if a search failed.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from gradio_client import Client

from sketch_prompt.data.minisketch.generator import SEEN_CLASSES, UNSEEN_CLASSES, MiniSketch
from sketch_prompt.notebook import data_url
from sketch_prompt.space.pictures import on_canvas


@contextmanager
def serving(url: str | None):
    """The address of a page: the one given, or one that runs meanwhile in a process of its own."""
    if url is not None:
        yield url
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sketch_prompt.cli", "demo", "--no-browser", "--port", str(port)]
    server = subprocess.Popen(command)
    try:
        while not answers(url := f"http://127.0.0.1:{port}"):
            if server.poll() is not None:
                sys.exit("the page did not start")
            time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait()


def answers(url: str) -> bool:
    """Whether a page is served there."""
    try:
        with urllib.request.urlopen(url):
            return True
    except OSError:
        return False


def drawings(count: int) -> list[str]:
    """`count` different drawings as the page sends them."""
    mini, names = MiniSketch(256), sorted((*SEEN_CLASSES, *UNSEEN_CLASSES))
    sketches = (mini.sketch(names[number % len(names)], 30_000 + number) for number in range(count))
    return [data_url(on_canvas(sketch.convert("RGB")), "PNG") for sketch in sketches]


def visit(url: str, sketches: list[str], start: threading.Barrier) -> list[tuple[float, str | None]]:
    """One client's searches, one after the other: seconds of each, and what went wrong."""
    client = Client(url, verbose=False)
    start.wait()
    results = []
    for sketch in sketches:
        began = time.perf_counter()
        try:
            status, photos, _ = client.predict(drawing=sketch, text="", api_name="/search")
            problem = None if photos.count("data-photo=") == 12 else f"unexpected answer: {status}"
        except Exception as error:  # whatever it is, it is a failed search
            problem = f"{type(error).__name__}: {error}"
        results.append((time.perf_counter() - began, problem))
    return results


def main() -> None:
    """Run the load test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="address of a running page")
    parser.add_argument("--searches", type=int, default=200, help="in all")
    parser.add_argument("--clients", type=int, default=8, help="at a time")
    arguments = parser.parse_args()
    sketches = drawings(arguments.searches)
    shares = [sketches[client :: arguments.clients] for client in range(arguments.clients)]
    with serving(arguments.url) as url, ThreadPoolExecutor(arguments.clients) as pool:
        barrier = threading.Barrier(arguments.clients, lambda: began.append(time.perf_counter()))
        began: list[float] = []
        results = [
            result for part in pool.map(lambda share: visit(url, share, barrier), shares) for result in part
        ]
        seconds = time.perf_counter() - began[0]
    problems = [problem for _, problem in results if problem is not None]
    times = sorted(elapsed for elapsed, _ in results)
    print(
        f"{len(results)} searches by {arguments.clients} clients in {seconds:.1f} s: {len(problems)} failed, median "
        f"{1000 * statistics.median(times):.0f} ms, p95 {1000 * times[int(0.95 * (len(times) - 1))]:.0f} ms, "
        f"slowest {1000 * times[-1]:.0f} ms"
    )
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
