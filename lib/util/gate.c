/* SPDX-License-Identifier: BSD-2-Clause */
/* The expensive side of the gate. */
#include "util/gate.h"

#include <ring3/error.h>

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

void r3_gate_init(struct r3_gate *gate, bool fence)
{
	/* registering again is harmless, and so is registering in several threads */
	*gate = (struct r3_gate){
		.fence = fence || membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0,
	};
}

int r3_gate_close(struct r3_gate *gate, struct r3_clock *clock, uint64_t timeout_ns)
{
	__atomic_store_n(&gate->closed, 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* once registered, the expedited command cannot fail */
	if (!gate->fence)
		membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);

	struct r3_wait wait = r3_wait_begin(clock, timeout_ns);
	while (__atomic_load_n(&gate->inside, __ATOMIC_ACQUIRE))
		if (!r3_wait_step(&wait))
			return r3_error_set(ETIMEDOUT, "a queue's thread does not leave its queue");
	return 0;
}

void r3_gate_open(struct r3_gate *gate)
{
	__atomic_store_n(&gate->closed, 0, __ATOMIC_RELEASE);
}
