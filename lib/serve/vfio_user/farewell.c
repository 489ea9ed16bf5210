/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between two clients. Whatever the one that has gone left behind, the device does nothing for
 * it any more before its memory is given back, and shows nothing of it to the next. The order
 * is the point: interrupts off, bus master off, proof that no transfer is under way, reset,
 * unmap, free. If that cannot be had, the memory is nobody's again, and the device no more.
 */
#include "serve/vfio_user/server.h"

#include <ring3/error.h>
#include <ring3/pci.h>

#include <errno.h>
#include <string.h>

static int step(struct r3_serve *serve, unsigned type, int rc)
{
	r3_serve_tell(serve, &(struct r3_serve_event){.type = type, .err = rc}, "%s",
		      rc ? r3_error_text() : "");
	return rc;
}

static int prove_quiet(struct r3_serve *serve)
{
	struct r3_device *dev = serve->dev;
	unsigned proved;
	int rc = r3_device_quiesce(dev, R3_QUIESCE_DMA, &proved);

	if (!rc && !(proved & R3_QUIESCE_DMA))
		rc = r3_error_set(EIO, "%s: it may still transfer", dev->info.name);
	return step(serve, R3_SERVE_QUIESCED, rc);
}

/* 0: the device does nothing on its own any more. */
static int fence(struct r3_serve *serve)
{
	struct r3_device *dev = serve->dev;
	int quiet, rc;

	if (dev->info.caps & R3_CAP_PCI)
		step(serve, R3_SERVE_MASTER_OFF, r3_pci_enable(dev, 0, R3_PCI_MASTER));
	quiet = prove_quiet(serve);
	/* one that reaches no memory of others can do no harm there */
	if (!(dev->info.caps & R3_CAP_DMA))
		quiet = 0;
	if (serve->opts.on_disconnect == R3_SERVE_ON_DISCONNECT_RETAIN || r3_device_gone(dev))
		return quiet;
	rc = step(serve, R3_SERVE_RESET, r3_device_reset(dev, R3_RESET_ANY));
	if (rc == -EOPNOTSUPP)
		return quiet;
	/* a device that was stuck may be so no more, and one that nobody can ask was reset */
	if (!rc && quiet == -EOPNOTSUPP)
		quiet = 0;
	if (!rc && quiet)
		quiet = prove_quiet(serve);
	return rc ? rc : quiet;
}

static void bury(struct r3_serve *serve, int rc)
{
	if (!serve->dead)
		serve->dead = strdup(r3_error_text());
	r3_serve_tell(serve, &(struct r3_serve_event){.type = R3_SERVE_DEAD, .err = rc}, "%s",
		      serve->dead ? serve->dead : strerror(-rc));
	r3_serve_dma_pin(serve);
}

void r3_serve_farewell(struct r3_serve *serve)
{
	struct r3_device *dev = serve->dev;
	int rc = 0;

	r3_serve_irqs_off(serve);
	step(serve, R3_SERVE_IRQ_OFF, 0);
	if (!r3_device_gone(dev))
		rc = fence(serve);
	/* what is gone does nothing, and its carrier forgets the memory all the same */
	if (r3_device_gone(dev))
		rc = 0;
	if (!rc && !r3_serve_dma_unmap_all(serve))
		rc = r3_error_set(EIO, "%s: a client's memory cannot be taken from it",
				  dev->info.name);
	if (rc)
		bury(serve, rc);
	r3_serve_dma_free(serve);
	r3_serve_irqs_free(serve);
	if (!rc)
		step(serve, R3_SERVE_FREED, 0);
	r3_serve_check_gone(serve);
}

/* ---- VFIO_USER_DEVICE_RESET ---- */

/* The client finds its device as after power-on, with the BARs where they were: its vectors
 * are off, and the eventfds it gave for them forgotten; its memory stays mapped. */
int r3_serve_reset(struct r3_serve *serve, const struct r3_vfio_user_msg *msg, int *fds,
		   struct r3_serve_reply *reply)
{
	int rc = r3_vfio_user_get_reset(msg);

	if (rc)
		return rc;
	rc = r3_device_reset(serve->dev, R3_RESET_ANY);
	if (!rc)
		r3_serve_vectors_off(serve);
	return rc == -EOPNOTSUPP ? -ENOTSUP : rc;
}
