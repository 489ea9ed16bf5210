/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the transport share: fields of the common configuration by name. */
#ifndef RING3_VIRTIO_INTERNAL_H
#define RING3_VIRTIO_INTERNAL_H

#include "virtio/virtio.h"

/* The width is the field's, as 4.1.3.1 wants it: r3_virtio_get(v, 16, queue_size). */
#define r3_virtio_get(v, bits, field) \
	r3_read##bits((v)->common.region, (v)->common.off + VIRTIO_PCI_COMMON(field))
#define r3_virtio_put(v, bits, field, value) \
	r3_write##bits((v)->common.region, (v)->common.off + VIRTIO_PCI_COMMON(field), value)

/** -ENODEV with a text when the registers read all ones. The status never has all bits. */
int r3_virtio_alive(struct r3_virtio *v);

/** Tell the device the vector of configuration changes. */
int r3_virtio_config_vector(struct r3_virtio *v);

#endif
