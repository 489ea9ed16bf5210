#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""ring3 bench as its user sees it: what it measures, what it refuses, what it leaves alone.

usage: test_bench.py RING3 SOURCE_ROOT [TEST...]
"""
import fcntl
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import tempfile
import unittest

from test_cli import ABSENT, Cli, FAILED, NOT_PERMITTED, OK, RING3, TIMEOUT, USAGE, needs_qemu

SHORT = ('--time', '20ms', '--warmup', '1ms')
KIB, MIB = 1 << 10, 1 << 20


class Bench(Cli):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.image = os.path.join(folder.name, 'disk image')
        self.content = os.urandom(MIB)
        with open(self.image, 'wb') as image:
            image.write(self.content)
        self.target = 'file:' + self.image

    def now(self):
        with open(self.image, 'rb') as image:
            return image.read()

    def plausible(self, got, ops):
        """The figures agree with each other."""
        self.assertEqual([row['op'] for row in got['latency']], ops)
        self.assertGreater(got['ios'], 0)
        self.assertEqual(sum(row['count'] for row in got['latency']), got['ios'])
        self.assertEqual((got['errors'], got['interrupted'], got['resets']), (0, False, 0))
        self.assertAlmostEqual(got['iops'], got['ios'] * 1e9 / got['time_ns'],
                               delta=got['iops'] / 100 + 1)
        self.assertAlmostEqual(got['throughput_bytes_per_s'], got['iops'] * got['block_size'],
                               delta=got['block_size'])
        for row in got['latency']:
            order = ['min_ns', 'p50_ns', 'p90_ns', 'p99_ns', 'p99_9_ns', 'max_ns']
            times = [row[name] for name in order]
            self.assertEqual(times, sorted(times))
            self.assertTrue(times[0] <= row['mean_ns'] <= times[-1], row)

    def test_reading(self):
        for mode in 'interrupt', 'poll', 'adaptive':
            got = self.json('bench', 'null:1G', '--mode', mode, '--depth', '4', '--queues', '2',
                            '--pattern', 'seq', '--size', '8K', *SHORT)
            self.plausible(got, ['read'])
            self.assertEqual(
                [got[k] for k in ('address', 'op', 'mode', 'depth', 'queues', 'pattern',
                                  'block_size', 'range_offset', 'range_length')],
                ['null:1G', 'read', mode, 4, 2, 'seq', 8192, 0, 1 << 30])
            self.assertGreaterEqual(got['time_ns'], 20e6)

    def test_text(self):
        text = self.good('bench', 'null:1G', *SHORT)
        for pattern in (r'^op +read$', r'^time +\d+\.\d ms$', r'^throughput +\d+\.\d MB/s$',
                        r'^latency:$', r'^  OP .*P99_9 ', r'^  read  +\d+ .* [mun]s$'):
            self.assertRegex(text, '(?m)' + pattern)

    @needs_qemu
    def test_nvme(self):
        for mode in 'interrupt', 'poll', 'adaptive':
            got = self.json('bench', 'qemu:nvme,null,size=1G', '--mode', mode, '--queues', '2',
                            '--op', 'mixed', '--read-percent', '50', '--destroy', *SHORT)
            self.plausible(got, ['read', 'write'])
            self.assertGreater(got['cpu_per_io_ns'], 0)

    @needs_qemu
    def test_more_than_the_device_can_hold(self):
        self.bad(FAILED, 'use less of --size, --depth or --queues: ', 'bench',
                 'qemu:nvme,null,size=1G', '--size', '512K', '--depth', '900', *SHORT)
        self.bad(USAGE, '--queues 1024 is above its limit', 'bench', 'qemu:nvme,null,size=1G',
                 '--queues', '1024', '--depth', '1', *SHORT)

    def test_reading_leaves_all_as_it_is(self):
        os.chmod(self.image, 0o400)
        self.plausible(self.json('bench', self.target, *SHORT), ['read'])
        self.plausible(self.json('bench', self.target, '--destroy', *SHORT), ['read'])
        self.assertEqual(self.now(), self.content)

    def test_writing_stays_in_its_range(self):
        for pattern in 'seq', 'rand':
            before = self.now()
            got = self.json('bench', self.target, '--op', 'write', '--destroy', '--pattern',
                            pattern, '--size', '512', '--range', '256K:128K', '--queues', '3',
                            '--mode', 'poll', *SHORT)
            self.plausible(got, ['write'])
            after = self.now()
            self.assertEqual(after[:256 * KIB], before[:256 * KIB])
            self.assertEqual(after[384 * KIB:], before[384 * KIB:])
            first, last = after[256 * KIB:][:512], after[384 * KIB - 512:][:512]
            self.assertNotEqual(first, before[256 * KIB:][:512])
            self.assertNotEqual(last, before[384 * KIB - 512:][:512])
            self.assertNotIn(bytes(512), (first, last))

    def test_writing_needs_leave(self):
        for op in 'write', 'mixed':
            self.bad(USAGE, f'--op {op} overwrites.*add --destroy', 'bench', self.target,
                     '--op', op, *SHORT)
        self.assertEqual(self.now(), self.content)

    def test_writing_what_cannot_be_written(self):
        self.bad(NOT_PERMITTED, 'cannot be written: leave out --op mixed', 'bench',
                 self.target + ',readonly', '--op', 'mixed', '--destroy', *SHORT)

    def test_bad_options(self):
        for pattern, *args in (
                ("--pattern 'zig'.*use rand or seq", '--pattern', 'zig'),
                ("--op 'trim'.*use read, write or mixed", '--op', 'trim'),
                ("mode 'zig'.*interrupt, poll or adaptive", '--mode', 'zig'),
                (r'time=0s\b.*ns, us, ms or s', '--time', '0s'),
                ('time=10 ', '--time', '10'),
                ('depth=0 .*between 1 and', '--depth', '0'),
                ('queues=-1 ', '--queues', '-1'),
                ('--size 1000 is no multiple of its block size, 512', '--size', '1000'),
                ('--size 8388608 is above its limit, 4194304', '--size', '8M'),
                ('--depth 1025 is above its limit, 1024', '--depth', '1025'),
                ('--queues 65 is above its limit, 64', '--queues', '65'),
                ('more than 1073741824: use less', '--depth', '1024', '--size', '4M'),
                ("'5'.*OFFSET:LENGTH", '--range', '5'),
                ('length=x is not a size', '--range', '0:x'),
                ('offset= is not a size', '--range', ':1M'),
                ('length=0 is not a size', '--range', '0:0'),
                ('ends beyond it: it has 1048576 bytes', '--range', '0:2M'),
                ('ends beyond it', '--range', '1M:512'),
                ('begins within a block: they have 512 bytes', '--range', '100:512K'),
                ('room for 1 requests.*fewer --queues', '--range', '0:7K', '--queues', '2'),
                ('--read-percent is of --op mixed', '--read-percent', '5'),
                ('read-percent=100 ', '--op', 'mixed', '--destroy', '--read-percent', '100')):
            if '--op' not in args:
                args += ['--op', 'write', '--destroy']
            if '--read-percent' in args and '100' not in args:
                args = args[:2]
            self.bad(USAGE, pattern, 'bench', self.target, *SHORT, *args)
        self.bad(USAGE, 'it has room for 0 requests', 'bench', 'null:512', *SHORT)
        self.assertEqual(self.now(), self.content)

    def test_absent(self):
        for args in [], ['--op', 'write', '--destroy']:
            self.bad(ABSENT, 'No such file', 'bench', self.target + '.not', *args)
            self.bad(ABSENT, 'gnu', 'bench', 'gnu:1', *args)

    def test_locked(self):
        write = ['bench', self.target, '--op', 'write', '--destroy', *SHORT]
        with open(self.image, 'r+b') as image:
            fcntl.flock(image, fcntl.LOCK_SH)
            self.bad(FAILED, 'locked', *write)
            fcntl.flock(image, fcntl.LOCK_UN)
            fcntl.lockf(image, fcntl.LOCK_SH, 1, 100)  # as QEMU locks its images
            self.bad(FAILED, 'locked', *write)
            self.good('bench', self.target, *SHORT)
            fcntl.lockf(image, fcntl.LOCK_UN, 1, 100)
        self.assertEqual(self.now(), self.content)
        self.good(*write)

    @needs_qemu
    def test_locked_below_qemu(self):
        with open(self.image, 'r+b') as image:
            fcntl.flock(image, fcntl.LOCK_EX)
            self.bad(FAILED, 'disk image: .*locked', 'bench', f'qemu:nvme,drive={self.image}',
                     '--op', 'write', '--destroy', *SHORT)
        self.assertEqual(self.now(), self.content)
        self.good('bench', f'qemu:nvme,drive={self.image}', '--op', 'write', '--destroy', *SHORT)
        self.assertNotEqual(self.now(), self.content)

    def test_a_kernel_driver_has_it(self):
        for device in self.json('ls')['devices']:
            if device['state'].startswith('kernel:') and 'vfio' not in device['state']:
                self.bad(FAILED, "kernel's driver \\S+ has it", 'bench', device['address'])
                break
        else:
            self.skipTest('no PCI device of this machine has a driver of the kernel')

    def watched(self, *args):
        """Start it on a terminal; returns when it has shown a rate."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        bench = subprocess.Popen([RING3, 'bench', *args, '--time', '600s', '--warmup', '1ms',
                                  '-o', 'json'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=theirs)
        self.addCleanup(bench.stdout.close)
        self.addCleanup(bench.wait)
        self.addCleanup(bench.kill)
        os.close(theirs)
        self.shown = b''
        self.shows(ours, b'measuring, ')
        return bench, ours

    def shows(self, terminal, what):
        while what not in self.shown:
            self.shown += os.read(terminal, 4096)

    def test_interrupted(self):
        for number in signal.SIGINT, signal.SIGTERM:
            bench, _ = self.watched('null:1G')
            bench.send_signal(number)
            got = json.loads(bench.communicate(timeout=TIMEOUT)[0])
            self.assertEqual(bench.returncode, OK)
            self.assertTrue(got['interrupted'])
            self.assertGreater(got['ios'], 0)
            self.assertRegex(self.shown.decode(), r'measuring, \d+ s left +[\d.]+ kIOPS +[\d.]+ MB/s +0 errors')

    def test_requests_that_fail(self):
        bench, terminal = self.watched(self.target, '--mode', 'poll')
        os.truncate(self.image, 4096)
        self.shows(terminal, b'errors')
        self.shown = b''
        self.shows(terminal, b'kIOPS')
        bench.send_signal(signal.SIGINT)
        got = json.loads(bench.communicate(timeout=TIMEOUT)[0])
        self.assertEqual(bench.returncode, FAILED)
        self.assertGreater(got['errors'], 0)
        self.shows(terminal, b'requests failed')
        self.assertRegex(self.shown.decode(), r'read of 4096 bytes at \d+: Input/output error')

    def test_nobody_reads_the_result(self):
        with open('/dev/full', 'wb') as full:
            self.bad(FAILED, 'standard output', 'bench', 'null:1G', *SHORT, stdout=full)

    def test_help_examples(self):
        text = self.good('bench', '--help')
        for line in (l.strip() for l in text.splitlines() if l.startswith('  ring3 bench ')):
            words = shlex.split(line)[1:]
            address = words[1]
            if address.startswith('file:'):
                words[1] = self.target
            if not address.startswith('qemu:'):
                self.good(*words, *SHORT)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
