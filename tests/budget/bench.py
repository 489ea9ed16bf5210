#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""bench.py RUN BUILD: `make bench` can measure what it is for, says what it found in the form
that it promises, and tells what it cannot do."""
import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest

RUN, BUILD = (os.path.abspath(path) for path in sys.argv[1:3])
KEYS = ['name', 'unit', 'value', 'lo', 'hi', 'floor', 'budget', 'pass', 'host']
ROW = '{"name":"a","unit":"ns","value":2,"lo":1,"hi":3,"floor":null,"budget":%s,"pass":%s,"host":"h"}'
MEASURED = '{"iops": 1000, "cpu_per_io_ns": 10}'


def run(build, *options):
    return subprocess.run([RUN, *options, build], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=300)


class Real(unittest.TestCase):
    def test_short_form(self):
        got = run(BUILD, '--check', '--seed', '7')
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertIn('R3_SEED=7', got.stderr)
        with open(os.path.join(BUILD, 'bench-check.json')) as file:
            rows = json.load(file)
        names = [row['name'] for row in rows]
        self.assertEqual(len(set(names)), len(names), names)
        programs = {'wake', 'tool'}
        if os.path.exists(os.path.join(BUILD, 'tests/budget/budget_instructions')):
            programs.add('instructions')
        if os.path.exists(os.path.join(BUILD, 'tests/serve/vfio_user')):
            programs.add('vfio_user')
        if 'skipping what needs QEMU' not in got.stderr:
            programs |= {'first_light', 'adaptive', 'iommu'}
        self.assertLessEqual(programs, {name.split('.')[0] for name in names})
        for row in rows:
            self.assertEqual(list(row), KEYS)
            self.assertTrue(row['lo'] <= row['value'] <= row['hi'], row)
            self.assertEqual(row['host'], rows[0]['host'])
            self.assertIn(row['name'], got.stdout)


class Staged(unittest.TestCase):
    """A build that holds scripts instead of programs."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = folder.name
        self.script('bench/host_state', 'echo some host')
        self.script('tests/budget/wake', f"echo '{ROW % ('2', 'true')}'")
        self.script('ring3', f'case $1 in version) echo \'{{"features": []}}\';; '
                             f"*) echo '{MEASURED}';; esac")
        self.put('meson-info/intro-tests.json', '[]')

    def put(self, name, text):
        path = os.path.join(self.build, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def script(self, name, text):
        os.chmod(self.put(name, f'#!/bin/sh\n{text}\n'), stat.S_IRWXU)

    def result(self):
        with open(os.path.join(self.build, 'bench.json')) as file:
            return json.load(file)

    def test_good(self):
        got = run(self.build)
        self.assertEqual(got.returncode, 0, got.stderr)
        rows = {row['name']: row for row in self.result()}
        self.assertEqual(rows['wake.a'], dict(json.loads(ROW % ('2', 'true')), name='wake.a'))
        self.assertEqual((rows['tool.null_poll_qd32']['value'], rows['tool.null_poll_qd32']['host']),
                         (1000, 'some host'))
        self.assertRegex(got.stdout, r'(?m)^wake\.a +2\.000 +1\.000 +3\.000 +- +2\.000 met +ns$')

    def test_a_goal_is_missed(self):
        self.script('tests/budget/wake', f"echo '{ROW % ('1', 'false')}'; exit 1")
        got = run(self.build)
        self.assertEqual(got.returncode, 1)
        self.assertIn('MISSED', got.stdout)
        self.assertIn('1 goals missed', got.stdout)
        self.assertEqual(run(self.build, '--check').returncode, 0)

    def test_a_busy_host(self):
        old = self.put('bench.json', '[]')
        for name in 'tests/budget/wake', 'bench/host_state':
            self.script(name, 'echo "too busy" >&2; exit 77')
            got = run(self.build)
            self.assertEqual((got.returncode, got.stdout), (77, ''))
            self.assertIn('too busy', got.stderr)
            self.assertFalse(os.path.exists(old))

    def test_a_busy_host_and_no_choice(self):
        later = f'[ -e {self.build}/seen ] && exit 77; touch {self.build}/seen'
        for when in 'exit 77', later:
            self.script('bench/host_state', f'echo some host; [ "$1" = -f ] || {{ {when}; }}')
            self.assertEqual(run(self.build, '-f').returncode, 0)
            self.assertEqual({row['host'] for row in self.result()},
                             {'some host, busy', 'h, busy'})

    def test_nothing_is_built(self):
        os.unlink(os.path.join(self.build, 'bench/host_state'))
        got = run(self.build)
        self.assertEqual(got.returncode, 2)
        self.assertIn('make first', got.stderr)

    def test_what_fails_does_not_stop_the_rest(self):
        for text in ('exit 3', 'echo []', 'echo', 'kill -9 $$', f"echo '{ROW % ('2', 'null')}'",
                     f"echo '{ROW % ('2', 'true')}'; exit 1",
                     "echo '" + ROW.replace(':2', ':9') % ('2', 'true') + "'"):
            self.script('tests/budget/wake', text)
            got = run(self.build)
            self.assertEqual(got.returncode, 1, text)
            self.assertIn('wake: FAILED', got.stderr)
            self.assertNotIn('wake.a', got.stdout)
            self.assertIn('tool.null_poll_qd32', got.stdout)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
