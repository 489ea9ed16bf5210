#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""kills.py RING3 KILL_LOAD [OPTION...] ADDRESS: kill those who drive a device
behind a server, again and again, and then the servers.

A driver is killed with requests in flight, at a random place of a random load. Each time
the server must say, in this order, that the client is gone, interrupts are off, the
device is no bus master, transfers have ended, it is reset, every piece of memory that was
mapped is unmapped, all is freed, and it is ready; and then it serves the next one. In the
end server and device hold no more than after the first few. A server is killed under
its driver: the driver is told within 100 ms and ends by itself.

R3_SEED=N, or --seed N, repeats the run that printed N."""
import argparse
import mmap
import os
import random
import statistics
import struct
import subprocess
import sys
import time

from broker import SLOW, TIMEOUT, Broker, die_with_parent, until, wrapped

BOOKS = ['submitted', 'reaped', 'failed', 'opened_ns', 'lost_ns', 'begin_ns', 'end_ns']
DEATH = ['disconnected', 'irq_off', 'bus_master_off', 'quiesced', 'reset', 'unmapped', 'freed',
         'ready']
WARM = 20       # kills after which a server has all that it ever needs
TOLD_NS = 100_000_000
AT_ONCE_NS = 5_000_000_000  # for a loaded host; what it takes is printed
GROWTH = {'fds': 0, 'maps': 4, 'rss': 4096}  # of one process; maps and KiB are malloc's


class Load:
    """kill_load at work, and its books."""

    def __init__(self, program, uri, mode, seed, *options):
        self.fd = os.memfd_create('kill-load')
        os.ftruncate(self.fd, mmap.PAGESIZE)
        self.books = mmap.mmap(self.fd, mmap.PAGESIZE)
        self.mode = mode
        command = [program, uri, str(self.fd), '--mode', mode, '--seed', str(seed), *options]
        self.begin = time.monotonic_ns()
        self.popen = subprocess.Popen(wrapped(command), pass_fds=[self.fd],
                                      preexec_fn=die_with_parent, stderr=subprocess.PIPE)

    def __getattr__(self, name):
        return struct.unpack_from('=Q', self.books, 8 * BOOKS.index(name))[0]

    def work(self, reaped):
        """Wait until it has done that much."""
        def far():
            if self.popen.poll() is not None:
                raise AssertionError(f'the load ended: {self.popen.stderr.read().decode()}')
            return self.reaped >= reaped
        until(f'{reaped} requests', far, TIMEOUT * SLOW)

    def end(self, seconds=TIMEOUT):
        """Its exit status, and what it complained of."""
        _, err = self.popen.communicate(timeout=seconds * SLOW)
        return self.popen.returncode, err.decode()

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        self.popen.stderr.close()
        self.books.close()
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def random_load(args, broker, dice):
    return Load(args.kill_load, broker.uri, dice.choice(['interrupt', 'poll', 'adaptive']),
                dice.getrandbits(32), '--block', str(args.block))


def pieces(events, name):
    return [(one['iova'], one['len']) for one in events if one['event'] == name]


def check_death(events, client, pid):
    """That the events of a client's life end as they have to."""
    names = [one['event'] for one in events]
    assert names.count('disconnected') == 1, f'not one end: {names}'
    life, death = events[:names.index('disconnected')], events[names.index('disconnected'):]
    kinds = [name for n, name in enumerate(names[len(life):])
             if name != 'unmapped' or names[len(life) + n - 1] != name]
    assert kinds == DEATH, f'the end of a client is {kinds}'
    held = pieces(life, 'mapped')
    for piece in pieces(life, 'unmapped'):
        held.remove(piece)
    assert held and sorted(pieces(death, 'unmapped')) == sorted(held), \
        f'unmapped is {pieces(death, "unmapped")}, and mapped was {held}'
    times = [one['time_ns'] for one in events]
    assert times == sorted(times), 'time goes back'
    for one in death[1:]:
        assert one['err'] == 0, f'{one["event"]}: {one["err"]}: {one["text"]}'
    for one in death[:-1]:
        assert (one['client'], one.get('pid')) in ((client, pid), (client, None)), f'of whom is {one}?'
    return death[-1]['time_ns']


def holds(broker):
    """What the server, and the device where that is a process, hold."""
    return {process.name(): process.holds() for process in broker.family.alive()}


def grown(before, after):
    none = dict.fromkeys(GROWTH, 0)
    return [f'{name} has {have[what]} {what}, and had {before.get(name, none)[what]}'
            for name, have in after.items() for what, most in GROWTH.items()
            if have[what] > before.get(name, none)[what] + most]


def kill_drivers(args, dice):
    ready, opened, inflight = [], [], []
    with Broker([args.ring3], args.address, watch=True) as broker:
        broker.events.until('ready')
        for n in range(args.kills):
            if n == min(WARM, args.kills // 2):
                before = holds(broker)
            with random_load(args, broker, dice) as load:
                load.work(dice.randrange(1, 400))
                end = time.monotonic_ns() + dice.randrange(1_000_000)
                while time.monotonic_ns() < end:  # so that it is killed at any place
                    pass
                killed = time.monotonic_ns()
                load.popen.kill()
                load.popen.wait()
                inflight.append(load.submitted - load.reaped)
                assert load.failed == 0, f'{load.failed} requests failed before anybody died'
                opened.append(load.opened_ns - load.begin)
                events = broker.events.until('ready')
                at = check_death(events, n + 1, load.popen.pid)
                ready.append(at - killed)
                assert ready[-1] < AT_ONCE_NS * SLOW, f'ready after {ready[-1]} ns'
                print(f'{n + 1}: {load.mode}, {load.reaped} done, {inflight[-1]} in flight, '
                      f'ready after {ready[-1] / 1e6:.1f} ms', flush=args.verbose)
        # a device may give memory back a while after it was told to
        if args.may_grow:
            del GROWTH['rss'], GROWTH['maps']
        until(lambda: f'no growth, but {grown(before, holds(broker))}',
              lambda: not grown(before, holds(broker)), 10 * SLOW)
        print(f'{args.kills} drivers killed, {sum(n >= 16 for n in inflight)} with at least 16 '
              f'in flight; ready after {statistics.median(ready) / 1e6:.1f} ms, most '
              f'{max(ready) / 1e6:.1f}; the next could use it {statistics.median(opened) / 1e6:.1f} '
              f'ms after its start')
        for name, have in holds(broker).items():
            print(f'{name}: {have}, and before {before[name]}')
        assert sum(n >= 16 for n in inflight) * 2 >= args.kills, 'too few had enough in flight'
        broker.end()


def kill_brokers(args, dice):
    told = []
    for n in range(args.brokers):
        with Broker([args.ring3], args.address) as broker, \
                random_load(args, broker, dice) as load:
            load.work(dice.randrange(1, 400))
            broker.family.alive()
            killed = time.monotonic_ns()
            broker.popen.kill()
            status, err = load.end()
            assert status == 0 and load.lost_ns, f'the driver ended with {status}: {err}'
            assert load.reaped >= load.submitted, 'not all that was in flight came back'
            told.append(load.lost_ns - killed)
            print(f'{n + 1}: {load.mode}, told after {told[-1] / 1e6:.1f} ms')
            broker.popen.wait()
            until('an end of all that the server had started',
                  lambda: not broker.family.alive(), TIMEOUT)
    if told:
        print(f'{len(told)} servers killed; told after {statistics.median(told) / 1e6:.1f} ms, '
              f'most {max(told) / 1e6:.1f}')
        assert statistics.median(told) < TOLD_NS * SLOW, 'that is more than 100 ms'
        assert max(told) < AT_ONCE_NS * SLOW


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=200, help='of drivers')
    parser.add_argument('--brokers', type=int, default=10, help='of servers')
    parser.add_argument('--block', type=int, default=65536, help='bytes of a request')
    parser.add_argument('--seed', type=int, default=os.environ.get('R3_SEED'))
    parser.add_argument('--may-grow', action='store_true', help='in memory, not in descriptors')
    parser.add_argument('--verbose', action='store_true', help='each kill as it is done')
    for name in ('ring3', 'kill_load', 'address'):
        parser.add_argument(name)
    args = parser.parse_args()
    seed = int.from_bytes(os.urandom(4), 'little') if args.seed is None else int(args.seed)
    print(f'R3_SEED={seed}', flush=True)
    try:
        if args.kills:
            kill_drivers(args, random.Random(seed))
        kill_brokers(args, random.Random(seed + 1))
    except AssertionError as error:
        print(f'kills: {error}; R3_SEED={seed} repeats it', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
