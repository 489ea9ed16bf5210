/* SPDX-License-Identifier: BSD-2-Clause */
/* All of ring3. */
#ifndef RING3_RING3_H
#define RING3_RING3_H

#include <ring3/address.h>
#include <ring3/block.h>
#include <ring3/clock.h>
#include <ring3/device.h>
#include <ring3/dma.h>
#include <ring3/driver.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/log.h>
#include <ring3/mem.h>
#include <ring3/nvme.h>
#include <ring3/pci.h>
#include <ring3/region.h>
#include <ring3/serve.h>
#include <ring3/snapshot.h>
#include <ring3/trace.h>
#include <ring3/version.h>

#endif
