# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of `ring3 run` share: a run in a folder of its own, its processes,
and the question what is left of it.

The first argument of every test is the ring3 program, the second one (if any) where
the tree is. Exit code 77 means that something needed is not installed."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

RING3 = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None
TIMEOUT = 30  # generous: how long anything may take
LEFT_AFTER = 2.0  # seconds after which nothing may be left of a run


def main():
    """Run the tests of the calling module."""
    if not shutil.which('nbdkit'):
        print('nbdkit is not installed')
        sys.exit(77)
    result = unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=2, exit=False).result
    if result.skipped and len(result.skipped) == result.testsRun:
        print('skipped:', result.skipped[0][1])
        sys.exit(77)
    sys.exit(not result.wasSuccessful())


def has(kind, name):
    """Is this feature built in, and does it find the programs that it needs?"""
    listed = subprocess.run([RING3, 'version', '--features', '-o', 'json'],
                            capture_output=True, check=True)
    return any(feature['available'] for feature in json.loads(listed.stdout)['features']
               if (feature['kind'], feature['name']) == (kind, name))


def has_qemu_nvme():
    return (RING3 and has('backend', 'qemu') and has('driver', 'nvme') and
            shutil.which('qemu-system-x86_64') is not None)


def until(what, condition, seconds=TIMEOUT):
    """Wait for CONDITION to become true; its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'{what}: not within {seconds} s')
        time.sleep(0.01)


class Process:
    """A process, not its number: that may be another's by now."""

    def __init__(self, pid):
        self.pid = pid
        self.start = self.fields()[1][19]

    def fields(self):
        """Its name, and what follows that in /proc/PID/stat (proc(5)), from the state on."""
        with open(f'/proc/{self.pid}/stat') as file:
            head, _, rest = file.read().rpartition(') ')
        return head.partition(' (')[2], rest.split()

    def name(self):
        """What it is called now: exec changes that."""
        try:
            return self.fields()[0]
        except OSError:
            return ''

    def parent(self):
        return int(self.fields()[1][1])

    def alive(self):
        try:
            _, rest = self.fields()
        except OSError:
            return False
        return rest[19] == self.start and rest[0] not in 'ZX'

    def cpu(self):
        """Clock ticks it has run for."""
        _, rest = self.fields()
        return int(rest[11]) + int(rest[12])

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    def __repr__(self):
        return f'{self.name()}({self.pid})'


def processes():
    found = []
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                found.append(Process(int(entry)))
            except OSError:
                pass
    return found


class Run:
    """One `ring3 run`. Its processes are known by a mark in their environment and by
    their parents, so that neither a clean environment nor a lost parent hides them."""
    command = 'run'

    def __init__(self, *arguments, **popen):
        self.mark = 'R3_TEST_MARK=' + uuid.uuid4().hex
        environment = dict(os.environ, **popen.pop('env', {}))
        key, value = self.mark.split('=')
        environment[key] = value
        self.shm = set(os.listdir('/dev/shm'))
        self.known = {}
        self.popen = subprocess.Popen([RING3, self.command, *arguments], env=environment,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True, **popen)

    def uri(self):
        """Wait until it serves: without a command its first line says where."""
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError('it does not serve: ' + self.popen.stderr.read())
        self.processes()
        return line.strip()

    def marked(self, pid):
        try:
            with open(f'/proc/{pid}/environ', 'rb') as file:
                return self.mark.encode() in file.read().split(b'\0')
        except OSError:
            return False

    def processes(self):
        """All that are alive; whoever was seen once stays known."""
        below = {self.popen.pid}
        everyone = processes()
        for _ in range(8):  # as deep as families get
            for process in everyone:
                try:
                    if process.parent() in below:
                        below.add(process.pid)
                except OSError:
                    pass
        for process in everyone:
            if process.pid in below or self.marked(process.pid):
                self.known.setdefault((process.pid, process.start), process)
        return [process for process in self.known.values() if process.alive()]

    def named(self, name):
        """The one process of it called NAME, once it is there."""
        def find():
            return [p for p in self.processes() if p.name().startswith(name)]
        return until(f'a process called {name}', find)[0]

    def end(self, number=signal.SIGTERM):
        self.popen.send_signal(number)
        return self.wait()

    def wait(self):
        """The exit status, and what it wrote: to standard output, and to error."""
        out, err = self.popen.communicate(timeout=TIMEOUT)
        return self.popen.returncode, out, err

    def check_nothing_left(self, test, *paths, seconds=LEFT_AFTER):
        end = time.monotonic() + seconds
        while True:
            self.popen.poll()
            left = self.processes() or [path for path in paths if os.path.lexists(path)]
            if not left or time.monotonic() > end:
                break
            time.sleep(0.02)
        test.assertFalse(left, f'left after {seconds} s')
        test.assertFalse(set(os.listdir('/dev/shm')) - self.shm)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):  # its own end may come first
                process.kill()
        self.popen.communicate(timeout=TIMEOUT)


class TestCase(unittest.TestCase):
    """Runs in a new folder; `self.socket` is where a socket may be made."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='r3-nbd-')
        self.addCleanup(shutil.rmtree, self.folder)
        self.socket = os.path.join(self.folder, 's')
        self.uri = 'nbd+unix:///?socket=' + self.socket
        self.export = ['--export', 'nbd:unix:' + self.socket]

    def image(self, size, name='image'):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as file:
            file.truncate(size)
        return path

    def run_ring3(self, *arguments, **popen):
        """Run to the end: (status, output, errors)."""
        with Run(*arguments, **popen) as run:
            return run.wait()

    def run_command(self, address, *command, options=()):
        return self.run_ring3(address, *options, *self.export, '--', *command)
