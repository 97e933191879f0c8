/*
 * selftest.h
 *		Whether TLS can work here: certificate authorities, and a handshake.
 */
#ifndef WH_SELFTEST_H
#define WH_SELFTEST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Read a file of certificate authorities as libcurl will; false: why none of
 * them is of use.
 */
extern bool wh_selftest_authorities(const char *file, char *problem,
									size_t size);

/*
 * Shake hands with ourselves in memory, TLS 1.2 or later, with a certificate
 * made for it; false: why that failed.
 */
extern bool wh_selftest_handshake(char *problem, size_t size);

#endif							/* WH_SELFTEST_H */
