#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""loops.py qemu|no-qemu PROGRAM...: the embedding examples read what is on the disk, and
sleep while the disk takes its time."""
import operator
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAMS = [os.path.abspath(path) for path in sys.argv[2:]]
QEMU = sys.argv[1] == 'qemu'
BLOCK = 512
SIZE = 16 << 20
TIMEOUT = 60  # generous: how long anything may take
PIECE = 128 << 10
DEPTH = 8
DELAY = 0.03  # seconds, of each read of the disk


def can_trace():
    return shutil.which('strace') and subprocess.run(['strace', '-o', '/dev/null', 'true'],
                                                     capture_output=True).returncode == 0


class Loops(unittest.TestCase):
    sums = {}

    @classmethod
    def setUpClass(cls):
        seed = os.environ.get('R3_SEED', str(random.getrandbits(32)))
        print(f'R3_SEED={seed}')
        cls.content = random.Random(seed).randbytes(SIZE)
        cls.folder = tempfile.TemporaryDirectory()
        cls.image = os.path.join(cls.folder.name, 'image')
        with open(cls.image, 'wb') as file:
            file.write(cls.content)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def expect(self, done, size):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, f'{self.sum(size):016x} {size} bytes\n')

    @classmethod
    def sum(cls, size):
        """Each byte counts as often as its place says: what moved is noticed."""
        if size not in cls.sums:
            cls.sums[size] = sum(map(operator.mul, cls.content[:size], range(1, size + 1)))
        return cls.sums[size] % (1 << 64)

    def run_program(self, program, *args, **env):
        return subprocess.run([program, *args], text=True, capture_output=True, timeout=TIMEOUT,
                              env=dict(os.environ, **env))

    def test_file(self):
        for program in PROGRAMS:
            self.expect(self.run_program(program, f'file:{self.image}'), SIZE)
            # less than a piece, a piece and a little
            for size in (BLOCK, PIECE + BLOCK):
                part = os.path.join(self.folder.name, 'part')
                with open(part, 'wb') as file:
                    file.write(self.content[:size])
                self.expect(self.run_program(program, f'file:{part}'), size)

    def test_wrong(self):
        for program in PROGRAMS:
            done = self.run_program(program, 'file:/nowhere')
            self.assertEqual(done.returncode, 1)
            self.assertIn('/nowhere', done.stderr)
            self.assertEqual(done.stdout, '')

    @unittest.skipUnless(QEMU, 'no qemu: devices here')
    def test_nvme(self):
        for program in PROGRAMS:
            with self.subTest(program=os.path.basename(program)):
                self.expect(self.run_program(program, f'qemu:nvme,drive={self.image}'), SIZE)

    @unittest.skipUnless(QEMU, 'no qemu: devices here')
    @unittest.skipUnless(can_trace(), 'strace cannot trace here')
    def test_sleep(self):
        # QEMU's own reads are held up, DEPTH of them at a time
        least = SIZE / PIECE / DEPTH * DELAY
        for program in PROGRAMS:
            with self.subTest(program=os.path.basename(program)):
                asleep, waits = self.time_asleep(program)
                print(f'{os.path.basename(program)}: {asleep:.2f} of {least:.2f} s asleep '
                      f'in {waits} waits')
                self.assertGreater(asleep, least / 2)

    def time_asleep(self, program):
        """How long it was in the loop's wait, unless it had asked not to sleep there."""
        log = os.path.join(self.folder.name, 'trace')
        command = ['strace', '-f', '-qq', '-T', '-s', '0', '-o', log, '-e',
                   'trace=preadv,pread64,epoll_wait,epoll_pwait,?epoll_pwait2', '-e',
                   f'inject=preadv,pread64:delay_enter={int(DELAY * 1e6)}']
        # a leak check traces its process, too, and there can be but one
        options = os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0'
        self.expect(self.run_program(*command, program, f'qemu:nvme,drive={self.image}',
                                     ASAN_OPTIONS=options), SIZE)
        with open(log) as file:
            calls = [line for line in file if re.search(r'epoll_p?wait', line)]
        own = [line for line in calls if line.split()[0] == calls[0].split()[0]]
        own = [re.search(r', (-1|NULL|[1-9]\d*)(?:, .*)?\)\s+= \d+ <([\d.]+)>$', line)
               for line in own]
        return sum(float(wait[2]) for wait in own if wait), len(calls)


sys.exit(not unittest.main(argv=sys.argv[:1], verbosity=2, exit=False).result.wasSuccessful())
