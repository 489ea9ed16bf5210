/* SPDX-License-Identifier: BSD-2-Clause */
/* The backend "vhost-user:" in the list of backends. */
#ifndef RING3_BACKEND_VHOST_USER_BACKEND_H
#define RING3_BACKEND_VHOST_USER_BACKEND_H

#include "bus/ops.h"

extern const struct r3_backend r3_vhost_user_backend;

#endif
