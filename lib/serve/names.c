/* SPDX-License-Identifier: BSD-2-Clause */
/* What a server's events are called: the same words in every log. */
#include <ring3/serve.h>

const char *r3_serve_event_name(unsigned type)
{
	static const char *const names[R3_SERVE_NEVENTS] = {
		[R3_SERVE_CONNECTED] = "connected",
		[R3_SERVE_REFUSED] = "refused",
		[R3_SERVE_DISCONNECTED] = "disconnected",
		[R3_SERVE_IRQ_OFF] = "irq off",
		[R3_SERVE_MASTER_OFF] = "bus master off",
		[R3_SERVE_QUIESCED] = "quiesced",
		[R3_SERVE_RESET] = "reset",
		[R3_SERVE_MAPPED] = "mapped",
		[R3_SERVE_UNMAPPED] = "unmapped",
		[R3_SERVE_FREED] = "freed",
		[R3_SERVE_READY] = "ready",
		[R3_SERVE_DEAD] = "dead",
		[R3_SERVE_DMA_FAULT] = "dma fault",
		[R3_SERVE_ERROR] = "error",
		[R3_SERVE_REMOVE_REQUEST] = "remove request",
		[R3_SERVE_REMOVED] = "removed",
	};

	return type < R3_SERVE_NEVENTS && names[type] ? names[type] : "unknown";
}
