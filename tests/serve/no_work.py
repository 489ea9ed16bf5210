#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""no_work.py STRACE RING3 KILL_LOAD ADDRESS UNMAPPED: a server has no work per request.

Where doorbells are mapped and interrupts are eventfds, a driver and its device are among
themselves: while reads are done, the thread of the server makes no system call at all. What
the device's own thread does, which is the hardware here, does not count, but it has to
do something. UNMAPPED is the same device with doorbells that are messages: there the
calls must be seen, else it is no proof that none are."""
import os
import re
import subprocess
import sys
import tempfile

from broker import TIMEOUT, Broker
from kills import Load

READS = 2000


def calls(log, begin, end):
    """Who called what between two points of time: {pid: [name]}."""
    got = {}
    with open(log) as lines:
        for line in lines:
            found = re.match(r'(\d+) +(\d+)\.(\d{6}) (.*)', line)
            if found and begin <= int(found[2]) * 10**9 + int(found[3]) * 1000 <= end:
                got.setdefault(int(found[1]), []).append(found[4])
    return got


def without_the_last_answer(server):
    """What the server did after it had answered the question before the reads, as the client
    knows as soon as the answer is there: it came back from sending, and went to sleep."""
    server = server[server[:1] != [] and server[0].startswith(('<... sendto', '<... sendmsg')):]
    return server[server[:1] != [] and server[0].startswith('epoll_wait('):]


def trace(strace, ring3, kill_load, address):
    """The calls of the server's thread, and of all others, while reads are done."""
    with tempfile.TemporaryDirectory() as scratch:
        log = os.path.join(scratch, 'log')
        # -D: the process that we start is the server, and strace is its grandchild
        command = [strace, '-D', '-f', '-ttt', '-qq', '-o', log, ring3]
        with Broker(command, address) as broker:
            with Load(kill_load, broker.uri, 'interrupt', 0, '--block', '4096',
                      '--reads', str(READS)) as load:
                status, err = load.end(TIMEOUT)
                assert status == 0, f'the load ended with {status}: {err}'
                assert load.reaped == READS, f'{load.reaped} reads'
                begin, end = load.begin_ns, load.end_ns
            broker.end()
        got = calls(log, begin, end)
        server = got.pop(broker.popen.pid, [])
        return without_the_last_answer(server), sum(got.values(), [])


def main(strace, ring3, kill_load, address, unmapped):
    if subprocess.run([strace, '-q', '-o', os.devnull, 'true']).returncode:
        print('strace may not trace here')
        return 77
    server, device = trace(strace, ring3, kill_load, address)
    signals = sum(call.startswith('write(') for call in device)
    print(f'{READS} reads: {len(server)} calls of the server, {signals} interrupts of the device')
    print(*server[:5], sep='\n')
    if server or not signals:
        return 1
    server, _ = trace(strace, ring3, kill_load, unmapped)
    print(f'with doorbells that are messages: {len(server)} calls of the server')
    return 0 if len(server) >= READS / 32 else 1


if __name__ == '__main__':
    try:
        sys.exit(main(*sys.argv[1:6]))
    except AssertionError as error:
        print(f'no_work: {error}', file=sys.stderr)
        sys.exit(1)
