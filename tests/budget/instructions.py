#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a 4 KiB read costs in instructions, and whether that is within the budget.

Counts the library's instructions from submit to reap by callgrind, for reads with 32 in
flight and with one. What a batch costs is the difference between a long and a
short run, so that nothing of the beginning or the end is in it. The count is exact:
a second long run must give the same. Ends non-zero above the budget, and above what
was held so far, as far as that is known for the compiler: what is allowed to grow
bit by bit up to its budget has no room left when it is there.

With --seeded PROGRAM, a second program with a regression of a tenth on purpose, it ends
non-zero unless that one is judged so.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

SHORT, LONG = 10, 110  # batches
SLACK = 1.04  # above what was held
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What is not the library: the devices, and the programs that measure.
OTHERS = tuple(os.path.join(TESTS, folder) + os.sep for folder in ('fake', 'stub', 'budget'))


def own_cost(profile):
    """The sum of a callgrind profile, without what is not the library."""
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
            if not inclusive and not here.startswith(OTHERS):
                cost += int(line.split()[1])
            inclusive = False
    return cost


def collect(args, program, depth, batches):
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, 'out')
        done = subprocess.run(
            [args.valgrind, '--tool=callgrind', '--collect-atstart=no',
             '--callgrind-out-file=' + out, program, args.device, str(depth), str(batches)],
            capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'{program} under callgrind: exit {done.returncode}\n{done.stderr}')
        with open(out) as profile:
            return own_cost(profile)


def per_read(args, program, depth):
    long = collect(args, program, depth, LONG)
    if collect(args, program, depth, LONG) != long:
        sys.exit('two runs give different counts')
    short = collect(args, program, depth, SHORT)
    return (long - short) / (LONG - SHORT) / depth


def fault(args, value):
    """What is wrong with a count, or None."""
    if not 0 < value <= args.budget:
        return f'above the budget, {args.budget}'
    if args.held and value > args.held * SLACK:
        return (f'more than {SLACK - 1:.0%} above the {args.held} that were held so far; if that '
                'is what it must cost now, say so in tests/budget/meson.build')
    return None


def seeded(args):
    good, bad = per_read(args, args.program, 32), per_read(args, args.seeded, 32)
    print(f'{args.device}: {good:.1f} instructions, and {bad:.1f} with a regression on purpose, '
          f'{bad / good - 1:+.0%}: {fault(args, bad) or "NOT SEEN"}')
    if not 1.05 < bad / good < 1.15:
        sys.exit('the regression on purpose is not a tenth')
    return 0 if fault(args, bad) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('-o', choices=['text', 'json'], default='text', dest='form')
    parser.add_argument('--held', type=float, help='what it was when it was looked at last')
    parser.add_argument('--seeded', metavar='PROGRAM', help='with a regression on purpose')
    parser.add_argument('valgrind')
    parser.add_argument('program', help='budget_instructions')
    parser.add_argument('device', help='as rig.h names it')
    parser.add_argument('budget', type=int, help='with 32 in flight')
    args = parser.parse_args()
    if args.seeded:
        return seeded(args)
    at32, at1 = per_read(args, args.program, 32), per_read(args, args.program, 1)
    wrong = fault(args, at32)
    if args.form == 'text':
        print(f'{args.device}: {at32:.1f} instructions per 4 KiB read with 32 in flight '
              f'(at most {args.budget}), {at1:.1f} with one')
        if wrong:
            print(f'{args.device}: {wrong}')
        return 1 if wrong else 0
    name = args.device.replace('-', '_') + '_read_qd'
    for depth, value in ((32, at32), (1, at1)):
        has = depth == 32
        print(json.dumps({'name': f'{name}{depth}', 'unit': 'instructions',
                          'value': round(value, 1), 'budget': args.budget if has else None,
                          'pass': not wrong if has else None}))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
