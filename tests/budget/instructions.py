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


def collect(valgrind, program, depth, batches):
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [valgrind, '--tool=callgrind', '--collect-atstart=no',
             '--callgrind-out-file=' + os.path.join(scratch, 'out'), program, str(depth),
             str(batches)], capture_output=True, text=True)
    found = re.search(r'Collected : (\d+)', done.stderr)
    if done.returncode or not found:
        sys.exit(f'{program} under callgrind: exit {done.returncode}\n{done.stderr}')
    return int(found.group(1))


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
