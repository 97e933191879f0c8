/*
 * sign.c
 *		HMAC-SHA256 signatures of requests, in both header forms.
 *
 * Used just before an attempt is handed to libcurl, and by webhook.verify.
 * Pure C over OpenSSL 3, without locks, transactions or palloc.  Whatever is
 * secret here is in OpenSSL's contexts, which wipe it, or is wiped on return.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "sign.h"

#define MAC_SIZE 32
#define STANDARD_PREFIX "whsec_"
#define MIN_STANDARD_KEY 24		/* bytes, Standard Webhooks 1.0.0 */
#define MAX_STANDARD_KEY 64
#define BASE64_DIGITS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#define MAX_STANDARD_BASE64 ((MAX_STANDARD_KEY + 2) / 3 * 4)

/*
 * Each context is keyed once and duplicated for each message: setting a key
 * costs more than signing a short body.
 */
struct SigningKey
{
	EVP_MAC_CTX *body;			/* keyed with the secret's text */
	EVP_MAC_CTX *standard;		/* keyed with its decoded bytes, or NULL */
};

/* One run of bytes of a message that is signed in several pieces */
typedef struct Piece
{
	const void *bytes;
	size_t		length;
} Piece;

static EVP_MAC_CTX *create_context(const void *key, size_t length);
static bool compute_mac(const EVP_MAC_CTX *keyed, const Piece *pieces,
						int count, unsigned char *mac);
static size_t decode_secret(const char *secret, unsigned char *key);
static size_t decode_base64(const char *text, size_t length,
							unsigned char *out);
static int	base64_value(char digit);

SigningKey *
wh_sign_key_create(const char *secret)
{
	SigningKey *key = calloc(1, sizeof(SigningKey));
	unsigned char decoded[MAX_STANDARD_KEY];
	size_t		length;

	if (key == NULL)
		return NULL;
	key->body = create_context(secret, strlen(secret));
	length = decode_secret(secret, decoded);
	if (length > 0)
		key->standard = create_context(decoded, length);
	OPENSSL_cleanse(decoded, sizeof(decoded));

	if (key->body == NULL || (length > 0 && key->standard == NULL))
	{
		wh_sign_key_free(key);
		return NULL;
	}
	return key;
}

static EVP_MAC_CTX *
create_context(const void *key, size_t length)
{
	char		digest[] = "SHA256";
	EVP_MAC    *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *context = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
	OSSL_PARAM	parameters[2];

	EVP_MAC_free(hmac);			/* the context holds its own reference */
	parameters[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
													 digest, 0);
	parameters[1] = OSSL_PARAM_construct_end();
	if (context != NULL && EVP_MAC_init(context, key, length, parameters) != 1)
	{
		EVP_MAC_CTX_free(context);
		context = NULL;
	}
	return context;
}

void
wh_sign_key_free(SigningKey *key)
{
	if (key == NULL)
		return;
	EVP_MAC_CTX_free(key->body);
	EVP_MAC_CTX_free(key->standard);
	free(key);
}

bool
wh_sign_key_is_standard(const SigningKey *key)
{
	return key->standard != NULL;
}

bool
wh_sign_secret_is_standard(const char *secret)
{
	unsigned char decoded[MAX_STANDARD_KEY];
	size_t		length = decode_secret(secret, decoded);

	OPENSSL_cleanse(decoded, sizeof(decoded));
	return length > 0;
}

bool
wh_sign_body(SigningKey *key, const void *body, size_t length, char *out)
{
	static const char hex[] = "0123456789abcdef";
	Piece		piece = {body, length};
	unsigned char mac[MAC_SIZE];

	*out = '\0';
	if (!compute_mac(key->body, &piece, 1, mac))
		return false;

	memcpy(out, "sha256=", 7);
	out += 7;
	for (int i = 0; i < MAC_SIZE; i++)
	{
		*out++ = hex[mac[i] >> 4];
		*out++ = hex[mac[i] & 15];
	}
	*out = '\0';
	return true;
}

bool
wh_sign_standard(SigningKey *key, const char *id, const char *timestamp,
				 const void *body, size_t length, char *out)
{
	Piece		pieces[] = {
		{id, strlen(id)}, {".", 1},
		{timestamp, strlen(timestamp)}, {".", 1},
		{body, length}
	};
	unsigned char mac[MAC_SIZE];

	*out = '\0';
	if (key->standard == NULL || !compute_mac(key->standard, pieces, 5, mac))
		return false;

	memcpy(out, "v1,", 3);
	EVP_EncodeBlock((unsigned char *) out + 3, mac, MAC_SIZE);
	return true;
}

bool
wh_sign_verify_body(SigningKey *key, const void *body, size_t length,
					const char *signature)
{
	char		expected[WH_SIGN_BODY_SIZE];
	bool		is_same;

	if (strlen(signature) != WH_SIGN_BODY_SIZE - 1)
		return false;
	is_same = wh_sign_body(key, body, length, expected) &&
		CRYPTO_memcmp(expected, signature, WH_SIGN_BODY_SIZE - 1) == 0;
	OPENSSL_cleanse(expected, sizeof(expected));
	return is_same;
}

static bool
compute_mac(const EVP_MAC_CTX *keyed, const Piece *pieces, int count,
			unsigned char *mac)
{
	EVP_MAC_CTX *context = EVP_MAC_CTX_dup(keyed);
	size_t		length = 0;
	bool		is_done = context != NULL;

	for (int i = 0; is_done && i < count; i++)
		is_done = EVP_MAC_update(context, pieces[i].bytes,
								 pieces[i].length) == 1;
	is_done = is_done &&
		EVP_MAC_final(context, mac, &length, MAC_SIZE) == 1 &&
		length == MAC_SIZE;
	EVP_MAC_CTX_free(context);
	return is_done;
}

/*
 * Decode a standard secret into MAX_STANDARD_KEY bytes, which the caller has
 * to wipe.  Returns how many were written, 0 when it is not a standard one.
 */
static size_t
decode_secret(const char *secret, unsigned char *key)
{
	size_t		prefix = strlen(STANDARD_PREFIX);
	unsigned char decoded[MAX_STANDARD_BASE64 / 4 * 3];
	size_t		length;

	if (strncmp(secret, STANDARD_PREFIX, prefix) != 0)
		return 0;
	length = strlen(secret + prefix);
	if (length > MAX_STANDARD_BASE64)
		return 0;

	length = decode_base64(secret + prefix, length, decoded);
	if (length < MIN_STANDARD_KEY || length > MAX_STANDARD_KEY)
		length = 0;
	memcpy(key, decoded, length);
	OPENSSL_cleanse(decoded, sizeof(decoded));
	return length;
}

/*
 * RFC 4648, section 4, with its strictest options: padded, no other characters
 * (3.3), unused bits zero (3.5).  So a secret has one spelling; OpenSSL's own
 * decoder takes several.  Returns the bytes written, 0 when malformed.
 */
static size_t
decode_base64(const char *text, size_t length, unsigned char *out)
{
	size_t		digits = length;
	unsigned int bits = 0;
	int			count = 0;
	size_t		written = 0;

	if (length == 0 || length % 4 != 0)
		return 0;
	while (length - digits < 2 && text[digits - 1] == '=')
		digits--;

	for (size_t i = 0; i < digits; i++)
	{
		int			value = base64_value(text[i]);

		if (value < 0)
			return 0;
		bits = bits << 6 | (unsigned int) value;
		count += 6;
		if (count >= 8)
		{
			count -= 8;
			out[written++] = (bits >> count) & 0xff;
			bits &= (1u << count) - 1;
		}
	}
	return bits == 0 ? written : 0;
}

static int
base64_value(char digit)
{
	static const char digits[] = BASE64_DIGITS;
	const char *found = memchr(digits, digit, sizeof(digits) - 1);

	return found == NULL ? -1 : (int) (found - digits);
}
