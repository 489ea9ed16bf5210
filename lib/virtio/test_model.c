/* SPDX-License-Identifier: BSD-2-Clause */
/* The model of test_model.h: registers, one field each, as 4.1.4.3 describes them. */
#include "test_model.h"

#include "util/item.h"

#define AT(field) VIRTIO_PCI_COMMON(field)

static void put16(struct model *model, unsigned off, unsigned value)
{
	model->fake->config[off] = (uint8_t)value;
	model->fake->config[off + 1] = (uint8_t)(value >> 8);
}

static void put32(struct model *model, unsigned off, uint32_t value)
{
	put16(model, off, value & 0xffff);
	put16(model, off + 2, value >> 16);
}

static void model_reset(struct model *model)
{
	model->resets++;
	model->status = 0;
	model->accepted = 0;
	model->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned i = 0; i < MODEL_QUEUES; i++)
		model->queue[i] = (struct model_queue){.size = model->entries,
						       .vector = VIRTIO_MSI_NO_VECTOR};
}

/* The halves of an address. */
static void put_half(uint64_t *field, bool high, uint64_t value)
{
	unsigned shift = high ? 32 : 0;

	*field = (*field & ~((uint64_t)UINT32_MAX << shift)) | value << shift;
}

static uint16_t vector_taken(const struct model *model, uint64_t vector)
{
	return vector < model->fake->nirqs ? (uint16_t)vector : VIRTIO_MSI_NO_VECTOR;
}

static struct model_queue *selected(struct model *model)
{
	return &model->queue[model->select % MODEL_QUEUES];
}

static void write_queue(struct model *model, unsigned off, uint64_t value)
{
	struct model_queue *queue = selected(model);

	assert_true(model->select < model->nqueues);
	if (off >= AT(queue_desc) && off < AT(queue_notify_data)) {
		assert_int_equal(queue->enable, 0);
		put_half(&queue->address[(off - AT(queue_desc)) / 8], off & 4, value);
		return;
	}
	switch (off) {
	case AT(queue_size):
		queue->size = (uint16_t)value;
		break;
	case AT(queue_msix_vector):
		queue->vector = vector_taken(model, value);
		break;
	case AT(queue_enable):
		assert_true(model->status & VIRTIO_STATUS_FEATURES_OK);
		assert_int_equal(value, 1);
		queue->enable = 1;
		break;
	case AT(queue_reset):
		assert_int_equal(value, 1);
		*queue = (struct model_queue){.size = model->entries,
					      .vector = VIRTIO_MSI_NO_VECTOR};
		break;
	default:
		fail_msg("a write to 0x%x of the common configuration", off);
	}
}

static void write_common(struct model *model, unsigned off, uint64_t value)
{
	switch (off) {
	case AT(device_feature_select):
		model->device_select = (uint32_t)value;
		break;
	case AT(driver_feature_select):
		model->driver_select = (uint32_t)value;
		break;
	case AT(driver_feature):
		put_half(&model->accepted, model->driver_select, value);
		break;
	case AT(config_msix_vector):
		model->config_vector = vector_taken(model, value);
		break;
	case AT(device_status):
		if (value)
			model->status = (uint8_t)value;
		else
			model_reset(model);
		break;
	case AT(queue_select):
		model->select = (uint16_t)value;
		break;
	default:
		write_queue(model, off, value);
	}
}

static uint64_t read_common(struct model *model, unsigned off)
{
	const struct model_queue *queue = selected(model);
	bool none = model->select >= model->nqueues;

	switch (off) {
	case AT(device_feature):
		return model->device_select < 2
			       ? (uint32_t)(model->features >> 32 * model->device_select)
			       : 0;
	case AT(config_msix_vector):
		return model->config_vector;
	case AT(num_queues):
		return model->nqueues;
	case AT(device_status):
		return model->status;
	case AT(config_generation):
		return model->generation;
	case AT(queue_size):
		return none ? 0 : queue->size;
	case AT(queue_msix_vector):
		return queue->vector;
	case AT(queue_enable):
		return queue->enable;
	case AT(queue_notify_off):
		return model->select;
	case AT(queue_notify_data):
		return model->select + 0x100u;
	case AT(queue_reset):
		return queue->reset;
	default:
		fail_msg("a read of 0x%x of the common configuration", off);
		return 0;
	}
}

/* 4.1.3.1 */
static void check_width(unsigned off, unsigned width)
{
	unsigned want = 2;

	if (off < AT(config_msix_vector) || (off >= AT(queue_desc) && off < AT(queue_notify_data)))
		want = 4;
	else if (off == AT(device_status) || off == AT(config_generation))
		want = 1;
	assert_int_equal(width, want);
}

static void access_config(struct model *model, unsigned off, unsigned width, uint64_t *value,
			  bool write)
{
	assert_true(off + width <= MODEL_CONFIG_LEN);
	if (write)
		r3_item_put_le(model->config + off, width, *value);
	else
		*value = r3_item_get_le(model->config + off, width);
}

static bool leaves(struct model *model)
{
	if (!model->left || --model->left)
		return false;
	fake_device_remove(model->fake);
	return true;
}

static bool model_access(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
			 uint64_t *value, bool write)
{
	struct model *model = fake->user;

	if (leaves(model)) {
		*value = UINT64_MAX;
		return true;
	}
	if (index != R3_REGION_BAR0)
		return false;
	if (off >= MODEL_NOTIFY) {
		assert_true(write);
		model->notify_off = off - MODEL_NOTIFY;
		model->notified = *value;
		model->notify_width = width;
	} else if (off >= MODEL_CONFIG) {
		access_config(model, (unsigned)off - MODEL_CONFIG, width, value, write);
	} else if (off >= MODEL_ISR) {
		assert_true(!write && width == 1);
		*value = model->isr;
		model->isr = 0;
	} else {
		off -= MODEL_COMMON;
		check_width((unsigned)off, width);
		if (write)
			write_common(model, (unsigned)off, *value);
		else
			*value = read_common(model, (unsigned)off);
		if (!write && model->lie)
			model->lie(model, (unsigned)off, value);
	}
	return true;
}

static void lie(struct model *model, unsigned off, uint64_t *value)
{
	if (off != model->lie_off)
		return;
	if (model->lie_after)
		model->lie_after--;
	else
		*value = model->lie_value;
}

void model_lie(struct model *model, unsigned off, uint64_t value, unsigned after)
{
	model->lie_off = off;
	model->lie_value = value;
	model->lie_after = after;
	model->lie = lie;
}

/* ---- its life ---- */

void model_cap(struct model *model, unsigned at, unsigned type, unsigned bar, uint32_t off,
	       uint32_t len)
{
	bool notify = type == VIRTIO_PCI_CAP_NOTIFY_CFG;

	put16(model, at, PCI_CAP_ID_VNDR | (unsigned)model->fake->config[at + 1] << 8);
	put16(model, at + 2, (notify ? 20 : 16) | type << 8);
	put16(model, at + 4, bar);
	put32(model, at + 8, off);
	put32(model, at + 12, len);
	if (notify)
		put32(model, at + 16, 4);
}

void model_make(struct model *model)
{
	const struct r3_open_opts opts = {.size = sizeof(opts), .clock = &model->clock.base};
	uint8_t *config;

	*model = (struct model){.clock = fake_clock(R3_NSEC_PER_SEC),
				.features = MODEL_GOOD_FEATURES,
				.nqueues = MODEL_QUEUES,
				.entries = MODEL_ENTRIES};
	model->fake = fake_device_new(&opts);
	assert_non_null(model->fake);
	model->fake->user = model;
	model->fake->access = model_access;
	model->fake->remains = &model->remains;
	assert_int_equal(fake_device_set_bar(model->fake, 0, 0x4000,
					     R3_REGION_READ | R3_REGION_WRITE | R3_REGION_64BIT),
			 0);
	put16(model, PCI_VENDOR_ID, VIRTIO_PCI_VENDOR);
	put16(model, PCI_DEVICE_ID, VIRTIO_PCI_DEVICE_MODERN + VIRTIO_ID_BLOCK);

	config = model->fake->config;
	config[FAKE_CAP_MSIX + 1] = MODEL_CAP_COMMON;
	config[MODEL_CAP_COMMON + 1] = MODEL_CAP_NOTIFY;
	config[MODEL_CAP_NOTIFY + 1] = MODEL_CAP_ISR;
	config[MODEL_CAP_ISR + 1] = MODEL_CAP_CONFIG;
	model_cap(model, MODEL_CAP_COMMON, VIRTIO_PCI_CAP_COMMON_CFG, 0, MODEL_COMMON,
		  sizeof(struct virtio_pci_common_cfg));
	model_cap(model, MODEL_CAP_NOTIFY, VIRTIO_PCI_CAP_NOTIFY_CFG, 0, MODEL_NOTIFY, 0x1000);
	model_cap(model, MODEL_CAP_ISR, VIRTIO_PCI_CAP_ISR_CFG, 0, MODEL_ISR, 1);
	model_cap(model, MODEL_CAP_CONFIG, VIRTIO_PCI_CAP_DEVICE_CFG, 0, MODEL_CONFIG,
		  MODEL_CONFIG_LEN);
	for (unsigned i = 0; i < MODEL_CONFIG_LEN; i++)
		model->config[i] = (uint8_t)i;
	model_reset(model);
	model->status = VIRTIO_STATUS_ACKNOWLEDGE; /* somebody else's, before */
	model->resets = 0;
}

void model_adopt(struct model *model)
{
	assert_int_equal(fake_device_adopt(model->fake), 0);
}

void model_open(struct model *model)
{
	model_make(model);
	model_adopt(model);
}
