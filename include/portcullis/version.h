/* SPDX-License-Identifier: Apache-2.0 */
/* version.h - what -version and QMP's greeting say. Layer: L0. */
#ifndef PORTCULLIS_VERSION_H
#define PORTCULLIS_VERSION_H

#define PORTCULLIS_VERSION_MAJOR 0
#define PORTCULLIS_VERSION_MINOR 1
#define PORTCULLIS_VERSION_MICRO 0
#define PORTCULLIS_VERSION "0.1.0"

#endif
