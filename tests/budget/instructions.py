#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""instructions.py VALGRIND PROGRAM LIMIT: what a read costs in instructions.

Counts the library's instructions from submit to reap by callgrind, for reads of
4 KiB with 32 in flight. What a batch costs is the difference between a long and a
short run, so that nothing of the beginning or the end is in it. The count is exact:
a second long run must give the same. Fails above LIMIT.
"""
import os
import re
import subprocess
import sys
import tempfile

SHORT, LONG = 10, 110  # batches
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def own_cost(profile):
    """The sum of a callgrind profile, without what is compiled from the tests."""
    names, cost, here, inclusive = {}, 0, '', False
    for line in profile:
        place = re.match(r'(c?)f[lie]=(\(\d+\))(?: (.*))?$', line)
        if place:
            if place[3]:
                names[place[2]] = os.path.normpath(place[3])
            if not place[1]:  # not of the function called
                here = names[place[2]]
        elif line.startswith('calls='):
            inclusive = True  # the next line is the cost of the function called
        elif line[:1] in tuple('0123456789+-*'):
            if not inclusive and not here.startswith(TESTS):
                cost += int(line.split()[1])
            inclusive = False
    return cost


def collect(valgrind, program, depth, batches):
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, 'out')
        done = subprocess.run(
            [valgrind, '--tool=callgrind', '--collect-atstart=no', '--callgrind-out-file=' + out,
             program, str(depth), str(batches)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'{program} under callgrind: exit {done.returncode}\n{done.stderr}')
        with open(out) as profile:
            return own_cost(profile)


def per_read(valgrind, program, depth):
    long = collect(valgrind, program, depth, LONG)
    if collect(valgrind, program, depth, LONG) != long:
        sys.exit('two runs give different counts')
    short = collect(valgrind, program, depth, SHORT)
    return (long - short) / (LONG - SHORT) / depth


def main(valgrind, program, limit):
    at32 = per_read(valgrind, program, 32)
    at1 = per_read(valgrind, program, 1)
    print(f'instructions per 4 KiB read: {at32:.1f} with 32 in flight (at most {limit}), '
          f'{at1:.1f} with one')
    return 0 if 0 < at32 <= int(limit) else 1


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:4]))
