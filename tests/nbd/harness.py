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

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from procs import TIMEOUT, Family, Process, processes, remove, until  # noqa: F401

RING3 = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None
NOBODY = 65534
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


class Run:
    """One `ring3 run`, with its processes."""
    command = 'run'

    def __init__(self, *arguments, **popen):
        self.shm = set(os.listdir('/dev/shm'))
        self.family = Family(popen.pop('env', {}))
        self.popen = subprocess.Popen([RING3, self.command, *arguments],
                                      env=self.family.environment,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True, **popen)
        self.family.root = self.popen.pid

    def uri(self):
        """Wait until it serves: without a command its first line says where."""
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError('it does not serve: ' + self.popen.stderr.read())
        self.processes()
        return line.strip()

    def processes(self):
        """All that are alive; whoever was seen once stays known."""
        return self.family.alive()

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
        self.addCleanup(remove, self.folder)
        self.socket = os.path.join(self.folder, 's')
        self.uri = 'nbd+unix:///?socket=' + self.socket
        self.export = ['--export', 'nbd:unix:' + self.socket]

    def image(self, size, name='image'):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as file:
            file.truncate(size)
        return path

    def as_ordinary_user(self):
        """How to run as somebody whom permissions stop; the folder becomes theirs."""
        if os.getuid() != 0:
            return {}
        user = {'user': NOBODY, 'group': NOBODY, 'extra_groups': []}
        try:  # the build may lie where nobody else may look
            subprocess.run([RING3, 'version'], capture_output=True, check=True, **user)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest('an ordinary user cannot reach the program')
        os.chown(self.folder, NOBODY, NOBODY)
        return user

    def run_ring3(self, *arguments, **popen):
        """Run to the end: (status, output, errors)."""
        with Run(*arguments, **popen) as run:
            return run.wait()

    def run_command(self, address, *command, options=()):
        return self.run_ring3(address, *options, *self.export, '--', *command)
