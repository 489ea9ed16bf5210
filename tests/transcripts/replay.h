/* SPDX-License-Identifier: BSD-2-Clause */
/* Replays a session against ours; each ends the program at the first difference. */
#ifndef RING3_TESTS_TRANSCRIPTS_REPLAY_H
#define RING3_TESTS_TRANSCRIPTS_REPLAY_H

#include "script.h"

/** @piece: how many bytes the peer sends at once. */
void replay_server(struct script *script, size_t piece);
void replay_client(struct script *script, size_t piece);

#endif
