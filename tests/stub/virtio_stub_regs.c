/* SPDX-License-Identifier: BSD-2-Clause */
/* The stub's registers in BAR 0: the common configuration (virtio 1.2, 4.1.4.3), interrupt
 * status and notifications, and the strict order in which a driver writes them. */
#include "stub/virtio_stub_parts.h"

#define NOT_WRITTEN 0xffffu /* at a place of a mapped notification */

/* ---- common configuration (4.1.4.3) ---- */

/* Where a field is, and how wide one access to it is (4.1.3.1: 64 bits are two). */
static const struct {
	uint8_t off, width;
	bool write, of_queue;
} fields[] = {
	{VIRTIO_PCI_COMMON(device_feature_select), 4, true, false},
	{VIRTIO_PCI_COMMON(device_feature), 4, false, false},
	{VIRTIO_PCI_COMMON(driver_feature_select), 4, true, false},
	{VIRTIO_PCI_COMMON(driver_feature), 4, true, false},
	{VIRTIO_PCI_COMMON(config_msix_vector), 2, true, false},
	{VIRTIO_PCI_COMMON(num_queues), 2, false, false},
	{VIRTIO_PCI_COMMON(device_status), 1, true, false},
	{VIRTIO_PCI_COMMON(config_generation), 1, false, false},
	{VIRTIO_PCI_COMMON(queue_select), 2, true, false},
	{VIRTIO_PCI_COMMON(queue_size), 2, true, true},
	{VIRTIO_PCI_COMMON(queue_msix_vector), 2, true, true},
	{VIRTIO_PCI_COMMON(queue_enable), 2, true, true},
	{VIRTIO_PCI_COMMON(queue_notify_off), 2, false, true},
	{VIRTIO_PCI_COMMON(queue_desc), 4, true, true},
	{VIRTIO_PCI_COMMON(queue_desc) + 4, 4, true, true},
	{VIRTIO_PCI_COMMON(queue_driver), 4, true, true},
	{VIRTIO_PCI_COMMON(queue_driver) + 4, 4, true, true},
	{VIRTIO_PCI_COMMON(queue_device), 4, true, true},
	{VIRTIO_PCI_COMMON(queue_device) + 4, 4, true, true},
	{VIRTIO_PCI_COMMON(queue_notify_data), 2, false, true},
	{VIRTIO_PCI_COMMON(queue_reset), 2, true, true},
};

static bool right_access(struct virtio_stub *stub, uint64_t off, unsigned width, bool write)
{
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].off != off || fields[i].width != width || (write && !fields[i].write))
			continue;
		if (write && fields[i].of_queue && stub->queue_select >= stub->opts.queues)
			break;
		return true;
	}
	virtio_stub_mistake(stub, "a register was accessed in a way that it does not have");
	return false;
}

static uint32_t half(uint64_t value, uint32_t select)
{
	return select > 1 ? 0 : (uint32_t)(value >> 32 * select);
}

/* The 64-bit field that @off lies in, one of the three addresses; NULL: none. */
static uint64_t *address_at(struct virtio_stub_queue *q, uint64_t off)
{
	switch (off & ~UINT64_C(7)) {
	case VIRTIO_PCI_COMMON(queue_desc):
		return &q->desc;
	case VIRTIO_PCI_COMMON(queue_driver):
		return &q->driver;
	case VIRTIO_PCI_COMMON(queue_device):
		return &q->device;
	default:
		return NULL;
	}
}

static uint64_t common_read(struct virtio_stub *stub, uint64_t off, unsigned width)
{
	bool there = stub->queue_select < stub->opts.queues;
	struct virtio_stub_queue none = {.vector = VIRTIO_MSI_NO_VECTOR};
	struct virtio_stub_queue *q = there ? &stub->queue[stub->queue_select] : &none;
	const uint64_t *address = address_at(q, off);

	if (!right_access(stub, off, width, false))
		return UINT64_MAX;
	if (address)
		return half(*address, off & 4 ? 1 : 0);
	switch (off) {
	case VIRTIO_PCI_COMMON(device_feature_select):
		return stub->device_feature_select;
	case VIRTIO_PCI_COMMON(device_feature):
		return half(stub->offered, stub->device_feature_select);
	case VIRTIO_PCI_COMMON(driver_feature_select):
		return stub->driver_feature_select;
	case VIRTIO_PCI_COMMON(driver_feature):
		return half(stub->accepted, stub->driver_feature_select);
	case VIRTIO_PCI_COMMON(config_msix_vector):
		return stub->config_vector;
	case VIRTIO_PCI_COMMON(num_queues):
		return stub->opts.queues;
	case VIRTIO_PCI_COMMON(device_status):
		return stub->status;
	case VIRTIO_PCI_COMMON(config_generation):
		return stub->generation;
	case VIRTIO_PCI_COMMON(queue_select):
		return stub->queue_select;
	case VIRTIO_PCI_COMMON(queue_size):
		return q->size;
	case VIRTIO_PCI_COMMON(queue_msix_vector):
		return q->vector;
	case VIRTIO_PCI_COMMON(queue_enable):
		return q->enabled;
	case VIRTIO_PCI_COMMON(queue_notify_off):
		/* from the last place down, so that nobody gets it right by guessing */
		return VIRTIO_STUB_QUEUES - stub->queue_select;
	default:
		return 0;
	}
}

static void write_driver_feature(struct virtio_stub *stub, uint32_t value)
{
	unsigned shift = 32 * stub->driver_feature_select;

	if (stub->driver_feature_select > 1) {
		if (value)
			virtio_stub_mistake(stub, "features were accepted that nobody knows");
		return;
	}
	if (!(stub->status & VIRTIO_STATUS_DRIVER) || stub->status & VIRTIO_STATUS_FEATURES_OK)
		virtio_stub_mistake(stub, "features were written when it was not their time");
	stub->accepted &= ~(UINT64_C(0xffffffff) << shift);
	stub->accepted |= (uint64_t)value << shift;
}

/* 3.1.1: the steps, none left out and none taken back. */
static void write_status(struct virtio_stub *stub, uint8_t value)
{
	uint8_t was = stub->status, now = value & (uint8_t)~VIRTIO_STATUS_DEVICE_NEEDS_RESET;
	uint8_t fresh = now & (uint8_t)~was;

	if (!value) {
		stub->resets++;
		virtio_stub_reset(stub);
		return;
	}
	if (was & ~VIRTIO_STATUS_DEVICE_NEEDS_RESET & ~now)
		virtio_stub_mistake(stub, "a bit of the status was cleared without a reset");
	if ((fresh & VIRTIO_STATUS_DRIVER && !(now & VIRTIO_STATUS_ACKNOWLEDGE)) ||
	    (fresh & VIRTIO_STATUS_FEATURES_OK && !(was & VIRTIO_STATUS_DRIVER)) ||
	    (fresh & VIRTIO_STATUS_DRIVER_OK && !(was & VIRTIO_STATUS_FEATURES_OK)))
		virtio_stub_mistake(stub, "a step of the initialization was left out");
	if (fresh & VIRTIO_STATUS_FEATURES_OK &&
	    (stub->accepted & ~stub->offered || !virtio_stub_has(stub, VIRTIO_F_VERSION_1))) {
		virtio_stub_mistake(stub, "features were accepted that were not offered");
		now &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	}
	stub->status = now | (was & VIRTIO_STATUS_DEVICE_NEEDS_RESET);
	stub->driver_oks += !!(fresh & VIRTIO_STATUS_DRIVER_OK);
}

static uint16_t accept_vector(const struct virtio_stub *stub, uint64_t vector)
{
	return vector < stub->opts.vectors ? (uint16_t)vector : VIRTIO_MSI_NO_VECTOR;
}

static void write_queue_size(struct virtio_stub *stub, struct virtio_stub_queue *q, uint16_t size)
{
	if (!size || size > stub->opts.qsize)
		virtio_stub_mistake(stub, "a queue size is larger than the device's, or 0");
	else
		q->size = size;
}

static void write_queue_enable(struct virtio_stub *stub, const struct virtio_stub_queue *q,
			       uint64_t value)
{
	if (value != 1 || !(stub->status & VIRTIO_STATUS_FEATURES_OK))
		virtio_stub_mistake(stub, "a queue was enabled too early, or disabled");
	else if (q->enabled)
		virtio_stub_mistake(stub, "a queue was enabled twice");
	else
		virtio_stub_queue_start(stub, stub->queue_select);
}

static void write_queue_reset(struct virtio_stub *stub, uint64_t value)
{
	if (!virtio_stub_has(stub, VIRTIO_F_RING_RESET) || value != 1) {
		virtio_stub_mistake(stub, "a queue was reset without that feature");
		return;
	}
	stub->queue_resets++;
	virtio_stub_queue_stop(stub, stub->queue_select);
}

static void write_queue(struct virtio_stub *stub, uint64_t off, uint64_t value)
{
	struct virtio_stub_queue *q = &stub->queue[stub->queue_select];
	uint64_t *address = address_at(q, off);
	bool high = off & 4;

	if (off == VIRTIO_PCI_COMMON(queue_reset)) {
		write_queue_reset(stub, value);
	} else if (off == VIRTIO_PCI_COMMON(queue_enable)) {
		write_queue_enable(stub, q, value);
	} else if (q->enabled) {
		virtio_stub_mistake(stub, "a queue was changed while it is enabled");
	} else if (address) {
		*address &= high ? UINT64_C(0xffffffff) : ~UINT64_C(0xffffffff);
		*address |= value << (high ? 32 : 0);
	} else if (off == VIRTIO_PCI_COMMON(queue_size)) {
		write_queue_size(stub, q, (uint16_t)value);
	} else {
		q->vector = accept_vector(stub, value);
	}
}

static void common_write(struct virtio_stub *stub, uint64_t off, unsigned width, uint64_t value)
{
	if (!right_access(stub, off, width, true))
		return;
	switch (off) {
	case VIRTIO_PCI_COMMON(device_feature_select):
		stub->device_feature_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON(driver_feature_select):
		stub->driver_feature_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON(driver_feature):
		write_driver_feature(stub, (uint32_t)value);
		break;
	case VIRTIO_PCI_COMMON(config_msix_vector):
		stub->config_vector = accept_vector(stub, value);
		break;
	case VIRTIO_PCI_COMMON(device_status):
		write_status(stub, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON(queue_select):
		stub->queue_select = (uint16_t)value;
		break;
	default:
		write_queue(stub, off, value);
	}
}

/* ---- interrupt status and notifications (4.1.4.4, 4.1.4.5) ---- */

static uint64_t isr_read(struct virtio_stub *stub)
{
	uint8_t isr = stub->isr;

	stub->isr = 0;
	fake_device_lower(stub->fake);
	return isr;
}

static uint64_t place_of(unsigned queue)
{
	return (VIRTIO_STUB_QUEUES - queue) * VIRTIO_STUB_MULTIPLIER;
}

static void notify(struct virtio_stub *stub, uint64_t off, unsigned width, uint64_t value)
{
	struct virtio_stub_queue *q = &stub->queue[value % VIRTIO_STUB_QUEUES];
	unsigned before = stub->requests;

	stub->notifications++;
	if (width != 2 || value >= stub->opts.queues || off != place_of((unsigned)value))
		virtio_stub_mistake(stub, "a notification at a place that is not its queue's");
	else if (!q->enabled || !(stub->status & VIRTIO_STATUS_DRIVER_OK))
		virtio_stub_mistake(stub, "a notification of a queue that does not work yet");
	else
		virtio_stub_serve(stub, (unsigned)value);
	stub->needless += q->quiet || before == stub->requests;
}

static uint16_t *mapped_place(const struct virtio_stub *stub, unsigned queue)
{
	uint8_t *bar = r3_mem_addr(stub->fake->bar[0].mem);

	return (uint16_t *)(bar + VIRTIO_STUB_NOTIFY + place_of(queue));
}

bool virtio_stub_notified(const struct fake_device *fake)
{
	const struct virtio_stub *stub = fake->user;

	for (unsigned i = 0; i < stub->opts.queues; i++)
		if (__atomic_load_n(mapped_place(stub, i), __ATOMIC_RELAXED) != NOT_WRITTEN)
			return true;
	return false;
}

void virtio_stub_turn(struct fake_device *fake)
{
	virtio_stub_run(fake->user);
}

void virtio_stub_run(struct virtio_stub *stub)
{
	pthread_mutex_lock(&stub->fake->lock);
	for (unsigned i = 0; i < stub->opts.queues; i++) {
		uint16_t value = NOT_WRITTEN;

		if (stub->opts.mapped)
			value = __atomic_exchange_n(mapped_place(stub, i), NOT_WRITTEN,
						    __ATOMIC_ACQ_REL);
		if (value != NOT_WRITTEN)
			notify(stub, place_of(i), sizeof(value), R3_LE16(value));
		else if (!stub->opts.mapped || stub->queue[i].quiet)
			virtio_stub_serve(stub, i);
	}
	pthread_mutex_unlock(&stub->fake->lock);
}

/* ---- the BAR ---- */

bool virtio_stub_access(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
			uint64_t *value, bool write)
{
	struct virtio_stub *stub = fake->user;
	uint64_t in_part = off % VIRTIO_STUB_PART;

	if (index != R3_REGION_BAR0)
		return false;
	fake_device_heed(fake);
	pthread_mutex_lock(&stub->fake->lock);
	switch (off - in_part) {
	case VIRTIO_STUB_COMMON:
		if (write)
			common_write(stub, off, width, *value);
		else
			*value = common_read(stub, off, width);
		break;
	case VIRTIO_STUB_DEVICE:
		if (write)
			virtio_stub_config_write(stub, in_part, width, *value);
		else
			*value = virtio_stub_config_read(stub, in_part, width);
		break;
	case VIRTIO_STUB_NOTIFY:
		if (write)
			notify(stub, in_part, width, *value);
		else
			virtio_stub_mistake(stub, "a notification was read");
		break;
	default:
		if (write || in_part || width != 1)
			virtio_stub_mistake(stub, "the interrupt status was not just read");
		else
			*value = isr_read(stub);
	}
	if (!write && stub->hooks && stub->hooks->read)
		stub->hooks->read(stub, off, width, value);
	pthread_mutex_unlock(&stub->fake->lock);
	return true;
}
