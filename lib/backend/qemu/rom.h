/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the machine's processor runs: it halts. Woken by a non-maskable interrupt it writes
 * one word to one address, both of which it finds in RAM, and halts again. That is how the
 * interrupt of QEMU's IOMMU, which goes to a processor and nowhere else, rings the doorbell.
 */
#ifndef RING3_BACKEND_QEMU_ROM_H
#define RING3_BACKEND_QEMU_ROM_H

/** Physical addresses of words of 32 bits; 0x800 to 0x1000 is its stack. */
#define R3_QEMU_ROM_ADDRESS 0x500
#define R3_QEMU_ROM_VALUE   0x504
#define R3_QEMU_ROM_READY   0x508 /* becomes 1 when it halts first */

/** Its file, above descriptor 2. */
int r3_qemu_rom_make(int *fd);

#endif
