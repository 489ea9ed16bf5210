/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's ROM: see rom.h. It ends at 4 GiB, and its last 256 bytes are all of it. */
#include "backend/qemu/rom.h"

#include "util/fd.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE  65536
#define BEGIN (SIZE - 256) /* physical 0xffffff00 */

/* Addresses in the comments are those in the code: offsets from BEGIN in real mode, physical
 * ones later. */
static const struct {
	unsigned char at, length, bytes[24];
} code[] = {
	/* 16 bits: flat protected mode, because the doorbell is far above 1 MiB */
	{0x00, 1, {0xfa}},                                           /* cli */
	{0x01, 7, {0x2e, 0x66, 0x0f, 0x01, 0x16, 0x60, 0xff}},       /* lgdt cs:[60] */
	{0x08, 3, {0x0f, 0x20, 0xc0}},                               /* mov eax, cr0 */
	{0x0b, 2, {0x0c, 0x01}},                                     /* or al, 1 (PE) */
	{0x0d, 3, {0x0f, 0x22, 0xc0}},                               /* mov cr0, eax */
	{0x10, 8, {0x66, 0xea, 0x20, 0xff, 0xff, 0xff, 0x08, 0x00}}, /* jmp 8:20 */
	/* 32 bits */
	{0x20, 5, {0xb8, 0x10, 0x00, 0x00, 0x00}},              /* mov eax, 10 */
	{0x25, 4, {0x8e, 0xd8, 0x8e, 0xd0}},                    /* mov ds, eax; mov ss, eax */
	{0x29, 5, {0xbc, 0x00, 0x10, 0x00, 0x00}},              /* mov esp, 1000 */
	{0x2e, 7, {0x0f, 0x01, 0x1d, 0x68, 0xff, 0xff, 0xff}},  /* lidt [68] */
	{0x35, 10, {0xc7, 0x05, 0x08, 0x05, 0x00, 0x00, 0x01}}, /* mov [READY], 1 */
	{0x3f, 3, {0xf4, 0xeb, 0xfd}},                          /* hlt; jmp back to it */
	/* the handler */
	{0x48, 5, {0xa1, 0x00, 0x05, 0x00, 0x00}},       /* mov eax, [ADDRESS] */
	{0x4d, 6, {0x8b, 0x15, 0x04, 0x05, 0x00, 0x00}}, /* mov edx, [VALUE] */
	{0x53, 3, {0x89, 0x10, 0xcf}},                   /* mov [eax], edx; iret */
	/* what lgdt and lidt load: the size less 1, and where the table is */
	{0x60, 6, {0x17, 0x00, 0x70, 0xff, 0xff, 0xff}},
	{0x68, 6, {0x17, 0x00, 0x88, 0xff, 0xff, 0xff}},
	/* descriptors 8 and 10: all memory as code and as data, marked as used already */
	{0x78, 8, {0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xcf, 0x00}},
	{0x80, 8, {0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00}},
	/* interrupt 2, NMI: a gate to 8:48 */
	{0x98, 8, {0x48, 0xff, 0x08, 0x00, 0x00, 0x8e, 0xff, 0xff}},
	/* the reset vector: jmp 00 */
	{0xf0, 3, {0xe9, 0x0d, 0xff}},
};

int r3_qemu_rom_make(int *out)
{
	unsigned char *bytes = calloc(1, SIZE);
	int err;

	*out = memfd_create("ring3-rom", MFD_CLOEXEC);
	if (bytes && *out >= 0) {
		for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++)
			memcpy(bytes + BEGIN + code[i].at, code[i].bytes, code[i].length);
		ssize_t n = write(*out, bytes, SIZE);
		if (n == SIZE && r3_fd_above_stdio(out) == 0) {
			free(bytes);
			return 0;
		}
	}
	err = errno;
	free(bytes);
	return r3_error_set(err, "qemu: cannot make a ROM: %s", strerror(err));
}
