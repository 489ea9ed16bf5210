/* SPDX-License-Identifier: BSD-2-Clause */
/* Every backend, filter and driver there is: the one list. A name that is not built
 * here is reserved, and says what to do instead. */
#include "bus/ops.h"
#include "config.h"
#include <ring3/driver.h>

