#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The ring3 program as its user sees it: exit codes, messages, text, JSON.

usage: test_cli.py RING3 SOURCE_ROOT [TEST...]
"""
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

RING3 = os.path.abspath(sys.argv[1])
SOURCE = os.path.abspath(sys.argv[2])
TIMEOUT = 60  # generous: a bound, not a goal

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

OK, FAILED, USAGE, ABSENT, NOT_PERMITTED = range(5)


def ring3(*args, **options):
    """Run ring3; options are those of subprocess.run()."""
    env = dict(os.environ, **options.pop('env', {}))
    options.setdefault('stdout', subprocess.PIPE)
    return subprocess.run([RING3, *args], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          env=env, timeout=TIMEOUT, **options)


def features():
    got = ring3('version', '--features', '-o', 'json')
    return {(f['kind'], f['name']) for f in json.loads(got.stdout)['features'] if f['available']}


def needs_qemu(test):
    present = ('backend', 'qemu') in features() and shutil.which(
        os.environ.get('R3_QEMU', 'qemu-system-x86_64'))
    return unittest.skipUnless(present, 'qemu: is not built in, or QEMU is not installed')(test)


def commands():
    """The commands, as `ring3 help` lists them."""
    text = ring3('help').stdout.decode()
    return re.findall(r'^  ([a-z]+)  ', text.split('Commands:')[1].split('\n\n')[0], re.M)


class Cli(unittest.TestCase):
    maxDiff = None

    def good(self, *args, **options):
        """It succeeds silently on standard error; returns what it printed."""
        got = ring3(*args, **options)
        self.assertEqual((got.returncode, got.stderr), (OK, b''), args)
        return got.stdout.decode()

    def bad(self, code, pattern, *args, **options):
        """It fails with @code, prints nothing, and says one line that matches @pattern."""
        got = ring3(*args, **options)
        said = got.stderr.decode(errors='replace')
        self.assertEqual(got.returncode, code, (args, said))
        self.assertFalse(got.stdout, args)
        self.assertRegex(said, r'\Aring3: [^\n]+\n\Z', args)
        self.assertRegex(said, pattern, args)

    def json(self, command, *args, **options):
        """As good(), and what it printed is an object of that command's schema."""
        got = json.loads(self.good(command, *args, '-o', 'json', **options))
        self.assertEqual(list(got)[:2], ['schema', 'version'])
        self.assertEqual((got.pop('schema'), got.pop('version')), ('ring3.' + command, 1))
        return got


class Arguments(Cli):
    def test_no_command(self):
        self.bad(USAGE, 'no command.*ring3 help')
        self.bad(USAGE, 'no command.*ring3 help', '-o', 'json')

    def test_unknown_command(self):
        self.bad(USAGE, "'frobnicate'.*ring3 help", 'frobnicate')
        self.bad(USAGE, "'frobnicate'", 'help', 'frobnicate')
        self.bad(USAGE, r"'a\?b'", 'a\nb')  # one line, whatever was typed

    def test_unknown_option(self):
        self.bad(USAGE, "unknown option '--frob': see 'ring3 help'", '--frob', 'ls')
        for command in commands():
            self.bad(USAGE, f"unknown option '--frob': see 'ring3 {command} --help'", command,
                     '--frob')
            self.bad(USAGE, "unknown option '-Z'", command, '-Z')

    def test_option_values(self):
        self.bad(USAGE, "value is missing behind '-o'", 'ls', '-o')
        self.bad(USAGE, "value is missing behind '--output'", 'ls', '--output')
        self.bad(USAGE, "no value is taken in '--help=x'", 'ls', '--help=x')
        self.bad(USAGE, "format 'xml'.*text or json", 'ls', '-o', 'xml')
        self.bad(USAGE, "log level 'loud'.*none, error, warn", 'ls', '--log-level', 'loud')

    def test_operands(self):
        self.bad(USAGE, "too many.*'extra'", 'ls', 'extra')
        self.bad(USAGE, "too many.*'extra'", 'ls', '--', 'extra')
        self.bad(USAGE, 'missing.*ADDRESS', 'show')
        self.bad(USAGE, 'missing.*ADDRESS REGION OFFSET', 'peek', 'null:1M', 'bar0')
        self.bad(USAGE, 'missing.*VALUE', 'poke', 'null:1M', 'bar0', '0')

    def test_global_options_anywhere(self):
        for args in (['-o', 'json', 'version'], ['version', '-o', 'json'],
                     ['--output=json', '--log-level', 'debug', 'version'],
                     ['-ojson', 'version'], ['-o', 'text', 'version', '-o', 'json']):
            self.assertEqual(json.loads(self.good(*args))['schema'], 'ring3.version', args)

    def test_repeated_switch(self):
        self.assertIn('Usage:', self.good('ls', '-' + 'h' * 500))


class Help(Cli):
    def test_program(self):
        text = self.good('help')
        self.assertEqual(text, self.good('--help'))
        self.assertEqual(text, self.good('-h'))
        for command in ('ls', 'show', 'peek', 'poke', 'version', 'help'):
            self.assertIn(command, commands())

    def test_commands(self):
        for command in commands():
            text = self.good(command, '--help')
            self.assertEqual(text, self.good('help', command))
            self.assertEqual(text, self.good('--help', command))
            self.assertIn(f'Usage: ring3 {command} [OPTION...]', text)
            self.assertRegex(text, rf'\nExamples:\n  .*ring3 {command}\b')
            for line in text.splitlines():
                self.assertLess(len(line), 100, line)
            self.assertNotRegex(text, r'(?m) $')

    def test_pages(self):
        """Each command and each of its options has its place in the manual."""
        for command in commands():
            text = self.good(command, '--help')
            name = {'help': 'ring3', 'poke': 'ring3-peek'}.get(command, f'ring3-{command}')
            with open(os.path.join(SOURCE, 'man', name + '.1'), encoding='utf-8') as page:
                page = page.read()
            self.assertRegex(page, rf'Cm {command}\b')
            own = text.split('\nOptions:\n')[1].split('  -o, --output')[0]
            for option in re.findall(r'--([a-z-]+)', own):
                self.assertIn(f'Fl -{option}', page, command)


class Output(Cli):
    """Output that goes nowhere is a failure."""

    def test_full(self):
        with open('/dev/full', 'wb') as full:
            for args in (['help'], ['ls', '--help'], ['version'], ['ls', '-o', 'json']):
                self.bad(FAILED, 'standard output.*No space left', *args, stdout=full)

    def test_closed_pipe(self):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, 'wb') as pipe:
            self.bad(FAILED, 'standard output.*Broken pipe', 'version', stdout=pipe)

    def test_closed(self):
        for fds in ('>&-', '<&- >&-'):
            got = subprocess.run(['/bin/sh', '-c', f'exec "$0" ls {fds}', RING3],
                                 stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
            self.assertEqual(got.returncode, FAILED)
            self.assertRegex(got.stderr, rb'standard output')


class Version(Cli):
    def test_version(self):
        with open(os.path.join(SOURCE, 'meson.build'), encoding='utf-8') as build:
            version = re.search(r"version: '([0-9.]+)'", build.read()).group(1)
        self.assertEqual(self.json('version'),
                         {'ring3': version, 'library': version, 'features': None})
        text = self.good('version')
        self.assertEqual(text, f'ring3    {version}\nlibrary  {version}\n')
        self.assertEqual(text, self.good('--version'))
        self.assertEqual(self.good('version', '-o', 'json'), self.good('--version', '-o', 'json'))

    def test_features(self):
        got = self.json('version', '--features')['features']
        self.assertTrue(got)
        for feature in got:
            self.assertEqual(set(feature), {'kind', 'name', 'available', 'summary', 'remedy'})
            self.assertEqual(feature['available'], feature['remedy'] is None, feature)
            self.assertTrue(feature['kind'] and feature['name'])
        text = self.good('version', '--features')
        for feature in got:
            self.assertRegex(text, rf"(?m)^  {feature['kind']} +{feature['name']} ")
        self.assertLess(max(map(len, text.splitlines())), 100)  # remedies are in JSON only


class List(Cli):
    KEYS = {'address', 'class', 'vendor', 'device', 'name', 'driver', 'state', 'unsafe'}

    def test_json(self):
        devices = self.json('ls')['devices']
        base = '/sys/bus/pci/devices'
        expected = sorted(os.listdir(base)) if os.path.isdir(base) else []
        self.assertEqual([d['address'] for d in devices], ['pci:' + e for e in expected])
        for device in devices:
            self.assertEqual(set(device), self.KEYS)
            self.assertRegex(device['class'], r'\A0x[0-9a-f]{6}\Z')
            self.assertRegex(device['state'], r'\A(free|kernel:.+)\Z')
            self.assertIsInstance(device['unsafe'], bool)
            directory = os.path.join(base, device['address'][4:])
            for key in ('vendor', 'device'):
                with open(os.path.join(directory, key), encoding='ascii') as attribute:
                    self.assertEqual(device[key], attribute.read().strip())
            bound = os.path.join(directory, 'driver')
            self.assertEqual(device['state'], 'kernel:' + os.path.basename(os.readlink(bound))
                             if os.path.islink(bound) else 'free')

    def test_text(self):
        devices = self.json('ls')['devices']
        lines = self.good('ls').splitlines()
        if not devices:
            self.assertEqual(lines, [])
            return
        self.assertEqual({heading.lower() for heading in lines[0].split()}, self.KEYS)
        self.assertEqual([line.split()[0] for line in lines[1:]], [d['address'] for d in devices])

    @unittest.skipUnless(shutil.which('strace'), 'strace is not installed')
    def test_changes_nothing(self):
        """It opens nothing for writing, and calls nothing that changes a file."""
        with tempfile.NamedTemporaryFile('r') as trace:
            try:
                # LeakSanitizer cannot work below a tracer
                subprocess.run(['strace', '-f', '-qq', '-o', trace.name, '-e',
                                'trace=%file,ioctl,connect,bpf,init_module,finit_module',
                                RING3, 'ls', '-o', 'json'], stdout=subprocess.DEVNULL,
                               env=dict(os.environ, ASAN_OPTIONS='detect_leaks=0'),
                               timeout=TIMEOUT, check=True)
            except subprocess.CalledProcessError:
                self.skipTest('strace may not trace here')
            lines = trace.read().splitlines()
        self.assertTrue(any('/sys/bus/pci/devices' in line for line in lines))
        harmless = re.compile(r'^\d+ +(execve|access|faccessat2?|open|openat|newfstatat|stat|lstat|'
                              r'statx|statfs|readlink|readlinkat|getcwd)\(')
        for line in lines:
            if line.startswith('---') or '+++' in line:
                continue
            self.assertRegex(line, harmless)
            self.assertNotRegex(line, r'O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND')


class Addresses(Cli):
    def test_malformed(self):
        for address in ('', ':', 'nothing', 'qemu', '+qemu:edu', 'qemu:edu,=1', 'qemu:%zz',
                        'qemu:a%00', 'qemu:' + 'x' * 5000):
            self.bad(USAGE, '.', 'show', address)

    def test_unknown_scheme(self):
        self.bad(ABSENT, 'frob', 'show', 'frob:1')
        self.bad(ABSENT, 'frob', 'show', 'frob+qemu:edu')

    def test_reserved_schemes(self):
        """What is not built yet says so, and what to do instead."""
        self.bad(ABSENT, 'vfio', 'show', 'vfio:0000:ff:1f.7')
        for address in ('uio:0000:ff:1f.7', 'model:nvme', 'xen:1', 'replay:f', 'snapshot:f',
                        'ring3:disk', '0000:ff:1f.7', 'pci:0000:ff:1f.7'):
            self.bad(ABSENT, '.', 'show', address)

    def test_nobody_serves(self):
        """What cannot be reached names the command that would serve it."""
        if ('backend', 'vfio-user') not in features():
            self.bad(ABSENT, 'vfio_user=enabled', 'show', 'vfio-user:unix:/nonexistent/s')
            return
        remedy = 'nobody serves at unix:/nonexistent/s; start `ring3 serve ADDRESS --listen unix:'
        for command in (['show', 'vfio-user:unix:/nonexistent/s'],
                        ['peek', 'vfio-user:unix:/nonexistent/s', 'bar0', '0'],
                        ['bench', 'vfio-user:unix:/nonexistent/s']):
            self.bad(ABSENT, remedy, *command)
        self.bad(USAGE, 'unix:PATH or fd:N', 'show', 'vfio-user:tcp:localhost')
        self.bad(USAGE, 'it knows: timeout', 'show', 'vfio-user:unix:/s,frob=1')

    def test_block_only(self):
        for address in ('null:1M', 'file:/no/such/file', 'delay+file:x'):
            for command in (['show', address], ['peek', address, 'bar0', '0'],
                            ['poke', address, 'bar0', '0', '0']):
                self.bad(ABSENT, 'block device without registers.*ring3 run', *command)

    @needs_qemu
    def test_qemu_keys(self):
        self.bad(USAGE, 'qemu: unknown key "frob"', 'show', 'qemu:edu,frob=1')
        self.bad(USAGE, 'qtest: unknown key "frob"', 'show', 'qtest:unix:/x,frob=1')
        self.bad(USAGE, 'size', 'show', 'qemu:nvme,null,size=1Q')
        self.bad(ABSENT, 'no-such-device', 'show', 'qemu:no-such-device')

    @needs_qemu
    def test_missing_image(self):
        self.bad(ABSENT, '/nonexistent/disk.img', 'show', 'qemu:nvme,drive=/nonexistent/disk.img')

    def test_missing_qemu(self):
        if ('backend', 'qemu') in features():
            self.bad(ABSENT, '/nonexistent/qemu', 'show', 'qemu:edu',
                     env={'R3_QEMU': '/nonexistent/qemu'})


@needs_qemu
class Show(Cli):
    def test_golden(self):
        # names depend on which pci.ids is installed
        text = re.sub(r'(?m)^  (class|vendor|device) name .*\n', '', self.good('show', 'qemu:edu'))
        with open(os.path.join(SOURCE, 'tests', 'cli', 'show-edu.txt'), encoding='utf-8') as f:
            self.assertEqual(text, f.read())

    def test_edu(self):
        got = self.json('show', 'qemu:edu')
        self.assertEqual(set(got), {'address', 'name', 'carrier', 'pci', 'interrupts', 'regions',
                                    'capabilities', 'config'})
        self.assertEqual(got['address'], 'qemu:edu')
        self.assertIn('pci', got['carrier'])
        self.assertEqual((got['pci']['vendor'], got['pci']['device'], got['pci']['class'],
                          got['pci']['driver']), ('0x1234', '0x11e8', '0x00ff00', None))
        self.assertEqual(bytes.fromhex(got['config'])[:4], b'\x34\x12\xe8\x11')
        bars = [r for r in got['regions'] if r['region'].startswith('bar')]
        self.assertEqual([(b['region'], b['size']) for b in bars], [('bar0', 1 << 20)])
        self.assertIn({'offset': '0x040', 'id': '0x05', 'name': 'MSI', 'extended': False},
                      got['capabilities'])
        self.assertEqual({i['type']: i['vectors'] for i in got['interrupts']},
                         {'intx': 1, 'msi': 1})

    def test_nvme(self):
        got = self.json('show', 'qemu:nvme,null,size=1G')
        self.assertEqual(got['pci']['class'], '0x010802')
        self.assertEqual(got['pci']['driver'], 'nvme' if ('driver', 'nvme') in features() else None)
        self.assertEqual(len(got['config']), 2 * 4096)
        names = {c['name'] for c in got['capabilities']}
        self.assertTrue({'PCI Express', 'MSI-X'} <= names, names)

    def test_snapshot(self):
        printed = self.good('show', 'qemu:edu', '--snapshot')
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'edu, saved')
            self.assertEqual(self.good('show', '--snapshot', 'qemu:edu', path), '')
            with open(path, encoding='ascii') as file:
                self.assertEqual(file.read(), printed)
            address = 'snapshot:' + path.replace(',', '%2C')
            live, saved = self.json('show', 'qemu:edu'), self.json('show', address)
            for key in ('pci', 'interrupts', 'regions', 'capabilities', 'config'):
                self.assertEqual(live[key], saved[key])
            self.assertEqual((saved['address'], saved['carrier']), (address, ['pci']))
            self.assertEqual(self.good('show', address, '--snapshot'), printed)
            self.assertEqual(self.good('peek', address, 'config', '0'), '0x0000  0x11e81234\n')
            self.bad(FAILED, 'does not have this register', 'peek', address, 'bar0', '0x60')
            self.assertEqual(self.good('peek', address, 'bar0', '0'), '0x0000  0x010000ed\n')
            self.bad(NOT_PERMITTED, 'cannot be written', 'poke', address, 'bar0', '0', '1')

            # what cannot be taken leaves the file alone
            self.bad(ABSENT, '.', 'show', '--snapshot', 'qemu:no-such-device', path)
            with open(path, encoding='ascii') as file:
                self.assertEqual(file.read(), printed)
            with open(path, 'a', encoding='ascii') as file:
                file.write('region bar0 12\n')
            self.bad(FAILED, r'edu, saved: line [0-9]+: ', 'show', address)

    def test_snapshot_arguments(self):
        self.bad(USAGE, 'leave -o out', 'show', 'qemu:edu', '--snapshot', '-o', 'json')
        self.bad(USAGE, "'file' is for --snapshot", 'show', 'qemu:edu', 'file')
        self.bad(FAILED, '/dev/full: ', 'show', 'qemu:edu', '--snapshot', '/dev/full')
        self.bad(ABSENT, '/nonexistent/x: No such', 'show', 'qemu:edu', '--snapshot',
                 '/nonexistent/x')

    def test_nothing_left(self):
        """The QEMU that an address started has ended before the command did."""
        # ring3 is the reaper of nobody: what it leaves would become our child
        self.assertEqual(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0)
        for args in (['show', 'qemu:edu'], ['peek', 'qemu:edu', 'bar3', '0'],
                     ['show', 'qemu:no-such-device']):
            ring3(*args)
            with self.assertRaises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

    def test_text_has_each_field(self):
        def labels(value):
            if isinstance(value, dict):
                for key, inner in value.items():
                    yield key
                    yield from labels(inner)
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                yield from labels(value[0])

        text = self.good('show', 'qemu:edu').lower()
        for label in labels(self.json('show', 'qemu:edu')):
            self.assertRegex(text, rf"(?m)\b({label}|{label.replace('_', ' ')})\b")


@needs_qemu
class PeekPoke(Cli):
    def values(self, *args):
        return [int(v['value'], 16) for v in self.json(*args)['values']]

    def test_text(self):
        self.assertEqual(self.good('peek', 'qemu:edu', 'bar0', '0'), '0x0000  0x010000ed\n')

    def test_json(self):
        self.assertEqual(self.json('peek', 'qemu:edu', 'bar0', '0x0'),
                         {'address': 'qemu:edu', 'region': 'bar0', 'width': 32,
                          'values': [{'offset': '0x0000', 'value': '0x010000ed'}]})

    def test_widths(self):
        for width, expected in ((8, [0x34, 0x12, 0xe8, 0x11]), (16, [0x1234, 0x11e8]),
                                (32, [0x11e81234])):
            self.assertEqual(self.values('peek', 'qemu:edu', 'config', '0', '--width', str(width),
                                         '--count', str(len(expected))), expected)
        # edu takes 64 bits from 0x80 on: the DMA source address, 0 after reset
        self.assertEqual(self.values('peek', 'qemu:edu', 'bar0', '0x80', '-w', '64'), [0])

    def test_count(self):
        got = self.json('peek', 'qemu:edu', 'config', '0x10', '-n', '4', '-w', '16')['values']
        self.assertEqual([v['offset'] for v in got], ['0x0010', '0x0012', '0x0014', '0x0016'])
        self.assertRegex(got[0]['value'], r'\A0x[0-9a-f]{4}\Z')

    def test_poke(self):
        self.assertEqual(self.good('poke', 'qemu:edu', 'bar0', '4', '0x12345678'), '')
        self.assertEqual(self.good('poke', 'qemu:edu', 'bar0', '4', '0x12345678', '--read-back'),
                         '0x0004  0xedcba987\n')
        self.assertEqual(self.values('poke', 'qemu:edu', 'bar0', '4', '305419896', '-r'),
                         [0xedcba987])
        self.assertEqual(self.values('poke', 'qemu:edu', 'bar0', '4', '1'), [])
        # interrupt line: a byte that keeps what is written
        self.assertEqual(self.values('poke', 'qemu:edu', 'config', '0x3c', '0x5a', '-w', '8', '-r'),
                         [0x5a])
        self.assertEqual(self.values('poke', 'qemu:edu', 'bar0', '0x80', '0x123456789abcdef0',
                                     '-w', '64', '-r'), [0x123456789abcdef0])

    def test_poke_bounds(self):
        for width in (8, 16, 32):
            self.bad(USAGE, f'value=.* 0 and {(1 << width) - 1}', 'poke', 'qemu:edu', 'bar0', '4',
                     hex(1 << width), '-w', str(width))
        self.bad(USAGE, 'value', 'poke', 'qemu:edu', 'bar0', '4', hex(1 << 64), '-w', '64')

    def test_bounds(self):
        last = (1 << 20) - 4
        self.good('peek', 'qemu:edu', 'bar0', hex(last))
        self.bad(USAGE, '.', 'peek', 'qemu:edu', 'bar0', hex(last), '-n', '2')
        for offset in (1 << 20, 1 << 63, (1 << 64) - 4):
            self.bad(USAGE, '.', 'peek', 'qemu:edu', 'bar0', hex(offset))
            self.bad(USAGE, '.', 'poke', 'qemu:edu', 'bar0', hex(offset), '0')
        self.bad(USAGE, '.', 'peek', 'qemu:edu', 'bar0', '0', '-n', '0xffffffff')
        self.bad(USAGE, '.', 'peek', 'qemu:edu', 'config', '0x100')

    def test_misaligned(self):
        self.bad(USAGE, '.', 'peek', 'qemu:edu', 'bar0', '2')
        self.bad(USAGE, '.', 'poke', 'qemu:edu', 'bar0', '6', '0')
        self.bad(USAGE, '.', 'peek', 'qemu:edu', 'config', '1', '-w', '16')

    def test_absent_region(self):
        self.bad(ABSENT, 'bar3', 'peek', 'qemu:edu', 'bar3', '0')
        self.bad(ABSENT, 'ports', 'peek', 'qemu:edu', 'io', '0')

    def test_rom(self):
        got = self.json('peek', 'qemu:e1000', 'rom', '0', '-w', '16')
        self.assertEqual(got['values'], [{'offset': '0x0000', 'value': '0xaa55'}])
        self.bad(NOT_PERMITTED, 'rom', 'poke', 'qemu:e1000', 'rom', '0', '0')

    def test_ports(self):
        """io is the first region of ports; e1000's BAR 1 is one, and e1000's register
        window there begins with IOADDR."""
        got = self.json('poke', 'qemu:e1000', 'io', '0', '0x8', '-r')
        self.assertEqual(got['region'], 'bar1')

    def test_bad_numbers(self):
        for number in ('', 'x', '0x', '-1', '+1', ' 1', '1 ', '1k', '0b1', '0x1g', '1e3',
                       hex(1 << 64)):
            self.bad(USAGE, '.', 'peek', 'qemu:edu', 'bar0', number)
        for width in ('0', '1', '12', '24', '128', 'wide'):
            self.bad(USAGE, 'width', 'peek', 'qemu:edu', 'bar0', '0', '-w', width)
        for count in ('0', 'many', '0x100000000'):
            self.bad(USAGE, 'count', 'peek', 'qemu:edu', 'bar0', '0', '-n', count)

    def test_bad_region(self):
        for region in ('bar6', 'bar', 'BAR0', 'bar00', 'vga', ''):
            self.bad(USAGE, "bar0 to bar5, config, rom or io", 'peek', 'qemu:edu', region, '0')

    def test_examples(self):
        """The examples in the help work as printed."""
        path = os.path.dirname(RING3) + os.pathsep + os.environ['PATH']
        for command in ('ls', 'show', 'peek', 'poke', 'version', 'help'):
            for line in re.findall(r'^  (ring3 .*)$', self.good(command, '--help'), re.M):
                if 'jq' in line and not shutil.which('jq'):
                    continue
                got = subprocess.run(['/bin/sh', '-e', '-c', line], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, env=dict(os.environ, PATH=path),
                                     timeout=TIMEOUT, check=False)
                self.assertEqual((got.returncode, got.stderr), (0, b''), line)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
