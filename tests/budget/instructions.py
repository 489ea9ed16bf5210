#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a 4 KiB read costs in instructions, and whether that is within the budget.

Counts the library's instructions from submit to reap by callgrind, for reads with 32 in
flight and with one. What a batch costs is the difference between a long and a
short run, so that nothing of the beginning or the end is in it. The count is exact:
a second long run must give the same. Ends non-zero above the budget.
"""
import argparse
import json
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


def collect(args, depth, batches):
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, 'out')
        done = subprocess.run(
            [args.valgrind, '--tool=callgrind', '--collect-atstart=no',
             '--callgrind-out-file=' + out, args.program, args.device, str(depth), str(batches)],
            capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'{args.program} under callgrind: exit {done.returncode}\n{done.stderr}')
        with open(out) as profile:
            return own_cost(profile)


def per_read(args, depth):
    long = collect(args, depth, LONG)
    if collect(args, depth, LONG) != long:
        sys.exit('two runs give different counts')
    short = collect(args, depth, SHORT)
    return (long - short) / (LONG - SHORT) / depth


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('-o', choices=['text', 'json'], default='text', dest='form')
    parser.add_argument('valgrind')
    parser.add_argument('program', help='budget_instructions')
    parser.add_argument('device', help='as rig.h names it')
    parser.add_argument('budget', type=int, help='with 32 in flight')
    args = parser.parse_args()
    at32, at1 = per_read(args, 32), per_read(args, 1)
    good = 0 < at32 <= args.budget
    if args.form == 'text':
        print(f'{args.device}: {at32:.1f} instructions per 4 KiB read with 32 in flight '
              f'(at most {args.budget}), {at1:.1f} with one')
        return 0 if good else 1
    name = args.device.replace('-', '_') + '_read_qd'
    for depth, value in ((32, at32), (1, at1)):
        has = depth == 32
        print(json.dumps({'name': f'{name}{depth}', 'unit': 'instructions',
                          'value': round(value, 1), 'budget': args.budget if has else None,
                          'pass': good if has else None}))
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
