#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""trace.py VALGRIND PROGRAM BUDGET: what the trace filter costs, in instructions.

Nothing where it is not in the address, even if other devices of the process are
traced: a read costs the same within 1 %. Where it is, an access costs at most BUDGET more
than behind a filter that does nothing.
"""
import argparse
import sys

from instructions import per_read


def main(valgrind, program, budget):
    def cost(device):
        return per_read(argparse.Namespace(valgrind=valgrind, device=device), program, 32)

    off, elsewhere = cost('off'), cost('elsewhere')
    on = cost('on') - cost('filter')
    print(f'instructions per 4 KiB read: {off:.1f} without a trace, {elsewhere:.1f} with other '
          f'devices traced; a record of a register write: {on:.1f} (at most {budget})')
    return 0 if abs(elsewhere - off) <= off / 100 and 0 < on <= int(budget) else 1


sys.exit(main(*sys.argv[1:4]))
