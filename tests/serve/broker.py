# SPDX-License-Identifier: BSD-2-Clause
"""A broker for a test: `ring3 serve` that begins when the test needs it and leaves nothing
behind."""
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from procs import TIMEOUT, Family, Process, remove, until

PR_SET_PDEATHSIG = 1
SLOW = 10 if os.environ.get('R3_WRAP') else 1  # under valgrind everything takes longer
LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """In a child: whoever kills us, it does not stay."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wrapped(command):
    """A program of ours, under what it is to run under."""
    return os.environ.get('R3_WRAP', '').split() + command


class Events:
    """What the server says that happened, an object a line, in order."""

    def __init__(self):
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        self.rest = b''
        self.waiting = []

    def fill(self):
        try:
            while more := os.read(self.read, 65536):
                self.rest += more
        except BlockingIOError:
            pass
        lines = self.rest.split(b'\n')
        self.rest = lines.pop()
        self.waiting += [json.loads(line) for line in lines]
        if any(one['event'] == 'lost' for one in self.waiting):
            raise AssertionError('nobody took the events in time')

    def until(self, name, seconds=TIMEOUT):
        """Take those up to the next one of this name, which has to come."""
        while True:
            self.fill()
            for n, event in enumerate(self.waiting):
                if event['event'] == name:
                    got, self.waiting = self.waiting[:n + 1], self.waiting[n + 1:]
                    return got
            if not select.select([self.read], [], [], seconds * SLOW)[0]:
                raise AssertionError(f'no "{name}" within {seconds * SLOW} s, but {self.waiting}')

    def close(self):
        os.close(self.read)


class Broker:
    def __init__(self, ring3, address, *options, watch=False):
        self.folder = tempfile.mkdtemp(prefix='r3-serve-')
        self.socket = os.path.join(self.folder, 's')
        self.family = Family()
        self.events = Events() if watch else None
        fds = [self.events.write] if watch else []
        if ',thread' in address:  # of the device's, where a sandbox takes processes of one
            options += ('--no-sandbox',)
        if watch:
            options += ('--events', f'fd:{self.events.write}')
        try:
            self.popen = subprocess.Popen(
                wrapped([*ring3, 'serve', address, '--listen', 'unix:' + self.socket,
                         '--log-level', 'error', *options]),
                stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=self.family.environment,
                pass_fds=fds, preexec_fn=die_with_parent)
        except OSError:
            remove(self.folder)
            raise
        self.family.root = self.popen.pid
        for fd in fds:
            os.close(fd)
        try:
            self.wait_until_it_serves()
        except BaseException:
            self.kill()
            raise

    @property
    def uri(self):
        return 'vfio-user:unix:' + self.socket

    def wait_until_it_serves(self):
        """Its first line says so."""
        if not select.select([self.popen.stdout], [], [], TIMEOUT * SLOW)[0]:
            raise AssertionError(f'it does not serve within {TIMEOUT * SLOW} s')
        line = self.popen.stdout.readline().decode()
        if self.socket not in line:
            raise AssertionError(f'it does not serve, but says {line!r}')

    def process(self):
        return Process(self.popen.pid)

    def end(self):
        """End it in good order. Raises AssertionError unless it was, and nothing is left."""
        self.family.alive()  # those that it has are known, whatever becomes of it
        self.popen.terminate()
        status = self.popen.wait(TIMEOUT * SLOW)
        if status:
            raise AssertionError(f'the server ended with {status}')
        self.nothing_left()

    def nothing_left(self):
        until('an end of all its processes', lambda: not self.family.alive(), TIMEOUT * SLOW)
        left = os.listdir(self.folder)
        if left:
            raise AssertionError(f'the server left {left}')

    def kill(self):
        """Whatever is still there."""
        for process in self.family.alive():
            try:
                process.kill()
            except ProcessLookupError:  # its own end came first
                pass
        self.popen.wait(TIMEOUT)
        self.popen.stdout.close()
        if self.events:
            self.events.close()
        remove(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
