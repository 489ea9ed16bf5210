#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""install.py BUILD SOURCE_ROOT [qemu] [tool] [plugin] [host]: what is installed to a DESTDIR is
enough to build a driver and a program outside the tree, with pkg-config only, and to run them
against a QEMU where that is built, the driver in r3-host, too; so are the ring3 command and the
nbdkit plugin, where they are."""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile


def run(cmd, **kwargs):
    done = subprocess.run(cmd, text=True, capture_output=True, **kwargs)
    if done.returncode:
        sys.exit(f'{" ".join(cmd)}: exit {done.returncode}\n{done.stdout}{done.stderr}')
    return done.stdout


def serving(stack, command):
    """Start what serves until it is told to end, and wait until it says that it does."""
    popen = stack.enter_context(subprocess.Popen(command, text=True, stdout=subprocess.PIPE))
    stack.callback(popen.kill)
    if not popen.stdout.readline():
        sys.exit(f'{command[0]}: exit {popen.wait()}')


def isolated(found, outside):
    """The driver that was built outside, in a process of its own: what is read through it."""
    device, disk = (os.path.join(outside, name) for name in ('device', 'disk'))
    with contextlib.ExitStack() as stack:
        serving(stack, [os.path.join(found['ring3'], 'ring3'), 'serve', 'qemu:edu', '--listen',
                        f'unix:{device}', '--log-level', 'error'])
        serving(stack, [os.path.join(found['r3-host'], 'r3-host'), '--device',
                        f'vfio-user:unix:{device}', '--serve', f'vhost-user:unix:{disk}',
                        '--driver-file', os.path.join(outside, 'edu_disk.so')])
        env = dict(os.environ, LD_LIBRARY_PATH=found['libring3.so.0'])
        return run([os.path.join(outside, 'embed_epoll'), f'vhost-user:unix:{disk}'],
                   env=env).strip()


def main(build, source, *built):
    names = ['libring3.so.0', 'ring3.pc', 'ring3.h', 'version.h', 'ring3.1']
    names += ['ring3'] if 'tool' in built else []
    names += ['nbdkit-ring3-plugin.so'] if 'plugin' in built else []
    names += ['r3-host', 'nvme.so', 'virtio-blk.so', 'r3-host.8'] if 'host' in built else []
    with tempfile.TemporaryDirectory() as root:
        run(['meson', 'install', '-C', build, '--no-rebuild', '--destdir', root])
        found = {}
        for folder, _, files in os.walk(root):
            for name in files:
                found[name] = folder
        for name in names:
            if name not in found:
                sys.exit(f'{name} is not installed')
        libdir = found['libring3.so.0']
        env = dict(os.environ, PKG_CONFIG_PATH=found['ring3.pc'], PKG_CONFIG_SYSROOT_DIR=root,
                   LD_LIBRARY_PATH=libdir)
        outside = os.path.join(root, 'outside')
        shutil.copytree(os.path.join(source, 'examples/out_of_tree'), outside)
        run(['make', '-C', outside], env=env)
        if 'qemu' in built:
            print(run([os.path.join(outside, 'embed')], env=env).strip())
        symbols = run(['nm', '-D', os.path.join(outside, 'edu_disk.so')])
        if ' r3_driver\n' not in symbols:
            sys.exit('edu_disk.so does not export its driver')
        # so are the examples of embedding, with nothing but the installed headers and library
        loops = {'epoll': 'ring3'}
        if subprocess.run(['pkg-config', '--atleast-version=247', 'libsystemd']).returncode == 0:
            loops['sd_event'] = 'ring3 libsystemd'
        for loop, packages in loops.items():
            run(['sh', '-c', f'"$@" $(pkg-config --cflags --libs {packages})', 'sh',
                 *os.environ.get('CC', 'cc').split(), '-std=gnu17', '-o',
                 os.path.join(outside, f'embed_{loop}'),
                 os.path.join(source, 'examples', f'embed_{loop}.c')], env=env)
            done = run([os.path.join(outside, f'embed_{loop}'), 'null:1M'], env=env)
            print(f'embed_{loop}: {done.strip()}')
        if 'tool' not in built:
            return
        # the installed command finds its library and its plugin by itself
        del env['LD_LIBRARY_PATH']
        print(run([os.path.join(found['ring3'], 'ring3'), 'version'], env=env).strip())
        if 'host' in built and 'qemu' in built:
            print(isolated(found, outside))
        if 'plugin' not in built:
            return
        size = run([os.path.join(found['ring3'], 'ring3'), 'run', 'null:1G', '--export',
                    f'nbd:unix:{root}/sock', '--', 'sh', '-c', 'nbdinfo --size "$uri"'], env=env)
        if size.strip() != str(1 << 30):
            sys.exit(f'the installed ring3 run serves {size.strip()} bytes')


main(*sys.argv[1:])
