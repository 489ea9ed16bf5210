#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""no_sleep.py STRACE PROGRAM ADDRESS: an adaptive load sleeps on descriptors only.

Whoever sleeps for a time, in place of until something happens, wakes up too late or for
nothing. Between "begin" and "end" no thread of the program may make a call that does
that; and it must have slept on a descriptor at least once, or nothing was tried. That a
forbidden call would be seen is shown by making one.
"""
import os
import re
import subprocess
import sys
import tempfile

FORBIDDEN = {'nanosleep', 'clock_nanosleep', 'select', 'pselect6'}  # usleep() is one of them
ALLOWED = {'poll', 'ppoll', 'epoll_wait', 'epoll_pwait', 'epoll_pwait2'}
LIFE = {'clone', 'clone3', 'fork', 'vfork', 'execve', 'write'}


def trace(strace, command):
    """(number of sleeps on descriptors, names of forbidden calls) of the load."""
    with tempfile.TemporaryDirectory() as scratch:
        log = os.path.join(scratch, 'log')
        names = ','.join(sorted('?' + name for name in FORBIDDEN | ALLOWED | LIFE))
        done = subprocess.run([strace, '-f', '-q', '-o', log, '-e', 'trace=' + names] + command,
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'{command}: exit {done.returncode}\n{done.stderr}')
        with open(log) as lines:
            return judge(lines)


def judge(lines):
    foreign, main = set(), None  # processes that became other programs, and all below
    loaded, sleeps, crimes = False, 0, []
    for line in lines:
        found = re.match(r'(\d+) +(?:<\.\.\. )?(\w+)', line)
        if not found:
            continue
        pid, name = found.groups()
        main = main or pid
        if name == 'execve' and pid != main:
            foreign.add(pid)
        child = re.search(r'= (\d+)$', line)
        if name in ('clone', 'clone3', 'fork', 'vfork') and child and pid in foreign:
            foreign.add(child[1])
        if pid in foreign:
            continue
        if name == 'write' and '"begin\\n"' in line:
            loaded = True
        elif name == 'write' and '"end\\n"' in line:
            return sleeps, crimes
        elif loaded and name in FORBIDDEN:
            crimes.append(line.strip())
        elif loaded and name in ALLOWED and 'resumed' not in line:
            sleeps += 1
    sys.exit('the load did not end')


def main(strace, program, address):
    if subprocess.run([strace, '-q', '-o', os.devnull, 'true']).returncode:
        print('strace may not trace here')
        return 77
    sleeps, crimes = trace(strace, [program, address])
    print(f'{sleeps} sleeps on descriptors, {len(crimes)} for a time')
    print(*crimes[:5], sep='\n')
    if crimes or not sleeps:
        return 1
    if not trace(strace, [program, address, '--sleep'])[1]:
        print('a call that sleeps for a time was not noticed')
        return 1
    return 0


sys.exit(main(*sys.argv[1:4]))
