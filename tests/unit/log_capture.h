/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_capture.h - what is logged between start and stop, which is kept from standard error.
 */
#ifndef TESTS_LOG_CAPTURE_H
#define TESTS_LOG_CAPTURE_H

void log_capture_start(void);
void log_capture_stop(void);
/* Since the start, its first 4 KiB. Static buffer. */
const char *log_captured(void);
unsigned log_captured_lines(void);

#endif
