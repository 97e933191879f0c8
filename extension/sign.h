/*
 * sign.h
 *		HMAC-SHA256 signatures of requests, in both header forms.
 *
 * In a delivery's life: just before an attempt is handed to libcurl, once per
 * attempt and live secret.  Also behind webhook.verify.
 *
 * Needs no transaction and takes no lock: libc and OpenSSL only, no PostgreSQL
 * header.  Keys live on the C heap, so whoever creates one must free it on
 * every path, errors included.
 */
#ifndef WH_SIGN_H
#define WH_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#define WH_SIGN_BODY_SIZE 72	/* "sha256=", 64 hexadecimal digits, NUL */
#define WH_SIGN_STANDARD_SIZE 48	/* "v1,", 44 base64 characters, NUL */

/* A secret made ready for signing, opaque and reusable for any number */
typedef struct SigningKey SigningKey;

/*
 * Prepare a secret.  NULL when memory or OpenSSL fails; any text is a secret.
 *
 * The secret's bytes are copied, and the caller still has to wipe its own.
 */
extern SigningKey *wh_sign_key_create(const char *secret);

/* Wipe and free a key; NULL is fine. */
extern void wh_sign_key_free(SigningKey *key);

/*
 * Can the secret sign by Standard Webhooks 1.0.0, that is, is it "whsec_" and
 * the canonical, padded base64 of 24 to 64 bytes?
 */
extern bool wh_sign_key_is_standard(const SigningKey *key);
extern bool wh_sign_secret_is_standard(const char *secret);

/*
 * Write the value of X-Jasper-Signature, WH_SIGN_BODY_SIZE bytes with NUL: the
 * HMAC of the body under the whole text of the secret.  On failure false, and
 * out is an empty string.
 */
extern bool wh_sign_body(SigningKey *key, const void *body, size_t length,
						 char *out);

/*
 * Write one element of webhook-signature, WH_SIGN_STANDARD_SIZE bytes with
 * NUL: the HMAC of "id.timestamp.body" under the decoded secret.  False, and
 * an empty string, also when the secret is not a standard one.
 *
 * The id must contain no full stop, or two messages could sign alike.
 */
extern bool wh_sign_standard(SigningKey *key, const char *id,
							 const char *timestamp, const void *body,
							 size_t length, char *out);

/*
 * Is this what wh_sign_body would write?  The time taken tells nothing but
 * whether the length is right.
 */
extern bool wh_sign_verify_body(SigningKey *key, const void *body,
								size_t length, const char *signature);

#endif
