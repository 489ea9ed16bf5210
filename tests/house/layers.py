#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""layers.py SOURCE_ROOT: no include climbs the layers.

Each folder has a rank; a file may include its own folder and what ranks below.
Backends, models, drivers and servers stand side by side: none includes another.
Public headers rank with the folder that implements them.
"""
import os
import re
import sys

LAYERS = ['util', 'wire', 'mem', 'bus', 'pci irq dma', 'ring', 'virtio', 'class',
          'backend drivers models serve', 'host', 'export server', 'tools']
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}
TOP = len(LAYERS)  # lib/all.c, tests, benches, examples: may include anything

# What a tool shares with the servers that it starts; none of it is the library's inside.
TOOLS_MAY = ('export/', 'host/', 'lib/util/fd.h', 'lib/util/tether.h')

HEADERS = {
    'api': 'util', 'error': 'util', 'log': 'util', 'clock': 'util', 'version': 'util', 'sg': 'util',
    'mem': 'mem',
    'address': 'bus', 'device': 'bus', 'region': 'bus', 'trace': 'bus',
    'pci': 'pci', 'irq': 'irq', 'dma': 'dma',
    'block': 'class', 'driver': 'class',
    'nvme': 'drivers', 'snapshot': 'backend', 'serve': 'serve', 'serve_block': 'serve',
}


def folder_of(path):
    """The layer a path belongs to, and the part of it that stands alone; None: unranked."""
    part = path.split('/')
    if path == 'lib/all.c':
        return None
    if part[0] == 'lib' and part[1] == 'backend':
        return 'backend', part[2]
    if part[0] == 'lib':
        return part[1], part[1]
    if part[0] == 'drivers':
        return 'drivers', '/'.join(part[1:3])
    if part[0] == 'host':
        return 'host', 'host'
    if part[0] in ('models', 'export', 'server', 'tools'):
        return part[0], part[1]
    if part[:2] == ['include', 'ring3'] and part[2] == 'spec':
        return 'util', 'util'  # layouts alone: anybody may know them
    if part[:2] == ['include', 'ring3']:
        noun = part[2].removesuffix('.in').removesuffix('.h')
        if noun == 'ring3':
            return None  # the umbrella
        return HEADERS.get(noun, 'unknown'), HEADERS.get(noun, 'unknown')
    return None


def resolve(root, path, name):
    """Which file of the tree an include names; None when it is not ours."""
    for base in ('include', os.path.dirname(path), 'lib', '.'):
        found = os.path.normpath(os.path.join(base, name))
        if os.path.exists(os.path.join(root, found)):
            return found
    return 'include/ring3/version.h.in' if name == 'ring3/version.h' else None


def climbs(path, target):
    """Why `path` may not include `target`; None when it may."""
    here, there = folder_of(path), folder_of(target)
    if here is None:
        return None
    if there is None:
        return 'includes what stands above all layers'
    for layer, _ in (here, there):
        if layer not in RANK:
            return f'layer {layer!r} has no rank: add it to layers.py'
    if RANK[there[0]] > RANK[here[0]]:
        return f'{here[0]} includes {there[0]}, which is a higher layer'
    if RANK[there[0]] == RANK[here[0]] and here[1] != there[1]:
        public = target.startswith('include/')
        if here[0] == there[0] in ('drivers', 'backend') and public:
            return None  # a driver or backend and its own public header
        return f'{here[1]} includes {there[1]}, which stands beside it'
    if here[0] == 'tools' and not target.startswith(('include/', 'tools/') + TOOLS_MAY):
        return 'tools use public headers only'
    return None


def main(root):
    bad = seen = 0
    for base in ('lib', 'drivers', 'models', 'host', 'export', 'server', 'tools', 'include'):
        for folder, _, names in os.walk(os.path.join(root, base)):
            for name in names:
                if not name.endswith(('.c', '.h', '.h.in')) or name.startswith('test_'):
                    continue
                path = os.path.relpath(os.path.join(folder, name), root)
                for number, line in enumerate(open(os.path.join(root, path)), 1):
                    match = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
                    target = match and resolve(root, path, match.group(1))
                    if not target:
                        continue
                    seen += 1
                    why = climbs(path, target)
                    if why:
                        print(f'{path}:{number}: {why} ({target})')
                        bad += 1
    print(f'{seen} includes seen, {bad} climb')
    # The test itself must be able to fail.
    assert climbs('lib/util/x.c', 'lib/bus/ops.h')
    assert climbs('lib/mem/x.c', 'include/ring3/device.h')
    assert climbs('lib/dma/x.c', 'lib/pci/assign.h')
    assert climbs('tools/ring3/x.c', 'lib/bus/ops.h')
    assert climbs('drivers/block/nvme/x.c', 'lib/backend/qemu/qemu.h')
    assert not climbs('drivers/block/nvme/x.c', 'lib/util/gate.h')
    return 1 if bad or not seen else 0


sys.exit(main(sys.argv[1]))
