#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""loops.py qemu|no-qemu PROGRAM...: the embedding examples read what is on the disk, and
sleep while the disk takes its time."""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zlib

PROGRAMS = [os.path.abspath(path) for path in sys.argv[2:]]
QEMU = sys.argv[1] == 'qemu'
BLOCK = 512
SIZE = 16 << 20
TIMEOUT = 60  # generous: how long anything may take
MODES = ['interrupt', 'adaptive']
DELAY = 0.03  # seconds, of each read of the disk


def can_trace():
    return shutil.which('strace') and subprocess.run(['strace', '-o', '/dev/null', 'true'],
                                                     capture_output=True).returncode == 0


class Loops(unittest.TestCase):
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
        self.assertEqual(done.stdout,
                         f'{zlib.adler32(self.content[:size]):08x} {size} bytes\n')

    def run_program(self, program, *args, **env):
        return subprocess.run([program, *args], text=True, capture_output=True, timeout=TIMEOUT,
                              env=dict(os.environ, **env))

    def test_file(self):
        for program in PROGRAMS:
            self.expect(self.run_program(program, f'file:{self.image}'), SIZE)
            # less than a piece, a piece and a little, nothing
            for size in (BLOCK, (128 << 10) + BLOCK, 0):
                self.expect(self.run_program(program, f'file:{self.image}', str(size)), size)

    def test_wrong(self):
        for program in PROGRAMS:
            for args in ([], ['file:/nowhere'], [f'file:{self.image}', str(SIZE + BLOCK)],
                         [f'file:{self.image}', '1'], [f'file:{self.image}', '512', 'sometimes'],
                         [f'file:{self.image}', '512', 'poll']): # has nothing to sleep on
                done = self.run_program(program, *args)
                self.assertEqual(done.returncode, 1, args)
                self.assertNotEqual(done.stderr, '')
                if 'poll' in args:
                    self.assertIn('use adaptive', done.stderr)
                self.assertEqual(done.stdout, '')

    @unittest.skipUnless(QEMU, 'no qemu: devices here')
    def test_nvme(self):
        for program in PROGRAMS:
            for mode in MODES:
                with self.subTest(program=os.path.basename(program), mode=mode):
                    self.expect(self.run_program(program, f'qemu:nvme,drive={self.image}',
                                                 str(SIZE), mode), SIZE)

    @unittest.skipUnless(QEMU, 'no qemu: devices here')
    @unittest.skipUnless(can_trace(), 'strace cannot trace here')
    def test_sleep(self):
        # QEMU's own reads are held up, READ_DEPTH of them at a time
        least = SIZE / (128 << 10) / 8 * DELAY
        for program in PROGRAMS:
            for mode in MODES:
                with self.subTest(program=os.path.basename(program), mode=mode):
                    asleep, waits = self.time_asleep(program, mode)
                    print(f'{os.path.basename(program)} {mode}: {asleep:.2f} of {least:.2f} s '
                          f'asleep in {waits} waits')
                    self.assertGreater(asleep, least / 2)

    def time_asleep(self, program, mode):
        """How long it was in the loop's wait, unless it had asked not to sleep there."""
        log = os.path.join(self.folder.name, 'trace')
        command = ['strace', '-f', '-qq', '-T', '-s', '0', '-o', log, '-e',
                   'trace=preadv,pread64,epoll_wait,epoll_pwait,?epoll_pwait2', '-e',
                   f'inject=preadv,pread64:delay_enter={int(DELAY * 1e6)}']
        # a leak check traces its process, too, and there can be but one
        options = os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0'
        self.expect(self.run_program(*command, program, f'qemu:nvme,drive={self.image}',
                                     str(SIZE), mode, ASAN_OPTIONS=options), SIZE)
        with open(log) as file:
            calls = [line for line in file if re.search(r'epoll_p?wait', line)]
        own = [line for line in calls if line.split()[0] == calls[0].split()[0]]
        own = [re.search(r', (-1|NULL|[1-9]\d*)(?:, .*)?\)\s+= \d+ <([\d.]+)>$', line)
               for line in own]
        return sum(float(wait[2]) for wait in own if wait), len(calls)


sys.exit(not unittest.main(argv=sys.argv[:1], verbosity=2, exit=False).result.wasSuccessful())
