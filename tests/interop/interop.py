#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""interop.py RING3 TREE TEST: with the samples of libvfio-user, from its build tree.

Its servers must be devices to `ring3`, and its client must get on with `ring3 serve`. TREE is
what Meson's option libvfio_user or the environment's LIBVFIO_USER says; without either, or
where it has no such sample, the test is skipped and says so."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

RING3, TREE = sys.argv[1:3]
TIMEOUT = 30  # generous: how long anything may take


def sample(name):
    """A program of the tree, wherever its build system put it."""
    tree = os.environ.get('LIBVFIO_USER') or TREE
    if not tree:
        raise unittest.SkipTest('no build tree of libvfio-user: give meson -Dlibvfio_user=DIR, or '
                                'set LIBVFIO_USER')
    found = [path for path in pathlib.Path(tree).rglob(f'samples/{name}')
             if path.is_file() and os.access(path, os.X_OK)]
    if not found:
        raise unittest.SkipTest(f'{tree} has no samples/{name}: build it')
    return str(found[0])


def ring3(*args, code=0):
    """What a command of ours says, as JSON."""
    run = subprocess.run([RING3, *args, '-o', 'json'], capture_output=True, timeout=TIMEOUT)
    assert run.returncode == code, (args, run)
    return json.loads(run.stdout) if run.stdout else None


def peek(*args):
    """The values of registers."""
    return [int(item['value'], 0) for item in ring3('peek', *args)['values']]


class Bed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='interop.')
        self.addCleanup(folder.cleanup)
        self.sock = os.path.join(folder.name, 'sock')
        self.address = f'vfio-user:unix:{self.sock}'

    def start(self, *args, **kwargs):
        """A program that is ended with the test."""
        child = subprocess.Popen(args, **kwargs)

        def end():
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait(TIMEOUT)
            for pipe in (child.stdout, child.stderr):
                if pipe:
                    pipe.close()
        self.addCleanup(end)
        return child

    def start_server(self, name):
        """One of its servers, which serves one client and then ends."""
        server = self.start(sample(name), self.sock, stderr=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL)
        end = time.monotonic() + TIMEOUT
        while not os.path.exists(self.sock):
            self.assertIsNone(server.poll(), f'{name} ended with {server.returncode}')
            self.assertLess(time.monotonic(), end, f'{name} makes no socket')
            time.sleep(0.01)
        return server

    def again(self, server, name):
        """A server for the next client."""
        server.wait(TIMEOUT)
        if os.path.exists(self.sock):
            os.unlink(self.sock)
        return self.start_server(name)


class Gpio(Bed):
    """gpio-pci-idio-16: a device whose BAR2 counts the reads of its first byte, by threes."""

    def test(self):
        name = 'gpio-pci-idio-16'
        server = self.start_server(name)
        shown = ring3('show', self.address)
        self.assertEqual((shown['pci']['vendor'], shown['pci']['device']), ('0x494f', '0x0dc8'))
        server = self.again(server, name)
        self.assertEqual(peek(self.address, 'config', '0', '-w', '16', '-n', '2'),
                         [0x494f, 0x0dc8])
        self.again(server, name)
        self.assertEqual(peek(self.address, 'bar2', '0', '-w', '8'), [0])


class Server(Bed):
    """server: BAR0 is the time since what was written there, BAR1 can be mapped in parts."""

    def test(self):
        server = self.start_server('server')
        shown = ring3('show', self.address)
        sizes = {region['region']: region['size'] for region in shown['regions']}
        self.assertEqual(sizes['bar0'], 8)
        self.assertIn('intx', [irq['type'] for irq in shown['interrupts']])
        self.again(server, 'server')
        seconds, = peek(self.address, 'bar0', '0', '-w', '64')
        self.assertLess(abs(seconds - time.time()), 60)


class Doorbell(Bed):
    """shadow_ioeventfd_server: a write to BAR0 is an eventfd, where we know its kind."""

    def test(self):
        server = self.start_server('shadow_ioeventfd_server')
        ring3('poke', self.address, 'bar0', '0', '1')
        self.assertEqual(server.wait(TIMEOUT), 0)


class Client(Bed):
    """client: it wants a device of its own kind in the end, but before that it negotiates, resets,
    asks for all regions with an argsz too small first, and for all interrupts."""

    def test(self):
        client = sample('client')
        if not shutil.which('qemu-system-x86_64'):
            raise unittest.SkipTest('QEMU is not installed, for a device that can be reset')
        serve = self.start(RING3, 'serve', 'qemu:edu', '--listen', f'unix:{self.sock}',
                           stdout=subprocess.PIPE)
        self.assertIn(self.sock.encode(), serve.stdout.readline())
        foreign = self.start(client, self.sock, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said, _ = foreign.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            foreign.kill()
            said, _ = foreign.communicate()
        said = said.decode(errors='replace')
        self.assertRegex(said, r'devinfo: flags 0x[0-9a-f]+, num_regions \d+, num_irqs 5', said)
        for index in range(9):
            self.assertRegex(said, rf'region_info\[{index}\]', said)
        self.assertTrue(re.search(r'IRQ INTx: count=1', said), said)
        # whatever became of it, the next client is served
        self.assertEqual(ring3('show', self.address)['pci']['device'], '0x11e8')
        serve.send_signal(signal.SIGTERM)
        self.assertEqual(serve.wait(TIMEOUT), 0)


if __name__ == '__main__':
    result = unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=2, exit=False).result
    for test, why in result.skipped:
        print(f'skipped: {test}: {why}')
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if len(result.skipped) == result.testsRun else 0)
