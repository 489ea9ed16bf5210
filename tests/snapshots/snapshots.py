#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""snapshots.py RING3 check|live|regenerate [NAME...]: what ring3 shows of ten devices.

check       each snapshot in this folder is shown exactly as the golden files have it
live        QEMU's devices are shown as snapshots that are taken of them now
regenerate  take the snapshots of QEMU's devices again, and write the golden files

Left out are the names out of pci.ids, which differ from one machine to the next, and the
driver, which depends on what is built in.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DEVICES = {
    'ahci': 'qemu:ich9-ahci',
    'e1000': 'qemu:e1000',
    'e1000e': 'qemu:e1000e',
    'edu': 'qemu:edu',
    'nvme': 'qemu:nvme,null,size=1G',
    'pci-testdev': 'qemu:pci-testdev',
    'rtl8139': 'qemu:rtl8139',
    'sdhci': 'qemu:sdhci-pci',
    'virtio-blk': 'qemu:virtio-blk,null,size=64M',
    'virtio-net': 'qemu:virtio-net-pci',
    'xhci': 'qemu:qemu-xhci',
}


def show(ring3, *args):
    done = subprocess.run([ring3, 'show', *args], cwd=HERE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)
    if done.returncode or done.stderr:
        sys.exit(f'ring3 show {" ".join(args)}: exit {done.returncode}\n{done.stderr.decode()}')
    return done.stdout.decode()


def text_of(ring3, address):
    return re.sub(r'(?m)^  (class name|vendor name|device name|driver) .*\n', '',
                  show(ring3, address))


def json_of(ring3, address):
    shown = json.loads(show(ring3, address, '-o', 'json'))
    for key in ('class_name', 'vendor_name', 'device_name', 'driver'):
        del shown['pci'][key]
    return json.dumps(shown, indent=1) + '\n'


def golden(ring3, name):
    address = f'snapshot:{name}.snapshot'
    return {name + '.txt': text_of(ring3, address), name + '.json': json_of(ring3, address)}


def check(ring3, name):
    bad = 0
    for file, got in golden(ring3, name).items():
        with open(os.path.join(HERE, file)) as f:
            if f.read() != got:
                print(f'{file} differs; now it is\n{got}')
                bad += 1
    return bad


def live(ring3, name):
    """The same as the device itself, but for what carries it."""
    with tempfile.NamedTemporaryFile() as file:
        show(ring3, DEVICES[name], '--snapshot', file.name)
        shown = [json.loads(show(ring3, address, '-o', 'json'))
                 for address in (DEVICES[name], 'snapshot:' + file.name)]
    for one in shown:
        for key in ('address', 'name', 'carrier'):
            del one[key]
    if shown[0] != shown[1]:
        print(f'{DEVICES[name]}: {shown[0]}\nand its snapshot: {shown[1]}')
    return shown[0] != shown[1]


def regenerate(ring3, name):
    show(ring3, DEVICES[name], '--snapshot', os.path.join(HERE, name + '.snapshot'))
    for file, got in golden(ring3, name).items():
        with open(os.path.join(HERE, file), 'w') as f:
            f.write(got)
    return 0


def main(ring3, what, *names):
    do = {'check': check, 'live': live, 'regenerate': regenerate}[what]
    bad = sum(do(os.path.abspath(ring3), name) for name in names or DEVICES)
    print(f'{what}: {len(names or DEVICES)} devices, {bad} differences')
    return 1 if bad else 0


sys.exit(main(*sys.argv[1:]))
