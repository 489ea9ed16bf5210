#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""syscalls.py SOURCE_ROOT: the system calls that the manual says a driver has are those of its
list, they are no more than was promised, and none of them opens a way out."""
import os
import re
import sys

MOST = 30
NEVER = re.compile(r'open|socket$|socketpair|connect|bind|exec|ioctl|io_uring|fork|clone|ptrace|'
                   r'kill|prctl|setns|unshare|mount|bpf|process_vm|pidfd|memfd|^p(read|write)')


def listed(text):
    """The calls that a list allows: those that are answered with an error are not done, and of
    two, one stands for the other on machines that do not have it."""
    lines = (line.partition('#')[0].split() for line in text.splitlines())
    return [words[0].partition('|')[0] for words in lines if words and not any(w.startswith('=') for w in words)]


def printed(page):
    """Those between the mark in the manual and the end of that list."""
    part = page.partition('.\\" the list of host/sandbox/driver.syscalls\n')[2]
    part = part.partition('\n.El')[0]
    return [call for line in re.findall(r'^\.Sy (.*)$', part, re.M) for call in line.split()]


def problems(calls, page):
    if calls != printed(page):
        yield f'the manual has {printed(page)}, the list {calls}'
    if len(calls) > MOST:
        yield f'there are {len(calls)} calls, more than {MOST}'
    for call in filter(NEVER.search, calls):
        yield f'{call} is not for a driver'


def notices_mistakes():
    """That this test can fail."""
    page = '.\\" the list of host/sandbox/driver.syscalls\n.It\n.Sy read write\n.El\n'
    calls = listed('# one\nread|reada # why\nwrite 1:X # why\nmremap =ENOSYS # why\n')
    many = [f'read{i}' for i in range(MOST + 1)]
    return calls == ['read', 'write'] and not list(problems(calls, page)) and all(
        list(problems(bad, page)) for bad in (['read'], ['write', 'read'], many)) and \
        list(problems(['openat'], page.replace('read write', 'openat')))


def main(root):
    calls = listed(open(os.path.join(root, 'host/sandbox/driver.syscalls')).read())
    page = open(os.path.join(root, 'man/r3-host.8')).read()
    if not notices_mistakes():
        print('the test itself is blind')
        return 1
    bad = list(problems(calls, page))
    for problem in bad:
        print(problem)
    print(f'{len(calls)} calls')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
