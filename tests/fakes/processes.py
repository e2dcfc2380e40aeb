"""Python programs in processes of their own, without the seconds that each would need to import torch.

A server process imports torch, transformers and datasets once, and programs are forked from it. Each of them imports
this package anew. What a program does before these imports is tested by starting Python itself.
"""

import atexit
import multiprocessing
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
from threading import Thread

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["torch", "transformers.models.clip.modeling_clip", "datasets", "accelerate", "rich.console", "typer"]
)

_STARTED = []


@atexit.register
def _end_all():
    """Python would wait for programs that a failed test left behind."""
    for program in _STARTED:
        if program.poll() is None:
            program.kill()


class Program:
    """A running program, with the part of `subprocess.Popen` that tests use.

    Args:
        arguments: As after `python`: a script, or "-c" and code, or "-m" and a module; then its own arguments.
        env: Its environment. What torch and the Hub's client read when they are imported is that of the tests.
        cwd: Its working directory.
        start_new_session: Whether it leads a process group of its own.
        file_limit: The greatest size of a file that it may write, in bytes.
    """

    def __init__(self, *arguments, env=None, cwd=None, start_new_session=False, file_limit=None):
        reading, writing = zip(*(CONTEXT.Pipe(duplex=False) for _ in range(2)))
        options = {"env": dict(env or os.environ), "cwd": str(cwd or os.getcwd())}
        options |= {"session": start_new_session, "limit": file_limit}
        self._process = CONTEXT.Process(
            target=_main, args=(list(map(str, arguments)), writing), kwargs=options
        )
        self._process.start()
        _STARTED.append(self)
        for end in writing:
            end.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(end.fileno()), encoding="utf-8") for end in reading)
        self.pid = self._process.pid

    @property
    def returncode(self):
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    poll = returncode.fget

    def wait(self, timeout=None):
        """Wait for its end; returns the exit status."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """Wait for its end; returns what it wrote to stdout and stderr."""
        written = {}
        streams = {"stdout": self.stdout, "stderr": self.stderr}
        readers = [
            Thread(target=lambda name=name, stream=stream: written.update({name: stream.read()}), daemon=True)
            for name, stream in streams.items()
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return written["stdout"], written["stderr"]

    def send_signal(self, number):
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self):
        """End it with SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run(*arguments, timeout=None, check=False, **options):
    """Run a program to its end; see `Program`. Like `subprocess.run` with captured text."""
    program = Program(*arguments, **options)
    stdout, stderr = program.communicate(timeout)
    done = subprocess.CompletedProcess(arguments, program.returncode, stdout, stderr)
    if check:
        assert done.returncode == 0, stderr
    return done


def run_together(count, *arguments, env=None, timeout=240, **options):
    """Run a program in `count` processes that know of one another, as `torchrun` does; see `run`."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    common |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    programs = [
        Program(
            *arguments,
            env=dict(env or os.environ) | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            **options,
        )
        for rank in range(count)
    ]
    written = [program.communicate(timeout) for program in programs]
    return [
        subprocess.CompletedProcess(arguments, program.returncode, *texts)
        for program, texts in zip(programs, written)
    ]


def _main(arguments, outputs, env, cwd, session, limit):
    if session:
        os.setsid()
    for number, output in enumerate(outputs, 1):
        os.dup2(output.fileno(), number)
        output.close()
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", encoding="utf-8", buffering=1, closefd=False) for number in (1, 2)
    )
    import datasets  # the server has it

    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    if "HF_DATASETS_CACHE" in env:  # read by `datasets` when the server imported it
        datasets.config.HF_DATASETS_CACHE = env["HF_DATASETS_CACHE"]
    path = env.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [folder for folder in path if folder and folder not in sys.path]
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    kind, *rest = arguments
    if kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(kind))
        runpy.run_path(kind, run_name="__main__")
