/* SPDX-License-Identifier: BSD-2-Clause */
/* What a PCI device is called, and who drives it, for all commands alike. */
#ifndef TOOLS_RING3_NAMES_H
#define TOOLS_RING3_NAMES_H

#include <ring3/pci.h>

/** pci.ids, or NULL where it is not installed (which the log tells): names are a
 *  comfort, not a need. For r3_pci_names_close(). */
struct r3_pci_names *pci_names_load(void);

/** "Red Hat, Inc. QEMU NVM Express Controller"; where the device is not listed, its
 *  vendor and class; "" where nothing is. An allocation; NULL: out of memory. */
char *pci_full_name(const struct r3_pci_names *names, const struct r3_pci_id *id);

/** The name of the ring3 driver that matches best; NULL: none does. */
const char *best_driver(const struct r3_pci_id *id);

#endif
